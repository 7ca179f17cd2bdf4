"""Conflicts: what an appointment collides with is told as it stands now, and nothing else is called one."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.appointments import ChangeAppointment
from commands.kit.errors import TimeTaken
from commands.schedules import BlockTime, UnblockTime
from domain.appointments import AppointmentCancelled
from domain.patients import PatientRegistered
from domain.schedules import AbsenceNeedsReason, BlockedTime
from projections.conflicts import Which, conflicts
from tests.clinic import Town, handling
from tests.kit import CLINIC, facts, given
from tests.remembering import reading, remember
from tests.test_slots import CLINICS, DOCTOR, ONE, OTHER, TWO, WEDNESDAY, block, visit

RUIZ = UUID(int=104)
FIRST, SECOND, THIRD, EARLY, GONE, NEXT, SAME = (UUID(int=500 + n) for n in range(7))
BLOCK, REPAIR = UUID(int=601), UUID(int=602)
THURSDAY = WEDNESDAY + timedelta(days=1)
ruiz = {"patient_id": RUIZ}
VISITS = {  # of a Wednesday on which the doctor works from 8 to 11, UTC
    FIRST: [visit("2026-01-07 09:00", room=ONE)],
    SECOND: [replace(visit("2026-01-07 09:35", room=TWO, forced=True), **ruiz)],  # in the ten minutes after the first
    THIRD: [replace(visit("2026-01-07 10:30", doctor=OTHER, room=ONE), **ruiz)],  # its doctor has no hours
    EARLY: [visit("2026-01-07 06:00", room=TWO)],
    GONE: [visit("2026-01-07 09:00"), AppointmentCancelled(patient_id=UUID(int=100), doctor_id=DOCTOR, on=WEDNESDAY, by="clinic", late=False)],
    NEXT: [visit("2026-01-08 08:00", room=ONE)],
    SAME: [replace(visit("2026-01-08 08:40", doctor=OTHER, room=TWO), buffer_after=0)],  # the same patient, elsewhere, when the buffer alone is left
}


@pytest.fixture(scope="module")
def clinic(module_database):
    world = {**CLINICS, "appointments": VISITS, "blocks": {
        BLOCK: [block("2026-01-08 08:20", "2026-01-08 12:00", doctor_id=DOCTOR)], REPAIR: [block("2026-01-07 10:50", "2026-01-07 11:30", room_id=ONE)]}}
    world["patients"] = {**CLINICS["patients"], RUIZ: [PatientRegistered(given_name="Ana", family_name="Ruiz", registered_on=date(2025, 1, 1))]}
    every = [fact for kind, streams in world.items() for id_, events in streams.items() for fact in facts(*events, id=id_, kind=kind)]
    remember(module_database, *(replace(fact, position=n) for n, fact in enumerate(every, 1)))
    return module_database


async def told(database, named=True, **which):
    async with reading(database, CLINIC) as reader:
        return {(one.appointment_id, one.kind, one.with_id) for one in await conflicts(reader, Which(**which), named=named)}


async def test_two_visits_of_a_doctor_collide_in_the_buffer_and_each_says_so(clinic):
    assert await told(clinic, appointment=FIRST) == {(FIRST, "doctor", SECOND)}
    assert await told(clinic, appointment=SECOND) == {(SECOND, "doctor", FIRST)}


async def test_a_room_under_repair_and_hours_that_nobody_works_are_conflicts(clinic):
    assert await told(clinic, appointment=THIRD) == {(THIRD, "blocked", REPAIR), (THIRD, "hours", None)}
    assert await told(clinic, appointment=EARLY) == {(EARLY, "hours", None)}


async def test_a_patient_has_no_buffer(clinic):
    """The doctor's ten minutes are not the patient's: they may be elsewhere by then."""
    assert await told(clinic, appointment=NEXT) == {(NEXT, "blocked", BLOCK)}
    assert await told(clinic, appointment=SAME) == {(SAME, "hours", None)}


async def test_what_is_cancelled_collides_with_nothing(clinic):
    assert await told(clinic, appointment=GONE) == set()


async def test_whole_days_are_told_at_once_as_each_of_their_appointments_is(clinic):
    one_by_one = set().union(*[await told(clinic, appointment=id_) for id_ in VISITS])
    assert await told(clinic, days=(WEDNESDAY, THURSDAY)) == one_by_one
    assert {id_ for id_, *_ in await told(clinic, days=(THURSDAY, THURSDAY))} == {NEXT, SAME}
    assert {id_ for id_, *_ in await told(clinic, days=(WEDNESDAY, THURSDAY), doctor=OTHER)} == {THIRD, SAME}
    assert {id_ for id_, *_ in await told(clinic, patient=RUIZ)} == {SECOND, THIRD}


async def test_with_whom_is_not_told_to_those_who_see_only_their_own(clinic):
    assert await told(clinic, named=False, appointment=FIRST) == {(FIRST, "doctor", None)}


async def test_another_clinic_has_none_of_it(clinic):
    async with reading(clinic, UUID(int=9)) as reader:
        assert await conflicts(reader, Which(days=(WEDNESDAY, THURSDAY)), named=True) == []


# a doctor is suddenly away


def test_an_absence_takes_its_time_by_force_and_needs_a_reason():
    away = BlockTime(doctor_id=DOCTOR, start=datetime(2026, 1, 12, 9, tzinfo=UTC), end=datetime(2026, 1, 12, 17, tzinfo=UTC), despite_bookings=True)
    given().when(away).refused(AbsenceNeedsReason)
    (told_,) = given().when(replace(away, reason="Ill")).decide()
    assert [(claim.kind, claim.forced) for claim in BlockedTime.replay([told_]).claims()] == [("doctor", True)]
    (usual,) = given().when(replace(away, despite_bookings=False)).decide()
    assert [claim.forced for claim in BlockedTime.replay([usual]).claims()] == [False]


async def test_what_stands_in_an_absence_is_moved_and_nothing_more_is_booked_there(database):
    async with handling(database) as handler:
        town = await Town.open(handler)
        other, booked = await town.hire("Dr Berg"), (await town(town.visit())).id
        away = BlockTime(doctor_id=town.doctor, start=town.at(-60), end=town.at(300), reason="Ill")
        with pytest.raises(TimeTaken):
            await town(away)
        block_ = (await town(replace(away, despite_bookings=True))).id
        with pytest.raises(TimeTaken):
            await town(town.visit(town.at(60), patient_id=await town.register("Ruiz"), room_id=None))
        await town(ChangeAppointment(doctor_id=other, room_id=town.room, start=town.at(0)), booked)
        with pytest.raises(TimeTaken):  # and back into it there is no way
            await town(ChangeAppointment(doctor_id=town.doctor, room_id=town.room, start=town.at(0)), booked)
        await town(UnblockTime(), block_)
        assert (await town(ChangeAppointment(doctor_id=town.doctor, room_id=town.room, start=town.at(0)), booked)).version == 3
