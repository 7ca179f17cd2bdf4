"""What may be asked of a till."""

from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, field

from commands.kit import Command, Creation, Look
from domain.kit import PLATFORM, At, Event, Money, PlaceId, Reason
from domain.places import Place
from domain.tills import Moved, Pieces, Till, till_of
from schemas.expenses import TillDayRow
from schemas.tills import TillRow

BACK = 60  # days in which the till before is looked for


class OpenTill(Creation):
    """Open the till of a place, or the clinic's own, for a day: today if not said. What is in it is what the last one closed there left, if nothing is said."""

    state = Till
    permission = "billing.till.manage"
    place_id: PlaceId | None = None
    day: date | None = None
    opening: Money | None = None

    def stream(self, at: At) -> UUID:
        return till_of(at.clinic, self.place_id, self.day or at.today)

    async def gather(self, look: Look) -> dict[str, Any]:
        if self.place_id is not None:
            (await look.require(Place, self.place_id)).ensure_open()
        day = self.day or look.at.today
        days = [day - timedelta(n) for n in range(1, BACK + 1) if self.opening is None]
        before = await look.find(TillRow, place_id=self.place_id, status="closed", day=days) if days else []
        return {"left": max(before, key=lambda row: row.day).left if before else 0}

    def decide(self, till: Till, at: At, *, left: int = 0) -> list[Event]:
        return till.open(self.place_id, self.day or at.today, left or 0 if self.opening is None else self.opening, at.currency, at.today)


class CloseTill(Command):
    """Close a till: with the coins and notes that were counted, or their sum. A difference to what was recorded takes a reason.

    What was recorded for the day by other methods than cash is kept beside it. Whatever is recorded for that day later is shown as late until the till is reopened and closed again.
    """

    state = Till
    permission = "billing.till.manage"
    pieces: Annotated[list[Pieces], Meta(max_length=100)] = field(default_factory=list)
    counted: Money | None = None
    left: Money | None = None
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        row = await look.row(Till, look.at.id)
        found = await look.find(TillDayRow, day=row.day, place=row.place_id or PLATFORM) if row else []
        return {"moved": [moved_of(one) for one in sorted(found, key=lambda one: one.method)]}

    def decide(self, till: Till, at: At, *, moved: list[Moved]) -> list[Event]:
        return till.close(self.pieces, self.counted, moved, left=self.left, reason=self.reason)


class ReopenTill(Command):
    """Open a closed till again, to count anew or to take in what was recorded late; what was counted before stays in the history."""

    state = Till
    permission = "billing.till.reopen"
    reason: Reason

    def decide(self, till: Till, at: At) -> list[Event]:
        return till.reopen(self.reason)


def moved_of(row: TillDayRow) -> Moved:
    return Moved(
        method=row.method, received=row.received, reversed=row.reversed, refunded=row.refunded, spent=row.spent,
        entries=row.payments + row.reversals + row.refunds + row.expenses)
