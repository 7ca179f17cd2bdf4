"""What may be seen of a till."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, field

from domain.kit import Frozen, Money, PlaceId
from domain.tills import Difference, Expected, Moved, Pieces
from schemas.kit import Row


class TillRow(Row):
    """The till of a place on a day: what it was opened with, what was counted and expected, and why they differ."""

    table: ClassVar[str] = "tills"
    permission: ClassVar[str] = "billing.till.manage"
    id: UUID
    place_id: PlaceId | None
    day: date
    status: Literal["open", "closed"]
    currency: str
    opening: Money
    expected: Expected | None = None
    counted: Money | None = None
    pieces: list[Pieces] = field(default_factory=list)
    difference: Difference | None = None
    reason: str | None = None
    left: Money | None = None
    moved: list[Moved] = field(default_factory=list)
    cash_net: int = 0  # of the cash that was recorded when it was closed, and of how many entries
    cash_entries: int = 0
    opened_at: datetime
    opened_by: UUID
    closed_at: datetime | None = None
    closed_by: UUID | None = None
    reopened: int = 0
    reopen_reason: str | None = None
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("day, id", "place_id, day", "status, day, id")


class TillEntry(TillRow):
    """A till, and what was recorded in cash for its day after it was closed: by how much that changes it, and how many entries it is. Reopen it and close it again to take them in."""

    table: ClassVar[str] = "till_entries"
    late: Annotated[int, Meta(description="By how much the cash changed after the till was closed.")]
    late_entries: int


class TillNow(Frozen):
    """What should be in a till by what is recorded just now, and by method what was recorded for the day."""

    id: UUID
    place_id: UUID | None
    day: date
    status: Literal["none", "open", "closed"]
    currency: str
    opening: Money
    expected: Expected
    moved: list[Moved]
