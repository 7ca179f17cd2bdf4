"""The waiting list: patients who want a visit, or an earlier one than they have, and are offered a time that they can make when one comes free.

How it works: an entry says whom it is for, what they want and when they can come. What is free and fits is offered (`slot_offers`) to whoever comes first: by rank, then
by how many offers they let pass without a word, then by how long they have waited.
An entry is served by the offer that is accepted; it ends by itself when its last day is over, or when the visit that was to be moved forward has taken place or is off.
"""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    AppointmentId,
    AppointmentTypeId,
    Event,
    Frozen,
    GroupSessionId,
    Invalid,
    Minutes,
    Note,
    NotFound,
    PatientId,
    Personal,
    PlaceId,
    Reason,
    Refused,
    SlotOfferId,
    StaffId,
    State,
    Text,
    only,
)
from domain.kit.clock import WEEKDAYS, Clock, Weekday
from domain.kit.turns import Rank

WaitingStatus = Literal["waiting", "served", "removed", "ended"]
EndReason = Literal["over", "visit-gone", "patient-gone"]
"""Why an entry ended by itself: its last day is over; its visit has begun, was cancelled or struck out; or its patient has left the clinic."""
WaitingWay = Literal["clinic", "link"]
AnswerMinutes = Annotated[int, Meta(ge=5, le=7 * 24 * 60, description="Minutes within which an offer is to be answered; after that the next one is asked.")]
NoticeMinutes = Annotated[int, Meta(ge=0, le=30 * 24 * 60, description="How long before it begins a time must be offered at the latest.")]

REACH = timedelta(days=731)  # two years and a leap day, as far as an appointment may lie ahead
MIDNIGHT = "24:00"


class Times(Frozen):
    """When somebody can come: on certain dates or days of the week, on any if none is named; and within which part of the day, the end included."""

    dates: Annotated[list[date], Meta(max_length=100)] = field(default_factory=list)
    weekdays: Annotated[list[Weekday], Meta(max_length=7)] = field(default_factory=list)
    start: Clock = "00:00"
    end: Clock = MIDNIGHT

    def hold(self, start: datetime, end: datetime) -> bool:
        """Say whether a visit lies within them, by the wall clock; one that lasts into the next day ends after midnight."""
        on = start.date()
        named = not self.dates and not self.weekdays
        over = f"{end:%H:%M}" if end.date() == on else MIDNIGHT if end == datetime.combine(on + timedelta(days=1), time()) else "tomorrow"
        return (named or on in self.dates or WEEKDAYS[on.weekday()] in self.weekdays) and self.start <= f"{start:%H:%M}" and (
            over <= self.end or (self.end == MIDNIGHT and over == "tomorrow"))


class Wish(Frozen):
    """What is wanted: with this doctor or any, of a kind or a length, at a place or anywhere, at these times or any, from one day to another.

    With `appointmentId` it is that visit which is to be earlier: it is moved, and its kind and length are kept unless said otherwise. With `groupId` it is a seat in that very group session.
    """

    doctor_id: StaffId | None = None
    type_id: AppointmentTypeId | None = None
    type: Text | None = None
    duration: Minutes | None = None
    place_id: PlaceId | None = None
    appointment_id: AppointmentId | None = None
    group_id: GroupSessionId | None = None
    times: Annotated[list[Times], Meta(max_length=20)] = field(default_factory=list)
    earliest: Annotated[date | None, Meta(description="First day that suits.")] = None
    until: Annotated[date | None, Meta(description="Last day that suits.")] = None
    rank: Rank = "normal"
    notice: NoticeMinutes | None = None

    def takes(self, doctor: UUID, place: UUID | None, start: datetime, end: datetime, group: UUID | None = None) -> bool:
        """Say whether a time suits, as the wall clock shows it, with whom and where it is."""
        return self.there(doctor, place, group) and self.then(start, end)

    def there(self, doctor: UUID, place: UUID | None, group: UUID | None) -> bool:
        """Say whether it suits with whom and where it is."""
        return self.doctor_id in {None, doctor} and self.place_id in {None, place} and self.group_id in {None, group}

    def then(self, start: datetime, end: datetime) -> bool:
        """Say whether it suits when it is."""
        on = start.date()
        if (self.earliest and on < self.earliest) or (self.until and on > self.until):
            return False
        return not self.times or any(times.hold(start, end) for times in self.times)


class WaitingEntryAdded(Event, Wish):
    patient_id: PatientId
    note: Annotated[Note | None, Personal("patient_id")] = None


class WaitingEntryChanged(Event, Wish):
    """What is wanted now, as a whole."""

    patient_id: PatientId
    note: Annotated[Note | None, Personal("patient_id")] = None


class WaitingEntryRemoved(Event):
    """The patient is taken off the list, or took themselves off it by the link in a letter."""

    patient_id: PatientId
    reason: Annotated[Reason | None, Personal("patient_id")] = None
    way: WaitingWay = "clinic"


class WaitingEntryServed(Event):
    """The patient accepted that offer, and has that visit."""

    patient_id: PatientId
    offer_id: SlotOfferId
    appointment_id: AppointmentId


class WaitingEntryEnded(Event):
    patient_id: PatientId
    why: EndReason


class WaitingEntryReopened(Event):
    """The patient waits again, where they stood before."""

    patient_id: PatientId


class WaitingEntryReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


WaitingListEvent = (
    WaitingEntryAdded | WaitingEntryChanged | WaitingEntryRemoved | WaitingEntryServed | WaitingEntryEnded | WaitingEntryReopened | WaitingEntryReassigned
)


class WaitingListRules(Frozen):
    """Whether times are offered by themselves, how long the patient has to answer, and how long before it begins a time is still offered."""

    automatic: bool = True
    answer: AnswerMinutes = 120
    notice: NoticeMinutes = 120


class WaitingListSettingsChanged(Event, WaitingListRules): ...


WaitingListSettingsEvent = WaitingListSettingsChanged


class NotWaiting(Refused):
    """This patient does not wait any more: the entry was served, removed or has ended. Add them anew, or open it again."""


class WaitingAlready(Refused):
    """This patient waits as it is."""


class TimesImpossible(Invalid):
    """A part of the day ends after it starts, and the last day that suits comes after the first and not before today."""


class VisitNotTheirs(Refused):
    """That visit is another patient's."""


class VisitNotToMove(Refused):
    """That visit has begun, is over or was cancelled: it cannot be moved forward."""


class WaitingEntry(State):
    """A patient who waits, until they are served or wait no longer."""

    kind: ClassVar[str] = "waiting_list"
    status: WaitingStatus | None = None
    patient_id: UUID | None = None
    record: UUID | None = None  # the patient's record for which it was added, whoever's it is now
    wish: Wish = Wish()

    def evolve(self, event: WaitingListEvent) -> Self:  # noqa: PLR0911 - one case per event
        match event:
            case WaitingEntryAdded(patient_id=patient):
                return replace(self, status="waiting", patient_id=patient, record=patient, wish=Wish(**only(Wish, event)))
            case WaitingEntryChanged():
                return replace(self, wish=Wish(**only(Wish, event)))
            case WaitingEntryRemoved():
                return replace(self, status="removed")
            case WaitingEntryServed():
                return replace(self, status="served")
            case WaitingEntryEnded():
                return replace(self, status="ended")
            case WaitingEntryReopened():
                return replace(self, status="waiting")
            case WaitingEntryReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def keeper(self, who: UUID) -> UUID:
        """The record for which it was added."""
        return self.record or who

    @property
    def patient(self) -> UUID:
        """Who waits."""
        if self.patient_id is None:
            raise NotFound
        return self.patient_id

    def add(self, patient: UUID, wish: Wish, note: str | None, today: date) -> list[Event]:
        ensure_possible(wish, today)
        return [WaitingEntryAdded(**only(Wish, wish), patient_id=patient, note=note)]

    def change(self, wish: Wish, note: str | None, today: date) -> list[Event]:
        self.ensure_waiting()
        ensure_possible(wish, today)
        return [WaitingEntryChanged(**only(Wish, wish), patient_id=self.patient, note=note)]

    def remove(self, reason: str | None, way: WaitingWay = "clinic") -> list[Event]:
        self.ensure_waiting()
        return [WaitingEntryRemoved(patient_id=self.patient, reason=reason, way=way)]

    def serve(self, offer: UUID, appointment: UUID) -> list[Event]:
        self.ensure_waiting()
        return [WaitingEntryServed(patient_id=self.patient, offer_id=offer, appointment_id=appointment)]

    def end(self, why: EndReason | None) -> list[Event]:
        """End it by itself, if there is a reason to."""
        return [WaitingEntryEnded(patient_id=self.patient, why=why)] if why and self.status == "waiting" else []

    def reopen(self, today: date) -> list[Event]:
        """Have them wait again, if what they want can still be."""
        patient = self.patient
        if self.status == "waiting":
            raise WaitingAlready
        ensure_possible(self.wish, today)
        return [WaitingEntryReopened(patient_id=patient)]

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        return [WaitingEntryReassigned(patient_id=to, was_patient_id=was)] if self.patient_id == was else []

    def ensure_waiting(self) -> None:
        if self.patient and self.status != "waiting":
            raise NotWaiting

    def over(self, today: date, *, stands: bool, here: bool) -> EndReason | None:
        """Say why nothing can be offered any more; `stands`: the visit that is to be moved is still to come; `here`: the patient is still with the clinic."""
        reasons: dict[EndReason, bool] = {"patient-gone": not here, "visit-gone": not stands, "over": self.wish.until is not None and self.wish.until < today}
        return next((why for why, so in reasons.items() if so), None)


def ensure_possible(wish: Wish, today: date) -> None:
    """Refuse what no time could be found for."""
    if any(times.end <= times.start for times in wish.times):
        raise TimesImpossible
    if wish.until and (wish.until < max(today, wish.earliest or today) or wish.until > today + REACH):
        raise TimesImpossible
    if wish.earliest and wish.earliest > today + REACH:
        raise TimesImpossible


class WaitingListSettings(State):
    """How a clinic offers what comes free."""

    kind: ClassVar[str] = "waiting_list_settings"
    rules: WaitingListRules = WaitingListRules()

    def evolve(self, event: WaitingListSettingsEvent) -> Self:
        return replace(self, rules=WaitingListRules(**only(WaitingListRules, event)))

    def change(self, wanted: WaitingListRules) -> list[Event]:
        told: dict[str, Any] = only(WaitingListRules, wanted)
        return [] if WaitingListRules(**told) == self.rules else [WaitingListSettingsChanged(**told)]


def waiting_list_settings_of(clinic: UUID) -> UUID:
    """Return the id under which it is kept how a clinic offers what comes free."""
    return uuid5(clinic, "waiting-list/settings")
