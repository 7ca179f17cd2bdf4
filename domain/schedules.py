"""Schedules: the hours a doctor works, week by week and by exception, and the time that is blocked."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    Buffer,
    Claim,
    Event,
    Forbidden,
    Frozen,
    Grid,
    Invalid,
    NotFound,
    Personal,
    PlaceId,
    Reason,
    RoomId,
    StaffId,
    State,
    TimeClaim,
    day,
    instant,
    only,
    wall,
    zone,
)
from domain.kit.clock import Clock
from domain.kit.paces import Pace
from domain.kit.places import used
from domain.kit.retiming import Retimed, retimed

Interval = tuple[datetime, datetime]  # half-open, UTC
Slot = tuple[datetime, datetime, UUID | None]  # and where

SCHEDULES = UUID("0b0f2a9e-5a07-5e0c-9d0c-6f1b7f0a4c11")
WEEK = 7  # days
A_DAY = timedelta(days=1)
WIDEST = timedelta(hours=15)  # no zone is further from Greenwich than this
LONGEST = timedelta(days=366)
REACH = timedelta(days=3 * 366)


class Hours(Frozen, omit_defaults=True):
    """Working hours within one day, the end not included; a break is what is left between two of them."""

    start: Clock
    end: Clock
    place_id: PlaceId | None = None  # none: the clinic itself


class DayHours(Frozen):
    """The hours of one date instead of the week's; none means a day off."""

    on: date
    hours: Annotated[list[Hours], Meta(max_length=24)]


class Timetable(Frozen):
    """When a doctor works, and how the visits follow each other."""

    week: Annotated[list[Annotated[list[Hours], Meta(max_length=24)]], Meta(min_length=7, max_length=7, description="Seven days, Monday first.")]
    exceptions: Annotated[list[DayHours], Meta(max_length=1000)] = field(default_factory=list)
    buffer_before: Buffer = 0
    buffer_after: Buffer = 0
    slot_minutes: Grid = 15

    def hours(self, on: date, closed: Container[date] = ()) -> list[Hours]:
        """Return the hours of a date: none on a day on which the clinic is closed, unless there is an exception for it."""
        for exception in self.exceptions:
            if exception.on == on:
                return exception.hours
        return [] if on in closed else self.week[on.weekday()]

    @property
    def places(self) -> set[UUID | None]:
        """Where the doctor works; None is the clinic itself."""
        return {h.place_id for hours in (*self.week, *(e.hours for e in self.exceptions)) for h in hours}

    def covering(self, start: datetime, end: datetime, zone_name: str, closed: Container[date] = ()) -> list[UUID | None]:
        """Return where all of [start, end) is worked: nowhere, or at one place or more."""
        days = days_of(day(start, zone_name) - A_DAY, day(end, zone_name) + A_DAY)  # clocks that go back at midnight bring the day before again
        return [place for place, worked in self._worked(days, zone_name, closed).items() if covered((start, end), worked)]

    def pace(self, minutes: int) -> Pace:
        """Return how visits of that length follow each other."""
        return Pace(minutes, self.buffer_before, self.buffer_after, self.slot_minutes)

    def starts(self, on: date, grid: int, zone_name: str, closed: Container[date] = ()) -> dict[UUID | None, tuple[datetime, ...]]:
        """Return the starts that the hours of a date offer, in order, by where they are."""
        return {place: starts_on(on, tuple((h.start, h.end) for h in hours), grid, zone_name) for place, hours in self._by_place(on, closed).items()}

    def slots(self, days: Sequence[date], pace: Pace, zone_name: str, taken: Sequence[Interval], closed: Container[date] = ()) -> list[Slot]:
        """Return the visits of that pace which could start on these days, which are in order, given what takes the doctor's time (`merged`, buffers included)."""
        worked = self._worked(days_of(days[0] - A_DAY, days[-1] + 2 * A_DAY), zone_name, closed)  # a visit lasts a day at most
        found: list[Slot] = []
        for on in days:
            for place, starts in self.starts(on, pace.grid, zone_name, closed).items():
                for first, last in fitting(starts, worked[place], pace, taken):
                    found += [(start, start + pace.length, place) for start in starts[first:last]]
        return sorted(found, key=itemgetter(0))

    def _by_place(self, on: date, closed: Container[date]) -> dict[UUID | None, list[Hours]]:
        found: defaultdict[UUID | None, list[Hours]] = defaultdict(list)
        for hours in self.hours(on, closed):
            found[hours.place_id].append(hours)
        return found

    def _worked(self, days: Iterable[date], zone_name: str, closed: Container[date]) -> dict[UUID | None, list[Interval]]:
        """Return the instants that are worked on these days, by place."""
        found: defaultdict[UUID | None, list[Interval]] = defaultdict(list)
        for on in days:
            for h in self.hours(on, closed):
                found[h.place_id] += openings(on, minute(h.start), minute(h.end), zone_name)
        return {place: merged(intervals) for place, intervals in found.items()}


class ScheduleSet(Event, Timetable):
    doctor_id: StaffId


ScheduleEvent = ScheduleSet


class Period(Frozen):
    """A time as people say it, and the instants derived from it."""

    on: date  # the clinic's first and last day of it
    last_on: date
    start_local: str
    end_local: str
    zone: str
    starts_at: datetime
    ends_at: datetime


class Blocked(Period):
    """Whose time is blocked, and when."""

    doctor_id: StaffId | None = None
    room_id: RoomId | None = None


class TimeBlocked(Event, Blocked, omit_defaults=True):
    reason: Annotated[Reason | None, Personal("doctor_id")] = None
    despite_bookings: bool = False  # a sudden absence: what is booked stands until somebody moves it


class BlockRetimed(Event, Retimed):
    """The same time on the wall is another instant."""

    doctor_id: StaffId | None = None
    room_id: RoomId | None = None
    on: date
    last_on: date
    end_local: str
    despite_bookings: bool = False  # also where something is booked at that instant by now


class TimeUnblocked(Event):
    doctor_id: StaffId | None = None
    room_id: RoomId | None = None
    on: date


BlockEvent = TimeBlocked | BlockRetimed | TimeUnblocked


class HoursOverlap(Invalid):
    """The hours of a day end after they start, follow each other in order and do not overlap."""


class WeekIncomplete(Invalid):
    """A week has seven days, Monday first."""


class DateTwice(Invalid):
    """Each date has one exception at most."""


class BlockOfNothing(Invalid):
    """Blocked time is a doctor's or a room's."""


class BlockNeverEnds(Invalid):
    """Blocked time ends after it starts, and within a year."""


class AbsenceNeedsReason(Invalid):
    """To block time although there are appointments in it, say why."""


class BlockTooFar(Invalid):
    """Time is blocked within three years of today."""


@lru_cache(maxsize=4096)
def schedule_of(doctor: UUID) -> UUID:
    """Return the id of a doctor's schedule."""
    return uuid5(SCHEDULES, str(doctor))


class Schedule(State):
    """A doctor's hours; no hours until they are set."""

    kind: ClassVar[str] = "schedules"
    timetable: Timetable | None = None

    def evolve(self, event: ScheduleEvent) -> Self:
        return replace(self, timetable=Timetable(**only(Timetable, event)))

    def covering(self, start: datetime, end: datetime, zone_name: str, closed: Container[date] = ()) -> list[UUID | None]:
        """Return where all of [start, end) is worked."""
        return self.timetable.covering(start, end, zone_name, closed) if self.timetable else []

    def offers(self, start: datetime, grid: int, place: UUID | None, zone_name: str, closed: Container[date] = ()) -> bool:
        """Say whether a start is one of those that the hours at a place offer."""
        return self.timetable is not None and start in self.timetable.starts(day(start, zone_name), grid, zone_name, closed).get(place, ())

    def pace(self, minutes: int) -> Pace:
        """Return how visits of that length follow each other."""
        return self.timetable.pace(minutes) if self.timetable else Pace(minutes)

    def claims(self) -> frozenset[Claim]:
        """The places at which the doctor works, which stay open as long."""
        return frozenset(used(self.timetable.places)) if self.timetable else frozenset()

    def set(self, doctor: UUID, wanted: Timetable, *, own: bool, manages: bool) -> list[Event]:
        if not own and not manages:
            raise Forbidden(permission="settings.working_hours.manage")
        check(wanted)
        return [ScheduleSet(doctor_id=doctor, **only(Timetable, wanted))]


class BlockedTime(State):
    """A holiday, a meeting, a room under repair: time in which nothing is booked."""

    kind: ClassVar[str] = "blocks"
    blocked: Blocked | None = None
    despite_bookings: bool = False

    def evolve(self, event: BlockEvent) -> Self:
        match event:
            case TimeBlocked(despite_bookings=despite):
                return replace(self, blocked=Blocked(**only(Blocked, event)), despite_bookings=despite)
            case BlockRetimed(despite_bookings=despite) as e:
                span = {"on": e.on, "last_on": e.last_on, "start_local": e.start_local, "end_local": e.end_local, "zone": e.zone, "starts_at": e.starts_at, "ends_at": e.ends_at}
                return replace(self, blocked=self.blocked and replace(self.blocked, **span), despite_bookings=despite)
            case TimeUnblocked():
                return replace(self, blocked=None)

    def claims(self) -> frozenset[Claim]:
        """The doctor's or the room's time; by force if appointments stand in it, and then too nothing more is booked there."""
        if (b := self.blocked) is None:
            return frozenset()
        whose = {"doctor": b.doctor_id, "room": b.room_id}
        return frozenset(TimeClaim(kind=kind, id=id_, start=b.starts_at, end=b.ends_at, forced=self.despite_bookings) for kind, id_ in whose.items() if id_ is not None)

    def block(
        self, doctor: UUID | None, room: UUID | None, wanted: Period, reason: str | None, *, own: bool, manages: bool, despite_bookings: bool = False,
    ) -> list[Event]:
        if doctor is not None and not own and not manages:
            raise Forbidden(permission="settings.working_hours.manage")
        if doctor is None and room is None:
            raise BlockOfNothing
        if not timedelta() < wanted.ends_at - wanted.starts_at <= LONGEST:
            raise BlockNeverEnds
        if despite_bookings and not reason:
            raise AbsenceNeedsReason
        return [TimeBlocked(doctor_id=doctor, room_id=room, **only(Period, wanted), reason=reason, despite_bookings=despite_bookings)]

    def retime(self, zone_name: str, now: datetime, *, force: bool = False) -> list[Event]:
        """Have it at the same time on the wall by the clocks of a zone, as they go now, unless it is over."""
        if (b := self.blocked) is None or (to := retimed(b, zone_name, b.end_local)) is None or max(b.ends_at, to.ends_at) <= now:
            return []
        return [BlockRetimed(
            doctor_id=b.doctor_id, room_id=b.room_id, on=date.fromisoformat(to.start_local[:10]), last_on=day(to.ends_at - timedelta(microseconds=1), zone_name),
            end_local=wall(to.ends_at, zone_name).isoformat(timespec="seconds"), despite_bookings=self.despite_bookings or force, **only(Retimed, to))]

    def unblock(self, subject: UUID | None, *, manages: bool) -> list[Event]:
        if (b := self.blocked) is None:
            raise NotFound
        if b.doctor_id not in {None, subject} and not manages:
            raise Forbidden(permission="settings.working_hours.manage")
        return [TimeUnblocked(doctor_id=b.doctor_id, room_id=b.room_id, on=b.on)]


def period(start: datetime, end: datetime, now: datetime, zone_name: str) -> Period:
    """Return a period from wall-clock times of the clinic, or from instants."""
    if any(abs(edge.replace(tzinfo=None) - now.replace(tzinfo=None)) > REACH for edge in (start, end)):
        raise BlockTooFar
    starts_at, ends_at = (instant(edge.replace(second=0, microsecond=0), zone_name) for edge in (start, end))
    first, last = wall(starts_at, zone_name), wall(ends_at, zone_name)
    return Period(
        on=first.date(), last_on=day(ends_at - timedelta(microseconds=1), zone_name), start_local=first.isoformat(timespec="seconds"),
        end_local=last.isoformat(timespec="seconds"), zone=zone_name, starts_at=starts_at, ends_at=ends_at,
    )


def check(wanted: Timetable) -> None:
    """Refuse hours that make no sense."""
    if len(wanted.week) != WEEK:
        raise WeekIncomplete
    dates = [e.on for e in wanted.exceptions]
    if len(dates) != len(set(dates)):
        raise DateTwice
    for hours in [*wanted.week, *(e.hours for e in wanted.exceptions)]:
        edges = [minute(edge) for h in hours for edge in (h.start, h.end)]
        if edges != sorted(edges) or any(h.start == h.end for h in hours):
            raise HoursOverlap(hours=[f"{h.start}-{h.end}" for h in hours])


def minute(clock: str) -> int:
    """Return the minutes since midnight of "HH:MM"."""
    return int(clock[:2]) * 60 + int(clock[3:])


@lru_cache(maxsize=16_384)
def stretches(on: date, zone_name: str) -> tuple[tuple[datetime, datetime, timedelta], ...]:
    """Return the instants of a clinic's day as stretches of UTC with one offset each: more than one when the clocks change.

    Where an hour is repeated its minutes are in two stretches, where one is skipped in none; so working hours are exactly the instants at which the clock on
    the wall shows them.
    """
    there = zone(zone_name)
    midnight = datetime(on.year, on.month, on.day, tzinfo=UTC)
    edges = [midnight - WIDEST, *changes(midnight - WIDEST, midnight + timedelta(days=1) + WIDEST, zone_name), midnight + timedelta(days=1) + WIDEST]
    found = []
    for left, right in pairwise(edges):
        offset = left.astimezone(there).utcoffset() or timedelta()
        start, end = max(left, midnight - offset), min(right, midnight + timedelta(days=1) - offset)
        if start < end:
            found.append((start, end, offset))
    return tuple(found)


def changes(start: datetime, end: datetime, zone_name: str) -> list[datetime]:
    """Return the instants in (start, end) at which the clocks change."""
    there, hour, second = zone(zone_name), timedelta(hours=1), timedelta(seconds=1)
    found = []
    while start < end:
        low, high = start, min(start + hour, end)
        if low.astimezone(there).utcoffset() != high.astimezone(there).utcoffset():
            while high - low > second:
                middle = (low + (high - low) / 2).replace(microsecond=0)
                if middle.astimezone(there).utcoffset() == start.astimezone(there).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        start += hour
    return found


@lru_cache(maxsize=65_536)
def openings(on: date, first: int, last: int, zone_name: str) -> tuple[Interval, ...]:
    """Return the instants at which the wall clock of that day reads from `first` up to `last` (minutes since midnight)."""
    midnight = datetime(on.year, on.month, on.day, tzinfo=UTC)
    found = []
    for start, end, offset in stretches(on, zone_name):
        opens = max(start, midnight + timedelta(minutes=first) - offset)
        closes = min(end, midnight + timedelta(minutes=last) - offset)
        if opens < closes:
            found.append((opens, closes))
    return tuple(found)


@lru_cache(maxsize=16_384)
def starts_on(on: date, hours: tuple[tuple[str, str], ...], grid: int, zone_name: str) -> tuple[datetime, ...]:
    """Return the instants at which the wall clock shows a start of the grid."""
    marks = {mark for start, end in hours for mark in range(minute(start), minute(end), grid)}
    midnight = datetime(on.year, on.month, on.day, tzinfo=UTC)
    return tuple(sorted(
        start_at
        for start, end, offset in stretches(on, zone_name)
        for mark in marks
        if start <= (start_at := midnight + timedelta(minutes=mark) - offset) < end
    ))


def days_of(first: date, last: date) -> list[date]:
    """Return the days from one to another, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def fitting(starts: Sequence[datetime], worked: Iterable[Interval], pace: Pace, taken: Sequence[Interval]) -> Iterator[tuple[int, int]]:
    """Yield the runs [first, last) of starts at which a visit lies within what is worked, and with its buffers beside what is taken, which is `merged`.

    It goes from gap to gap instead of from start to start, so a full day costs little.
    """
    before, after = pace.buffers
    for opens, closes in worked:
        if not starts or closes <= starts[0] or opens > starts[-1]:
            continue
        latest, free = closes - pace.length, max(opens, starts[0])
        for n in range(bisect_left(taken, free - before, key=itemgetter(1)), len(taken)):
            begins, ends = taken[n]
            if begins - after - pace.length >= latest or free > starts[-1]:
                break
            yield bisect_left(starts, free), bisect_right(starts, begins - after - pace.length)
            free = max(free, ends + before)
        yield bisect_left(starts, free), bisect_right(starts, latest)


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Join intervals that touch or overlap."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def covered(wanted: Interval, worked: Sequence[Interval]) -> bool:
    """Say whether an interval lies within one of these."""
    return any(start <= wanted[0] and wanted[1] <= end for start, end in worked)


def meets(wanted: Interval, taken: Sequence[Interval]) -> bool:
    """Say whether a half-open interval overlaps one of these, which are `merged`."""
    earlier = bisect_left(taken, (wanted[1],))
    return earlier > 0 and taken[earlier - 1][1] > wanted[0]
