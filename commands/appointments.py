"""What may be asked of an appointment."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Look
from domain.appointments import Appointment, Arrangement, Circumstances, Party, forced, when
from domain.kit import At, Event, Frozen, Minutes, Note, PatientId, Reason, RoomId, StaffId, Text
from domain.patients import Patient
from domain.rooms import Room
from domain.schedules import Schedule, schedule_of
from domain.staff import Staff

Start = Annotated[datetime, Meta(description="Wall-clock time in the clinic's zone, or with an offset.", examples=["2026-03-02T09:00:00"])]
Fold = Annotated[Literal[0, 1] | None, Meta(description="Which one, where the clocks going back make that time happen twice.")]


class Wanted(Frozen):
    """The time and place that is asked for."""

    doctor_id: StaffId
    room_id: RoomId | None = None
    type: Text = "checkup"
    start: Start
    fold: Fold = None
    duration: Minutes = 30
    notes: Note | None = None
    overbook: bool = False
    reason: Reason | None = None

    async def others(self, look: Look) -> dict[str, Any]:
        return {
            "schedule": await look.load(Schedule, schedule_of(self.doctor_id)),
            "doctor": await look.require(Staff, self.doctor_id),
            "room": await look.require(Room, self.room_id) if self.room_id else None,
        }

    def arranged(self, patient: UUID, at: At, schedule: Schedule) -> Arrangement:
        before, after = schedule.buffers
        return Arrangement(
            patient_id=patient, doctor_id=self.doctor_id, room_id=self.room_id, type=self.type, buffer_before=before, buffer_after=after,
            forced=forced(overbook=self.overbook, may=at.may("appointments.overbook"), reason=self.reason),
            **when(self.start, self.duration, at.now, at.zone, self.fold),
        )


def circumstances(wanted: Arrangement, schedule: Schedule, doctor: Staff, room: Room | None) -> Circumstances:
    return Circumstances(
        working=schedule.covers(wanted.starts_at, wanted.ends_at, wanted.zone), treats=doctor.treats,
        usable=room is None or room.active,
    )


class BookAppointment(Creation, Wanted):
    """Book a patient with a doctor. Overbooking takes a permission and a reason."""

    state = Appointment
    permission = "appointments.create"
    patient_id: PatientId

    async def gather(self, look: Look) -> dict[str, Any]:
        return {**await self.others(look), "patient": await look.require(Patient, self.patient_id)}

    def decide(self, appointment: Appointment, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None, patient: Patient) -> list[Event]:
        patient.ensure_active()
        wanted = self.arranged(self.patient_id, at, schedule)
        return appointment.book(wanted, circumstances(wanted, schedule, doctor, room), notes=self.notes, reason=self.reason)


class ChangeAppointment(Command, Wanted):
    """Move an appointment to another time, doctor or room, or change its type and notes; what is left out is cleared."""

    state = Appointment
    permission = "appointments.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await self.others(look)

    def decide(self, appointment: Appointment, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None) -> list[Event]:
        wanted = self.arranged(appointment.patient, at, schedule)
        return appointment.rearrange(wanted, circumstances(wanted, schedule, doctor, room), notes=self.notes, reason=self.reason)


class ChangeAppointmentStatus(Command):
    """Move an appointment along its life."""

    state = Appointment
    permission = "appointments.change_status"
    status: Literal["confirmed", "arrived", "in-chair", "completed", "cancelled", "no-show"]
    reason: Reason | None = None
    cancelled_by: Party = "clinic"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        match self.status:
            case "confirmed":
                return appointment.confirm()
            case "arrived":
                return appointment.arrive()
            case "in-chair":
                return appointment.seat()
            case "completed":
                return appointment.complete()
            case "cancelled":
                return appointment.cancel(self.cancelled_by, self.reason, at.now)
            case "no-show":
                return appointment.miss()


class RemoveAppointment(Command):
    """Cancel an appointment and take it off the lists; its history stays."""

    state = Appointment
    permission = "appointments.delete"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.remove()
