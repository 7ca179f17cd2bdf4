"""Recalls: patients are called back when they are due to come again, until they book, decline or are let be.

How it works: of each kind (a check-up, a visit to the hygienist) a patient has one open recall at most, which the recall itself claims. A visit that is booked while a recall is open, and lies no
more than thirty days before its day, answers it; if the visit comes to nothing the recall is open again. Whoever does not want to be called back says so once, for all kinds.
"""

import datetime as dt
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    AppointmentId,
    Claim,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    PatientId,
    Personal,
    Reason,
    Refused,
    StaffId,
    State,
    UniqueClaim,
)

RecallKind = Literal["check-up", "hygiene", "treatment", "follow-up", "vaccination", "screening", "other"]
RecallStatus = Literal["scheduled", "contacted", "booked", "declined", "cancelled", "superseded"]
"""`superseded`: records of one patient were merged that both had an open recall of this kind; the other one stands for both."""
RecallChannel = Literal["phone", "email", "sms", "whatsapp", "letter"]
RecallOutcome = Literal["reached", "left-message", "no-answer", "sent", "undeliverable"]
RecallDay = Annotated[dt.date, Meta(description="Day of the clinic on which the patient is due.")]
RecallBatchId = Annotated[UUID, Meta(description="Names the recalls that were generated together.")]

OPEN: frozenset[RecallStatus] = frozenset({"scheduled", "contacted"})
LEAD_DAYS = 30  # for which a visit may lie before the day and still be the one that the recall is about
LONGEST = dt.timedelta(days=3653)
MOST_ATTEMPTS = 100


class Recalled(Frozen):
    """Who is called back."""

    patient_id: PatientId


class Calling(Frozen):
    """When a patient is due, how they want to be reached, and by which doctor they are seen."""

    date: RecallDay
    channel: RecallChannel = "phone"
    doctor_id: StaffId | None = None


class RecallScheduled(Event, Calling):
    patient_id: PatientId
    kind: RecallKind
    message: Annotated[Note | None, Personal("patient_id")] = None
    batch_id: RecallBatchId | None = None


class RecallRearranged(Event, Calling):
    """Another day, channel or doctor; carries all three as they are now."""

    patient_id: PatientId


class RecallReworded(Event, Recalled):
    """Something else is to be said; null: nothing in particular."""

    message: Annotated[Note | None, Personal("patient_id")] = None


class RecallAttempted(Event, Recalled):
    """Somebody tried to reach the patient, and what came of it."""

    channel: RecallChannel
    outcome: RecallOutcome
    note: Annotated[Note | None, Personal("patient_id")] = None


class RecallBooked(Event, Recalled):
    appointment_id: AppointmentId


class RecallDeclined(Event, Recalled):
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class RecallCancelled(Event, Recalled):
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class RecallReopened(Event, Recalled):
    """It is open again. `lostAppointmentId`: because that visit, by which it was answered, came to nothing."""

    status: RecallStatus
    date: RecallDay
    lost_appointment_id: AppointmentId | None = None


class RecallReassigned(Event, Recalled):
    """It is another record's now, because two records of one patient were merged, or parted again; how it stands there."""

    was_patient_id: PatientId
    status: RecallStatus


class RecallsRefused(Event, Recalled):
    """The patient does not want to be called back any more, whatever for."""

    reason: Annotated[Reason | None, Personal("patient_id")] = None


class RecallsWelcomed(Event, Recalled):
    """The patient may be called back again."""


RecallEvent = (
    RecallScheduled | RecallRearranged | RecallReworded | RecallAttempted | RecallBooked | RecallDeclined | RecallCancelled | RecallReopened | RecallReassigned
)
RecallWishEvent = RecallsRefused | RecallsWelcomed


class RecallDateOutOfRange(Invalid):
    """A patient is called back today or later, and within ten years."""


class RecallAlreadyOpen(Refused):
    """This patient has an open recall of that kind: the one in `details`. Change that one, or settle it first."""


class RecallNotOpen(Refused):
    """This recall is settled. Open it again first."""


class RecallNotSettled(Refused):
    """This recall is open as it is."""


class RecallSuperseded(Refused):
    """Another open recall stands for this one since two records of the patient were merged. Use that one."""


class RecallsUnwanted(Refused):
    """This patient does not want to be called back. Ask them, and note it, before you schedule anything."""


class RecallAnsweredElsewhere(Refused):
    """That appointment is another patient's."""


class RecallVisitOver(Refused):
    """That appointment was cancelled or missed. Book another one."""


class RecallAttemptsExhausted(Refused):
    """A hundred attempts have been noted. Decline or cancel this recall."""


class Recall(State):
    """A patient who is due, until they have booked or will not come."""

    kind: ClassVar[str] = "recalls"
    status: RecallStatus | None = None
    before: RecallStatus | None = None  # while another one stands for it
    patient_id: UUID | None = None
    record: UUID | None = None  # the patient's record for which it was scheduled, whoever's it is now
    about: RecallKind = "check-up"
    calling: Calling | None = None
    attempts: int = 0
    appointment: UUID | None = None
    batch: UUID | None = None  # or the campaign that made it

    def evolve(self, event: RecallEvent) -> Self:  # noqa: PLR0911 - one case per event
        match event:
            case RecallScheduled(patient_id=patient, kind=about, batch_id=batch):
                return replace(self, status="scheduled", patient_id=patient, record=patient, about=about, calling=calling_of(event), batch=batch)
            case RecallRearranged():
                return replace(self, calling=calling_of(event))
            case RecallReworded():
                return self
            case RecallAttempted():
                return replace(self, status="contacted", attempts=self.attempts + 1)
            case RecallBooked(appointment_id=appointment):
                return replace(self, status="booked", appointment=appointment)
            case RecallDeclined():
                return replace(self, status="declined")
            case RecallCancelled():
                return replace(self, status="cancelled")
            case RecallReopened(status=status, date=date):
                return replace(self, status=status, appointment=None, calling=replace(self.planned, date=date))
            case RecallReassigned(patient_id=patient, status=status):
                stood = self.status if self.status != "superseded" else self.before
                return replace(self, patient_id=patient, status=status, before=stood if status == "superseded" else None)

    def claims(self) -> frozenset[Claim]:
        """While it is open, the patient and the kind: the store itself refuses a second one."""
        return frozenset({UniqueClaim(scope="recalls.open", key=f"{self.patient_id} {self.about}")} if self.open else ())

    def keeper(self, who: UUID) -> UUID:
        """The record for which it was scheduled."""
        return self.record or who

    @property
    def planned(self) -> Calling:
        """When, how and by whom."""
        if self.calling is None:
            raise NotFound
        return self.calling

    @property
    def open(self) -> bool:
        """Is the patient still to be called?"""
        return self.status in OPEN

    @property
    def patient(self) -> UUID:
        """Who is called back."""
        if self.patient_id is None:
            raise NotFound
        return self.patient_id

    def schedule(self, patient: UUID, about: RecallKind, calling: Calling, message: str | None, today: dt.date, batch: UUID | None = None) -> list[Event]:
        ensure_ahead(calling.date, today)
        return [RecallScheduled(
            patient_id=patient, kind=about, date=calling.date, channel=calling.channel, doctor_id=calling.doctor_id, message=message, batch_id=batch)]

    def rearrange(self, calling: Calling, today: dt.date) -> list[Event]:
        self.ensure_open()
        if calling == self.planned:
            return []
        if calling.date != self.planned.date:
            ensure_ahead(calling.date, today)
        return [RecallRearranged(patient_id=self.patient, date=calling.date, channel=calling.channel, doctor_id=calling.doctor_id)]

    def postpone(self, date: dt.date, today: dt.date) -> list[Event]:
        return self.rearrange(replace(self.planned, date=date), today)

    def reword(self, message: str | None) -> list[Event]:
        self.ensure_open()
        return [RecallReworded(patient_id=self.patient, message=message)]

    def attempt(self, channel: RecallChannel | None, outcome: RecallOutcome, note: str | None) -> list[Event]:
        self.ensure_open()
        if self.attempts >= MOST_ATTEMPTS:
            raise RecallAttemptsExhausted
        return [RecallAttempted(patient_id=self.patient, channel=channel or self.planned.channel, outcome=outcome, note=note)]

    def book(self, appointment: UUID, whose: UUID, *, stands: bool) -> list[Event]:
        """Answer it by a visit of the patient's that `stands`: is neither cancelled nor missed."""
        if self.status == "booked" and self.appointment == appointment:
            return []
        self.ensure_open()
        if whose != self.patient:
            raise RecallAnsweredElsewhere
        if not stands:
            raise RecallVisitOver
        return [RecallBooked(patient_id=self.patient, appointment_id=appointment)]

    def lose(self, appointment: UUID, *, stands: bool) -> list[Event]:
        """Open it again if the visit by which it was answered came to nothing."""
        if self.status != "booked" or self.appointment != appointment or stands:
            return []
        return self._reopened(self.planned.date, appointment)

    def decline(self, reason: str | None) -> list[Event]:
        self.ensure_open()
        return [RecallDeclined(patient_id=self.patient, reason=reason)]

    def cancel(self, reason: str | None) -> list[Event]:
        self.ensure_open()
        return [RecallCancelled(patient_id=self.patient, reason=reason)]

    def reopen(self, date: dt.date | None, today: dt.date) -> list[Event]:
        """Call the patient after all: on another day, or on the same if that lies ahead, else from today on."""
        self._ensure_known()
        if self.open:
            raise RecallNotSettled
        wanted = date or max(self.planned.date, today)
        ensure_ahead(wanted, today)
        return self._reopened(wanted)

    def reassign(self, was: UUID, to: UUID, _: dt.datetime, *, doubled: bool = False) -> list[Event]:
        """Make it another record's, if it is that one's; `doubled` says that one has an open recall of the kind already, which stands for this one."""
        if self.status is None or self.patient_id != was:
            return []
        status = self.before if self.status == "superseded" and self.before else self.status
        return [RecallReassigned(patient_id=to, was_patient_id=was, status="superseded" if doubled and status in OPEN else status)]

    @property
    def wanted(self) -> bool:
        """Is it open, or would it be if no other one stood for it?"""
        return self.open or (self.status == "superseded" and self.before in OPEN)

    def ensure_open(self) -> None:
        self._ensure_known()
        if not self.open:
            raise RecallNotOpen(status=self.status)

    def _ensure_known(self) -> None:
        if self.status is None:
            raise NotFound
        if self.status == "superseded":
            raise RecallSuperseded

    def _reopened(self, date: dt.date, lost: UUID | None = None) -> list[Event]:
        status: RecallStatus = "contacted" if self.attempts else "scheduled"
        return [RecallReopened(patient_id=self.patient, status=status, date=date, lost_appointment_id=lost)]


class RecallWish(State):
    """Whether a patient wants to be called back at all."""

    kind: ClassVar[str] = "recall_wishes"
    refused: bool = False

    def evolve(self, event: RecallWishEvent) -> Self:
        match event:
            case RecallsRefused():
                return replace(self, refused=True)
            case RecallsWelcomed():
                return replace(self, refused=False)

    def refuse(self, patient: UUID, reason: str | None) -> list[Event]:
        return [] if self.refused else [RecallsRefused(patient_id=patient, reason=reason)]

    def welcome(self, patient: UUID) -> list[Event]:
        return [RecallsWelcomed(patient_id=patient)] if self.refused else []

    def ensure_welcome(self) -> None:
        if self.refused:
            raise RecallsUnwanted


def calling_of(event: Any) -> Calling:
    return Calling(date=event.date, channel=event.channel, doctor_id=event.doctor_id)


def ensure_ahead(date: dt.date, today: dt.date) -> None:
    if not today <= date <= today + LONGEST:
        raise RecallDateOutOfRange(date=date.isoformat())


def wish_of(patient: UUID) -> UUID:
    """Return the id under which it is kept whether a patient's record may be called back."""
    return uuid5(patient, "recalls/wish")
