"""Holds: a time is kept for whoever holds it, whoever else wants it; and it comes free by itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from commands.appointments import BookAppointment
from commands.holds import ExtendHold, HoldTime, ReleaseHold
from commands.kit.errors import TimeTaken
from commands.kit.handling import Receipt
from domain.appointments import DoctorNotAvailable, DoctorNotWorking, RoomNotInUse
from domain.holds import Hold, HoldDiffers, HoldExtended, HoldExtendedAlready, HoldOver, HoldReleased, HoldUsed, TimeHeld
from domain.kit import NotFound, Refused, TimeClaim
from domain.rooms import Room
from domain.schedules import Hours, Schedule, ScheduleSet
from domain.staff import Staff
from projections.slots import Sought, available
from tests.clinic import Town, handling, stored
from tests.kit import CLINIC, facts, given, noon
from tests.remembering import reading, remember
from tests.test_slots import CLINICS, ONE, WEDNESDAY, starts
from tests.test_slots import DOCTOR as VISSER

DOCTOR, ROOM, VISIT = uuid4(), uuid4(), uuid4()
START = datetime(2026, 1, 5, 14, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
week = [[Hours(start="00:00", end="24:00")]] * 7
schedule = Schedule.replay([ScheduleSet(doctor_id=DOCTOR, week=week, buffer_before=5, buffer_after=10)])
doctor = Staff(role="doctor", active=True)
around = {"schedule": schedule, "doctor": doctor, "room": Room(name="Room 1", active=True)}
held = TimeHeld(
    doctor_id=DOCTOR, room_id=ROOM, on=START.date(), start_local="2026-01-05T15:00:00", zone="Europe/Amsterdam", starts_at=START, ends_at=START + 30 * MINUTE,
    buffer_before=5, buffer_after=10, expires_at=noon.now + 5 * MINUTE)
wanted = HoldTime(doctor_id=DOCTOR, room_id=ROOM, start=START)


def test_a_time_is_held_for_five_minutes_unless_it_is_said_for_how_many():
    given().looking(**around).when(wanted).then(held)
    given().looking(**around).when(replace(wanted, minutes=30)).then(replace(held, expires_at=noon.now + 30 * MINUTE))


def test_what_could_not_be_booked_is_not_held():
    given().looking(**{**around, "schedule": Schedule()}).when(wanted).refused(DoctorNotWorking)
    given().looking(**{**around, "doctor": Staff(role="receptionist", active=True)}).when(wanted).refused(DoctorNotAvailable)
    given().looking(**{**around, "room": Room(name="Store", active=False)}).when(wanted).refused(RoomNotInUse)


def test_doctor_and_room_are_held_with_their_buffers_until_it_runs_out():
    span = {"start": START - 5 * MINUTE, "end": START + 40 * MINUTE, "expires": noon.now + 5 * MINUTE}
    assert Hold.replay([held]).claims() == {TimeClaim(kind="doctor", id=DOCTOR, **span), TimeClaim(kind="room", id=ROOM, **span)}
    for end in (HoldReleased(doctor_id=DOCTOR), HoldUsed(doctor_id=DOCTOR, appointment_id=VISIT)):
        assert Hold.replay([held, end]).claims() == frozenset()


def test_a_hold_is_extended_once_and_never_shortened():
    longer = HoldExtended(doctor_id=DOCTOR, expires_at=noon.now + 20 * MINUTE)
    given(held).when(ExtendHold(minutes=20)).then(longer)
    given(held).when(ExtendHold(minutes=1)).then(replace(longer, expires_at=held.expires_at))
    given(held, longer).when(ExtendHold()).refused(HoldExtendedAlready)


def test_what_is_over_is_over():
    late = replace(noon, now=held.expires_at)
    for over in (given(held, at=late), given(held, HoldReleased(doctor_id=DOCTOR)), given(held, HoldUsed(doctor_id=DOCTOR, appointment_id=VISIT))):
        over.when(ExtendHold()).refused(HoldOver)
        over.when(ReleaseHold()).refused(HoldOver)
    given(held).when(ReleaseHold()).then(HoldReleased(doctor_id=DOCTOR))


@pytest.mark.parametrize("differs", [
    {"doctor": uuid4()}, {"room": None}, {"room": uuid4()}, {"visit": (START - 5 * MINUTE, START + 20 * MINUTE)}, {"visit": (START, START + 45 * MINUTE)}])
def test_only_what_is_held_is_booked_with_it(differs: dict[str, Any]):
    right: dict[str, Any] = {"doctor": DOCTOR, "room": ROOM, "visit": (START, START + 30 * MINUTE)}
    assert Hold.replay([held]).use(VISIT, **right, now=noon.now) == [HoldUsed(doctor_id=DOCTOR, appointment_id=VISIT)]
    with pytest.raises(HoldDiffers):
        Hold.replay([held]).use(VISIT, **{**right, **differs}, now=noon.now)
    with pytest.raises(NotFound):
        Hold().use(VISIT, **right, now=noon.now)


# on the real store, whose clock says when a hold has run out


@pytest.fixture
async def processes(database):
    async with handling(database) as first, handling(database) as second:
        yield first, second


async def test_a_held_time_is_booked_with_the_hold_and_not_without(processes):
    town = await Town.open(processes[0], datetime.now(UTC))
    hold = (await town(at(town))).id
    with pytest.raises(TimeTaken):
        await town(visit(town))
    with pytest.raises(TimeTaken):
        await town(at(town))
    with pytest.raises(HoldDiffers):
        await town(visit(town, hold_id=hold, doctor_id=await town.hire("Dr Berg")))
    assert (await town(visit(town, hold_id=hold))).version == 1
    with pytest.raises(HoldOver):
        await town(visit(town, hold_id=hold, start=town.at(120)))


async def test_a_time_given_back_is_anybodys(processes):
    town = await Town.open(processes[0], datetime.now(UTC))
    await town(ReleaseHold(), (await town(at(town))).id)
    assert (await town(visit(town))).version == 1


async def test_a_hold_comes_free_by_itself(database, processes):
    """Its minute was over before it was stored, so nobody waits: it stands in no one's way, and opens nothing."""
    town = await Town.open(processes[0], datetime.now(UTC) - 2 * MINUTE)
    hold = (await town(at(town, minutes=1))).id
    now = datetime.now(UTC)
    with pytest.raises(HoldOver):
        await town(visit(town, hold_id=hold), now=now)
    assert (await town(visit(town), now=now)).version == 1
    assert [event.topic for event in stored(database) if event.stream == hold] == ["TimeHeld"]


async def test_fifty_want_to_hold_one_time(processes):
    town = await Town.open(processes[0], datetime.now(UTC))
    outcomes = await race(processes, town, [at(town)] * 50)
    assert sorted(map(name, outcomes)) == ["Receipt", *["TimeTaken"] * 49]


async def test_fifty_want_to_book_with_one_hold(processes, database):
    """And fifty without it in the same moment: one visit comes of it, booked with the hold."""
    town = await Town.open(processes[0], datetime.now(UTC))
    hold = (await town(at(town))).id
    patients = [await town.register(f"Bakker {n}") for n in range(100)]
    outcomes = await race(processes, town, [visit(town, patient_id=p, **({"hold_id": hold} if n % 2 else {})) for n, p in enumerate(patients)])
    winners = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Receipt)]
    assert len(winners) == 1
    assert winners[0] % 2
    assert {name(outcome) for n, outcome in enumerate(outcomes) if n % 2 and n != winners[0]} == {"HoldOver"}
    assert {name(outcome) for n, outcome in enumerate(outcomes) if n % 2 == 0} == {"TimeTaken"}
    assert [event.topic for event in stored(database) if event.stream == hold] == ["TimeHeld", "HoldUsed"]


async def test_a_hold_gives_way_to_its_own_booking_beside_others_that_collide(processes):
    """The store decides save by save where neighbours collide; a time that a save gives back is free for that save there too."""
    town = await Town.open(processes[0], datetime.now(UTC))
    holds = [(await town(at(town, start=town.at(n * 60)))).id for n in range(20)]
    patients = [await town.register(f"Bakker {n}") for n in range(40)]
    wishes = [visit(town, patient_id=patients[n], start=town.at(n * 60), hold_id=hold) for n, hold in enumerate(holds)]
    wishes += [visit(town, patient_id=patients[20 + n], start=town.at(n * 60)) for n in range(20)]
    outcomes = await race(processes[:1], town, wishes)
    assert sorted(map(name, outcomes[:20])) == ["Receipt"] * 20
    assert sorted(map(name, outcomes[20:])) == ["TimeTaken"] * 20


async def test_a_held_time_is_shown_as_free_to_nobody(database):
    """Until it runs out; and then it is, though nothing has happened."""
    begins = datetime(2026, 1, 8, 9, tzinfo=UTC)
    thursday = replace(held, doctor_id=VISSER, room_id=ONE, starts_at=begins, ends_at=begins + 30 * MINUTE, buffer_before=0, buffer_after=10)
    world = [fact for kind, streams in {**CLINICS, "holds": {UUID(int=401): [thursday]}}.items() for id_, told in streams.items()
             for fact in facts(*told, id=id_, kind=kind)]
    remember(database, *(replace(fact, position=n) for n, fact in enumerate(world, 1)))

    async def shown(now: datetime) -> list[str]:
        async with reading(database, CLINIC) as reader:
            return starts(await available(reader, Sought(first=WEDNESDAY + timedelta(days=1), doctor=VISSER, minutes=30), now))

    before, after = await shown(held.expires_at - MINUTE), await shown(held.expires_at)
    assert "10:00" in after
    assert "10:00" not in before
    assert {*before} < {*after}


def at(town: Town, **other: Any) -> HoldTime:
    return HoldTime(**{"doctor_id": town.doctor, "room_id": town.room, "start": town.at(0), **other})


def visit(town: Town, **other: Any) -> BookAppointment:
    return BookAppointment(**{"patient_id": town.patient, "doctor_id": town.doctor, "room_id": town.room, "start": town.at(0), **other})


async def race(processes: Any, town: Town, commands: list[Any]) -> list[Receipt | Refused]:
    asked = [processes[n % len(processes)].handle(command, town.admin) for n, command in enumerate(commands)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [o for o in outcomes if not isinstance(o, Receipt | Refused)] == []
    return outcomes


def name(outcome: object) -> str:
    return type(outcome).__name__
