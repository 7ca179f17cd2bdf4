"""`own` restricts rows, in commands as in reads: whoever sees only their own list changes only that, and of the rest learns not even that it is there."""

import pytest
from msgspec.structs import replace

from commands.appointments import ChangeAppointment, ChangeAppointmentStatus, RemoveAppointment
from commands.kit.receipt import own_column
from commands.rooms import AddRoom
from commands.schedules import BlockTime, UnblockTime
from domain.kit import Forbidden, NotFound
from gateway.events import VIEWED
from gateway.kit.eyes import eyes_of
from schemas.absences import AbsenceRow
from schemas.appointments import AppointmentRow
from schemas.calendar import BlockEntry, CalendarEntry
from schemas.group_sessions import GroupSessionRow
from schemas.holds import HoldRow
from schemas.queue import QueueRow, TurnRow
from schemas.recurrences import RecurrenceRow
from schemas.schedules import BlockRow, DoctorSchedule, ScheduleRow
from schemas.slot_offers import SlotOfferRow
from schemas.sync import SyncConflictRow
from tests.clinic import Town, handling, who

ALL = "appointments.view_all_doctors"


@pytest.fixture
async def town(module_database):
    async with handling(module_database) as handler:
        yield await Town.open(handler)


def restricted(town, role="doctor", subject=None):
    full = who(town.id, role, subject or town.doctor)
    return replace(full, grants=full.grants - {ALL})


async def test_a_doctor_changes_what_is_in_their_own_list(town):
    me = restricted(town)
    visit = (await town(town.visit(), who=me)).id
    await town(ChangeAppointment(doctor_id=town.doctor, start=town.at(60)), id=visit, who=me)
    await town(ChangeAppointmentStatus(status="confirmed"), id=visit, who=me)
    await town(RemoveAppointment(), id=visit, who=me)


async def test_what_is_in_another_doctors_list_is_not_there(town):
    other = await town.hire("Dr Bo Smit")
    visit = (await town(town.visit(town.at(120)))).id
    me = restricted(town, subject=other)
    commands = [
        ChangeAppointment(doctor_id=other, start=town.at(180)), ChangeAppointmentStatus(status="confirmed"),
        ChangeAppointmentStatus(status="completed"), RemoveAppointment(),
    ]
    for command in commands:
        with pytest.raises(NotFound) as refused:
            await town(command, id=visit, who=me)
        assert refused.value.details == {"kind": "appointments", "id": str(visit)}
    with pytest.raises(NotFound):  # not even that the version is another
        await town(RemoveAppointment(), id=visit, who=me, expect=7)
    await town(ChangeAppointmentStatus(status="confirmed"), id=visit, who=replace(me, grants=me.grants | {ALL}))


async def test_nothing_is_put_into_or_moved_to_another_doctors_list(town):
    """Nor told by TIME_TAKEN what is in it."""
    other = await town.hire("Dr Bo Smit")
    await town(town.visit(town.at(240), doctor_id=other))
    me = restricted(town)
    for start in (town.at(240), town.at(300)):
        with pytest.raises(NotFound):
            await town(town.visit(start, doctor_id=other, room_id=None, patient_id=await town.register()), who=me)
    mine = (await town(town.visit(town.at(360)), who=me)).id
    with pytest.raises(NotFound):
        await town(ChangeAppointment(doctor_id=other, start=town.at(360)), id=mine, who=me)


async def test_blocked_time_is_a_doctors_own_too(town):
    other = await town.hire("Dr Bo Smit")
    theirs = (await town(BlockTime(doctor_id=other, start=town.at(0), end=town.at(60)))).id
    me = restricted(town)
    mine = (await town(BlockTime(doctor_id=town.doctor, start=town.at(480), end=town.at(540)), who=me)).id
    await town(UnblockTime(), id=mine, who=me)
    with pytest.raises(NotFound):
        await town(UnblockTime(), id=theirs, who=me)
    with pytest.raises(Forbidden):  # the clinic's hours are for whoever manages them, as before
        await town(BlockTime(doctor_id=other, start=town.at(600), end=town.at(660)), who=me)
    room = (await town(AddRoom(name="Room of all"))).id
    with pytest.raises(NotFound):
        await town(BlockTime(room_id=room, start=town.at(0), end=town.at(60)), who=me)


async def test_a_receptionist_without_the_key_has_no_list_at_all(town):
    desk = restricted(town, "receptionist", town.patient)
    with pytest.raises(NotFound):
        await town(town.visit(town.at(420)), who=desk)


@pytest.mark.parametrize("row", [AbsenceRow, AppointmentRow, CalendarEntry, BlockRow, BlockEntry, ScheduleRow, DoctorSchedule, HoldRow, RecurrenceRow, SyncConflictRow, QueueRow, TurnRow, GroupSessionRow, SlotOfferRow])
def test_every_row_of_a_list_says_whose_it_is(row):
    """Reads add the condition by this; a row without it would show everybody's."""
    town = type("Anywhere", (), {"id": who(None).actor, "doctor": who(None).actor})
    for role in ("doctor", "receptionist"):
        me = restricted(town, role)
        assert own_column(row, me) == "doctor_id"
        assert own_column(row, replace(me, grants=me.grants | {ALL})) is None


def test_the_event_stream_shows_a_restricted_doctor_his_own():
    town = type("Anywhere", (), {"id": who(None).actor, "doctor": who(None).actor})
    me = restricted(town)
    eyes = eyes_of(me, VIEWED)
    assert dict(eyes.owned) == dict.fromkeys(["absences", "appointments", "blocks", "schedules", "calendar", "visits", "holds", "recurrences", "sync_conflicts", "queue", "turns", "group_sessions", "slot_offers", "commission_rules"], "doctorId")
    assert eyes.subject == town.doctor
    assert eyes_of(replace(me, grants=me.grants | {ALL}), VIEWED).owned == (("commission_rules", "doctorId"),)  # what a colleague is paid is nobody else's, whoever's visits they see


def test_the_event_stream_keeps_an_admins_affairs_from_others():
    town = type("Anywhere", (), {"id": who(None).actor, "doctor": who(None).actor})
    assert "permission_templates" in eyes_of(who(town.id), VIEWED).kinds
    assert "permission_templates" not in eyes_of(restricted(town), VIEWED).kinds
