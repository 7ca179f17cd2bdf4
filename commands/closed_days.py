"""What may be asked about when a clinic is closed."""

from uuid import UUID

from commands.kit import Creation
from domain.closed_days import ClosedDays, Closing, closed_days_of
from domain.kit import At, Event


class SetClosedDays(Closing, Creation):
    """Say which public holidays are kept, on which of them the clinic works all the same, and when else it is closed; what is left out is not kept.

    Nothing more is booked on such a day, but with a doctor who has an exception for it; what is booked already is among the conflicts of that day.
    """

    state = ClosedDays
    permission = "settings.working_hours.manage"

    def stream(self, at: At) -> UUID:
        return closed_days_of(at.clinic)

    def decide(self, days: ClosedDays, at: At) -> list[Event]:
        return days.set(self)
