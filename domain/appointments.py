"""Appointments: a patient is booked with a doctor, comes or does not, and is seen."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    AppointmentTypeId,
    Claim,
    Event,
    Forbidden,
    Frozen,
    GroupSessionId,
    Invalid,
    LocalTime,
    Money,
    Note,
    NotFound,
    PatientId,
    Personal,
    PlaceId,
    Reason,
    RecurrenceId,
    Refused,
    RoomId,
    StaffId,
    State,
    Text,
    TimeClaim,
    instant,
    only,
    wall,
)
from domain.kit.letters import LetterLanguage, letter
from domain.kit.links import link_of
from domain.kit.retiming import Retimed, instants, retimed
from domain.kit.turns import ArrivalWay, NobodyWaits, Rank, ensure_reason

Status = Literal["booked", "confirmed", "arrived", "in-chair", "completed", "cancelled", "no-show"]
Party = Literal["patient", "clinic"]
Way = Literal["clinic", "link"]
"""By which way an answer came: told to the clinic, or by the link that the patient was given."""
Response = Literal["confirm", "cancel"]

BUSY: frozenset[Status] = frozenset({"booked", "confirmed", "arrived", "in-chair", "completed"})  # holds its time
OPEN: frozenset[Status] = frozenset({"booked", "confirmed", "arrived", "in-chair"})  # not over yet
NEXT: dict[Status, frozenset[Status]] = {
    "booked": frozenset({"confirmed", "arrived", "cancelled", "no-show"}),
    "confirmed": frozenset({"arrived", "cancelled", "no-show"}),
    "arrived": frozenset({"in-chair"}),
    "in-chair": frozenset({"completed"}),
}

SHORTEST, LONGEST = 5, 24 * 60  # minutes
USUAL = 30  # minutes of a visit, if neither it nor its kind says how long it is
REACH = timedelta(days=731)  # two years and a leap day
LATE = timedelta(hours=24)
LINK = "appointment-link"  # what the token in a patient's link is for


class Visit(Frozen):
    """Whose visit, to whom, on which day of the clinic."""

    patient_id: PatientId
    doctor_id: StaffId
    on: date


class Arrangement(Visit):
    """A visit's place and time: what the patient was told, and the instants derived from it."""

    room_id: RoomId | None = None
    type: Text
    start_local: LocalTime
    zone: str
    fold: int = 0
    starts_at: datetime
    ends_at: datetime
    buffer_before: int = 0  # minutes that the doctor and the room are also taken
    buffer_after: int = 0
    forced: bool = False  # a deliberate overbooking
    type_id: AppointmentTypeId | None = None
    place_id: PlaceId | None = None  # none: the clinic itself
    group_id: GroupSessionId | None = None  # the session in which it is a seat, and which holds the doctor's and the room's time


class AppointmentBooked(Event, Arrangement):
    notes: Annotated[Note | None, Personal("patient_id")] = None
    reason: Annotated[Reason | None, Personal("patient_id")] = None  # of an overbooking
    series_id: RecurrenceId | None = None
    occurrence: int | None = None  # which visit of the series
    deposit: Money = 0  # that the patient was asked to pay beforehand


class AppointmentConfirmed(Event, Visit):
    by: Party = "clinic"
    way: Way = "clinic"


class Turn(Frozen):
    """A place in the queue of the day: its number, and what was agreed, by which it is told who comes before whom."""

    number: Annotated[int, Meta(description="The clinic's number of the day.")]
    due_at: datetime
    minutes: int
    room_id: RoomId | None = None


class PatientArrived(Event, Visit, omit_defaults=True):
    """The patient is there; on the day of the visit they are in the queue from now on, under that number."""

    turn: Turn | None = None
    way: ArrivalWay = "clinic"


class ArrivalUndone(Event, Visit):
    """The patient is not there after all, or not any more: the visit stands as before, and their place in the queue is given up."""

    status: Status
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class PatientSeated(Event, Visit): ...


class SeatingUndone(Event, Visit):
    """The patient waits again."""


class TurnRanked(Event, Visit):
    """The patient comes before those of a lower rank, or after those of a higher one, whoever was there first."""

    rank: Rank
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class AppointmentCompleted(Event, Visit, omit_defaults=True):
    record_id: PatientId | None = None  # under which it was booked, where that record has been merged into the patient's


class AppointmentCancelled(Event, Visit):
    by: Party
    late: bool  # less than a day ahead
    reason: Annotated[Reason | None, Personal("patient_id")] = None
    way: Way = "clinic"
    told: bool = False  # whether the patient had been written about the visit, and is told by letter that it is off


class PatientMissed(Event, Visit): ...


class MissUndone(Event, Visit):
    """The patient is expected after all: the visit stands as before."""

    status: Status


class AppointmentRescheduled(Event, Arrangement):
    """Another time or another doctor; carries all that an edit can change."""

    was_on: date
    was_doctor_id: StaffId
    notes: Annotated[Note | None, Personal("patient_id")] = None
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class AppointmentDetailsChanged(Event, Visit):
    """Same time, same doctor."""

    room_id: RoomId | None = None
    type: Text
    forced: bool = False
    notes: Annotated[Note | None, Personal("patient_id")] = None
    reason: Annotated[Reason | None, Personal("patient_id")] = None
    type_id: AppointmentTypeId | None = None


class AppointmentRemoved(Event, Visit):
    was: Status
    told: bool = False  # as of a cancellation


class AppointmentRetimed(Event, Retimed):
    """The same time on the wall is another instant: the clinic is in another zone, or its clocks follow another rule. What the patient was told stands."""

    patient_id: PatientId
    doctor_id: StaffId
    on: date
    forced: bool = False  # also where something else is at that instant by now; both stand


class AppointmentReassigned(Event, Visit):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    was_patient_id: PatientId
    overlaps: bool  # it lies behind, so it may overlap another visit of the patient's: the same one, noted twice


class AppointmentLinkShared(Event, Visit):
    """The patient can look at the visit, confirm it or cancel it by a link, until then at the latest. Its number tells it from links that were taken back."""

    number: Annotated[int, Meta(ge=1)]
    until: datetime


class AppointmentLinkRevoked(Event, Visit):
    """The patient's link opens nothing any more."""


class AppointmentSummaryAsked(Event, Visit):
    """The patient is to be written when and with whom the visit is, with the link of that number."""

    number: Annotated[int, Meta(ge=1)]
    until: datetime
    language: LetterLanguage = None


AppointmentEvent = (
    AppointmentBooked | AppointmentConfirmed | PatientArrived | PatientSeated | AppointmentCompleted | AppointmentCancelled
    | PatientMissed | AppointmentRescheduled | AppointmentDetailsChanged | AppointmentRemoved | AppointmentReassigned
    | AppointmentLinkShared | AppointmentLinkRevoked | AppointmentSummaryAsked | ArrivalUndone | SeatingUndone | TurnRanked
    | MissUndone | AppointmentRetimed
)


UNSEEN = (AppointmentLinkShared, AppointmentLinkRevoked, AppointmentSummaryAsked, AppointmentReassigned, TurnRanked)  # change nothing that a calendar shows


class WrongStatus(Refused):
    """An appointment only moves along its life: booked, confirmed, arrived, in-chair, completed; or cancelled or no-show before arrival."""


class DoctorNotWorking(Refused):
    """The doctor does not work at that time; to book it all the same, overbook and say why."""


class DoctorNotAvailable(Refused):
    """That member of staff does not see patients."""


class RoomNotInUse(Refused):
    """That room is not in use."""


class TypeNotOffered(Refused):
    """That kind of visit is not offered any more."""


class RoomUnfit(Refused):
    """That kind of visit takes place in rooms of another kind; name one of those."""


class StartNotOffered(Refused):
    """Visits of that kind do not start at that minute; take one of the available slots, or overbook and say why."""


class TypeNeedsGroup(Refused):
    """Visits of that kind take place in group sessions. Name one with a free seat."""


class OverbookingNeedsReason(Invalid):
    """An overbooking needs a reason."""


class TimeTooFar(Invalid):
    """An appointment lies within 24 months of today."""


class StartNotOnMinute(Invalid):
    """An appointment starts on a whole minute."""


class DurationOutOfRange(Invalid):
    """An appointment lasts from 5 minutes to 24 hours."""


class VisitTookPlace(Refused):
    """A visit that has begun stays in the history."""


class VisitNotAhead(Refused):
    """This visit has begun, is over or was cancelled. There is nothing left to confirm or cancel."""


class VisitNotToday(Refused):
    """This visit is not today's. Nobody waits for it today."""


class VisitCancelled(Refused):
    """This visit has been cancelled already. Call the clinic to make another appointment."""


class CancellationTooLate(Refused):
    """It is too late to cancel this visit by yourself. Call the clinic."""


class DepositPaid(Refused):
    """Nothing is to be paid beforehand for this visit, or not any more."""


class AppointmentLinkOver(Refused):
    """This link opens nothing any more: the visit is over or cancelled, or the link was taken back. Call the clinic."""

    status = 410


class TimePast(Refused):
    """That time lies behind."""


class VisitNotToCome(Refused):
    """The visit has begun, is over or was cancelled."""


class MovedByItself(Refused):
    """The visit was moved by itself."""


class ClocksBeingSet(Refused):
    """The clinic is being moved to another time zone, which takes a moment. Try again then."""


class Circumstances(Frozen):
    """How things stand with those a visit needs, at its time."""

    working: bool  # the doctor, at that place, all the time of the visit
    treats: bool  # the doctor, at all
    usable: bool = True  # the room
    offered: bool = True  # the kind of visit
    fits: bool = True  # the room, to the kind of visit
    on_grid: bool = True  # the start
    single: bool = True  # whether the kind of visit is for one patient at a time


def forced(*, overbook: bool, may: bool, reason: str | None) -> bool:
    """Say whether a booking is to be taken whatever is there."""
    if overbook and not may:
        raise Forbidden(permission="appointments.overbook")
    if overbook and not reason:
        raise OverbookingNeedsReason
    return overbook


def when(start: datetime, minutes: int, now: datetime, zone: str, fold: int | None = None) -> dict[str, Any]:
    """Return the time fields of an arrangement, from the wall-clock time a person was told or from an instant."""
    if start.second or start.microsecond:
        raise StartNotOnMinute
    if not SHORTEST <= minutes <= LONGEST:
        raise DurationOutOfRange
    if abs(start.replace(tzinfo=None) - now.replace(tzinfo=None)) > REACH:
        raise TimeTooFar
    starts_at = instant(start, zone, fold)
    local = wall(starts_at, zone)
    return {
        "on": local.date(), "start_local": local.isoformat(timespec="seconds"), "zone": zone, "fold": local.fold,
        "starts_at": starts_at, "ends_at": starts_at + timedelta(minutes=minutes),
    }


def ensure_possible(things: Circumstances, *, force: bool = False) -> None:
    """Refuse what those concerned cannot do at all or, unless it is an overbooking, not at that time."""
    if not things.treats:
        raise DoctorNotAvailable
    if not things.usable:
        raise RoomNotInUse
    if not things.offered:
        raise TypeNotOffered
    if force:
        return
    if not things.single:
        raise TypeNeedsGroup
    if not things.working:
        raise DoctorNotWorking
    if not things.fits:
        raise RoomUnfit
    if not things.on_grid:
        raise StartNotOffered


class Appointment(State):
    """One visit, from the booking to its end."""

    kind: ClassVar[str] = "appointments"
    status: Status | None = None
    arranged: Arrangement | None = None
    record: UUID | None = None  # the patient's record under which it was booked, whoever's it is now
    overlaps: bool = False
    links: int = 0  # how many links the patient has been given, one after another
    linked_until: datetime | None = None  # by the last of them, unless it was taken back
    told: bool = False  # the patient has been written when the visit is
    told_in: LetterLanguage = None
    sequence: int = -1  # the edition of what others' calendars show: it rises with whatever changes that
    awaited: Status = "booked"  # how it stood before the patient arrived
    turn: int | None = None  # the number that the patient was given in the queue
    turn_on: date | None = None  # of that day
    rank: Rank = "normal"
    deposit: Money = 0  # that was asked for beforehand
    earlier: tuple[datetime, ...] = ()  # at which the same time on the wall was before, the last one last

    def evolve(self, event: AppointmentEvent) -> Self:
        after = self._turned(event)
        return after if isinstance(event, UNSEEN) else replace(after, sequence=self.sequence + 1)

    def _turned(self, event: AppointmentEvent) -> Self:  # noqa: C901, PLR0911, PLR0912 - one case per event
        match event:
            case AppointmentBooked():
                return replace(self, status="booked", arranged=Arrangement(**only(Arrangement, event)), record=event.patient_id, deposit=event.deposit)
            case AppointmentRescheduled():
                return replace(self, arranged=Arrangement(**only(Arrangement, event)), overlaps=False, earlier=())
            case AppointmentRetimed(forced=force, on=on):
                now = self.arranged and replace(self.arranged, **instants(event), on=on, forced=force)
                return replace(self, arranged=now, earlier=(*self.earlier, event.was_starts_at))
            case AppointmentReassigned(patient_id=patient, overlaps=overlaps):
                return replace(self, arranged=self.arranged and replace(self.arranged, patient_id=patient), overlaps=overlaps, linked_until=None)
            case AppointmentDetailsChanged(room_id=room, type=what, forced=force, type_id=type_id):
                return replace(self, arranged=self.arranged and replace(self.arranged, room_id=room, type=what, forced=force, type_id=type_id))
            case AppointmentConfirmed():
                return replace(self, status="confirmed")
            case PatientArrived(turn=turn, on=on):
                queued = replace(self, turn=turn.number, turn_on=on) if turn else self
                return replace(queued, status="arrived", awaited=self.status or "booked", rank="normal")
            case ArrivalUndone(status=status):
                return replace(self, status=status)
            case PatientSeated():
                return replace(self, status="in-chair")
            case SeatingUndone():
                return replace(self, status="arrived")
            case TurnRanked(rank=rank):
                return replace(self, rank=rank)
            case AppointmentCompleted():
                return replace(self, status="completed")
            case AppointmentCancelled():
                return replace(self, status="cancelled")
            case PatientMissed():
                return replace(self, status="no-show", awaited=self.status or "booked")
            case MissUndone(status=status):
                return replace(self, status=status)
            case AppointmentRemoved():
                return replace(self, status=None, arranged=None, linked_until=None)
            case AppointmentLinkShared(number=number, until=until):
                return replace(self, links=number, linked_until=until)
            case AppointmentLinkRevoked():
                return replace(self, linked_until=None)
            case AppointmentSummaryAsked(language=language):
                return replace(self, told=True, told_in=language)

    def claims(self) -> frozenset[Claim]:
        """The doctor's and the room's time with its buffers, and the patient's own; of a seat in a group session the patient's alone."""
        if self.arranged is None or self.status not in BUSY:
            return frozenset()
        a = self.arranged
        start, end = a.starts_at - timedelta(minutes=a.buffer_before), a.ends_at + timedelta(minutes=a.buffer_after)
        held = [TimeClaim(kind="patient", id=a.patient_id, start=a.starts_at, end=a.ends_at, forced=a.forced or self.overlaps)]
        if a.group_id is not None:
            return frozenset(held)
        held.append(TimeClaim(kind="doctor", id=a.doctor_id, start=start, end=end, forced=a.forced))
        if a.room_id is not None:
            held.append(TimeClaim(kind="room", id=a.room_id, start=start, end=end, forced=a.forced))
        return frozenset(held)

    def book(
        self, wanted: Arrangement, things: Circumstances, *, notes: str | None, reason: str | None, past_block: bool = False, series: UUID | None = None,
        occurrence: int | None = None, deposit: int = 0,
    ) -> list[Event]:
        ensure_possible(things, force=wanted.forced)
        return [AppointmentBooked(
            **only(Arrangement, wanted), notes=notes, reason=reason if wanted.forced or past_block else None, series_id=series, occurrence=occurrence,
            deposit=deposit)]

    def rearrange(self, wanted: Arrangement, things: Circumstances, *, notes: str | None, reason: str | None) -> list[Event]:
        now = self._arranged
        reason = reason if wanted.forced else None
        moves = self._moves(wanted)
        if now.group_id and not moves:  # where a session is and what it is for are the session's to say
            wanted = replace(wanted, room_id=now.room_id, type=now.type, type_id=now.type_id)
        if moves:
            if self.status not in OPEN:
                raise WrongStatus(**{"from": self.status, "to": "rescheduled"})
            ensure_possible(things, force=wanted.forced)
            return [AppointmentRescheduled(**only(Arrangement, wanted), was_on=now.on, was_doctor_id=now.doctor_id, notes=notes, reason=reason)]
        if wanted.room_id != now.room_id and not things.usable:
            raise RoomNotInUse
        if wanted.type_id != now.type_id and not things.offered:
            raise TypeNotOffered
        force = now.forced or wanted.forced
        if (wanted.room_id, wanted.type_id) != (now.room_id, now.type_id) and not things.fits and not force:
            raise RoomUnfit
        return [AppointmentDetailsChanged(
            **self._visit(), room_id=wanted.room_id, type=wanted.type, forced=force, notes=notes, reason=reason, type_id=wanted.type_id)]

    def sits_in(self, group: UUID) -> bool:
        """Say whether it is a seat in that session, and not given up."""
        return self.status in BUSY and self.arranged is not None and self.arranged.group_id == group

    def move_along(self, wanted: Arrangement, notes: str | None, now: datetime) -> list[Event]:
        """Move with the session in which it is a seat; the patient is told if they were told when the visit is."""
        was = self._arranged
        moved = AppointmentRescheduled(**only(Arrangement, wanted), was_on=was.on, was_doctor_id=was.doctor_id, notes=notes)
        return self.retold([moved], now)

    def retime(self, zone_name: str, now: datetime, *, force: bool = False) -> list[Event]:
        """Have it at the same time on the wall by the clocks of a zone, as they go now, if it is still to come; where those are another zone's the patient is written anew."""
        if (a := self.arranged) is None or self.status not in {"booked", "confirmed"} or (to := retimed(a, zone_name)) is None or max(a.starts_at, to.starts_at) <= now:
            return []
        on = date.fromisoformat(to.start_local[:10])
        moved = AppointmentRetimed(patient_id=a.patient_id, doctor_id=a.doctor_id, on=on, forced=a.forced or force, **only(Retimed, to))
        tells = self.told and to.zone != a.zone and to.ends_at > now
        return [moved, *(self.evolve(moved).ask_summary(now, self.told_in) if tells else ())]

    def confirm(self) -> list[Event]:
        self._may_become("confirmed")
        return [AppointmentConfirmed(**self._visit())]

    def arrive(self, number: int | None = None, way: ArrivalWay = "clinic") -> list[Event]:
        """Note that the patient is there, with their number in the queue if the visit is today's."""
        self._may_become("arrived")
        a = self._arranged
        minutes = (a.ends_at - a.starts_at) // timedelta(minutes=1)
        turn = Turn(number=number, due_at=a.starts_at, minutes=minutes, room_id=a.room_id) if number is not None else None
        return [PatientArrived(**self._visit(), turn=turn, way=way)]

    def undo_arrival(self, reason: str | None) -> list[Event]:
        """Note that the patient is not there after all; whoever comes back gets the same number that day."""
        if self.status != "arrived":
            self._visit()
            raise WrongStatus(**{"from": self.status, "to": self.awaited})
        return [ArrivalUndone(**self._visit(), status=self.awaited, reason=reason)]

    def seat(self) -> list[Event]:
        self._may_become("in-chair")
        return [PatientSeated(**self._visit())]

    def undo_seating(self) -> list[Event]:
        """Have the patient wait again."""
        if self.status != "in-chair":
            self._visit()
            raise WrongStatus(**{"from": self.status, "to": "arrived"})
        return [SeatingUndone(**self._visit())]

    def rank_turn(self, rank: Rank, reason: str | None) -> list[Event]:
        """Let the patient, who waits, come sooner or later than it was their turn."""
        if self.status != "arrived":
            self._visit()
            raise NobodyWaits
        if self.rank == rank:
            return []
        ensure_reason(rank, reason)
        return [TurnRanked(**self._visit(), rank=rank, reason=reason)]

    def ensure_today(self, today: date) -> None:
        """Refuse to have somebody wait for a visit of another day."""
        if self._arranged.on != today:
            raise VisitNotToday(on=self._arranged.on.isoformat())

    def ensure_queued(self) -> None:
        """Refuse what is asked of the queue about a visit that is not in it."""
        if self.turn is None:
            raise NotFound

    @property
    def on(self) -> date | None:
        """The day of the visit, if it is one."""
        return self.arranged.on if self.arranged else None

    def number_on(self, today: date) -> int | None:
        """Return the number that the patient has in the queue of a day, if they were given one."""
        return self.turn if self.turn_on == today else None

    def complete(self) -> list[Event]:
        self._may_become("completed")
        return [AppointmentCompleted(**self._visit(), record_id=None if self.record == self.patient else self.record)]

    def cancel(self, by: Party, reason: str | None, now: datetime) -> list[Event]:
        self._may_become("cancelled")
        late = self._arranged.starts_at - now < LATE
        return [AppointmentCancelled(**self._visit(), by=by, late=late, reason=reason, told=self.told)]

    def share(self, now: datetime) -> list[Event]:
        """Give the patient a link, until the visit is over; the one they have stays good, and lasts longer if the visit was moved."""
        self.ensure_ahead(now)
        until = self._arranged.ends_at
        return [] if self.linked_until == until else [AppointmentLinkShared(**self._visit(), number=self.link_number, until=until)]

    def revoke_link(self) -> list[Event]:
        return [AppointmentLinkRevoked(**self._visit())] if self.linked_until is not None else []

    def ask_summary(self, now: datetime, language: LetterLanguage) -> list[Event]:
        """Have the patient written to, with the link."""
        summary = AppointmentSummaryAsked(**self._visit(), number=self.link_number, until=self._arranged.ends_at, language=language)
        return [*self.share(now), summary]

    def retold(self, events: list[Event], now: datetime) -> list[Event]:
        """Have the patient, who was written when the visit was, written anew when it is, if these events move it."""
        after = self
        for event in events:
            after = after.evolve(event)  # type: ignore[arg-type]
        moved = any(isinstance(event, AppointmentRescheduled) for event in events)
        ahead = after.status in {"booked", "confirmed"} and after.arranged is not None and after.arranged.ends_at > now
        return [*events, *after.ask_summary(now, self.told_in)] if self.told and moved and ahead else events

    def answer(self, this: UUID, link: UUID, response: Response, reason: str | None, now: datetime, notice: timedelta) -> list[Event]:
        """Take the patient's word, who has that link; the same word twice is one. Without `notice` it is too late to cancel."""
        self.ensure_linked(this, link, now)
        if response == "confirm":
            return self._confirmed_by_patient(now)
        return self._cancelled_by_patient(reason, now, notice)

    def _confirmed_by_patient(self, now: datetime) -> list[Event]:
        if self.status == "cancelled":
            raise VisitCancelled
        if self.status == "confirmed":
            return []
        self._ensure_to_come(now)
        return [AppointmentConfirmed(**self._visit(), by="patient", way="link")]

    def _cancelled_by_patient(self, reason: str | None, now: datetime, notice: timedelta) -> list[Event]:
        if self.status == "cancelled":
            return []
        self._ensure_to_come(now)
        starts = self._arranged.starts_at
        if starts - now < notice:
            raise CancellationTooLate(until=(starts - notice).isoformat())
        return [AppointmentCancelled(**self._visit(), by="patient", late=starts - now < LATE, reason=reason, way="link")]

    def ensure_linked(self, this: UUID, link: UUID, now: datetime) -> None:
        """Refuse a link that is not, or not any more, the one that this visit's patient has."""
        if self.linked_until is None or self.linked_until <= now or link != link_of(this, self.links):
            raise AppointmentLinkOver

    def ensure_shown(self, this: UUID, link: UUID, now: datetime) -> None:
        """Refuse as well a link to what is over or cancelled."""
        self.ensure_linked(this, link, now)
        if self.status not in OPEN or self._arranged.ends_at <= now:
            raise AppointmentLinkOver

    def ensure_ahead(self, now: datetime) -> None:
        """Refuse a visit of which nothing is left to be said beforehand."""
        if self.status not in {"booked", "confirmed"} or self._arranged.ends_at <= now:
            self._visit()  # one that was struck out is not there
            raise VisitNotAhead

    def deposit_due(self, paid: int) -> int:
        """Return what is still to be paid beforehand."""
        if paid >= self.deposit:
            raise DepositPaid
        return self.deposit - paid

    def _ensure_to_come(self, now: datetime) -> None:
        if self.status not in {"booked", "confirmed"} or self._arranged.starts_at <= now:
            raise VisitNotAhead

    @property
    def link_number(self) -> int:
        """Of the link that the patient has, or would be given."""
        return self.links + (self.linked_until is None)

    def miss(self) -> list[Event]:
        self._may_become("no-show")
        return [PatientMissed(**self._visit())]

    def undo_miss(self) -> list[Event]:
        """Expect a patient after all who was said not to have come; the time of the visit must still be free."""
        if self.status != "no-show":
            self._visit()
            raise WrongStatus(**{"from": self.status, "to": self.awaited})
        return [MissUndone(**self._visit(), status=self.awaited)]

    def remove(self) -> list[Event]:
        visit = self._visit()
        if self.status is None or self.status in {"in-chair", "completed"}:
            raise VisitTookPlace
        return [AppointmentRemoved(**visit, was=self.status, told=self.told and self.status in {"booked", "confirmed"})]

    def reassign(self, was: UUID, to: UUID, now: datetime) -> list[Event]:
        """Make it another record's, if it is that one's; what was struck out is nobody's."""
        if self.arranged is None or self.patient != was:
            return []
        overlaps = self.arranged.starts_at <= now
        return [AppointmentReassigned(**{**self._visit(), "patient_id": to}, was_patient_id=was, overlaps=overlaps)]

    def clashes(self, other: Self, now: datetime) -> bool:
        """Say whether this visit, which is still to come, cannot be the same patient's as another one."""
        mine, theirs = self.arranged, other.arranged
        if mine is None or theirs is None or self.status not in BUSY or other.status not in BUSY or mine.forced or mine.starts_at <= now:
            return False
        return mine.starts_at < theirs.ends_at and theirs.starts_at < mine.ends_at

    def keeper(self, who: UUID) -> UUID:
        """The record under which it was booked."""
        return self.record or who

    def _moves(self, wanted: Arrangement) -> bool:
        now = self._arranged
        if wanted.group_id is not None and wanted.group_id != now.group_id:
            return True
        if now.group_id is not None and (now.doctor_id, now.starts_at) == (wanted.doctor_id, wanted.starts_at):
            return False  # how long a session takes is the session's to say
        elsewhere = now.group_id is None and wanted.room_id != now.room_id and wanted.place_id != now.place_id
        return elsewhere or (now.doctor_id, now.starts_at, now.ends_at) != (wanted.doctor_id, wanted.starts_at, wanted.ends_at)

    def _may_become(self, status: Status) -> None:
        if self.status is None:
            raise NotFound
        if status not in NEXT.get(self.status, ()):
            raise WrongStatus(**{"from": self.status, "to": status})

    @property
    def patient(self) -> UUID:
        """Whose visit it is."""
        return self._arranged.patient_id

    @property
    def _arranged(self) -> Arrangement:
        if self.arranged is None:
            raise NotFound
        return self.arranged

    def _visit(self) -> dict[str, Any]:
        a = self._arranged
        return {"patient_id": a.patient_id, "doctor_id": a.doctor_id, "on": a.on}


SUMMARY_LETTER = letter(
    "appointments.summary", "Tells a patient when and with whom an appointment is, with a link to confirm or cancel it.",
    {
        "date": "2026-03-02", "time": "09:00", "zone": "Europe/Amsterdam", "minutes": "30", "doctor": "Dr Sam Visser", "address": "Singel 1, Amsterdam",
        "phone": "+31 20 123 4567", "link": "https://clinic.example/api/v1/appointments/links/01936f5e.x7Kq",
    },
    en=("Your appointment at {{clinic}} on {{date}}", """
Dear {{name}},

You have an appointment at {{clinic}}:

{{date}}, {{time}} ({{zone}}), {{minutes}} minutes, with {{doctor}}

By this link you can look at it, confirm it or cancel it. It is for you alone:

{{link}}

{{address}}
{{phone}}
"""),
    es=("Su cita en {{clinic}} el {{date}}", """
Hola, {{name}}:

Tiene una cita en {{clinic}}:

{{date}}, {{time}} ({{zone}}), {{minutes}} minutos, con {{doctor}}

Con este enlace puede verla, confirmarla o cancelarla. Es solo para usted:

{{link}}

{{address}}
{{phone}}
"""),
)

CANCELLED_LETTER = letter(
    "appointments.cancelled", "Tells a patient who was written about an appointment that it is cancelled.",
    {"date": "2026-03-02", "time": "09:00", "zone": "Europe/Amsterdam", "doctor": "Dr Sam Visser", "phone": "+31 20 123 4567"},
    en=("Your appointment at {{clinic}} on {{date}} is cancelled", """
Dear {{name}},

Your appointment at {{clinic}} is cancelled:

{{date}}, {{time}} ({{zone}}), with {{doctor}}

Call us to make another one.

{{phone}}
"""),
    es=("Su cita en {{clinic}} el {{date}} se ha cancelado", """
Hola, {{name}}:

Su cita en {{clinic}} se ha cancelado:

{{date}}, {{time}} ({{zone}}), con {{doctor}}

Llámenos para pedir otra.

{{phone}}
"""),
)
