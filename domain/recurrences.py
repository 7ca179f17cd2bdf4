"""Recurring series: a patient is booked with a doctor by a rule, again and again; each visit is an appointment of its own and knows its series."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, ClassVar, Literal, NamedTuple, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    AppointmentId,
    AppointmentTypeId,
    Event,
    Frozen,
    Invalid,
    NotFound,
    PatientId,
    Refused,
    RoomId,
    StaffId,
    State,
    Text,
    only,
)
from domain.kit.clock import WEEKDAYS, Weekday
from domain.kit.wishes import Code, Mode

MOST = 104  # visits of a series
REACH = timedelta(days=731)  # two years and a leap day, from the first day on

Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Wall-clock time in the clinic's zone.", examples=["09:00"])]
Count = Annotated[int, Meta(ge=1, le=MOST, description="How many visits, those included that are refused or lie behind.")]
Month = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-02"])]
Number = Annotated[int, Meta(ge=1, le=10_000, description="Which visit of the series, from 1 on.")]
Scope = Annotated[Literal["one", "following", "all"], Meta(description="`one` visit, it and those that follow it, or all; of visits that are still to come.")]
Exceptions = Annotated[Literal["leave", "take"], Meta(description="What becomes of visits that were moved by themselves: they stay as they are, or are taken along.")]
Outcome = Literal["booked", "changed", "cancelled", "left", "skipped", "refused"]
Shift = Annotated[int, Meta(ge=-6, le=6, description="Days by which each visit is moved: from Tuesdays to Thursdays, 2.")]

LAST = -1


class Rule(Frozen):
    """On which days: every so many days, weeks or months from the first day on, so often (`count`) or as long (`until`).

    Weeks: on `weekdays`, by default the first day's; a week begins on Monday. Months: on the first day's day of the month or, with `nth`, on the nth weekday of the
    month (-1: the last one). A month without that day is skipped, and said so.
    """

    unit: Literal["days", "weeks", "months"]
    every: Annotated[int, Meta(ge=1, le=366)] = 1
    weekdays: Annotated[list[Weekday], Meta(max_length=7)] = field(default_factory=list)
    nth: Literal[-1, 1, 2, 3, 4, 5] | None = None
    count: Count | None = None
    until: date | None = None


class Manner(Frozen):
    """What the visits of a series have in common."""

    doctor_id: StaffId
    room_id: RoomId | None = None
    type: Text
    time: Clock
    minutes: Annotated[int, Meta(ge=5, le=24 * 60)]
    type_id: AppointmentTypeId | None = None


class Occurrence(Frozen):
    """A visit of a series, and what came of the latest that was asked: `appointmentId` is missing where it was refused or skipped, and `code` says why."""

    number: Number
    on: date
    time: Clock
    outcome: Outcome
    appointment_id: AppointmentId | None = None
    code: Code | None = None


class AppointmentSeriesBooked(Event, Manner):
    patient_id: PatientId
    rule: Rule
    starts_on: date
    mode: Mode
    occurrences: list[Occurrence]
    missing: list[Month]  # months without that day


class AppointmentSeriesExtended(Event):
    """It goes on by the same rule, with visits as they are arranged by now."""

    patient_id: PatientId
    doctor_id: StaffId
    rule: Rule
    mode: Mode
    occurrences: list[Occurrence]
    missing: list[Month]


class AppointmentSeriesChanged(Event, Manner):
    """Visits to come were changed together: how they are to be from now on, and what became of each that was meant."""

    patient_id: PatientId
    scope: Scope
    mode: Mode
    shift: Shift = 0
    occurrences: list[Occurrence]


class AppointmentSeriesCancelled(Event):
    """Visits to come were cancelled together."""

    patient_id: PatientId
    doctor_id: StaffId
    scope: Scope
    occurrences: list[Occurrence]


class AppointmentSeriesReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


RecurrenceEvent = AppointmentSeriesBooked | AppointmentSeriesExtended | AppointmentSeriesChanged | AppointmentSeriesCancelled | AppointmentSeriesReassigned


class SeriesEndless(Invalid):
    """A series ends: say how many visits (`count`) or until which day (`until`), one of the two."""


class SeriesTooLong(Invalid):
    """A series has at most 104 visits, within two years of its first day."""


class SeriesEmpty(Invalid):
    """No day fits that rule."""


class RuleContradictory(Invalid):
    """Weekdays belong to weeks, and to months with `nth`, which takes one weekday."""


class OccurrencesRefused(Refused):
    """Not all visits of the series can be had as asked, so nothing was changed. `details` say which and why; ask with mode `each` to have the others."""


class OccurrenceUnnamed(Invalid):
    """Say which visit is meant (`occurrence`), unless all are."""


class NothingAsked(Invalid):
    """Say what is to be changed."""


class NothingToCome(Refused):
    """None of those visits is still to come; what has begun or is over stays as it is."""


class SeriesTooFar(Invalid):
    """A series begins within 24 months of today."""


class Days(NamedTuple):
    """The days of a rule, and the months that lack theirs."""

    days: list[date]
    missing: list[str]


def expand(rule: Rule, first: date) -> Days:
    """Return the days of a rule from the first one on, or refuse."""
    ensure_rule(rule, first)
    days: list[date] = []
    missing: list[str] = []
    for found in _candidates(rule, first):
        if isinstance(found, str):
            missing.append(found)
        elif (rule.until is not None and found > rule.until) or len(days) == rule.count:
            break
        elif len(days) == MOST or found - first > REACH:
            raise SeriesTooLong(most=MOST)
        else:
            days.append(found)
    if rule.count is not None and len(days) < rule.count:
        raise SeriesTooLong(most=MOST)
    if not days:
        raise SeriesEmpty
    return Days(days, [month for month in missing if month < days[-1].isoformat()[:7]])


def ensure_near(start: datetime, now: datetime) -> None:
    """Refuse a first day beyond what can be booked at all."""
    if abs(start.replace(tzinfo=None) - now.replace(tzinfo=None)) > REACH:
        raise SeriesTooFar


def ensure_rule(rule: Rule, first: date) -> None:
    """Refuse a rule that contradicts itself or does not end in time."""
    if (rule.count is None) == (rule.until is None):
        raise SeriesEndless
    if rule.until is not None and rule.until - first > REACH:
        raise SeriesTooLong(most=MOST)
    if (rule.weekdays and rule.unit != "weeks" and rule.nth is None) or (rule.nth is not None and (rule.unit != "months" or len(rule.weekdays) > 1)):
        raise RuleContradictory


def _candidates(rule: Rule, first: date) -> Iterator[date | str]:
    """Yield the rule's days in order, and of months without that day the month; a little beyond what a series can reach."""
    beyond = min(first.toordinal() + REACH.days + 400, date.max.toordinal())
    if rule.unit == "days":
        yield from (date.fromordinal(n) for n in range(first.toordinal(), beyond, rule.every))
    elif rule.unit == "weeks":
        chosen = sorted({WEEKDAYS.index(one) for one in rule.weekdays} or {first.weekday()})
        monday = first.toordinal() - first.weekday()
        yield from (date.fromordinal(week + n) for week in range(monday, beyond - 6, 7 * rule.every) for n in chosen if week + n >= first.toordinal())
    else:
        for step in range(0, REACH.days // 28, rule.every):
            year, month = divmod(first.year * 12 + first.month - 1 + step, 12)
            if year > date.max.year:
                return
            found = _in_month(rule, first, year, month + 1)
            if found is None or found >= first:
                yield found or f"{year:04d}-{month + 1:02d}"


def _in_month(rule: Rule, first: date, year: int, month: int) -> date | None:
    length = monthrange(year, month)[1]
    if rule.nth is None:
        return date(year, month, first.day) if first.day <= length else None
    wanted = WEEKDAYS.index(rule.weekdays[0]) if rule.weekdays else first.weekday()
    fitting = [n for n in range(1, length + 1) if date(year, month, n).weekday() == wanted]
    if rule.nth == LAST:
        return date(year, month, fitting[-1])
    return date(year, month, fitting[rule.nth - 1]) if rule.nth <= len(fitting) else None


def at_clock(on: date, time: str) -> datetime:
    """Return a day's wall-clock time."""
    return datetime(on.year, on.month, on.day, int(time[:2]), int(time[3:5]))  # noqa: DTZ001 - as people say it


def visit_of(series: UUID, number: int) -> UUID:
    """Return the id of a series' visit."""
    return uuid5(series, str(number))


class Recurrence(State):
    """A series: how its visits are to be, and which there are."""

    kind: ClassVar[str] = "recurrences"
    patient_id: UUID | None = None
    manner: Manner | None = None
    rule: Rule | None = None
    starts_on: date | None = None
    shift: int = 0  # days by which visits have been moved together; those that are added too
    planned: dict[int, Occurrence] = field(default_factory=dict)  # as they were booked or changed together; where one is now its appointment says

    def evolve(self, event: RecurrenceEvent) -> Self:
        match event:
            case AppointmentSeriesBooked():
                return replace(self, patient_id=event.patient_id, manner=manner(event), rule=event.rule, starts_on=event.starts_on, planned=numbered(event.occurrences))
            case AppointmentSeriesExtended(rule=rule, occurrences=occurrences):
                return replace(self, rule=rule, planned={**self.planned, **numbered(occurrences)})
            case AppointmentSeriesChanged():
                moved = {one.number: one for one in event.occurrences if one.outcome == "changed"}
                shift = self.shift + (event.shift if event.scope != "one" else 0)
                return replace(self, manner=manner(event), shift=shift, planned={**self.planned, **moved})
            case AppointmentSeriesReassigned(patient_id=patient):
                return replace(self, patient_id=patient)
            case AppointmentSeriesCancelled():
                return self

    def book(self, booked: AppointmentSeriesBooked) -> list[Event]:
        ensure_wanted(booked.mode, booked.occurrences)
        return [booked]

    def extend(self, extended: AppointmentSeriesExtended) -> list[Event]:
        ensure_wanted(extended.mode, extended.occurrences)
        return [extended]

    def longer(self, count: int | None, until: date | None) -> tuple[Rule, Days]:
        """Return the rule so many visits longer, or until that day, and the days that come after those it has."""
        if self.rule is None or self.starts_on is None:
            raise NotFound
        rule = replace(self.rule, count=None if count is None else len(self.planned) + count, until=until)
        days, missing = expand(rule, self.starts_on)
        added = days[len(self.planned):]
        if not added:
            raise SeriesEmpty
        before = days[len(self.planned) - 1].isoformat()[:7] if self.planned else ""
        return rule, Days([day + timedelta(days=self.shift) for day in added], [month for month in missing if month > before])

    def change(self, changed: AppointmentSeriesChanged) -> list[Event]:
        ensure_wanted(changed.mode, changed.occurrences)
        if all(one.outcome == "left" for one in changed.occurrences):
            raise NothingToCome
        return [changed] if any(one.outcome == "changed" for one in changed.occurrences) else []

    def cancel(self, scope: Scope, occurrences: list[Occurrence]) -> list[Event]:
        if not any(one.outcome == "cancelled" for one in occurrences):
            raise NothingToCome
        return [AppointmentSeriesCancelled(patient_id=self.whose, doctor_id=self.now.doctor_id, scope=scope, occurrences=occurrences)]

    def reassign(self, was: UUID, to: UUID, _: object) -> list[Event]:
        """Make it another record's, if it is that one's; its visits go by themselves."""
        return [AppointmentSeriesReassigned(patient_id=to, was_patient_id=was)] if self.patient_id == was else []

    def meant(self, scope: Scope, occurrence: int | None) -> list[Occurrence]:
        """Return the visits that were booked and are meant."""
        if scope == "all":
            return [one for one in self.planned.values() if one.appointment_id]
        if occurrence is None:
            raise OccurrenceUnnamed
        if occurrence not in self.planned or self.planned[occurrence].appointment_id is None:
            raise NotFound(kind="occurrences", id=occurrence)
        return [one for one in self.planned.values() if one.appointment_id and (one.number == occurrence or (scope == "following" and one.number > occurrence))]

    @property
    def whose(self) -> UUID:
        """The patient."""
        if self.patient_id is None:
            raise NotFound
        return self.patient_id

    @property
    def now(self) -> Manner:
        """How its visits are to be."""
        if self.manner is None:
            raise NotFound
        return self.manner


def manner(event: AppointmentSeriesBooked | AppointmentSeriesChanged) -> Manner:
    return Manner(**only(Manner, event))


def numbered(occurrences: list[Occurrence]) -> dict[int, Occurrence]:
    return {one.number: one for one in occurrences}


def ensure_wanted(mode: Mode, occurrences: list[Occurrence]) -> None:
    """Refuse the whole if not all can be had and all or nothing is wanted, or if none can."""
    refused = [one for one in occurrences if one.outcome == "refused"]
    done = [one for one in occurrences if one.outcome in {"booked", "changed"}]
    if refused and (mode == "all-or-nothing" or not done):
        raise OccurrencesRefused(occurrences=[{"number": one.number, "on": one.on.isoformat(), "time": one.time, "code": one.code} for one in refused])
    if not done and not refused:
        raise NothingToCome
