"""Available slots and the calendar, asked on real tables: what is shown can be booked, what is not shown cannot."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from msgspec import json
from msgspec.structs import replace

from commands.appointments import BookAppointment
from domain.appointments import Appointment, AppointmentBooked, AppointmentCancelled, DoctorNotWorking, TimeTooFar
from domain.clinics import ClinicOpened
from domain.kit import NotFound, Refused, State
from domain.patients import Patient, PatientRegistered
from domain.rooms import Room, RoomAdded, RoomDeleted
from domain.schedules import BlockedTime, Hours, Schedule, ScheduleSet, TimeBlocked, schedule_of
from domain.staff import Staff, StaffDeactivated, StaffHired
from projections.calendar import CalendarTooLong, week
from projections.kit.reading import Wanted
from projections.slots import Sought, available
from schemas.calendar import BlockEntry, Calendar, CalendarEntry
from schemas.rooms import CurrentRoom
from schemas.schedules import DoctorSchedule
from tests.kit import CLINIC, facts, noon
from tests.remembering import reading, remember

PATIENT, DOCTOR, OTHER, GONE = UUID(int=100), UUID(int=101), UUID(int=102), UUID(int=103)
ONE, TWO, CLOSED = UUID(int=111), UUID(int=112), UUID(int=113)
ZONE = "Europe/Amsterdam"
WEDNESDAY, CHANGE = date(2026, 1, 7), date(2026, 10, 25)
OPEN = [Hours(start="09:00", end="12:00")]
HOURS = ScheduleSet(doctor_id=DOCTOR, week=[OPEN, OPEN, OPEN, OPEN, OPEN, [], [Hours(start="01:00", end="04:00")]], buffer_after=10)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def visit(start: str, *, doctor: UUID = DOCTOR, room: UUID | None = None, minutes: int = 30, forced: bool = False) -> AppointmentBooked:
    begins = at(start)
    return AppointmentBooked(
        patient_id=PATIENT, doctor_id=doctor, on=begins.date(), room_id=room, type="checkup", start_local=start.replace(" ", "T") + ":00",
        zone=ZONE, starts_at=begins, ends_at=begins + timedelta(minutes=minutes), buffer_after=10, forced=forced,
    )


def block(start: str, end: str, **whose: UUID) -> TimeBlocked:
    return TimeBlocked(
        on=at(start).date(), last_on=at(end).date(), start_local=start, end_local=end, zone=ZONE, starts_at=at(start), ends_at=at(end), **whose)


cancelled = AppointmentCancelled(patient_id=PATIENT, doctor_id=DOCTOR, on=WEDNESDAY, by="patient", late=False)
BOOKED = {
    UUID(int=201): [visit("2026-01-07 08:45", room=ONE)],
    UUID(int=202): [visit("2026-01-07 10:00"), cancelled],
    UUID(int=203): [visit("2026-01-07 09:30", doctor=OTHER, room=TWO)],
    UUID(int=204): [visit("2026-10-25 01:00", forced=True)],
    UUID(int=205): [visit("2026-01-08 08:00", doctor=OTHER, room=ONE, minutes=600)],
}
BLOCKED = {
    UUID(int=301): [block("2026-01-09 00:00", "2026-01-16 23:00", doctor_id=DOCTOR)],
    UUID(int=302): [block("2026-01-07 10:30", "2026-01-07 11:00", room_id=TWO)],
}
CLINICS = {
    "clinics": {CLINIC: [ClinicOpened(name="Grachten", zone=ZONE, currency="EUR", plan="Pro")]},
    "staff": {
        DOCTOR: [StaffHired(name="Dr Visser", email="v@example.org", role="doctor")],
        OTHER: [StaffHired(name="Dr Berg", email="b@example.org", role="doctor")],
        GONE: [StaffHired(name="Dr Oud", email="o@example.org", role="doctor"), StaffDeactivated()],
    },
    "patients": {PATIENT: [PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=date(2025, 1, 1))]},
    "rooms": {
        ONE: [RoomAdded(name="Room 1")], TWO: [RoomAdded(name="Room 2")], CLOSED: [RoomAdded(name="Store", active=False)],
        UUID(int=114): [RoomAdded(name="Old"), RoomDeleted()],
    },
    "schedules": {schedule_of(DOCTOR): [HOURS], schedule_of(GONE): [replace(HOURS, doctor_id=GONE)]},
    "appointments": BOOKED,
    "blocks": BLOCKED,
}


@pytest.fixture(scope="module")
def clinic(module_database):
    every = [fact for kind, streams in CLINICS.items() for id_, events in streams.items() for fact in facts(*events, id=id_, kind=kind)]
    remember(module_database, *(replace(fact, position=n) for n, fact in enumerate(every, 1)))
    return module_database


async def slots(database, on=WEDNESDAY, doctor=DOCTOR, days=1, minutes=30, room=None, now=noon.now):
    async with reading(database, CLINIC) as reader:
        return await available(reader, Sought(first=on, days=days, doctor=doctor, minutes=minutes, room=room), now)


def starts(found):
    return [slot.start_local[11:16] for slot in found]


# available slots


async def test_slots_leave_out_what_is_taken_and_its_buffers(clinic):
    found = starts(await slots(clinic))
    assert found == ["09:00", "10:30", "10:45", "11:00", "11:15", "11:30"]  # 09:45-10:15 is booked, and 10 minutes more
    assert starts(await slots(clinic, minutes=90)) == ["10:30"]


async def test_each_slot_says_which_rooms_are_free(clinic):
    rooms = {slot.start_local[11:16]: [room.name for room in slot.rooms] for slot in await slots(clinic)}
    assert rooms["09:00"] == ["Room 1", "Room 2"]
    assert rooms["10:30"] == ["Room 1"]  # Dr Berg's visit in room 2 is at half past ten
    assert rooms["11:30"] == ["Room 1"]  # room 2 is blocked from half past eleven, not taken a minute longer
    assert rooms["11:15"] == ["Room 1"]


async def test_slots_may_be_asked_for_one_room(clinic):
    assert starts(await slots(clinic, room=TWO)) == ["09:00"]
    assert await slots(clinic, room=CLOSED) == []


async def test_a_long_visit_of_the_day_before_still_takes_its_room(clinic):
    assert {room.name for slot in await slots(clinic, on=date(2026, 1, 8)) for room in slot.rooms} == {"Room 2"}


async def test_blocked_time_has_no_slots_on_any_of_its_days(clinic):
    per_day = {slot.start_local[:10] for slot in await slots(clinic, on=date(2026, 1, 7), days=12)}
    assert per_day == {"2026-01-07", "2026-01-08", "2026-01-18"}  # also the Sunday in between is blocked


async def test_what_has_passed_is_not_offered(clinic):
    assert starts(await slots(clinic, now=at("2026-01-07 09:46"))) == ["11:00", "11:15", "11:30"]


async def test_a_repeated_hour_is_offered_twice_unless_it_is_taken(clinic):
    found = [(slot.start_local[11:16], slot.fold, slot.starts_at) for slot in await slots(clinic, on=CHANGE, now=noon.now)]
    assert ("02:30", 0, at("2026-10-25 00:30")) not in found  # its buffer meets the visit at the second two o'clock
    assert ("02:15", 0, at("2026-10-25 00:15")) in found
    assert ("02:00", 1, at("2026-10-25 01:00")) not in found
    assert ("02:45", 1, at("2026-10-25 01:45")) in found


async def test_who_does_not_work_has_no_slots_and_who_does_not_exist_is_not_found(clinic):
    assert await slots(clinic, doctor=GONE) == []
    assert await slots(clinic, doctor=OTHER) == []  # no schedule
    with pytest.raises(NotFound):
        await slots(clinic, doctor=UUID(int=999))


@pytest.mark.parametrize("far", [date(1, 1, 1), date(9999, 12, 31), date(2028, 1, 7), date(2024, 1, 2)])
async def test_slots_are_asked_for_days_that_can_be_booked(clinic, far):
    with pytest.raises(TimeTooFar):
        await slots(clinic, on=far)


@pytest.mark.parametrize("on", [WEDNESDAY, date(2026, 1, 8), date(2026, 1, 9), CHANGE])
@pytest.mark.parametrize("room", [None, ONE, TWO])
async def test_a_slot_that_is_shown_can_be_booked_and_one_that_is_not_cannot(clinic, on, room):
    shown = {slot.starts_at for slot in await slots(clinic, on=on, room=room)}
    midnight = datetime(on.year, on.month, on.day, tzinfo=UTC) - timedelta(hours=2)
    grid = [midnight + timedelta(minutes=15 * n) for n in range(100)]
    grid = [start for start in grid if start.astimezone(UTC) >= noon.now and _local_day(start) == on]
    assert shown == {start for start in grid if _bookable(start, room)}


def _local_day(start: datetime) -> date:
    return (start + timedelta(hours=2 if start < at("2026-10-25 01:00") and start.month > 3 else 1)).date()


def _bookable(start: datetime, room: UUID | None) -> bool:
    command = BookAppointment(patient_id=UUID(int=555), doctor_id=DOCTOR, room_id=room, start=start)
    others = {
        "schedule": Schedule.replay([HOURS]), "doctor": Staff.replay(CLINICS["staff"][DOCTOR]), "patient": Patient.replay(CLINICS["patients"][PATIENT]),
        "room": Room.replay(CLINICS["rooms"][room]) if room else None,
    }
    try:
        events = command.decide(Appointment(), noon, **others)
    except DoctorNotWorking:
        return False
    states: list[State] = [*(Appointment.replay(h) for h in BOOKED.values()), *(BlockedTime.replay(h) for h in BLOCKED.values())]
    taken = [claim for state in states for claim in state.claims()]
    return not any(
        (mine.kind, mine.id) == (claim.kind, claim.id) and mine.start < claim.end and claim.start < mine.end
        for mine in Appointment.replay(events).claims() for claim in taken
    )


# the calendar


async def test_a_week_of_the_clinic_has_everything_with_names(clinic):
    async with reading(clinic, CLINIC) as reader:
        found = json.decode(await week(reader, date(2026, 1, 5), date(2026, 1, 11), {}), type=Calendar)
    assert [entry.id.int for entry in found.appointments] == [201, 203, 202, 205]
    first = found.appointments[0]
    assert (first.patient_name, first.doctor_name, first.room_name, first.status) == ("Noor Bakker", "Dr Visser", "Room 1", "booked")
    assert [(entry.id.int, entry.doctor_name, entry.room_name) for entry in found.blocks] == [(302, None, "Room 2"), (301, "Dr Visser", None)]


async def test_a_long_holiday_is_in_every_week_it_touches(clinic):
    async with reading(clinic, CLINIC) as reader:
        found = json.decode(await week(reader, date(2026, 1, 12), date(2026, 1, 18), {"doctor_id": DOCTOR}), type=Calendar)
    assert [entry.id.int for entry in found.blocks] == [301]
    assert found.appointments == []


async def test_a_calendar_may_be_one_doctors_or_one_patients(clinic):
    async with reading(clinic, CLINIC) as reader:
        doctors = json.decode(await week(reader, date(2026, 1, 5), date(2026, 1, 11), {"doctor_id": OTHER}), type=Calendar)
        nobodys = json.decode(await week(reader, date(2026, 1, 5), date(2026, 1, 11), {"patient_id": OTHER}), type=Calendar)
    assert [entry.id.int for entry in doctors.appointments] == [203, 205]
    assert doctors.blocks == []
    assert (nobodys.appointments, nobodys.blocks) == ([], [])


async def test_another_clinic_sees_nothing(clinic):
    async with reading(clinic, UUID(int=8)) as reader:
        assert json.decode(await week(reader, date(2026, 1, 5), date(2026, 1, 11), {}), type=Calendar) == Calendar(appointments=[], blocks=[])
        assert await reader.find(CalendarEntry) == []
        for row in (CurrentRoom, DoctorSchedule, BlockEntry):
            assert await reader.find(row) == []


async def test_the_list_of_appointments_is_paged_in_the_order_of_time(clinic):
    async with reading(clinic, CLINIC) as reader:
        first = await reader.page(CalendarEntry, Wanted(sort="starts_at", descending=True, limit=2))
        second = await reader.page(CalendarEntry, Wanted(sort="starts_at", descending=True, limit=2, cursor=first.next))
    ids = [entry.id.int for page in (first, second) for entry in json.decode(page.items, type=list[CalendarEntry])]
    assert ids == [204, 205, 202, 203]


async def test_deleted_rooms_and_schedules_of_those_who_left_are_not_listed(clinic):
    async with reading(clinic, CLINIC) as reader:
        assert sorted(room.name for room in await reader.find(CurrentRoom)) == ["Room 1", "Room 2", "Store"]
        assert [(found.doctor_name, found.week) for found in await reader.find(DoctorSchedule)] == [("Dr Visser", HOURS.week)]


async def test_a_calendar_of_too_many_entries_is_refused(clinic, monkeypatch):
    monkeypatch.setattr("projections.calendar.MOST", 3)
    async with reading(clinic, CLINIC) as reader:
        with pytest.raises(CalendarTooLong) as caught:
            await week(reader, date(2026, 1, 5), date(2026, 1, 11), {})
    assert isinstance(caught.value, Refused)
