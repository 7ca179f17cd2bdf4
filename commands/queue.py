"""What may be asked of the waiting queue, by walk-ins and by those with an appointment of today."""

from typing import Any

from commands.kit import Command, Creation, Decision, Look
from domain.appointments import Appointment
from domain.kit import At, Elsewhere, Event, Note, PatientId, Reason
from domain.kit.turns import ArrivalWay, Rank
from domain.patients import Patient
from domain.queue import AlreadyQueued, Place, QueueStatus, WalkIn, ensure_place, series_name
from domain.rooms import Room
from domain.series import Series, series_of
from domain.staff import Staff
from schemas.queue import QueueRow

QUEUE = "appointments.change_status"


async def numbers(look: Look) -> dict[str, Any]:
    """Return the series that gives out today's numbers; whoever takes one from it decides again if somebody else was faster."""
    today = look.at.today
    return {"numbers": await look.load(Series, series_of(look.at.clinic, series_name(today), today.year))}


def allotted(numbers: Series, at: At) -> tuple[int, Elsewhere]:
    """Return the next number of today, and how the series notes it."""
    name, year = series_name(at.today), at.today.year
    event = numbers.allot(name, year)
    return event.number, Elsewhere(state=Series, id=series_of(at.clinic, name, year), events=[event])


def arrival(appointment: Appointment, at: At, numbers: Series, way: ArrivalWay = "clinic") -> Decision:
    """Return how a patient arrives: on the day of the visit with a number in the queue, the same if they have had one that day."""
    if appointment.on != at.today:
        return [*appointment.arrive(way=way)]
    if (kept := appointment.number_on(at.today)) is not None:
        return [*appointment.arrive(kept, way)]
    number, taken = allotted(numbers, at)
    return [*appointment.arrive(number, way), taken]


class Placed(Place):
    """Whom somebody waits for and where they are seen, as far as that is known."""

    async def there(self, look: Look) -> dict[str, Any]:
        return {
            "doctor": await look.require(Staff, self.doctor_id) if self.doctor_id else None,
            "room": await look.require(Room, self.room_id) if self.room_id else None,
        }


def possible(doctor: Staff | None, room: Room | None) -> None:
    ensure_place(treats=doctor is None or doctor.treats, usable=room is None or room.active)


class QueuePatient(Creation, Placed):
    """Have a patient wait who came without an appointment; they get the next number of the day.

    Whoever is to come before others needs a reason for it, and so does somebody who is blocked (`despiteBlock`, which takes the permission to overbook).
    """

    state = WalkIn
    permission = "appointments.create"
    patient_id: PatientId
    rank: Rank = "normal"
    reason: Reason | None = None
    notes: Note | None = None
    despite_block: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        waiting = await look.find(QueueRow, patient_id=self.patient_id, date=look.at.today, status=["WAITING", "IN_PROGRESS"])
        walked_in = [row for row in waiting if row.appointment_id is None]  # a courtesy, for a clear answer; what it misses, the entry's own claim refuses
        return {
            "patient": await look.require(Patient, self.patient_id), **await self.there(look), **await numbers(look), "queued": bool(walked_in)}

    def decide(
        self, entry: WalkIn, at: At, *, patient: Patient, doctor: Staff | None, room: Room | None, numbers: Series, queued: bool,
    ) -> Decision:
        patient.ensure_bookable(despite=self.despite_block, may=at.may("appointments.overbook"), reason=self.reason)
        possible(doctor, room)
        if queued:
            raise AlreadyQueued
        number, taken = allotted(numbers, at)
        reason = self.reason if self.rank != "normal" or patient.blocked else None
        return [*entry.come(self.patient_id, number, at.today, self, self.rank, reason, self.notes), taken]


class CheckInAppointment(Command):
    """Note that a patient has arrived for their appointment of today; they get the next number of the day."""

    state = Appointment
    permission = QUEUE

    async def gather(self, look: Look) -> dict[str, Any]:
        return await numbers(look)

    def decide(self, appointment: Appointment, at: At, *, numbers: Series) -> Decision:
        appointment.ensure_today(at.today)
        return arrival(appointment, at, numbers)


class MoveQueueEntry(Command):
    """Call somebody without an appointment, note that they are done or gone, or have them wait again."""

    state = WalkIn
    permission = QUEUE
    status: QueueStatus
    reason: Reason | None = None

    def decide(self, entry: WalkIn, at: At) -> list[Event]:
        return entry.move(self.status, self.reason, at.today)


class MoveQueuedAppointment(Command):
    """Call somebody with an appointment, note that they are done or gone, or have them wait again: the appointment is what changes."""

    state = Appointment
    permission = QUEUE
    status: QueueStatus
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await numbers(look)

    def decide(self, appointment: Appointment, at: At, *, numbers: Series) -> Decision:
        appointment.ensure_queued()
        match self.status:
            case "WAITING" if appointment.status == "in-chair":
                return [*appointment.undo_seating()]
            case "WAITING":
                appointment.ensure_today(at.today)
                return arrival(appointment, at, numbers)
            case "IN_PROGRESS":
                return [*appointment.seat()]
            case "COMPLETED":
                return [*appointment.complete()]
            case "CANCELLED":
                return [*appointment.undo_arrival(self.reason)]


class PlaceQueueEntry(Command, Placed):
    """Have somebody without an appointment seen by another doctor or in another room; what is left out is open again."""

    state = WalkIn
    permission = QUEUE

    async def gather(self, look: Look) -> dict[str, Any]:
        return await self.there(look)

    def decide(self, entry: WalkIn, at: At, *, doctor: Staff | None, room: Room | None) -> list[Event]:
        possible(doctor, room)
        return entry.put(Place(doctor_id=self.doctor_id, room_id=self.room_id))


class RankQueueEntry(Command):
    """Let somebody without an appointment come before others, for a reason, or not any more."""

    state = WalkIn
    permission = QUEUE
    rank: Rank
    reason: Reason | None = None

    def decide(self, entry: WalkIn, at: At) -> list[Event]:
        return entry.rank_turn(self.rank, self.reason)


class RankQueuedAppointment(Command):
    """Let somebody with an appointment come before others, for a reason, or not any more."""

    state = Appointment
    permission = QUEUE
    rank: Rank
    reason: Reason | None = None

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.rank_turn(self.rank, self.reason)
