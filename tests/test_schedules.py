"""Schedules: hours in the clinic's zone, right on the days the clocks change; blocked time."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import replace

from commands.schedules import BlockTime, SetDoctorSchedule, UnblockTime
from domain.kit import Forbidden, NotFound, TimeClaim, TimeMissing, TimeRepeated, ZoneUnknown
from domain.kit.grants import granted
from domain.kit.paces import Pace
from domain.schedules import (
    BlockedTime,
    BlockNeverEnds,
    BlockOfNothing,
    BlockTooFar,
    DateTwice,
    DayHours,
    Hours,
    HoursOverlap,
    Schedule,
    ScheduleSet,
    TimeBlocked,
    Timetable,
    TimeUnblocked,
    WeekIncomplete,
    merged,
    openings,
    schedule_of,
)
from projections.schedules import blocks, schedules
from schemas.schedules import BlockRow, ScheduleRow
from tests.kit import THIS, facts, given, noon

DOCTOR, ROOM = UUID(int=3), UUID(int=4)
OFFICE = [Hours(start="09:00", end="12:00"), Hours(start="13:00", end="17:00")]
WEEK = [OFFICE, OFFICE, OFFICE, OFFICE, OFFICE, [], []]
set_ = ScheduleSet(doctor_id=DOCTOR, week=WEEK)
doctor = replace(noon, subject=DOCTOR, grants=granted("doctor"))


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def covers(schedule, start, end, zone):
    """Say whether it is worked, at the clinic itself."""
    return schedule.covering(start, end, zone) == [None]


def slots(table, on, minutes, zone, busy=()):
    """Return a day's visits at the clinic itself."""
    found = table.slots([on], table.pace(minutes), zone, merged(busy))
    assert {place for _, _, place in found} <= {None}
    return [(start, end) for start, end, _ in found]


# setting the hours


def test_an_admin_sets_a_doctors_hours():
    given().looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=WEEK)).then(set_)


def test_doctors_set_their_own_hours_and_nobody_elses():
    given(at=doctor).looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=WEEK)).then(set_)
    given(at=doctor).looking(places=[]).when(SetDoctorSchedule(doctor_id=UUID(int=99), week=WEEK)).refused(Forbidden)


def test_the_hours_of_a_doctor_have_one_stream():
    first, second = (SetDoctorSchedule(doctor_id=DOCTOR, week=week).stream(noon) for week in (WEEK, [[]] * 7))
    assert first == second == schedule_of(DOCTOR) != schedule_of(ROOM)


@pytest.mark.parametrize("hours", [
    [Hours(start="12:00", end="12:00")],
    [Hours(start="12:00", end="09:00")],
    [Hours(start="09:00", end="12:00"), Hours(start="11:59", end="13:00")],
    [Hours(start="13:00", end="14:00"), Hours(start="09:00", end="12:00")],
])
def test_hours_are_in_order_and_do_not_overlap(hours):
    given().looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=[hours, *WEEK[1:]])).refused(HoursOverlap)
    off = [DayHours(on=date(2026, 5, 5), hours=hours)]
    given().looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=WEEK, exceptions=off)).refused(HoursOverlap)


def test_hours_may_touch_and_last_all_day():
    hours = [Hours(start="00:00", end="12:00"), Hours(start="12:00", end="24:00")]
    given().looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=[hours] * 7)).then(ScheduleSet(doctor_id=DOCTOR, week=[hours] * 7))


def test_a_week_has_seven_days_and_a_date_one_exception():
    given().looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=WEEK[:6])).refused(WeekIncomplete)
    twice = [DayHours(on=date(2026, 5, 5), hours=[]), DayHours(on=date(2026, 5, 5), hours=OFFICE)]
    given().looking(places=[]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=WEEK, exceptions=twice)).refused(DateTwice)


@pytest.mark.parametrize("clock", ["9:00", "24:01", "25:00", "09:60", "09:00:00", ""])
def test_a_clock_shows_hours_and_minutes(clock):
    body = to_builtins(SetDoctorSchedule(doctor_id=DOCTOR, week=[[Hours(start="08:00", end=clock)], *WEEK[1:]]))
    with pytest.raises(ValidationError):
        convert(body, SetDoctorSchedule)


def test_an_exception_takes_the_place_of_the_weeks_hours():
    off = DayHours(on=date(2026, 1, 6), hours=[])
    late = DayHours(on=date(2026, 1, 10), hours=[Hours(start="18:00", end="20:00")])
    schedule = Schedule.replay([replace(set_, exceptions=[off, late])])
    assert covers(schedule, at("2026-01-05 08:00"), at("2026-01-05 11:00"), "Europe/Amsterdam")
    assert not covers(schedule, at("2026-01-06 08:00"), at("2026-01-06 09:00"), "Europe/Amsterdam")
    assert covers(schedule, at("2026-01-10 17:00"), at("2026-01-10 19:00"), "Europe/Amsterdam")


def test_without_a_schedule_a_doctor_does_not_work():
    assert not covers(Schedule(), at("2026-01-05 09:00"), at("2026-01-05 09:30"), "UTC")
    assert Schedule().pace(30) == Pace(30)


def test_hours_that_touch_are_worked_through_also_at_midnight():
    night = [Hours(start="00:00", end="06:00"), Hours(start="22:00", end="24:00")]
    schedule = Schedule.replay([ScheduleSet(doctor_id=DOCTOR, week=[night] * 7)])
    assert covers(schedule, at("2026-01-05 23:00"), at("2026-01-06 02:00"), "UTC")
    assert not covers(schedule, at("2026-01-05 05:00"), at("2026-01-05 06:01"), "UTC")


def test_a_schedule_as_it_is_seen():
    row = None
    for fact in facts(set_, replace(set_, buffer_after=10, exceptions=[DayHours(on=date(2026, 1, 6), hours=[])])):
        row = schedules(row, fact)
    off = [DayHours(on=date(2026, 1, 6), hours=[])]
    assert row == ScheduleRow(
        id=THIS, doctor_id=DOCTOR, week=WEEK, exceptions=off, buffer_before=0, buffer_after=10, slot_minutes=15)


# the days the clocks change


def test_the_skipped_hour_is_not_worked():
    assert openings(date(2026, 3, 29), 60, 240, "Europe/Amsterdam") == (
        (at("2026-03-29 00:00"), at("2026-03-29 01:00")), (at("2026-03-29 01:00"), at("2026-03-29 02:00")),
    )


def test_the_repeated_hour_is_worked_twice():
    first, second = openings(date(2026, 10, 25), 120, 180, "Europe/Amsterdam")
    assert first == (at("2026-10-25 00:00"), at("2026-10-25 01:00"))
    assert second == (at("2026-10-25 01:00"), at("2026-10-25 02:00"))


def test_a_visit_crosses_the_change_of_the_clocks():
    schedule = Schedule.replay([ScheduleSet(doctor_id=DOCTOR, week=[[Hours(start="00:00", end="24:00")]] * 7)])
    for start in ("2026-03-29 00:30", "2026-10-25 00:30"):
        assert covers(schedule, at(start), at(start) + timedelta(hours=3), "Europe/Amsterdam")


def test_a_slot_is_offered_for_each_of_two_equal_times():
    table = Timetable(week=[[Hours(start="02:00", end="03:00")]] * 7, slot_minutes=30)
    starts = [start for start, _ in slots(table, date(2026, 10, 25), 30, "Europe/Amsterdam")]
    assert starts == [at("2026-10-25 00:00"), at("2026-10-25 00:30"), at("2026-10-25 01:00"), at("2026-10-25 01:30")]
    assert slots(table, date(2026, 3, 29), 30, "Europe/Amsterdam") == []


def test_a_day_that_a_country_left_out_has_no_slots():
    table = Timetable(week=[OFFICE] * 7)
    assert slots(table, date(2011, 12, 30), 30, "Pacific/Apia") == []
    assert slots(table, date(2011, 12, 31), 30, "Pacific/Apia")


def test_an_unknown_zone_is_refused():
    with pytest.raises(ZoneUnknown):
        slots(Timetable(week=[OFFICE] * 7), date(2026, 1, 5), 30, "Europe/Gotham")


# a second computation, minute by minute, that shares nothing with the first

DAYS = [
    ("Europe/Amsterdam", date(2026, 3, 29)), ("Europe/Amsterdam", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)), ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)), ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Africa/Cairo", date(2026, 4, 24)), ("Africa/Cairo", date(2026, 10, 29)), ("Africa/Cairo", date(2026, 10, 30)),
    ("Asia/Kathmandu", date(2026, 6, 1)), ("Asia/Kathmandu", date(1986, 1, 1)),
    ("America/St_Johns", date(2010, 11, 6)), ("America/St_Johns", date(2010, 11, 7)),  # 00:01 went back to 23:01 of the day before
    ("Pacific/Apia", date(2011, 12, 29)), ("America/Havana", date(2026, 11, 1)), ("Pacific/Kiritimati", date(2026, 1, 1)),
]
MINUTE = timedelta(minutes=1)


@cache
def walls(zone: str, on: date) -> list[tuple[datetime, date, int]]:
    """Every minute around a day, and what the wall says then."""
    first = datetime(on.year, on.month, on.day, tzinfo=UTC) - timedelta(hours=40)
    found = [(moment, moment.astimezone(ZoneInfo(zone))) for moment in (first + n * MINUTE for n in range(104 * 60))]
    return [(moment, wall.date(), wall.hour * 60 + wall.minute) for moment, wall in found]


def walk(zone: str, on: date, hours: dict[date, list[tuple[int, int]]]) -> dict[datetime, tuple[date, int, bool]]:
    """Every minute around a day: what the wall says, and whether it is worked."""
    return {moment: (day, clock, any(a <= clock < b for a, b in hours.get(day, ()))) for moment, day, clock in walls(zone, on)}


def slots_by_walking(zone, on, hours, busy, *, grid, length, before, after):
    minutes = walk(zone, on, hours)
    taken = {a + n * MINUTE for a, b in busy for n in range((b - a) // MINUTE)}
    return [
        moment for moment, (day, clock, _) in minutes.items()
        if day == on
        and any(a <= clock < b and (clock - a) % grid == 0 for a, b in hours.get(on, []))
        and all(minutes[moment + n * MINUTE][2] for n in range(length))
        and not any(moment + n * MINUTE in taken for n in range(-before, length + after))
    ]


@st.composite
def days(draw):
    edges = sorted(draw(st.lists(st.integers(0, 288).map(lambda n: n * 5), unique=True, min_size=2, max_size=6)))
    return list(zip(edges[::2], edges[1::2], strict=False))


@st.composite
def questions(draw):
    zone, on = draw(st.sampled_from(DAYS))
    week = [draw(days()) for _ in range(7)]
    exceptions = draw(st.dictionaries(st.integers(-1, 1).map(lambda n: on + timedelta(days=n)), days(), max_size=2))
    start = datetime(on.year, on.month, on.day, tzinfo=UTC) - timedelta(hours=14)
    busy = [
        (start + a * MINUTE, start + (a + n) * MINUTE)
        for a, n in draw(st.lists(st.tuples(st.integers(0, 52 * 60), st.integers(1, 300)), max_size=5))
    ]
    return zone, on, week, exceptions, busy


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def hours_of(pairs: list[tuple[int, int]]) -> list[Hours]:
    return [Hours(start=clock(a), end=clock(b)) for a, b in pairs]


@settings(max_examples=120, deadline=None)
@forall(questions(), st.sampled_from([5, 10, 15, 20, 45, 60]), st.integers(5, 200), st.integers(0, 30), st.integers(0, 30))
@example(("Africa/Cairo", date(2026, 10, 29), [[(0, 1440)]] * 7, {}, []), 60, 90, 0, 0)
@example(("Australia/Lord_Howe", date(2026, 4, 5), [[(0, 1440)]] * 7, {}, []), 15, 45, 5, 5)
@example(("America/St_Johns", date(2010, 11, 7), [[(0, 1385)]] * 7, {}, []), 5, 5, 0, 0)  # the clocks went back at a minute past midnight
def test_slots_are_those_that_a_walk_through_the_minutes_finds(question, grid, length, before, after):
    zone, on, week, exceptions, busy = question
    table = Timetable(
        week=[hours_of(day) for day in week], exceptions=[DayHours(on=day, hours=hours_of(pairs)) for day, pairs in exceptions.items()],
        buffer_before=before, buffer_after=after, slot_minutes=grid,
    )
    around = {on + timedelta(days=n): week[(on + timedelta(days=n)).weekday()] for n in range(-3, 4)} | exceptions
    expected = slots_by_walking(zone, on, around, busy, grid=grid, length=length, before=before, after=after)
    assert slots(table, on, length, zone, busy) == [(start, start + length * MINUTE) for start in expected]


@settings(max_examples=120, deadline=None)
@forall(questions(), st.integers(0, 47 * 60), st.integers(1, 600))
def test_a_doctor_works_when_a_walk_through_the_minutes_says_so(question, start, length):
    zone, on, week, exceptions, _ = question
    schedule = Schedule.replay([ScheduleSet(
        doctor_id=DOCTOR, week=[hours_of(day) for day in week],
        exceptions=[DayHours(on=day, hours=hours_of(pairs)) for day, pairs in exceptions.items()],
    )])
    around = {on + timedelta(days=n): week[(on + timedelta(days=n)).weekday()] for n in range(-3, 4)} | exceptions
    minutes = walk(zone, on, around)
    first = datetime(on.year, on.month, on.day, tzinfo=UTC) - timedelta(hours=12) + start * MINUTE
    expected = all(minutes[first + n * MINUTE][2] for n in range(length))
    assert covers(schedule, first, first + length * MINUTE, zone) == expected


# blocked time

MORNING = local("2026-01-07 09:00")
blocked = TimeBlocked(
    doctor_id=DOCTOR, on=date(2026, 1, 7), last_on=date(2026, 1, 7), start_local="2026-01-07T09:00:00", end_local="2026-01-07T10:00:00",
    zone="Europe/Amsterdam", starts_at=at("2026-01-07 08:00"), ends_at=at("2026-01-07 09:00"), reason="Meeting",
)
free = TimeUnblocked(doctor_id=DOCTOR, on=date(2026, 1, 7))


def test_a_doctors_time_is_blocked_and_given_free():
    given().when(BlockTime(doctor_id=DOCTOR, start=MORNING, end=local("2026-01-07 10:00"), reason="Meeting")).then(blocked)
    given(blocked).when(UnblockTime()).then(free)
    given(blocked, free).when(UnblockTime()).refused(NotFound)


def test_blocked_time_is_claimed_until_it_is_free():
    claim = TimeClaim(kind="doctor", id=DOCTOR, start=at("2026-01-07 08:00"), end=at("2026-01-07 09:00"))
    assert BlockedTime.replay([blocked]).claims() == {claim}
    assert BlockedTime.replay([replace(blocked, doctor_id=None, room_id=ROOM)]).claims() == {replace(claim, kind="room", id=ROOM)}
    assert BlockedTime.replay([replace(blocked, room_id=ROOM)]).claims() == {claim, replace(claim, kind="room", id=ROOM)}
    assert BlockedTime.replay([blocked, free]).claims() == frozenset()
    assert BlockedTime().claims() == frozenset()


def test_blocked_time_is_somebodys_and_has_an_end():
    given().when(BlockTime(start=MORNING, end=local("2026-01-07 10:00"))).refused(BlockOfNothing)
    for end in (MORNING, local("2026-01-07 08:00"), local("2027-01-09 09:00")):
        given().when(BlockTime(room_id=ROOM, start=MORNING, end=end)).refused(BlockNeverEnds)


@pytest.mark.parametrize("far", [local("0001-01-01 00:00"), local("9999-12-31 23:59"), local("2030-01-01 00:00")])
def test_time_is_blocked_in_the_near_future_or_past(far):
    given().when(BlockTime(room_id=ROOM, start=MORNING, end=far)).refused(BlockTooFar)
    given().when(BlockTime(room_id=ROOM, start=far, end=MORNING)).refused(BlockTooFar)


def test_a_time_that_does_not_exist_or_happens_twice_is_not_guessed():
    given().when(BlockTime(room_id=ROOM, start=local("2026-03-29 02:30"), end=local("2026-03-29 05:00"))).refused(TimeMissing)
    given().when(BlockTime(room_id=ROOM, start=local("2026-10-25 02:30"), end=local("2026-10-25 05:00"))).refused(TimeRepeated)
    told = at("2026-10-25 01:30")
    (event,) = BlockTime(room_id=ROOM, start=told, end=local("2026-10-25 05:00")).decide(BlockedTime(), noon)
    assert (event.starts_at, event.start_local) == (told, "2026-10-25T02:30:00")


def test_a_holiday_is_in_the_calendar_on_each_of_its_days():
    (event,) = BlockTime(doctor_id=DOCTOR, start=local("2026-01-07 00:00"), end=local("2026-01-10 00:00")).decide(BlockedTime(), noon)
    assert (event.on, event.last_on) == (date(2026, 1, 7), date(2026, 1, 9))


def test_blocked_time_as_it_is_seen():
    (first, second) = facts(blocked, free)
    row = blocks(None, first)
    assert row == BlockRow(
        id=THIS, doctor_id=DOCTOR, room_id=None, date=date(2026, 1, 7), last_date=date(2026, 1, 7), start_local="2026-01-07T09:00:00",
        end_local="2026-01-07T10:00:00", starts_at=at("2026-01-07 08:00"), ends_at=at("2026-01-07 09:00"), reason="Meeting",
    )
    assert blocks(row, second) is None


def test_without_the_key_blocked_time_is_still_decided_alike():
    assert BlockedTime.replay([blocked]) == BlockedTime.replay([replace(blocked, reason=None)])
