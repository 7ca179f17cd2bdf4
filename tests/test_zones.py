"""A clinic in another time zone, or in one whose rules have changed: what people were told stands, and everything that goes by instants follows."""

import asyncio
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import icalendar
import msgspec
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.appointments import BookAppointment, ChangeAppointmentStatus
from commands.calendar_feeds import OpenCalendarFeed
from commands.group_sessions import PlanGroupSession
from commands.holds import HoldTime
from commands.patients import RegisterPatient
from commands.reminders import ChangeReminderSettings
from commands.rooms import AddRoom
from commands.schedules import BlockTime
from commands.slot_offers import AcceptSlotOffer, OfferSlot
from commands.waiting_list import AddWaitingEntry
from commands.zones import ChangeClinicZone, set_clocks
from domain.appointments import Appointment, ClocksBeingSet
from domain.group_sessions import GroupSession
from domain.kit.retiming import retimed
from domain.slot_offers import booked_by
from gateway import reminders, zones
from projections.kit.rebuild import verify
from projections.zones import Planned, astray
from tests.clinic import Town, stored
from tests.reckoning import reckon
from tests.served import failure, served, until, working

AMSTERDAM, NEW_YORK, LAGOS = "Europe/Amsterdam", "America/New_York", "Africa/Lagos"
SOME_ZONES = sorted(available_timezones() & {
    AMSTERDAM, NEW_YORK, LAGOS, "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Pacific/Chatham", "UTC"})
LOCALS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(lambda one: one.replace(second=0, microsecond=0))  # noqa: DTZ001 - as people say it


@settings(max_examples=300, deadline=None)
@given(local=LOCALS, before=st.sampled_from(SOME_ZONES), after=st.sampled_from(SOME_ZONES), minutes=st.integers(5, 600))
def test_the_time_on_the_wall_stands_whatever_the_zones(local: datetime, before: str, after: str, minutes: int) -> None:
    starts = local.replace(tzinfo=ZoneInfo(before)).astimezone(UTC)
    told = Planned(local.isoformat(timespec="seconds"), before, 0, starts, starts + timedelta(minutes=minutes))
    to = retimed(told, after)
    if to is None:
        assert before == after
        return
    assert to.ends_at - to.starts_at == timedelta(minutes=minutes)
    wall = to.starts_at.astimezone(ZoneInfo(after)).replace(tzinfo=None, fold=0)
    exists = local.replace(tzinfo=ZoneInfo(after)).astimezone(UTC).astimezone(ZoneInfo(after)).replace(tzinfo=None, fold=0) == local
    assert (wall == local) == exists
    assert retimed(Planned(to.start_local, after, to.fold, to.starts_at, to.ends_at), after) is None  # once is enough


@pytest.fixture(scope="module")
def database(module_database: Any) -> Any:
    return module_database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    async with served(module_database, nats) as web, working(module_database, nats):
        yield web


async def town_of(web: Any) -> tuple[Any, Town]:
    """A clinic in Amsterdam with a doctor who always works, a room, and its admin."""
    clinic = await web.clinic()
    admin, town = await web.person(clinic, "admin"), Town(web.services.handler, clinic, datetime.now(UTC))
    town.doctor, town.room, town.patient = await town.hire(), (await town(AddRoom(name="Room 1"))).id, await town.register()
    return admin, town


async def state(town: Town, id_: UUID) -> Any:
    return (await town.handler.streams.latest(Appointment, id_, town.id)).state


def moves(database: Any, town: Town) -> list[Any]:
    return [one for one in stored(database) if one.clinic == town.id and one.topic in {"AppointmentRetimed", "BlockRetimed", "HoldRetimed"}]


def instant(local: str, zone: str) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_clinic_moves_to_another_zone_and_all_that_is_to_come_with_it(web: Any, database: Any) -> None:
    admin, town = await town_of(web)
    starts = [town.at(60 * n) + timedelta(weeks=weeks) for n, weeks in ((0, 0), (1, 0), (2, 13), (3, 26), (4, 39))]  # over both changes of the clocks
    visits = [(await town(town.visit(start, room_id=None))).id for start in starts]
    over = (await town(town.visit(town.at(0) - timedelta(days=20)))).id
    block = (await town(BlockTime(doctor_id=town.doctor, start=town.at(300), end=town.at(360)))).id
    hold = await town(HoldTime(doctor_id=town.doctor, start=town.at(420), duration=30))
    series = (await admin("POST", "/appointment-series", {
        "patientId": str(town.patient), "doctorId": str(town.doctor), "start": town.at(540).isoformat(), "duration": 30, "rule": {"unit": "weeks", "count": 3}})).json()
    feed = (await town(OpenCalendarFeed(doctor_id=town.doctor))).position
    tried = await admin("PUT", f"/clinics/{town.id}/zone?dryRun=true", {"zone": NEW_YORK}, headers={"x-position": str(feed)})
    assert tried.json() == {"clinic": str(town.id), "zone": NEW_YORK, "dryRun": True, "moved": 10, "overlapping": [], "done": False}
    before = len(moves(database, town))
    assert before == 0

    answer = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK, "reason": "We have moved"})
    assert answer.json() == {"clinic": str(town.id), "zone": NEW_YORK, "dryRun": False, "moved": 10, "overlapping": [], "done": True}
    seen = await admin.seen(answer)
    assert len(moves(database, town)) == 10
    assert len({one.stream for one in moves(database, town)}) == 10  # each once
    for id_, start in zip(visits, starts, strict=True):
        row = (await admin("GET", f"/appointments/{id_}", headers=seen)).json()
        assert (row["startLocal"], row["zone"], row["sequence"]) == (start.isoformat(), NEW_YORK, 1)
        assert datetime.fromisoformat(row["startsAt"]) == instant(start.isoformat(), NEW_YORK)
        assert datetime.fromisoformat(row["endsAt"]) == instant(start.isoformat(), NEW_YORK) + timedelta(minutes=30)
    past = (await admin("GET", f"/appointments/{over}")).json()
    assert (past["zone"], past["sequence"]) == (AMSTERDAM, 0)
    (blocked,) = (await admin("GET", f"/appointments/blocked-times?doctorId={town.doctor}")).json()["items"]
    assert (blocked["id"], datetime.fromisoformat(blocked["startsAt"]), blocked["startLocal"]) == (str(block), instant(town.at(300).isoformat(), NEW_YORK), town.at(300).isoformat())

    on = town.at(0).date()
    slots = (await admin("GET", f"/appointments/available-slots?date={on}&doctorId={town.doctor}")).json()["items"]
    free = {one["startLocal"][11:16] for one in slots}
    assert {"09:00", "10:00", "14:00", "14:30", "16:00", "18:00"} & free == set()  # visits, block, hold, series
    assert {"08:30", "09:30", "15:00", "16:30", "18:30"} <= free
    visits_now = (await admin("GET", f"/appointments/calendar?from={on - timedelta(days=2)}&to={on + timedelta(days=2)}")).json()
    known = {
        "zone": NEW_YORK, "closed": [], "rooms": [], "schedules": {str(town.doctor): {"week": [[{"start": "00:00", "end": "24:00"}]] * 7, "exceptions": [], "bufferBefore": 0, "bufferAfter": 0, "slotMinutes": 15}},
        "visits": visits_now["appointments"], "blocks": [*visits_now["blocks"], {"doctorId": str(town.doctor), "startsAt": instant(town.at(420).isoformat(), NEW_YORK).isoformat(), "endsAt": instant(town.at(450).isoformat(), NEW_YORK).isoformat()}]}
    assert {one["startsAt"] for one in slots} == {start for start, *_ in reckon(known, on)}  # by a second computation

    booked = await town(town.visit(town.at(0) + timedelta(days=1)))
    assert (await state(town, booked.id)).arranged.zone == NEW_YORK
    longer = (await admin("POST", f"/appointment-series/{series['id']}/extend", {"count": 1})).json()
    assert (await state(town, UUID(longer["items"][0]["appointmentId"]))).arranged.starts_at == instant((town.at(540) + timedelta(weeks=3)).isoformat(), NEW_YORK)
    used = town.visit(town.at(420), hold_id=hold.id, room_id=None)
    assert (await town(used)).version == 1
    file = icalendar.Calendar.from_ical((await admin("GET", f"/appointments/{visits[3]}/calendar.ics")).text)
    (event,) = file.walk("VEVENT")
    assert (int(event["SEQUENCE"]), event["DTSTART"].dt.astimezone(UTC)) == (1, instant(starts[3].isoformat(), NEW_YORK))
    conflicts = (await admin("GET", f"/appointments/conflicts?from={on}&to={on + timedelta(days=1)}")).json()["items"]
    assert conflicts == []
    again = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK})
    assert (again.json()["moved"], again.json()["done"]) == (0, True)
    await until(lambda: level(database))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session_moves_with_all_who_take_part_and_what_is_on_offer_is_had_at_the_time_that_was_told(web: Any, database: Any) -> None:
    admin, town = await town_of(web)
    start, offered = town.at(60) + timedelta(weeks=1), town.at(600) + timedelta(weeks=1)
    group = (await town(PlanGroupSession(doctor_id=town.doctor, start=start, duration=60, capacity=3))).id
    seat = (await town(BookAppointment(patient_id=town.patient, doctor_id=town.doctor, start=start, group_id=group))).id
    waiting = (await town(AddWaitingEntry(patient_id=await town.register("Mol")))).id
    offer = (await town(OfferSlot(entry_id=waiting, doctor_id=town.doctor, start=offered, minutes=600))).id
    seen = {"x-position": str(stored(database)[-1].position)}
    answer = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK}, headers=seen)
    assert (answer.json()["moved"], answer.json()["done"]) == (3, True), "the session, the seat in it, and the hold of what is on offer"
    session = (await town.handler.streams.latest(GroupSession, group, town.id)).state
    assert (session.what.starts_at, session.what.zone) == (instant(start.isoformat(), NEW_YORK), NEW_YORK)
    assert (await state(town, seat)).arranged.starts_at == session.what.starts_at
    another = await town(BookAppointment(patient_id=await town.register("Vos"), doctor_id=town.doctor, start=start, group_id=group))
    assert (await state(town, another.id)).arranged.starts_at == session.what.starts_at
    await town(AcceptSlotOffer(), offer)
    assert (await state(town, booked_by(offer))).arranged.starts_at == instant(offered.isoformat(), NEW_YORK)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_overlaps_by_then_is_kept_and_listed(web: Any, database: Any) -> None:
    """New York's clocks skip an hour on another day than Amsterdam's, so that two visits are at one time there."""
    admin, town = await town_of(web)
    year = town.now.year + 1
    sunday = next(date(year, 3, n) for n in range(8, 15) if date(year, 3, n).weekday() == 6)
    starts = [datetime(year, 3, sunday.day, hour, 30) for hour in (2, 3)]  # noqa: DTZ001 - as people say it
    visits = [(await town(town.visit(start, patient_id=await town.register("P"), room_id=None))).id for start in starts]
    read = await admin("GET", "/appointments", headers={"x-position": str((await town(AddRoom(name="Room 2"))).position)})
    assert len(read.json()["items"]) == 2
    answer = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK})
    told = answer.json()
    assert (told["moved"], len(told["overlapping"]), told["done"]) == (2, 1, True)
    states = [await state(town, id_) for id_ in visits]
    assert {one.arranged.starts_at for one in states} == {instant(f"{sunday}T03:30:00", NEW_YORK)}
    assert sorted(one.arranged.forced for one in states) == [False, True]
    items = (await admin("GET", f"/appointments/conflicts?from={sunday}&to={sunday}", headers=await admin.seen(answer))).json()["items"]
    assert {(one["kind"], one["appointmentId"]) for one in items} == {("doctor", str(id_)) for id_ in visits}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "Europe/London", "Asia/Kathmandu"])
async def test_back_to_back_days_need_no_force_whichever_way_the_clocks_go(web: Any, database: Any, zone: str) -> None:
    admin, town = await town_of(web)
    other = await town.hire("Dr Bo de Wit")
    for n in range(24):
        for doctor in (town.doctor, other):
            booked = await town(town.visit(town.at(30 * n), doctor_id=doctor, room_id=None, patient_id=await town.register(f"P{n}")))
    answer = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": zone}, headers={"x-position": str(booked.position)})
    assert (answer.json()["moved"], answer.json()["overlapping"]) == (48, [])
    assert len(moves(database, town)) == 48


@pytest.mark.asyncio(loop_scope="module")
async def test_an_interrupted_move_goes_on_and_each_visit_is_moved_once(web: Any, database: Any) -> None:
    """Killed in the middle, then gone on with by three at once."""
    admin, town = await town_of(web)
    for n in range(40):
        booked = await town(town.visit(town.at(30 * n), room_id=None, patient_id=await town.register(f"P{n}")))
    await admin("GET", "/appointments", headers={"x-position": str(booked.position)})
    changed = await town(ChangeClinicZone(zone=NEW_YORK), town.id)  # the command alone, as of a process that dies after it
    with pytest.raises(ClocksBeingSet):
        await town(town.visit(town.at(3000)))
    with pytest.raises(ClocksBeingSet):
        await town(HoldTime(doctor_id=town.doctor, start=town.at(3000)))
    with pytest.raises(ClocksBeingSet):
        await town(BlockTime(doctor_id=town.doctor, start=town.at(3000), end=town.at(3060)))
    things = await astray(await web.services.reader(town.id, changed.position), datetime.now(UTC))
    task = asyncio.create_task(set_clocks(town.handler, town.id, things))

    async def begun() -> bool:
        return len(moves(database, town)) >= 5

    await until(begun)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 5 <= len(moves(database, town)) < 40
    await asyncio.gather(*(zones.tend(web.services) for _ in range(3)))

    async def done() -> bool:
        return not (await town.handler.clinic(town.id)).setting_clocks

    await until(done)
    assert sorted({one.stream for one in moves(database, town)}) == sorted(one.stream for one in moves(database, town))
    assert len(moves(database, town)) == 40
    assert [one.stream for one in moves(database, town) if (await state(town, one.stream)).arranged.forced] == []
    assert (await town(town.visit(town.at(3000)))).version == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_what_has_begun_or_is_over_stays_and_what_is_cancelled_too(web: Any, database: Any) -> None:
    admin, town = await town_of(web)
    visits = [(await town(town.visit(town.at(60 * n), patient_id=await town.register("P")))).id for n in range(3)]
    await town(ChangeAppointmentStatus(status="arrived"), visits[0])
    last = await town(ChangeAppointmentStatus(status="cancelled"), visits[1])
    answer = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": "Asia/Tokyo"}, headers={"x-position": str(last.position)})
    assert answer.json()["moved"] == 1
    assert [(await state(town, id_)).arranged.zone for id_ in visits] == [AMSTERDAM, AMSTERDAM, "Asia/Tokyo"]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_may(web: Any) -> None:
    admin, town = await town_of(web)
    desk = await web.person(town.id, "receptionist")
    failure(await desk("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK}), 403, "FORBIDDEN")
    failure(await desk("PUT", f"/clinics/{town.id}/zone?dryRun=true", {"zone": NEW_YORK}), 403, "FORBIDDEN")
    failure(await admin("PUT", f"/clinics/{town.id}/zone", {"zone": "Europe/Nowhere"}), 400, "ZONE_UNKNOWN")
    failure(await (await web.person(await web.clinic(), "admin"))("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK}), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_reminders_follow_and_none_comes_twice(web: Any, database: Any) -> None:
    """One window was sent by the old clocks already, the other is still to come and comes by the new ones."""
    admin, town = await town_of(web)
    await town(ChangeReminderSettings(enabled=True, windows=[2880, 120], quiet=None), who=town.admin)
    patient = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", email="noor@example.org"))).id
    visit = await town(BookAppointment(doctor_id=town.doctor, patient_id=patient, start=town.at(0), duration=30))
    old = (await state(town, visit.id)).arranged.starts_at

    def queued() -> list[tuple[str, int]]:
        told = [one for one in stored(database) if one.clinic == town.id and one.topic in {"ReminderQueued", "ReminderSkipped"}]
        return [(one.topic, msgspec.json.decode(one.body)["window"]) for one in told]

    await web.services.reader(town.id, visit.position)
    await reminders.tend(web.services, old - timedelta(hours=47))
    assert queued() == [("ReminderQueued", 2880)]
    answer = await admin("PUT", f"/clinics/{town.id}/zone", {"zone": NEW_YORK})
    new = (await state(town, visit.id)).arranged.starts_at
    assert new - old in {timedelta(hours=5), timedelta(hours=6)}
    await web.services.reader(town.id, int(answer.headers["x-position"]))
    planned = (await admin("GET", f"/reminders/appointment/{visit.id}")).json()["planned"]
    assert [(one["minutes"], datetime.fromisoformat(one["dueAt"])) for one in planned] == [(120, new - timedelta(hours=2))]
    for hours in (47, 46, 3):
        await reminders.tend(web.services, new - timedelta(hours=hours))
    assert queued() == [("ReminderQueued", 2880), ("ReminderSkipped", 2880)]
    await reminders.tend(web.services, new - timedelta(minutes=119))
    assert queued() == [("ReminderQueued", 2880), ("ReminderSkipped", 2880), ("ReminderQueued", 120)]


def other_rules(folder: Path, zone: str, like: str) -> Path:
    """A time-zone database in which a zone has another one's rules."""
    for name in {AMSTERDAM, NEW_YORK, LAGOS, "UTC"}:
        whose = like if name == zone else name
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        package, _, leaf = whose.rpartition("/")
        with resources.as_file(resources.files("tzdata.zoneinfo").joinpath(*package.split("/") if package else [], leaf)) as file:
            shutil.copy(file, target)
    return folder


async def going_by(folder: Path | None, what: str) -> asyncio.subprocess.Process:
    """A process that goes by such a database, and waits for its settings."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.clocks", what, str(folder or ""), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)


async def elsewhere(database: Any, what: str, folder: Path | None) -> dict[str, list[int]]:
    """What a process finds or does that goes by such a database."""
    process = await going_by(folder, what)
    told, _ = await process.communicate(msgspec.json.encode(database.settings("gateway"), enc_hook=str))
    assert process.returncode == 0
    return msgspec.json.decode(told, type=dict[str, list[int]])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_zone_gets_other_rules_between_the_booking_and_the_visit(web: Any, database: Any, tmp_path: Path) -> None:
    """Amsterdam gives up its summer time: a process that goes by that database finds what is astray, and moves that alone; one that goes by the old one moves it back."""
    admin, town = await town_of(web)
    year = town.now.year + 1
    winter, summer = datetime(year, 1, 15, 9), datetime(year, 7, 15, 9)  # noqa: DTZ001 - as people say it
    a, b = [(await town(town.visit(start))).id for start in (winter, summer)]
    block = await town(BlockTime(doctor_id=town.doctor, start=summer + timedelta(hours=3), end=summer + timedelta(hours=4)))
    await web.services.reader(town.id, block.position)
    folder = other_rules(tmp_path, AMSTERDAM, LAGOS)
    mine = str(town.id)
    assert mine not in await elsewhere(database, "check", None)
    assert (await elsewhere(database, "check", folder))[mine] == [2, 0, 0]
    assert moves(database, town) == []
    assert (await elsewhere(database, "apply", folder))[mine] == [2, 2, 0]
    assert (await state(town, a)).arranged.starts_at == instant(winter.isoformat(), AMSTERDAM)
    changed = (await state(town, b)).arranged
    assert (changed.start_local, changed.zone, changed.starts_at) == (summer.isoformat(), AMSTERDAM, instant(summer.isoformat(), LAGOS))

    async def followed() -> bool:
        row = (await admin("GET", f"/appointments/{b}")).json()
        return (row["startLocal"], row["sequence"], datetime.fromisoformat(row["startsAt"])) == (summer.isoformat(), 1, instant(summer.isoformat(), LAGOS))

    await until(followed)
    assert mine not in await elsewhere(database, "apply", folder)
    assert (await elsewhere(database, "apply", None))[mine] == [2, 2, 0]
    assert (await state(town, b)).arranged.starts_at == instant(summer.isoformat(), AMSTERDAM)
    assert len(moves(database, town)) == 4


@pytest.mark.asyncio(loop_scope="module")
async def test_a_process_that_is_killed_in_the_middle_leaves_nothing_half_done(web: Any, database: Any, tmp_path: Path) -> None:
    _, town = await town_of(web)
    summer = datetime(town.now.year + 1, 7, 1, 9)  # noqa: DTZ001 - as people say it
    for n in range(150):
        booked = await town(town.visit(summer + timedelta(minutes=30 * n), room_id=None))
    await web.services.reader(town.id, booked.position)
    folder = other_rules(tmp_path, AMSTERDAM, LAGOS)
    process = await going_by(folder, "apply")
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(database.settings("gateway"), enc_hook=str))
    process.stdin.close()

    async def begun() -> bool:
        return len(moves(database, town)) >= 10

    await until(begun, 60)
    process.kill()
    await process.wait()
    assert 10 <= (count := len(moves(database, town))) < 150
    await web.services.reader(town.id, await (await web.services.reader(town.id)).head())
    assert (await elsewhere(database, "apply", folder))[str(town.id)] == [150 - count] * 2 + [0]
    assert len({one.stream for one in moves(database, town)}) == len(moves(database, town)) == 150
    assert str(town.id) in await elsewhere(database, "apply", None)  # back to the rules of everybody else here


async def level(database: Any) -> bool:
    """Say whether the live rows are those of a replay."""
    names = ["clinics", "appointments", "calendar", "blocks", "holds", "visits", "trails"]
    report = await asyncio.to_thread(verify, database.url("owner"), names, kek=database.settings("gateway").kek)
    return bool(report.equal)
