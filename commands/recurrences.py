"""What may be asked of a recurring series of appointments."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from commands.appointments import (
    OPEN,
    Fold,
    Holders,
    Length,
    Others,
    Start,
    Then,
    TypeName,
    Wanted,
    attempted,
    holders_of,
    noted,
    rearranged,
    resting_on,
    unless_held,
)
from commands.kit import Command, Creation, Decision, Look
from domain.appointment_types import AppointmentType
from domain.appointments import Appointment, Arrangement, Circumstances, MovedByItself, Party, TimePast, VisitNotToCome
from domain.closed_days import ClosedDays
from domain.kit import (
    AppointmentTypeId,
    At,
    Elsewhere,
    Minutes,
    Note,
    PatientId,
    Reason,
    RoomId,
    StaffId,
    Text,
    code_of,
    wall,
)
from domain.kit.wishes import Mode, Way, Wish, settled
from domain.patients import Patient
from domain.recurrences import (
    AppointmentSeriesBooked,
    AppointmentSeriesChanged,
    AppointmentSeriesExtended,
    Clock,
    Count,
    Exceptions,
    NothingAsked,
    Number,
    Occurrence,
    Recurrence,
    Rule,
    Scope,
    Shift,
    at_clock,
    ensure_near,
    expand,
    visit_of,
)
from domain.rooms import Room
from domain.schedules import Schedule
from domain.staff import Staff

NONE: dict[UUID, AppointmentType] = {}


class Attempted(NamedTuple):
    """A visit as it would be: where it stands in the series, and what would happen to its appointment; nothing, if it is left as it is."""

    occurrence: Occurrence
    id: UUID
    wish: Wish[Then] | None = None


class BookAppointmentSeries(Creation):
    """Book a patient with a doctor again and again, by a rule.

    Every visit is checked. It keeps its wall-clock time when the clocks change. Days that lie behind are skipped, and so are months without that day; neither
    counts as refused.
    """

    state = Recurrence
    permission = "appointments.create"
    patient_id: PatientId
    doctor_id: StaffId
    room_id: RoomId | None = None
    type: TypeName = None
    start: Start
    fold: Fold = None
    duration: Length = None
    notes: Note | None = None
    rule: Rule
    mode: Mode = "all-or-nothing"
    type_id: AppointmentTypeId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        patient = await look.require(Patient, self.patient_id)
        others = await resting_on(look, [self.doctor_id], [self.room_id], [self.type_id])
        return {"patient": patient, **others._asdict(), "holders": await held(look, self.visits(look.at, others))}

    def decide(
        self, series: Recurrence, at: At, *, patient: Patient, schedules: dict[UUID, Schedule], doctors: dict[UUID, Staff], rooms: dict[UUID, Room],
        holders: Holders, kinds: dict[UUID, AppointmentType] = NONE, closed: ClosedDays = OPEN,
    ) -> Decision:
        patient.ensure_bookable()
        others = Others(schedules, doctors, rooms, kinds, closed)
        tried = self.visits(at, others)
        found = had(tried, holders)
        occurrences = [answered(one, found) for one in tried]
        first, means = self.first(at), others.means(self.wanted(self.start))
        booked = series.book(AppointmentSeriesBooked(
            patient_id=self.patient_id, doctor_id=self.doctor_id, room_id=self.room_id, type=self.type or means.name, time=clock(first),
            minutes=means.pace(self.duration).minutes, type_id=self.type_id,
            rule=self.rule, starts_on=first.date(), mode=self.mode, occurrences=occurrences, missing=expand(self.rule, first.date()).missing))
        return [*booked, *visits_saved(found)]

    def first(self, at: At) -> datetime:
        ensure_near(self.start, at.now)
        return wall(self.start, at.zone).replace(fold=0) if self.start.tzinfo else self.start

    def visits(self, at: At, others: Others) -> list[Attempted]:
        """Return each visit of the rule as it would be."""
        start = self.first(at)
        days = expand(self.rule, start.date()).days
        return [added(self.patient_id, number, self.wanted(start + (on - start.date())), at, others) for number, on in enumerate(days, 1)]

    def wanted(self, start: datetime) -> Wanted:
        return Wanted(
            doctor_id=self.doctor_id, room_id=self.room_id, type=self.type, start=start, fold=self.fold, duration=self.duration, notes=self.notes,
            type_id=self.type_id)


class ExtendAppointmentSeries(Command):
    """Let a series go on by its rule, for so many visits more or until a day; the visits are as those to come are arranged by now.

    No series is longer than 104 visits or two years: book another one then.
    """

    state = Recurrence
    permission = "appointments.create"
    count: Count | None = None
    until: date | None = None
    fold: Fold = None
    notes: Note | None = None
    mode: Mode = "all-or-nothing"

    async def gather(self, look: Look) -> dict[str, Any]:
        series = await look.require(Recurrence, look.at.id)
        patient = await look.require(Patient, series.whose)
        others = await resting_on(look, [series.now.doctor_id], [series.now.room_id], [series.now.type_id])
        return {"patient": patient, **others._asdict(), "holders": await held(look, self.visits(series, look.at, others))}

    def decide(
        self, series: Recurrence, at: At, *, patient: Patient, schedules: dict[UUID, Schedule], doctors: dict[UUID, Staff], rooms: dict[UUID, Room],
        holders: Holders, kinds: dict[UUID, AppointmentType] = NONE, closed: ClosedDays = OPEN,
    ) -> Decision:
        patient.ensure_bookable()
        tried = self.visits(series, at, Others(schedules, doctors, rooms, kinds, closed))
        found = had(tried, holders)
        rule, days = series.longer(self.count, self.until)
        extended = series.extend(AppointmentSeriesExtended(
            patient_id=series.whose, doctor_id=series.now.doctor_id, rule=rule, mode=self.mode,
            occurrences=[answered(one, found) for one in tried], missing=days.missing))
        return [*extended, *visits_saved(found)]

    def visits(self, series: Recurrence, at: At, others: Others) -> list[Attempted]:
        """Return each visit that is added as it would be."""
        now, days = series.now, series.longer(self.count, self.until)[1].days
        starts = [at_clock(on, now.time) for on in days]
        return [
            added(series.whose, number, Wanted(
                doctor_id=now.doctor_id, room_id=now.room_id, type=now.type, start=start, fold=self.fold, duration=now.minutes, notes=self.notes,
                type_id=now.type_id), at, others)
            for number, start in enumerate(starts, len(series.planned) + 1)]


class ChangeAppointmentSeries(Command):
    """Change visits of a series that are still to come; what is left out stays as it is.

    Each appointment stays the one it is, with its history. Those that have begun, are over or were cancelled stay as they are.
    """

    state = Recurrence
    permission = "appointments.edit"
    scope: Scope
    occurrence: Number | None = None
    exceptions: Exceptions = "leave"
    mode: Mode = "all-or-nothing"
    time: Clock | UnsetType = UNSET
    shift: Shift = 0
    doctor_id: StaffId | UnsetType = UNSET
    room_id: RoomId | UnsetType | None = UNSET
    type: Text | UnsetType = UNSET
    duration: Minutes | UnsetType = UNSET
    notes: Note | UnsetType | None = UNSET
    type_id: AppointmentTypeId | UnsetType | None = UNSET

    async def gather(self, look: Look) -> dict[str, Any]:
        series = await look.require(Recurrence, look.at.id)
        visits, notes = await meant(look, series, self.scope, self.occurrence)
        theirs = [visit.arranged for visit in visits.values() if visit.arranged]
        others = await resting_on(
            look, [given(self.doctor_id, one.doctor_id) for one in theirs], [given(self.room_id, one.room_id) for one in theirs],
            [given(self.type_id, one.type_id) for one in theirs])
        found = {"visits": visits, "notes": notes, **others._asdict()}
        return {**found, "holders": await held(look, self.tried(series, look.at, visits, notes, others))}

    def decide(
        self, series: Recurrence, at: At, *, visits: dict[UUID, Appointment], notes: dict[UUID, str | None], schedules: dict[UUID, Schedule],
        doctors: dict[UUID, Staff], rooms: dict[UUID, Room], holders: Holders, kinds: dict[UUID, AppointmentType] = NONE, closed: ClosedDays = OPEN,
    ) -> Decision:
        if not self.shift and all(one is UNSET for one in (self.time, self.doctor_id, self.room_id, self.type, self.duration, self.notes, self.type_id)):
            raise NothingAsked
        tried = self.tried(series, at, visits, notes, Others(schedules, doctors, rooms, kinds, closed))
        found = had(tried, holders, frozenset(one.id for one in tried if one.wish))
        now = series.now
        changed = series.change(AppointmentSeriesChanged(
            patient_id=series.whose, scope=self.scope, mode=self.mode, shift=self.shift,
            occurrences=[answered(one, found, keeps=True) for one in tried], **self.manner(now) if self.scope != "one" else as_it_is(now)))
        return [*changed, *visits_saved(found)]

    def manner(self, now: Any) -> dict[str, Any]:
        return {
            "doctor_id": given(self.doctor_id, now.doctor_id), "room_id": given(self.room_id, now.room_id), "type": given(self.type, now.type),
            "time": now.time if self.time is UNSET else self.time[:5], "minutes": given(self.duration, now.minutes), "type_id": given(self.type_id, now.type_id)}

    def tried(self, series: Recurrence, at: At, visits: dict[UUID, Appointment], notes: dict[UUID, str | None], others: Others) -> list[Attempted]:
        """Return each visit that is meant as it would be."""
        return [
            self.one(planned, id_, visits.get(id_, Appointment()), notes.get(id_), at, others)
            for planned in series.meant(self.scope, self.occurrence) if (id_ := planned.appointment_id)]

    def one(self, planned: Occurrence, id_: UUID, visit: Appointment, notes: str | None, at: At, others: Others) -> Attempted:
        if (why := stays(visit, planned, at, self.exceptions if self.scope != "one" else "take")) is not None or (now := visit.arranged) is None:
            return Attempted(replace(planned, outcome="left", code=why or code_of(VisitNotToCome)), id_)
        start = datetime.fromisoformat(now.start_local) + timedelta(days=self.shift)
        if self.time is not UNSET:
            start = at_clock(start.date(), self.time)
        wanted = Wanted(
            doctor_id=given(self.doctor_id, now.doctor_id), room_id=given(self.room_id, now.room_id), type=given(self.type, now.type), start=start,
            fold=1 if now.fold else 0, duration=given(self.duration, (now.ends_at - now.starts_at) // timedelta(minutes=1)),
            notes=given(self.notes, notes), type_id=given(self.type_id, now.type_id))
        return Attempted(
            replace(planned, outcome="changed", code=None, on=start.date(), time=clock(start)), id_, Wish(id_, visit.claims(), [[rearranged(visit, wanted, at, others)]]))


class CancelAppointmentSeries(Command):
    """Cancel visits of a series that are still to come, those that were moved by themselves too unless they are to be left."""

    state = Recurrence
    permission = "appointments.change_status"
    scope: Scope
    occurrence: Number | None = None
    exceptions: Exceptions = "take"
    reason: Reason | None = None
    cancelled_by: Party = "clinic"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"visits": (await meant(look, await look.require(Recurrence, look.at.id), self.scope, self.occurrence))[0]}

    def decide(self, series: Recurrence, at: At, *, visits: dict[UUID, Appointment]) -> Decision:
        told: list[Occurrence] = []
        others: list[Elsewhere] = []
        for planned in series.meant(self.scope, self.occurrence):
            id_ = planned.appointment_id or visit_of(at.id, planned.number)
            visit = visits.get(id_, Appointment())
            why = stays(visit, planned, at, self.exceptions if self.scope != "one" else "take")
            told.append(replace(planned, outcome="left" if why else "cancelled", code=why))
            if not why:
                others.append(Elsewhere(state=Appointment, id=id_, events=visit.cancel(self.cancelled_by, self.reason, at.now)))
        return [*series.cancel(self.scope, told), *others]


async def meant(look: Look, series: Recurrence, scope: Scope, occurrence: int | None) -> tuple[dict[UUID, Appointment], dict[UUID, str | None]]:
    """Return the appointments that are meant and their notes, held fast."""
    ids = [one.appointment_id for one in series.meant(scope, occurrence) if one.appointment_id]
    notes = await noted(look, ids)
    return {id_: await look.load(Appointment, id_) for id_ in ids}, notes


async def held(look: Look, tried: list[Attempted]) -> Holders:
    """Return for each visit who holds any of the time that it wants."""
    return await holders_of(look, [one.wish for one in tried if one.wish])


def had(tried: list[Attempted], holders: Holders, ours: frozenset[UUID] = frozenset()) -> dict[UUID, Way[Then]]:
    """Return what becomes of each visit that is to be had; `ours` are in nobody's way, for they move."""
    return settled([unless_held(one.wish, holders, ours) for one in tried if one.wish])


def visits_saved(found: dict[UUID, Way[Then]]) -> list[Elsewhere]:
    return [Elsewhere(state=Appointment, id=id_, events=way.done) for id_, way in found.items() if way.why is None and way.done]


def added(patient: UUID, number: int, wanted: Wanted, at: At, others: Others) -> Attempted:
    """Return a visit as it would be booked; one that lies behind is skipped."""
    id_, start, series = visit_of(at.id, number), wanted.start, at.id
    planned = Occurrence(number=number, on=start.date(), time=clock(start), outcome="booked", appointment_id=id_)
    if start <= wall(at.now, at.zone).replace(fold=0):
        return Attempted(replace(planned, outcome="skipped", appointment_id=None, code=code_of(TimePast)), id_)

    def events(arranged: Arrangement, things: Circumstances) -> Then:
        return Appointment().book(arranged, things, notes=wanted.notes, reason=None, series=series, occurrence=number, deposit=others.means(wanted).deposit)

    return Attempted(planned, id_, Wish(id_, frozenset(), [[attempted(Appointment(), wanted, patient, at, others, events)]]))


def stays(visit: Appointment, planned: Occurrence, at: At, exceptions: Exceptions) -> str | None:
    """Return why a visit is left as it is; None if it is not."""
    if visit.arranged is None or visit.status not in {"booked", "confirmed"} or visit.arranged.starts_at <= at.now:
        return code_of(VisitNotToCome)
    return code_of(MovedByItself) if exceptions == "leave" and visit.arranged.start_local[:16] != f"{planned.on}T{planned.time}" else None


def answered(one: Attempted, found: dict[UUID, Way[Then]], *, keeps: bool = False) -> Occurrence:
    """Return what came of a visit; one that is refused has no appointment, or `keeps` the one it has."""
    planned = one.occurrence
    if one.id not in found or (why := found[one.id].why) is None:
        return planned
    return replace(planned, outcome="refused", code=why, appointment_id=planned.appointment_id if keeps else None)


def as_it_is(now: Any) -> dict[str, Any]:
    return {name: getattr(now, name) for name in now.__struct_fields__}


def clock(start: datetime) -> str:
    return start.strftime("%H:%M")


def given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is UNSET else value
