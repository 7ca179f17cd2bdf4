"""Tills: the cash of a place is counted at the end of its day and held against what was recorded; what is missing, or too much, is said with a reason."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, Money, NotFound, PlaceId, Positive, Reason, Refused, State
from domain.kit.bills import LARGEST, Method, ensure_past

Difference = Annotated[int, Meta(description="Counted less expected: below zero if some is missing.")]
Expected = Annotated[int, Meta(description="What should be there: the opening, and what came in, less what went out.")]

EARLIEST = date(2000, 1, 1)


class Pieces(Frozen):
    """So many coins or notes of one value."""

    value: Positive
    count: Annotated[int, Meta(ge=0, le=1_000_000)]


class Moved(Frozen):
    """What was recorded of one method for the day: in, back and out, and of how many entries."""

    method: Method
    received: int
    refunded: int
    spent: int
    entries: int
    reversed: int = 0

    @property
    def net(self) -> int:
        return self.received - self.reversed - self.refunded - self.spent


class TillOpened(Event):
    """There was so much in it in the morning."""

    place_id: PlaceId | None = None
    day: date
    opening: Money
    currency: str


class TillClosed(Event):
    """It was counted: what was there, what should have been, and what went by other methods than cash."""

    day: date
    opening: Money
    expected: Expected
    counted: Money
    pieces: list[Pieces]
    difference: Difference
    reason: Reason | None = None
    left: Annotated[Money, Meta(description="What stays in the till for the next day; the rest was taken out of it.")]
    moved: list[Moved]


class TillReopened(Event):
    day: date
    reason: Reason


TillEvent = TillOpened | TillClosed | TillReopened


class TillOpenAlready(Refused):
    """That till is open already."""


class TillClosedAlready(Refused):
    """That till was closed already. Look at it; whoever may can reopen it, with a reason."""


class TillNotOpened(Refused):
    """That till has not been opened that day."""


class TillNotClosed(Refused):
    """That till is not closed."""


class CountUnclear(Invalid):
    """Say what was counted: coins and notes, or their sum, or both if they agree."""


class CountImpossible(Invalid):
    """That is more than can be counted exactly."""


class DifferenceNeedsReason(Invalid):
    """What was counted is not what should be there. Count again, or say why."""


class LeftTooMuch(Invalid):
    """No more can stay in the till than was counted."""


class Till(State):
    """The till of a place on a day."""

    kind: ClassVar[str] = "tills"
    status: Literal["none", "open", "closed"] = "none"
    day: date = date.min
    opening: Money = 0

    def evolve(self, event: TillEvent) -> Self:
        match event:
            case TillOpened(day=day, opening=opening):
                return replace(self, status="open", day=day, opening=opening)
            case TillClosed():
                return replace(self, status="closed")
            case TillReopened():
                return replace(self, status="open")

    def open(self, place: UUID | None, day: date, opening: int, currency: str, today: date) -> list[Event]:
        if self.status == "open":
            raise TillOpenAlready
        if self.status == "closed":
            raise TillClosedAlready
        ensure_past(day, today, EARLIEST)
        ensure_countable(opening)
        return [TillOpened(place_id=place, day=day, opening=opening, currency=currency)]

    def close(self, pieces: list[Pieces], total: int | None, moved: list[Moved], *, left: int | None, reason: str | None) -> list[Event]:
        """Hold what was counted against what was recorded."""
        if self.status != "open":
            raise TillNotOpened if self.status == "none" else TillClosedAlready
        counted = counted_of(pieces, total)
        expected = self.opening + sum(one.net for one in moved if one.method == "cash")
        if counted != expected and not reason:
            raise DifferenceNeedsReason(expected=expected, counted=counted, difference=counted - expected)
        if left is not None and left > counted:
            raise LeftTooMuch(counted=counted)
        return [TillClosed(
            day=self.day, opening=self.opening, expected=expected, counted=counted, pieces=pieces, difference=counted - expected,
            reason=reason if counted != expected else None, left=counted if left is None else left, moved=moved)]

    def reopen(self, reason: str) -> list[Event]:
        if self.status == "none":
            raise NotFound
        if self.status != "closed":
            raise TillNotClosed
        return [TillReopened(day=self.day, reason=reason)]


def counted_of(pieces: list[Pieces], total: int | None) -> int:
    """Return what was counted, by pieces or as a sum."""
    by_pieces = sum(one.value * one.count for one in pieces)
    if (total is None and not pieces) or (pieces and total is not None and total != by_pieces):
        raise CountUnclear(**({} if total is None else {"pieces": by_pieces, "counted": total}))
    counted = by_pieces if total is None else total
    ensure_countable(counted)
    return counted


def ensure_countable(amount: int) -> None:
    if not 0 <= amount <= LARGEST:
        raise CountImpossible


def till_of(clinic: UUID, place: UUID | None, day: date) -> UUID:
    """Return the id of a place's till on a day; without a place, of the clinic's own."""
    return uuid5(place or clinic, f"till/{day.isoformat()}")
