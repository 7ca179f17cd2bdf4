"""What may be asked about holding a time."""

from typing import Any

from commands.appointments import OPEN, Fold, Length, Means, Start, ensure_clocks, means_of
from commands.kit import Command, Creation, Look
from domain.appointment_types import AppointmentType
from domain.appointments import ensure_possible, when
from domain.closed_days import ClosedDays
from domain.holds import Held, Hold, HoldMinutes
from domain.kit import AppointmentTypeId, At, Event, RoomId, StaffId
from domain.rooms import Room
from domain.schedules import Schedule
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
    duration: Length = None
    minutes: HoldMinutes = MINUTES
    type_id: AppointmentTypeId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return (await means_of(look, self.doctor_id, self.room_id, self.type_id))._asdict()

    def decide(
        self, hold: Hold, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None, kind: AppointmentType | None = None, closed: ClosedDays = OPEN,
    ) -> list[Event]:
        ensure_clocks(at)
        means = Means(schedule, doctor, room, kind, closed)
        pace = means.pace(self.duration)
        wanted = Held(
            doctor_id=self.doctor_id, room_id=self.room_id, buffer_before=pace.before, buffer_after=pace.after,
            **when(self.start, pace.minutes, at.now, at.zone, self.fold))
        ensure_possible(means.circumstances(wanted.starts_at, wanted.ends_at, wanted.zone))
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
