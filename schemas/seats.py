"""What may be seen of a clinic's licence and who takes its seats."""

from datetime import date, datetime
from typing import ClassVar, Literal
from uuid import UUID

from domain.kit import Frozen, Id
from schemas.kit import Row


class SeatHolder(Frozen):
    """Somebody who takes a seat; one that is only kept, for an invitation, is free again after `until`."""

    holder: Id
    role: Literal["admin", "doctor", "receptionist"]
    until: datetime | None


class SeatsRow(Row):
    """The seats of a clinic's licence that are taken."""

    table: ClassVar[str] = "seats"
    permission: ClassVar[str] = "settings.staff.view"
    id: UUID
    held: list[SeatHolder]


class SeatUse(Frozen):
    """How many seats are taken, and how many there are; no limit means as many as you like."""

    used: int
    limit: int | None


class LicenceUse(Frozen):
    """How many seats of a licence are taken."""

    users: SeatUse
    doctors: SeatUse


class LicenceStatus(Frozen):
    """A clinic's licence, and how many of its seats are taken."""

    clinic: Id
    plan: str
    trial: bool
    until: date | None
    ended: bool
    users: SeatUse
    doctors: SeatUse


class SeatCheck(Frozen):
    """Whether one more of a role would fit into the licence; if not, the code with which it would be refused."""

    role: str
    allowed: bool
    code: str | None
