"""What may be asked about holding a time."""

from typing import Any

from commands.appointments import Fold, Start
from commands.kit import Command, Creation, Look
from domain.appointments import Circumstances, ensure_possible, when
from domain.holds import Held, Hold, HoldMinutes
from domain.kit import At, Event, Minutes, RoomId, StaffId
from domain.rooms import Room
from domain.schedules import Schedule, schedule_of
from domain.staff import Staff

MINUTES = 5


class HoldTime(Creation):
    """Hold a doctor's time, and a room's if one is named, for some minutes.

    Until then it is nobody else's: it is not among the available slots, and it is booked by whoever names the hold (`holdId`) and by nobody else. It
    runs out by itself.
    """

    state = Hold
    permission = "appointments.create"
    doctor_id: StaffId
    room_id: RoomId | None = None
    start: Start
    fold: Fold = None
    duration: Minutes = 30
    minutes: HoldMinutes = MINUTES

    async def gather(self, look: Look) -> dict[str, Any]:
        return {
            "schedule": await look.load(Schedule, schedule_of(self.doctor_id)),
            "doctor": await look.require(Staff, self.doctor_id),
            "room": await look.require(Room, self.room_id) if self.room_id else None,
        }

    def decide(self, hold: Hold, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None) -> list[Event]:
        before, after = schedule.buffers
        wanted = Held(
            doctor_id=self.doctor_id, room_id=self.room_id, buffer_before=before, buffer_after=after,
            **when(self.start, self.duration, at.now, at.zone, self.fold))
        working = schedule.covers(wanted.starts_at, wanted.ends_at, at.zone)
        ensure_possible(Circumstances(working=working, treats=doctor.treats, usable=room is None or room.active))
        return hold.hold(wanted, self.minutes, at.now)


class ExtendHold(Command):
    """Hold the time for some minutes more, counted from now; once."""

    state = Hold
    permission = "appointments.create"
    minutes: HoldMinutes = MINUTES

    def decide(self, hold: Hold, at: At) -> list[Event]:
        return hold.extend(self.minutes, at.now)


class ReleaseHold(Command):
    """Give a held time back before it runs out."""

    state = Hold
    permission = "appointments.create"

    def decide(self, hold: Hold, at: At) -> list[Event]:
        return hold.release(at.now)
