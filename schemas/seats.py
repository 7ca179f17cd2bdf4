"""Who takes a clinic's seats."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen, Id
from schemas.kit import Row


class SeatHolder(Frozen):
    """Somebody who takes a seat; one that is only kept, for an invitation, is free again after `until`."""

    holder: Id
    role: str
    until: datetime | None


class SeatsRow(Row):
    """The seats of a clinic's licence that are taken."""

    table: ClassVar[str] = "seats"
    permission: ClassVar[str] = "settings.staff.view"
    id: UUID
    held: list[SeatHolder]
