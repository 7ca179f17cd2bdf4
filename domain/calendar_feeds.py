"""Calendar feeds: a doctor's visits and blocked time, for the calendar on their own telephone, under an address that only they have."""

from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Forbidden, Refused, StaffId, State

FeedNumber = Annotated[int, Meta(ge=1, description="Of the address: it tells it from those that were taken back.")]


class CalendarFeedOpened(Event):
    """There is an address by which the doctor's calendar can be read; any before it is dead."""

    doctor_id: StaffId
    number: FeedNumber


class CalendarFeedClosed(Event):
    """No address opens the doctor's calendar any more."""

    doctor_id: StaffId


CalendarFeedEvent = CalendarFeedOpened | CalendarFeedClosed


class CalendarFeedOver(Refused):
    """This address opens no calendar any more. Ask for a new one where you had this one from."""

    status = 410


class CalendarFeed(State):
    """The address of a doctor's calendar: none until it is opened."""

    kind: ClassVar[str] = "calendar_feeds"
    number: int = 0
    opened: bool = False

    def evolve(self, event: CalendarFeedEvent) -> Self:
        match event:
            case CalendarFeedOpened(number=number):
                return replace(self, number=number, opened=True)
            case CalendarFeedClosed():
                return replace(self, opened=False)

    def open(self, doctor: UUID) -> list[Event]:
        """Give out a new address; the one before, if there is one, opens nothing any more."""
        return [CalendarFeedOpened(doctor_id=doctor, number=self.number + 1)]

    def close(self, doctor: UUID) -> list[Event]:
        return [CalendarFeedClosed(doctor_id=doctor)] if self.opened else []

    def ensure_open(self, number: int) -> None:
        """Refuse an address that was taken back."""
        if not self.opened or number != self.number:
            raise CalendarFeedOver


def ensure_theirs(*, own: bool, manages: bool) -> None:
    """Refuse to see to another's calendar, but to whoever sees to everybody's hours."""
    if not own and not manages:
        raise Forbidden(permission="settings.working_hours.manage")


def calendar_feed_of(doctor: UUID) -> UUID:
    """Return the id under which the address of a doctor's calendar is kept."""
    return uuid5(doctor, "calendar-feed")
