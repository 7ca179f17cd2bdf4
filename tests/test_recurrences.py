"""Recurring series: by a rule, all or nothing or each for itself; changed and cancelled together without a visit more or less than was booked."""

import asyncio
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given as draws
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.appointments import ChangeAppointment, ChangeAppointmentStatus, RemoveAppointment
from commands.kit.handling import Receipt
from commands.patients import MergePatients, UnmergePatients
from commands.recurrences import (
    BookAppointmentSeries,
    CancelAppointmentSeries,
    ChangeAppointmentSeries,
    ExtendAppointmentSeries,
)
from commands.schedules import BlockTime
from domain.appointments import Appointment
from domain.kit import Invalid, NotFound, Refused, TimeClaim
from domain.kit.wishes import TAKEN, Way, Wish, settled
from domain.recurrences import (
    MOST,
    WEEKDAYS,
    NothingAsked,
    NothingToCome,
    OccurrencesRefused,
    OccurrenceUnnamed,
    Recurrence,
    Rule,
    RuleContradictory,
    SeriesEmpty,
    SeriesEndless,
    SeriesTooLong,
    expand,
    visit_of,
)
from projections.kit.rebuild import verify
from tests.clinic import Town, handling, stored
from tests.served import failure, served, until, working

MONDAY = date(2026, 3, 2)


def fits(rule: Rule, first: date, day: date) -> bool:  # noqa: PLR0911 - one for each kind of rule
    """Say whether a day is one of a rule's, told day by day: the oracle, which goes another way than the rule's own."""
    if day < first:
        return False
    if rule.unit == "days":
        return (day - first).days % rule.every == 0
    if rule.unit == "weeks":
        weeks = ((day - timedelta(days=day.weekday())) - (first - timedelta(days=first.weekday()))).days // 7
        return weeks % rule.every == 0 and WEEKDAYS[day.weekday()] in (rule.weekdays or [WEEKDAYS[first.weekday()]])
    if ((day.year - first.year) * 12 + day.month - first.month) % rule.every:
        return False
    if rule.nth is None:
        return day.day == first.day
    wanted = rule.weekdays[0] if rule.weekdays else WEEKDAYS[first.weekday()]
    if WEEKDAYS[day.weekday()] != wanted:
        return False
    last = day.day + 7 > monthrange(day.year, day.month)[1]
    return last if rule.nth == -1 else (day.day - 1) // 7 + 1 == rule.nth


def oracle(rule: Rule, first: date) -> list[date]:
    days = [first + timedelta(days=n) for n in range(732)]
    found = [day for day in days if fits(rule, first, day) and (rule.until is None or day <= rule.until)]
    return found[: rule.count]


RULES = st.one_of(
    st.builds(Rule, unit=st.just("days"), every=st.integers(1, 40), count=st.integers(1, 30)),
    st.builds(Rule, unit=st.just("weeks"), every=st.integers(1, 5), weekdays=st.lists(st.sampled_from(WEEKDAYS), max_size=4), count=st.integers(1, 20)),
    st.builds(Rule, unit=st.just("months"), every=st.integers(1, 3), count=st.integers(1, 6)),
    st.builds(Rule, unit=st.just("months"), every=st.integers(1, 2), nth=st.sampled_from([-1, 1, 2, 3, 4, 5]), weekdays=st.lists(st.sampled_from(WEEKDAYS), max_size=1), count=st.integers(1, 6)),
)


@settings(max_examples=300, deadline=None)
@draws(RULES, st.dates(date(2024, 1, 1), date(2030, 12, 31)), st.one_of(st.none(), st.integers(0, 700)))
def test_a_rule_has_the_days_that_fit_it(rule: Rule, first: date, until_after: int | None) -> None:
    if until_after is not None:
        rule = replace(rule, count=None, until=first + timedelta(days=until_after))
    wanted = oracle(rule, first)
    if wanted and len(wanted) <= MOST and (rule.count is None or len(wanted) == rule.count):
        assert expand(rule, first).days == wanted
    else:
        with pytest.raises(SeriesEmpty if not wanted and rule.until else SeriesTooLong):
            expand(rule, first)


def test_months_without_that_day_are_skipped_and_said_so() -> None:
    found = expand(Rule(unit="months", count=4), date(2026, 1, 31))
    assert found.days == [date(2026, 1, 31), date(2026, 3, 31), date(2026, 5, 31), date(2026, 7, 31)]
    assert found.missing == ["2026-02", "2026-04", "2026-06"]
    fifth = expand(Rule(unit="months", nth=5, weekdays=["monday"], count=2), MONDAY)
    assert (fifth.days, fifth.missing) == ([date(2026, 3, 30), date(2026, 6, 29)], ["2026-04", "2026-05"])


@pytest.mark.parametrize(("rule", "why"), [
    (Rule(unit="days"), SeriesEndless), (Rule(unit="days", count=3, until=MONDAY), SeriesEndless),
    (Rule(unit="days", until=MONDAY + timedelta(days=800)), SeriesTooLong), (Rule(unit="days", until=MONDAY + timedelta(days=200)), SeriesTooLong),
    (Rule(unit="months", every=12, count=5), SeriesTooLong), (Rule(unit="days", until=MONDAY - timedelta(days=1)), SeriesEmpty),
    (Rule(unit="days", weekdays=["monday"], count=1), RuleContradictory), (Rule(unit="months", weekdays=["monday"], count=1), RuleContradictory),
    (Rule(unit="weeks", nth=1, count=1), RuleContradictory), (Rule(unit="months", nth=1, weekdays=["monday", "friday"], count=1), RuleContradictory),
])
def test_a_rule_that_makes_no_sense_is_refused(rule: Rule, why: type[Invalid]) -> None:
    with pytest.raises(why):
        expand(rule, MONDAY)


def test_the_calendars_end_is_no_trouble() -> None:
    for unit in ("days", "weeks", "months"):
        with pytest.raises(SeriesTooLong):
            expand(Rule(unit=unit, count=100), date(9999, 12, 20))


def claim(hour: int, hours: int = 1) -> frozenset[Any]:
    start = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hour)
    return frozenset({TimeClaim(kind="doctor", id=UUID(int=1), start=start, end=start + timedelta(hours=hours))})


def test_of_visits_that_meet_the_earlier_is_had_and_who_stays_is_in_the_way() -> None:
    assert why(wish(1, None, 9), wish(2, None, 9), wish(3, None, 10)) == {2: TAKEN}
    assert why(wish(1, 9, 10), wish(2, 10, 11)) == {}  # the second makes room
    assert why(wish(1, 9, 10), wish(2, 10, 11, why=TAKEN)) == {1: TAKEN, 2: TAKEN}
    assert why(wish(1, 9, 9, why="DOCTOR_NOT_WORKING"), wish(2, 10, 11)) == {1: "DOCTOR_NOT_WORKING"}


def test_what_cannot_be_had_in_one_way_is_had_in_the_next() -> None:
    assert [way.done for way in settled([wish(1, None, 9), wish(2, None, 9, 10), wish(3, None, 9, 10, 11)]).values()] == ["9", "10", "11"]
    assert why(wish(1, None, 9), wish(2, 12, 9, 9), wish(3, None, 12)) == {2: TAKEN, 3: TAKEN}  # whoever stays is in the third's way


def test_nobody_who_can_stay_is_driven_out_by_somebody_who_must_go() -> None:
    assert {id_.int: way.done for id_, way in settled([wish(1, None, 9), wish(2, None, 9, 10, 11), wish(3, None, 10)]).items()} == {1: "9", 3: "10", 2: "11"}


def wish(number: int, before: int | None, *after: int, why: str | None = None) -> Wish[str]:
    return Wish(UUID(int=number), claim(before) if before else frozenset(), [[Way(claim(hour), str(hour), why)] for hour in after])


def why(*wishes: Wish[str]) -> dict[int, str]:
    return {id_.int: way.why for id_, way in settled(wishes).items() if way.why}


# --- on a real store


@pytest.fixture
def database(module_database: Any) -> Any:
    return module_database


def series(town: Town, **other: Any) -> BookAppointmentSeries:
    wanted = {
        "patient_id": town.patient, "doctor_id": town.doctor, "room_id": town.room, "start": town.at(0), "duration": 30, "notes": "Bring the splint",
        "rule": Rule(unit="weeks", count=5), **other}
    return BookAppointmentSeries(**wanted)


def outcomes(receipt: Receipt) -> list[str]:
    row: Any = receipt.row
    return [one.code or one.outcome for one in row.latest]


async def visits(town: Town, booked: Receipt) -> list[Any]:
    row: Any = booked.row
    ids = [one.appointment_id for one in row.occurrences if one.appointment_id]
    found = [await town.handler.streams.latest(Appointment, id_, town.id, row=True) for id_ in ids]
    return [entry.row for entry in found]


def count_booked(database: Any, town: Town) -> int:
    return sum(one.topic == "AppointmentBooked" and one.clinic == town.id for one in stored(database))


async def test_a_series_is_booked_in_one_save_and_each_visit_knows_it(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town))
        rows = await visits(town, booked)
        assert [(row.series_id, row.occurrence, row.notes) for row in rows] == [(booked.id, n, "Bring the splint") for n in range(1, 6)]
        assert [row.start_local for row in rows] == [f"{(town.at(0) + timedelta(weeks=n)).isoformat()}" for n in range(5)]
        assert [row.id for row in rows] == [visit_of(booked.id, n) for n in range(1, 6)]
        saved = [one for one in stored(database) if one.clinic == town.id and one.topic in {"AppointmentBooked", "AppointmentSeriesBooked"}]
        assert len({one.command for one in saved}) == 1
        assert len(saved) == 6


@pytest.mark.parametrize("hour", [1, 2, 3, 9])
async def test_the_wall_clock_stays_when_the_clocks_change(database: Any, hour: int) -> None:
    """Over both changes of 2026 in Amsterdam; what does not exist that night, or exists twice, is said."""
    async with handling(database) as handler:
        town = await Town.open(handler)
        for day, why in ((datetime(2026, 3, 27, hour), "TIME_MISSING"), (datetime(2026, 10, 23, hour), "TIME_REPEATED")):  # noqa: DTZ001 - as people say it
            booked = await town(series(town, start=day, rule=Rule(unit="days", count=4), mode="each"))
            assert outcomes(booked) == ["booked", "booked", why if hour == 2 else "booked", "booked"]
            assert {row.start_local[11:16] for row in await visits(town, booked)} == {f"{hour:02}:00"}
        utc = {row.starts_at.hour for row in await visits(town, booked)}
        assert len(utc) == 2  # so the instants did move


async def test_nothing_at_all_is_booked_if_the_last_visit_collides(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        other = await town.register("Smit")
        await town(town.visit(town.at(0) + timedelta(weeks=4), patient_id=other))
        before = len(stored(database))
        with pytest.raises(OccurrencesRefused) as refused:
            await town(series(town))
        last = (town.at(0) + timedelta(weeks=4)).date().isoformat()
        assert refused.value.details == {"occurrences": [{"number": 5, "on": last, "time": "09:00", "code": "TIME_TAKEN"}]}
        assert len(stored(database)) == before
        assert outcomes(await town(series(town, mode="each"))) == ["booked"] * 4 + ["TIME_TAKEN"]
        assert outcomes(await town(series(town, start=town.at(30)))) == ["booked"] * 5


async def test_every_reason_is_told_for_each_visit(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        await town(BlockTime(room_id=town.room, start=town.at(0) + timedelta(weeks=1), end=town.at(60) + timedelta(weeks=1)))
        past = town.at(0) - timedelta(weeks=3)
        booked = await town(series(town, start=past, rule=Rule(unit="weeks", count=6), mode="each"))
        assert outcomes(booked) == ["TIME_PAST", "TIME_PAST", "TIME_PAST", "booked", "TIME_TAKEN", "booked"]
        long = await town(series(town, start=town.at(600), duration=180, rule=Rule(unit="days", count=3)))
        assert outcomes(long) == ["booked"] * 3
        tangled = await town(series(town, start=town.at(24 * 60), duration=24 * 60, room_id=None, doctor_id=await town.hire("Dr Two"), patient_id=await town.register("Two"), rule=Rule(unit="days", count=3)))
        assert outcomes(tangled) == ["booked"] * 3


async def test_a_dry_run_says_what_the_run_does(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler, datetime.now(UTC))
        await town(town.visit(town.at(0) + timedelta(weeks=2), patient_id=await town.register("Smit")))
        command = series(town, start=town.at(0) - timedelta(weeks=2), mode="each")
        before = len(stored(database))
        rehearsed: Any = (await handler.rehearse(command, town.admin, uuid4()))[0]
        assert len(stored(database)) == before
        run: Any = (await handler.handle(command, town.admin)).row
        assert [(one.number, one.on, one.outcome, one.code) for one in rehearsed.occurrences] == [(one.number, one.on, one.outcome, one.code) for one in run.latest]


async def test_visits_to_come_are_changed_together_and_stay_who_they_are(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town))
        count = count_booked(database, town)
        changed = await town(ChangeAppointmentSeries(scope="following", occurrence=3, time="14:30", shift=2, type="hygiene"), booked.id)
        assert outcomes(changed) == ["changed"] * 3
        rows = await visits(town, changed)
        assert [row.start_local[11:16] for row in rows] == ["09:00", "09:00", "14:30", "14:30", "14:30"]
        assert [row.date.weekday() for row in rows] == [0, 0, 2, 2, 2]
        assert [(row.type, row.notes) for row in rows] == [("checkup", "Bring the splint")] * 2 + [("hygiene", "Bring the splint")] * 3
        assert [row.id for row in rows] == [visit_of(booked.id, n) for n in range(1, 6)]
        assert count_booked(database, town) == count
        history = [one.topic for one in stored(database) if one.stream == rows[3].id]
        assert history == ["AppointmentBooked", "AppointmentRescheduled"]
        one = await town(ChangeAppointmentSeries(scope="one", occurrence=2, room_id=None), booked.id)
        assert [row.room_id for row in await visits(town, one)] == [town.room, None, town.room, town.room, town.room]


async def test_a_series_that_runs_day_by_day_moves_into_its_own_places(database: Any) -> None:
    """Each visit moves to where the next one is: nobody is in anybody's way, for all go at once."""
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town, rule=Rule(unit="days", count=5)))
        moved = await town(ChangeAppointmentSeries(scope="all", shift=1), booked.id)
        assert outcomes(moved) == ["changed"] * 5
        await town(town.visit(town.at(0) + timedelta(days=7), patient_id=await town.register("Smit")))
        with pytest.raises(OccurrencesRefused):
            await town(ChangeAppointmentSeries(scope="all", shift=2), booked.id)
        each = await town(ChangeAppointmentSeries(scope="all", shift=2, mode="each"), booked.id)
        assert "TIME_TAKEN" in outcomes(each)
        days = [row.date for row in await visits(town, each)]
        assert len(set(days)) == 5


async def test_what_has_begun_or_is_over_and_what_was_moved_by_itself_stays(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town))
        ids = [visit_of(booked.id, n) for n in range(1, 6)]
        await town(ChangeAppointmentStatus(status="arrived"), ids[0])
        await town(ChangeAppointmentStatus(status="cancelled"), ids[1])
        elsewhere = town.at(0) + timedelta(weeks=2, days=1)
        await town(ChangeAppointment(doctor_id=town.doctor, start=elsewhere), ids[2])
        await town(RemoveAppointment(), ids[3])
        changed = await town(ChangeAppointmentSeries(scope="all", time="16:00"), booked.id)
        assert outcomes(changed) == ["VISIT_NOT_TO_COME", "VISIT_NOT_TO_COME", "MOVED_BY_ITSELF", "VISIT_NOT_TO_COME", "changed"]
        taken = await town(ChangeAppointmentSeries(scope="all", time="17:00", exceptions="take"), booked.id)
        assert outcomes(taken) == ["VISIT_NOT_TO_COME", "VISIT_NOT_TO_COME", "changed", "VISIT_NOT_TO_COME", "changed"]
        assert (await handler.streams.latest(Appointment, ids[2], town.id, row=True)).row.start_local == f"{elsewhere.date()}T17:00:00"
        assert outcomes(await town(CancelAppointmentSeries(scope="all", reason="Healed"), booked.id)) == ["VISIT_NOT_TO_COME", "VISIT_NOT_TO_COME", "cancelled", "VISIT_NOT_TO_COME", "cancelled"]
        for command in (CancelAppointmentSeries(scope="all"), ChangeAppointmentSeries(scope="all", time="18:00")):
            with pytest.raises(NothingToCome):
                await town(command, booked.id)
        later = town.now + timedelta(days=400)
        fresh = await town(series(town, start=town.at(120)))
        with pytest.raises(NothingToCome):
            await town(CancelAppointmentSeries(scope="all"), fresh.id, now=later)


async def test_a_series_goes_on_as_it_is_arranged_by_now(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town, rule=Rule(unit="weeks", weekdays=["monday", "sunday"], count=4)))
        await town(ChangeAppointmentSeries(scope="all", shift=1, time="14:00"), booked.id)
        await town(town.visit(town.at(300) + timedelta(weeks=2, days=1), patient_id=await town.register("Smit")))
        with pytest.raises(OccurrencesRefused):
            await town(ExtendAppointmentSeries(count=3), booked.id)
        extended = await town(ExtendAppointmentSeries(count=3, mode="each", notes="The last ones"), booked.id)
        assert outcomes(extended) == ["TIME_TAKEN", "booked", "booked"]
        rows = await visits(town, extended)
        assert [(row.occurrence, row.date.weekday(), row.start_local[11:16]) for row in rows] == [
            (1, 1, "14:00"), (2, 0, "14:00"), (3, 1, "14:00"), (4, 0, "14:00"), (6, 0, "14:00"), (7, 1, "14:00")]
        assert [row.notes for row in rows[4:]] == ["The last ones"] * 2
        for command, why in ((ExtendAppointmentSeries(), SeriesEndless), (ExtendAppointmentSeries(count=100), SeriesTooLong), (ExtendAppointmentSeries(until=town.now.date()), SeriesEmpty)):
            with pytest.raises(why):
                await town(command, booked.id)


async def test_what_is_asked_must_be_said(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town))
        wrong: list[tuple[Any, type[Refused]]] = [
            (ChangeAppointmentSeries(scope="all"), NothingAsked), (ChangeAppointmentSeries(scope="one", time="10:00"), OccurrenceUnnamed),
            (ChangeAppointmentSeries(scope="one", occurrence=9, time="10:00"), NotFound), (CancelAppointmentSeries(scope="following"), OccurrenceUnnamed),
        ]
        for command, why in wrong:
            with pytest.raises(why):
                await town(command, booked.id)


async def test_of_two_that_change_it_at_once_neither_is_lost(database: Any) -> None:
    """Over two processes: each is decided on what the other has left, and there are as many visits as before."""
    async with handling(database) as handler, handling(database) as other:
        town = await Town.open(handler)
        booked = await town(series(town, rule=Rule(unit="weeks", count=20)))
        asked = [
            one.handle(command, town.admin, id=booked.id, now=town.now)
            for one, command in ((handler, ChangeAppointmentSeries(scope="all", time="15:00")), (other, ChangeAppointmentSeries(scope="all", shift=1)))]
        await asyncio.gather(*asked)
        rows = await visits(town, booked)
        assert {(row.start_local[11:16], row.date.weekday()) for row in rows} == {("15:00", 1)}
        assert len({row.date for row in rows}) == count_booked(database, town) == 20


async def test_of_many_series_for_one_time_one_is_booked(database: Any) -> None:
    async with handling(database) as handler, handling(database) as other:
        town = await Town.open(handler)
        patients = [await town.register(f"P{n}") for n in range(6)]
        asked = [(handler, other)[n % 2].handle(series(town, patient_id=one), town.admin, now=town.now) for n, one in enumerate(patients)]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(one).__name__ == "Receipt" for one in got) == [False] * 5 + [True]
        assert {type(one).__name__ for one in got} <= {"Receipt", "OccurrencesRefused", "TimeTaken"}
        assert count_booked(database, town) == 5


async def test_a_series_goes_along_when_records_are_merged_and_comes_back(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        booked = await town(series(town))
        survivor = await town.register("Bakker-Smit")
        await town(MergePatients(loser_id=town.patient), survivor)
        state: Any = (await handler.streams.latest(Recurrence, booked.id, town.id)).state
        assert state.patient_id == survivor
        assert {row.patient_id for row in await visits(town, booked)} == {survivor}
        await town(ChangeAppointmentSeries(scope="all", time="11:00"), booked.id)
        await town(UnmergePatients(loser_id=town.patient), survivor)
        assert (await handler.streams.latest(Recurrence, booked.id, town.id)).state.patient_id == town.patient


async def test_on_the_web(database: Any, make_nats: Any) -> None:
    nats = make_nats()
    async with served(database, nats) as web, working(database, nats):
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        town = Town(web.services.handler, clinic, datetime.now(UTC))
        town.doctor = await town.hire()
        town.patient = await town.register()
        start = (datetime.now(UTC).date() + timedelta(days=14)).isoformat() + "T09:00:00"
        wanted = {"patientId": str(town.patient), "doctorId": str(town.doctor), "start": start, "rule": {"unit": "days", "every": 7, "count": 3}}
        dry = await admin("POST", "/appointment-series?dryRun=true", wanted)
        assert (dry.status_code, dry.json()["dryRun"], dry.json()["done"], dry.json()["id"]) == (200, True, 3, None)
        made = await admin("POST", "/appointment-series", wanted, headers={"idempotency-key": "k"})
        again = await admin("POST", "/appointment-series", wanted, headers={"idempotency-key": "k"})
        assert made.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        id_ = made.json()["id"]
        assert failure(await admin("POST", "/appointment-series", wanted), 409, "OCCURRENCES_REFUSED")[0]["occurrences"][0]["code"] == "TIME_TAKEN"
        each = await admin("POST", "/appointment-series", {**wanted, "start": start.replace("T09", "T10"), "mode": "each", "rule": {"unit": "days", "count": 8}})
        assert each.json()["done"] == 8
        changed = await admin("PUT", f"/appointment-series/{id_}", {"scope": "one", "occurrence": 2, "time": "10:00", "mode": "each"})
        assert failure(changed, 409, "OCCURRENCES_REFUSED")
        told = (await admin("PUT", f"/appointment-series/{id_}", {"scope": "all", "time": "10:00", "mode": "each"}, headers={"accept-language": "es"}))
        assert [(one["outcome"], one["code"]) for one in told.json()["items"]] == [("refused", "TIME_TAKEN")] * 2 + [("changed", None)]
        assert told.json()["items"][0]["reason"].startswith("Alguien")
        moved = await admin("PUT", f"/appointment-series/{id_}", {"scope": "all", "time": "12:00"})
        found = await admin("GET", f"/appointment-series/{id_}/visits", headers=await admin.seen(moved))
        assert [(one["status"], one["time"], one["moved"]) for one in found.json()["items"]] == [("booked", "12:00", False)] * 3
        entries = (await admin("GET", f"/appointments?patientId={town.patient}")).json()["items"]
        assert {entry["seriesId"] for entry in entries} == {id_, each.json()["id"]}
        stranger = await web.person(await web.clinic(), "admin")
        for method, path, body in (("GET", f"/{id_}", None), ("GET", f"/{id_}/visits", None), ("PUT", f"/{id_}", {"scope": "all", "time": "10:00"}), ("POST", f"/{id_}/cancel", {"scope": "all"})):
            failure(await stranger(method, f"/appointment-series{path}", body), 404, "NOT_FOUND")
        failure(await admin("POST", "/appointment-series", {**wanted, "rule": {"unit": "days"}}), 400, "SERIES_ENDLESS")
        await until(lambda: level(database))


async def level(database: Any) -> bool:
    """Say whether the live rows are those of a replay."""
    report = await asyncio.to_thread(verify, database.url("owner"), ["recurrences", "appointments", "calendar"], kek=database.settings("gateway").kek)
    return bool(report.equal)
