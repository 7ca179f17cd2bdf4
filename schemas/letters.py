"""What may be seen of the letters that were sent."""

from datetime import datetime
from typing import ClassVar, Literal

from domain.kit import ClinicId, Id
from schemas.kit import Row

LetterStatus = Literal["queued", "sent", "delivered", "failed"]


class LetterRow(Row):
    """A letter and what became of it; whom it went to is said by reference. Its row is the outbox's own."""

    table: ClassVar[str] = "letters"
    permission: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
    id: Id
    clinic: ClinicId
    template: str
    recipient_kind: str | None
    recipient: Id | None
    language: str | None
    status: LetterStatus
    attempts: int
    queued_at: datetime
    due_at: datetime
    settled_at: datetime | None
    error: str | None


class PlatformLetterRow(LetterRow):
    """A letter of any clinic, such as were not written to patients."""

    permission: ClassVar[str] = "superadmin"
