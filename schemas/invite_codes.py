"""What may be seen of an invite code."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen, Id
from schemas.kit import Row


class InviteCodeRow(Row):
    """An invite code: whom it is for, how often it may be used and has been, and until when."""

    table: ClassVar[str] = "invite_codes"
    permission: ClassVar[str] = "superadmin"
    id: Id
    label: str | None
    uses: int
    used: int
    expires_at: datetime
    revoked: bool
    reason: str | None = None
    minted_by: UUID
    minted_at: datetime
    last_used_at: datetime | None = None

    indexes: ClassVar[tuple[str, ...]] = ("minted_at, id",)


class InviteCodeShown(Frozen):
    """The code. It is shown once; mint another one if it is lost."""

    id: UUID
    code: str
    uses: int
    expires_at: datetime
