"""What may be asked of an appointment."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from commands.queue import arrival, numbers
from domain.appointments import Appointment, Arrangement, Circumstances, Party, Response, forced, when
from domain.clinics import Clinic
from domain.holds import Hold
from domain.kit import At, Elsewhere, Event, Frozen, HoldId, Minutes, Note, PatientId, Reason, RoomId, StaffId, Text
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.rooms import Room
from domain.schedules import Schedule, schedule_of
from domain.series import Series
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
    """Book a patient with a doctor. Overbooking takes a permission and a reason, and so does booking for a patient who is blocked (`despiteBlock`).

    With `holdId` the time is that of a hold, which ends with it: nobody comes in between.
    """

    state = Appointment
    permission = "appointments.create"
    patient_id: PatientId
    despite_block: bool = False
    hold_id: HoldId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        hold = {"hold": await look.require(Hold, self.hold_id)} if self.hold_id else {}
        return {**await self.others(look), "patient": await look.require(Patient, self.patient_id), **hold}

    def decide(
        self, appointment: Appointment, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None, patient: Patient, hold: Hold | None = None,
    ) -> Decision:
        patient.ensure_bookable(despite=self.despite_block, may=at.may("appointments.overbook"), reason=self.reason)
        wanted = self.arranged(self.patient_id, at, schedule)
        past_block = patient.blocked
        booked = appointment.book(wanted, circumstances(wanted, schedule, doctor, room), notes=self.notes, reason=self.reason, past_block=past_block)
        if hold is None or self.hold_id is None:
            return [*booked]
        used = hold.use(at.id, self.doctor_id, self.room_id, (wanted.starts_at, wanted.ends_at), at.now)
        return [*booked, Elsewhere(state=Hold, id=self.hold_id, events=used)]


class ChangeAppointment(Command, Wanted):
    """Move an appointment to another time, doctor or room, or change its type and notes; what is left out is cleared.

    A patient who was sent a summary is written anew when the appointment is moved.
    """

    state = Appointment
    permission = "appointments.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await self.others(look)

    def decide(self, appointment: Appointment, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None) -> list[Event]:
        wanted = self.arranged(appointment.patient, at, schedule)
        changes = appointment.rearrange(wanted, circumstances(wanted, schedule, doctor, room), notes=self.notes, reason=self.reason)
        return appointment.retold(changes, at.now)


class ChangeAppointmentStatus(Command):
    """Move an appointment along its life. Whoever arrives on the day of the visit gets the next number of the waiting queue."""

    state = Appointment
    permission = "appointments.change_status"
    status: Literal["confirmed", "arrived", "in-chair", "completed", "cancelled", "no-show"]
    reason: Reason | None = None
    cancelled_by: Party = "clinic"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await numbers(look) if self.status == "arrived" else {}

    def decide(self, appointment: Appointment, at: At, *, numbers: Series = Series()) -> Decision:  # noqa: B008 - frozen
        match self.status:
            case "confirmed":
                return [*appointment.confirm()]
            case "arrived":
                return arrival(appointment, at, numbers)
            case "in-chair":
                return [*appointment.seat()]
            case "completed":
                return [*appointment.complete()]
            case "cancelled":
                return [*appointment.cancel(self.cancelled_by, self.reason, at.now)]
            case "no-show":
                return [*appointment.miss()]


class RemoveAppointment(Command):
    """Cancel an appointment and take it off the lists; its history stays."""

    state = Appointment
    permission = "appointments.delete"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.remove()


class ShareAppointment(Command):
    """Give out a link by which the patient looks at their appointment, confirms it or cancels it.

    It is good until the appointment is over, cancelled or another patient's, or the link is taken back. Each time the address is another one, for none is
    kept; those before stay good beside it.
    """

    state = Appointment
    permission = "appointments.view_detail"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.share(at.now)


class RevokeAppointmentLink(Command):
    """Take the patient's link back: none of its addresses opens anything any more."""

    state = Appointment
    permission = "appointments.view_detail"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.revoke_link()


class SendAppointmentSummary(Command):
    """Write to the patient when and with whom the appointment is, with a link to confirm or cancel it."""

    state = Appointment
    permission = "appointments.send_summary"
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        whose = (await look.require(Appointment, look.at.id)).patient
        patient = await look.require(Patient, whose)
        return {"patient": patient, "reachable": getattr(await look.row(Patient, whose), "email", None) is not None}

    def decide(self, appointment: Appointment, at: At, *, patient: Patient, reachable: bool) -> list[Event]:
        patient.ensure_reachable(reachable=reachable)
        return appointment.ask_summary(at.now, self.language)


class AnswerAppointment(Command):
    """Confirm or cancel an appointment as its patient, by the link of that id."""

    state = Appointment
    permission = "public"
    response: Response
    reason: Reason | None = None
    link: UUID

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.load(Clinic, look.at.clinic)}

    def decide(self, appointment: Appointment, at: At, *, clinic: Clinic) -> list[Event]:
        return appointment.answer(at.id, self.link, self.response, self.reason, at.now, timedelta(hours=clinic.cancel_notice))
