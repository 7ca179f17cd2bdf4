"""What may be asked about calling patients back."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from commands.kit import Command, Creation, Decision, Look
from domain.appointments import Appointment
from domain.kit import AppointmentId, At, Elsewhere, Event, Frozen, Note, PatientId, Reason, StaffId
from domain.patients import Patient
from domain.recalls import (
    Calling,
    Recall,
    RecallAlreadyOpen,
    RecallBatchId,
    RecallChannel,
    RecallDay,
    RecallKind,
    RecallOutcome,
    RecallWish,
    wish_of,
)

RecallMessage = Annotated[Note, Meta(description="What to tell the patient.", examples=["Time for your check-up"])]


class Recalling(Calling):
    """Whom to call back, when and why."""

    patient_id: PatientId
    kind: RecallKind
    message: RecallMessage | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        patient = await look.require(Patient, self.patient_id)
        return {
            "patient": patient, "wishes": await wishes_of(look, self.patient_id, patient), "opened": await open_one(look, self.patient_id, self.kind)}

    def scheduled(self, recall: Recall, at: At, patient: Patient, wishes: list[RecallWish], opened: UUID | None, batch: UUID | None = None) -> list[Event]:
        ensure_callable(patient, wishes)
        if opened is not None:
            raise RecallAlreadyOpen(id=str(opened))
        return recall.schedule(self.patient_id, self.kind, self, self.message, at.today, batch)


class ScheduleRecall(Recalling, Creation):
    """Have a patient called back on a day, for a check-up or whatever else they are due for. Of each kind one at a time is open."""

    state = Recall
    permission = "clinical.recalls.create"

    def decide(self, recall: Recall, at: At, *, patient: Patient, wishes: list[RecallWish], opened: UUID | None) -> list[Event]:
        return self.scheduled(recall, at, patient, wishes, opened)


class GenerateRecall(Recalling, Creation):
    """Have one patient of a cohort called back."""

    state = Recall
    permission = "clinical.recalls.batch_generate"
    batch_id: RecallBatchId

    def decide(self, recall: Recall, at: At, *, patient: Patient, wishes: list[RecallWish], opened: UUID | None) -> list[Event]:
        return self.scheduled(recall, at, patient, wishes, opened, self.batch_id)


class ChangeRecall(Command):
    """Change the day of a recall, what is to be said, how or by which doctor; what is left out stays as it is."""

    state = Recall
    permission = "clinical.recalls.edit"
    date: RecallDay | UnsetType = UNSET
    message: RecallMessage | UnsetType | None = UNSET
    channel: RecallChannel | UnsetType = UNSET
    doctor_id: StaffId | UnsetType | None = UNSET

    def decide(self, recall: Recall, at: At) -> list[Event]:
        was = recall.planned
        wanted = Calling(date=given(self.date, was.date), channel=given(self.channel, was.channel), doctor_id=given(self.doctor_id, was.doctor_id))
        return [*recall.rearrange(wanted, at.today), *([] if self.message is UNSET else recall.reword(self.message))]


class NoteRecallAttempt(Command):
    """Note that somebody tried to reach the patient, what came of it, and when to try again."""

    state = Recall
    permission = "clinical.recalls.edit"
    outcome: RecallOutcome
    channel: RecallChannel | None = None
    note: Note | None = None
    next_date: RecallDay | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        recall = await look.require(Recall, look.at.id)
        return {"patient": await look.load(Patient, recall.patient)}

    def decide(self, recall: Recall, at: At, *, patient: Patient) -> list[Event]:
        patient.ensure_active()
        attempted = recall.attempt(self.channel, self.outcome, self.note)
        return attempted if self.next_date is None else [*attempted, *recall.postpone(self.next_date, at.today)]


class Visited(Frozen):
    """By which appointment."""

    appointment_id: AppointmentId

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"appointment": await look.require(Appointment, self.appointment_id)}


class BookRecall(Visited, Command):
    """Note by which appointment a recall is answered; what is booked in time is noted by itself, within a minute or so."""

    state = Recall
    permission = "clinical.recalls.edit"

    def decide(self, recall: Recall, at: At, *, appointment: Appointment) -> list[Event]:
        return recall.book(self.appointment_id, appointment.patient, stands=stands(appointment))


class AnswerRecall(Visited, Command):
    """Note that a patient who is to be called back has booked by themselves."""

    state = Recall
    permission = "house"

    def decide(self, recall: Recall, at: At, *, appointment: Appointment) -> list[Event]:
        return recall.book(self.appointment_id, appointment.patient, stands=stands(appointment))


class LoseRecallVisit(Visited, Command):
    """Open a recall again whose visit came to nothing."""

    state = Recall
    permission = "house"

    def decide(self, recall: Recall, at: At, *, appointment: Appointment) -> list[Event]:
        return recall.lose(self.appointment_id, stands=stands(appointment))


class DeclineRecall(Command):
    """Note that the patient will not come; with `never` they are not called back for anything any more, until they think again."""

    state = Recall
    permission = "clinical.recalls.edit"
    reason: Reason | None = None
    never: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        recall = await look.require(Recall, look.at.id)
        return {"wish": await look.load(RecallWish, wish_of(recall.patient))}

    def decide(self, recall: Recall, at: At, *, wish: RecallWish) -> Decision:
        declined = recall.decline(self.reason)
        refused = wish.refuse(recall.patient, self.reason) if self.never else []
        return [*declined, *([Elsewhere(state=RecallWish, id=wish_of(recall.patient), events=refused)] if refused else [])]


class CancelRecall(Command):
    """Cancel a recall: the patient need not be called. It may be opened again."""

    state = Recall
    permission = "clinical.recalls.delete"
    reason: Reason | None = None

    def decide(self, recall: Recall, at: At) -> list[Event]:
        return recall.cancel(self.reason)


class ReopenRecall(Command):
    """Call a patient back after all, whose recall was booked, declined or cancelled; on that day, else on the one it had, or from today on."""

    state = Recall
    permission = "clinical.recalls.edit"
    date: RecallDay | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        recall = await look.require(Recall, look.at.id)
        patient = await look.load(Patient, recall.patient)
        return {
            "patient": patient, "wishes": await wishes_of(look, recall.patient, patient),
            "opened": await open_one(look, recall.patient, recall.about, look.at.id)}

    def decide(self, recall: Recall, at: At, *, patient: Patient, wishes: list[RecallWish], opened: UUID | None) -> list[Event]:
        ensure_callable(patient, wishes)
        if opened is not None:
            raise RecallAlreadyOpen(id=str(opened))
        return recall.reopen(self.date, at.today)


class RefuseRecalls(Creation):
    """Note that a patient does not want to be called back, whatever for. What is open stays so until somebody settles it."""

    state = RecallWish
    permission = "clinical.recalls.edit"
    patient_id: PatientId
    reason: Reason | None = None

    def stream(self, at: At) -> UUID:
        return wish_of(self.patient_id)

    def decide(self, wish: RecallWish, at: At) -> list[Event]:
        return wish.refuse(self.patient_id, self.reason)


class WelcomeRecalls(Creation):
    """Note that a patient may be called back again."""

    state = RecallWish
    permission = "clinical.recalls.edit"
    patient_id: PatientId

    def stream(self, at: At) -> UUID:
        return wish_of(self.patient_id)

    def decide(self, wish: RecallWish, at: At) -> list[Event]:
        return wish.welcome(self.patient_id)


async def open_one(look: Look, patient: UUID, about: RecallKind, but: UUID | None = None) -> UUID | None:
    """Return the patient's open recall of a kind, if there is one beside the one in hand; none is missed, and should one come meanwhile it is asked again."""
    for _, recall in await look.naming(patient, [Recall.kind]):
        found = await look.load(Recall, recall)
        if recall != but and found.patient_id == patient and found.about == about and found.open:
            return recall
    return None


async def wishes_of(look: Look, patient: UUID, state: Patient) -> list[RecallWish]:
    """Return what a patient wants, under whichever of their records it was noted."""
    return [await look.load(RecallWish, wish_of(record)) for record in (patient, *state.records)]


def ensure_callable(patient: Patient, wishes: list[RecallWish]) -> None:
    """Refuse to call somebody who is not with the clinic any more, or does not want it."""
    patient.ensure_active()
    for wish in wishes:
        wish.ensure_welcome()


def stands(appointment: Appointment) -> bool:
    """Say whether an appointment takes place, or took place: whatever holds its time does."""
    return bool(appointment.claims())


def given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is UNSET else value
