"""What may be asked of a doctor's schedule, and of time that is to be blocked."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.appointments import ensure_clocks
from commands.kit import Command, Creation, Look
from domain.kit import At, Event, Reason, RoomId, StaffId
from domain.places import Place
from domain.schedules import BlockedTime, Schedule, Timetable, period, schedule_of

Local = Annotated[datetime, Meta(description="Wall-clock time in the clinic's zone, or with an offset.", examples=["2026-03-02T09:00:00"])]


class SetDoctorSchedule(Creation, Timetable):
    """Set the hours a doctor works: the week, the exceptions to it, and how visits follow each other. Hours that name no place are at the clinic itself. Doctors may set their own."""

    state = Schedule
    permission = "appointments.block_time"
    doctor_id: StaffId

    def stream(self, at: At) -> UUID:
        return schedule_of(self.doctor_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"places": [await look.require(Place, place) for place in self.places if place is not None]}

    def decide(self, schedule: Schedule, at: At, *, places: list[Place]) -> list[Event]:
        for place in places:
            place.ensure_open()
        own, manages = at.subject == self.doctor_id, at.may("settings.working_hours.manage")
        return schedule.set(self.doctor_id, self, own=own, manages=manages)


class BlockTime(Creation):
    """Block a doctor's or a room's time, so that nothing is booked in it. Doctors may block their own.

    If there are appointments in it, it is refused; `despiteBookings` is for a sudden absence: nothing more is booked, and the appointments that stand in it
    are among the conflicts of those days until they are moved or cancelled.
    """

    state = BlockedTime
    permission = "appointments.block_time"
    doctor_id: StaffId | None = None
    room_id: RoomId | None = None
    start: Local
    end: Local
    reason: Reason | None = None
    despite_bookings: bool = False

    def decide(self, block: BlockedTime, at: At) -> list[Event]:
        ensure_clocks(at)
        wanted = period(self.start, self.end, at.now, at.zone)
        own, manages = at.subject == self.doctor_id, at.may("settings.working_hours.manage")
        return block.block(self.doctor_id, self.room_id, wanted, self.reason, own=own, manages=manages, despite_bookings=self.despite_bookings)


class UnblockTime(Command):
    """Give blocked time free again."""

    state = BlockedTime
    permission = "appointments.block_time"

    def decide(self, block: BlockedTime, at: At) -> list[Event]:
        return block.unblock(at.subject, manages=at.may("settings.working_hours.manage"))
