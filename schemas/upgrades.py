"""What may be seen of upgrades that were asked for or offered."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import ClinicId, Frozen, Personal
from domain.kit.licences import Licence, Plan
from domain.upgrades import About, Pricing, UpgradeInviteId
from schemas.kit import Row


class UpgradeRequestRow(Row):
    """A clinic's request for a higher plan or more seats, and what became of it."""

    table: ClassVar[str] = "upgrade_requests"
    permission: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
    id: UUID
    clinic: ClinicId
    about: About
    plan: Plan | None = None
    users: int | None = None
    doctors: int | None = None
    status: str  # pending, withdrawn, approved, rejected
    note: Annotated[str | None, Personal()] = None
    contact: Annotated[str | None, Personal()] = None
    invite_id: UpgradeInviteId | None = None
    granted: Licence | None = None
    reason: str | None = None
    requested_by: UUID
    requested_at: datetime
    decided_by: UUID | None = None
    decided_at: datetime | None = None

    indexes: ClassVar[tuple[str, ...]] = ("requested_at, id", "status, requested_at, id")


class UpgradeInviteRow(Row):
    """An offer of ours to a clinic, and whether it has been answered."""

    table: ClassVar[str] = "upgrade_invites"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    id: UUID
    clinic: ClinicId
    plan: Plan | None = None
    users: int | None = None
    doctors: int | None = None
    pricing: Pricing | None = None
    message: str | None = None
    status: str  # open, answered, withdrawn
    expires_at: datetime
    request_id: UUID | None = None
    offered_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("offered_at, id",)


class UpgradeLink(Frozen):
    """The link of an offer. It is shown once; mint another offer if it is lost."""

    id: UUID
    token: str
    url: str
    expires_at: datetime


class UpgradeOffer(Frozen):
    """What we offer a clinic, as whoever holds the link sees it."""

    clinic_name: str
    current_plan: Plan
    plan: Plan | None = None
    users: int | None = None
    doctors: int | None = None
    pricing: Pricing | None = None
    message: str | None = None
    expires_at: datetime
    answered: bool


class UpgradeAsked(Frozen):
    """Your request has arrived; we come back to you."""

    request_id: UUID
    status: str = "pending"
