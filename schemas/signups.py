"""What may be seen of a sign-up: by the platform, and by whoever asked."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import AccountId, Frozen, Id, Personal
from domain.signups import InviteId, Stage, Way
from schemas.kit import Row


class SignupRow(Row):
    """A clinic that asks to be served, who asks, and what became of it."""

    table: ClassVar[str] = "signups"
    permission: ClassVar[str] = "superadmin"
    id: Id
    status: Stage
    clinic_name: str
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    note: Annotated[str | None, Personal()]
    language: str
    country: str | None
    zone: str | None
    currency: str | None
    submitted_at: datetime
    way: Way | None = None  # how it was approved
    invite_id: InviteId | None = None
    reason: str | None = None  # why it was rejected
    decided_by: UUID | None = None
    decided_at: datetime | None = None
    trial_days: int | None = None
    expires_at: datetime | None = None  # of the letter's link
    sent: int = 0  # how often the link has been sent
    begun_at: datetime | None = None
    completed_at: datetime | None = None
    clinic: UUID | None = None  # what it became
    account_id: AccountId | None = None

    indexes: ClassVar[tuple[str, ...]] = ("submitted_at, id", "status, submitted_at, id", "email")


class SignupTaken(Frozen):
    """Your request has arrived. Ask for its status under this id; a letter tells you when it is decided."""

    request_id: UUID
    status: Stage


class SignupStatus(Frozen):
    """How a request stands. `active` means that the clinic is open; until `expiresAt` the letter's link opens it."""

    request_id: UUID
    status: Stage
    clinic_name: str
    submitted_at: datetime
    decided_at: datetime | None
    reason: str | None
    expires_at: datetime | None


class Onboarding(Frozen):
    """The clinic that a letter's link opens, as far as it is known. Who has an account already keeps its password."""

    request_id: UUID
    clinic_name: str
    name: str | None
    email: str
    phone: str | None
    country: str | None
    zone: str | None
    currency: str | None
    trial_days: int
    expires_at: datetime
    has_account: bool


class ClinicFounded(Frozen):
    """Your clinic is open; you can sign in."""

    clinic_id: UUID
    email: str
