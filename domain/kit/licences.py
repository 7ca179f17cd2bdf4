"""What a clinic pays for: a plan, seats, and until when."""

from datetime import date
from typing import Annotated

from msgspec import Meta

from domain.kit.grants import Plan
from domain.kit.model import Frozen

SeatCount = Annotated[int, Meta(ge=0, le=100_000, description="How many may have a seat at the same time; none means as many as you like.")]
Until = Annotated[date, Meta(description="The last day on which it holds, in the clinic's zone; none means for ever.")]


class Licence(Frozen):
    """What a clinic may use: its plan, its seats, and until when."""

    plan: Plan = "Pro"
    users: SeatCount | None = None
    doctors: SeatCount | None = None
    until: Until | None = None
    trial: bool = False

    def ended(self, today: date) -> bool:
        """Say whether its last day is over."""
        return self.until is not None and self.until < today


__all__ = ["Licence", "Plan", "SeatCount", "Until"]
