"""What may be asked of the address of a doctor's calendar."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Look
from domain.calendar_feeds import CalendarFeed, calendar_feed_of, ensure_theirs
from domain.kit import At, Event, NotFound, StaffId
from domain.staff import Staff


class OpenCalendarFeed(Creation):
    """Give out an address by which calendar programs read a doctor's visits and blocked time. Again, it is a new one, and the one before is dead."""

    state = CalendarFeed
    permission = "appointments.view"
    doctor_id: StaffId

    def stream(self, at: At) -> UUID:
        return calendar_feed_of(self.doctor_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"doctor": await look.require(Staff, self.doctor_id)}

    def decide(self, feed: CalendarFeed, at: At, *, doctor: Staff) -> list[Event]:
        ensure_theirs(own=at.subject == self.doctor_id, manages=at.may("settings.working_hours.manage"))
        if not doctor.active:
            raise NotFound(kind="staff")
        return feed.open(self.doctor_id)


class CloseCalendarFeed(Creation):
    """Take the address of a doctor's calendar back: it opens nothing any more."""

    state = CalendarFeed
    permission = "appointments.view"
    doctor_id: StaffId

    def stream(self, at: At) -> UUID:
        return calendar_feed_of(self.doctor_id)

    def decide(self, feed: CalendarFeed, at: At) -> list[Event]:
        ensure_theirs(own=at.subject == self.doctor_id, manages=at.may("settings.working_hours.manage"))
        return feed.close(self.doctor_id)
