"""Appointments: booked at a time that was told, moved along their life, and never two at once unless somebody means it."""

from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec import convert, json
from msgspec.structs import replace

from commands.appointments import BookAppointment, ChangeAppointment, ChangeAppointmentStatus, RemoveAppointment
from domain.appointments import (
    Appointment,
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentDetailsChanged,
    AppointmentEvent,
    AppointmentRemoved,
    AppointmentRescheduled,
    DoctorNotAvailable,
    DoctorNotWorking,
    DurationOutOfRange,
    OverbookingNeedsReason,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    RoomNotInUse,
    StartNotOnMinute,
    TimeTooFar,
    VisitTookPlace,
    WrongStatus,
)
from domain.kit import Forbidden, NotFound, TimeClaim, TimeMissing, TimeRepeated
from domain.kit.grants import granted
from domain.patients import Patient, PatientArchived, PatientNotActive, PatientRegistered
from domain.rooms import Room, RoomAdded, RoomDeleted
from domain.schedules import Hours, Schedule, ScheduleSet
from domain.staff import Staff, StaffDeactivated, StaffHired
from projections.appointments import appointments
from schemas.appointments import AppointmentRow
from tests.kit import THIS, facts, given, noon

PATIENT, DOCTOR, OTHER, ROOM = UUID(int=2), UUID(int=3), UUID(int=4), UUID(int=5)
REGISTERED = PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=date(2025, 1, 1))
HIRED = StaffHired(name="Dr Visser", email="v@example.org", role="doctor")
HOURS = ScheduleSet(doctor_id=DOCTOR, week=[[Hours(start="09:00", end="17:00")]] * 7, buffer_before=5, buffer_after=10)

schedule = Schedule.replay([HOURS])
doctor = Staff.replay([HIRED])
room = Room.replay([RoomAdded(name="Room 1")])
patient = Patient.replay([REGISTERED])
others = {"schedule": schedule, "doctor": doctor, "room": None}
all_others = {**others, "patient": patient}

visit = {"patient_id": PATIENT, "doctor_id": DOCTOR, "on": date(2026, 1, 7)}


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


booked = AppointmentBooked(
    **visit, type="checkup", start_local="2026-01-07T10:00:00", zone="Europe/Amsterdam", fold=0, starts_at=at("2026-01-07 09:00"),
    ends_at=at("2026-01-07 09:30"), buffer_before=5, buffer_after=10,
)
confirmed, arrived, seated = AppointmentConfirmed(**visit), PatientArrived(**visit), PatientSeated(**visit)
completed, missed = AppointmentCompleted(**visit), PatientMissed(**visit)
cancelled = AppointmentCancelled(**visit, by="clinic", late=False)
removed = AppointmentRemoved(**visit, was="booked")
book = BookAppointment(patient_id=PATIENT, doctor_id=DOCTOR, start=local("2026-01-07 10:00"))
edit = ChangeAppointment(doctor_id=DOCTOR, start=local("2026-01-07 10:00"))


def to(status, **more):
    return ChangeAppointmentStatus(status=status, **more)


# booking


def test_a_patient_is_booked_at_the_time_they_were_told():
    given().looking(**all_others).when(book).then(booked)


def test_type_length_room_and_notes_are_booked_too():
    command = replace(book, type="root canal", duration=60, room_id=ROOM, notes="anxious")
    event = replace(booked, type="root canal", ends_at=at("2026-01-07 10:00"), room_id=ROOM, notes="anxious")
    given().looking(**all_others | {"room": room}).when(command).then(event)


def test_the_body_of_a_booking_needs_little():
    body = {"patientId": str(PATIENT), "doctorId": str(DOCTOR), "start": "2026-01-07T10:00:00"}
    assert convert(body, BookAppointment) == book


def test_an_instant_may_be_given_instead_of_a_time_on_the_wall():
    given().looking(**all_others).when(replace(book, start=at("2026-01-07 09:00"))).then(booked)


def test_a_time_that_happens_twice_is_booked_only_when_it_is_said_which():
    night = {**all_others, "schedule": Schedule.replay([replace(HOURS, week=[[Hours(start="00:00", end="24:00")]] * 7)])}
    twice = replace(book, start=local("2026-10-25 02:30"))
    given().looking(**night).when(twice).refused(TimeRepeated)
    first, second = (replace(twice, fold=fold).decide(Appointment(), noon, **night)[0] for fold in (0, 1))
    assert (first.start_local, first.fold, first.starts_at) == ("2026-10-25T02:30:00", 0, at("2026-10-25 00:30"))
    assert (second.start_local, second.fold, second.starts_at) == ("2026-10-25T02:30:00", 1, at("2026-10-25 01:30"))
    given().looking(**night).when(replace(book, start=local("2026-03-29 02:30"))).refused(TimeMissing)


@pytest.mark.parametrize("time", ["08:59", "08:30", "16:31", "17:00", "03:00"])
def test_nothing_is_booked_outside_the_doctors_hours(time):
    given().looking(**all_others).when(replace(book, start=local(f"2026-01-07 {time}"))).refused(DoctorNotWorking)


@pytest.mark.parametrize("time", ["09:00", "16:30"])
def test_the_first_and_the_last_visit_of_the_day_fit(time):
    (event,) = replace(book, start=local(f"2026-01-07 {time}")).decide(Appointment(), noon, **all_others)
    assert event.start_local == f"2026-01-07T{time}:00"


def test_without_a_schedule_nothing_is_booked():
    given().looking(**all_others | {"schedule": Schedule()}).when(book).refused(DoctorNotWorking)


def test_the_doctor_has_to_work_here():
    gone = Staff.replay([HIRED, StaffDeactivated()])
    given().looking(**all_others | {"doctor": gone}).when(book).refused(DoctorNotAvailable)
    desk = Staff.replay([replace(HIRED, role="receptionist")])
    given().looking(**all_others | {"doctor": desk}).when(book).refused(DoctorNotAvailable)


def test_the_room_has_to_be_in_use():
    for unused in (Room.replay([RoomAdded(name="Room 1", active=False)]), Room.replay([RoomAdded(name="Room 1"), RoomDeleted()])):
        given().looking(**all_others | {"room": unused}).when(replace(book, room_id=ROOM)).refused(RoomNotInUse)


def test_an_archived_patient_is_not_booked():
    archived = Patient.replay([REGISTERED, PatientArchived()])
    given().looking(**all_others | {"patient": archived}).when(book).refused(PatientNotActive)


def test_the_desk_records_visits_late_but_not_from_another_age():
    (event,) = replace(book, start=local("2025-12-29 10:00")).decide(Appointment(), noon, **all_others)
    assert event.on == date(2025, 12, 29)
    for far in ("2023-12-01 10:00", "2028-02-01 10:00", "0001-01-01 00:00", "9999-12-31 23:59"):
        given().looking(**all_others).when(replace(book, start=local(far))).refused(TimeTooFar)


def test_a_visit_starts_on_a_minute_and_lasts_a_while():
    given().looking(**all_others).when(replace(book, start=local("2026-01-07 10:00:30"))).refused(StartNotOnMinute)
    given().looking(**all_others).when(replace(book, start=local("2026-01-07 10:00:00.5"))).refused(StartNotOnMinute)
    for minutes in (4, 0, -30, 24 * 60 + 1):
        given().looking(**all_others).when(replace(book, duration=minutes)).refused(DurationOutOfRange)


# overbooking


def test_overbooking_takes_a_permission_and_a_reason():
    over = replace(book, overbook=True, reason="broken tooth")
    given().looking(**all_others).when(over).then(replace(booked, forced=True, reason="broken tooth"))
    given().looking(**all_others).when(replace(over, reason=None)).refused(OverbookingNeedsReason)
    without = replace(noon, grants=granted("doctor") - {"appointments.overbook"})
    given(at=without).looking(**all_others).when(over).refused(Forbidden)


def test_who_overbooks_may_book_outside_hours():
    late = replace(book, start=local("2026-01-07 18:00"), overbook=True, reason="broken tooth")
    (event,) = late.decide(Appointment(), noon, **all_others)
    assert event.forced
    given().looking(**all_others | {"doctor": Staff()}).when(late).refused(DoctorNotAvailable)


def test_a_reason_without_overbooking_is_not_kept():
    given().looking(**all_others).when(replace(book, reason="why not")).then(booked)


# what a visit takes


def test_doctor_and_room_are_taken_with_buffers_and_the_patient_without():
    start, end = at("2026-01-07 08:55"), at("2026-01-07 09:40")
    patients = TimeClaim(kind="patient", id=PATIENT, start=at("2026-01-07 09:00"), end=at("2026-01-07 09:30"))
    doctors = TimeClaim(kind="doctor", id=DOCTOR, start=start, end=end)
    assert Appointment.replay([booked]).claims() == {doctors, patients}
    rooms = TimeClaim(kind="room", id=ROOM, start=start, end=end)
    assert Appointment.replay([replace(booked, room_id=ROOM)]).claims() == {doctors, patients, rooms}


def test_an_overbooked_visit_takes_its_time_by_force():
    claims = Appointment.replay([replace(booked, forced=True, room_id=ROOM)]).claims()
    assert len(claims) == 3
    assert all(claim.forced for claim in claims)


@pytest.mark.parametrize("history", [[], [confirmed], [arrived], [arrived, seated], [arrived, seated, completed]])
def test_time_is_taken_while_a_visit_is_going_to_happen_and_when_it_has(history):
    assert Appointment.replay([booked, *history]).claims() == Appointment.replay([booked]).claims()


@pytest.mark.parametrize("end", [cancelled, missed, removed])
def test_time_is_free_when_a_visit_does_not_happen(end):
    assert Appointment.replay([booked, end]).claims() == frozenset()


# its life


@pytest.mark.parametrize(("history", "status", "event"), [
    ([], "confirmed", confirmed),
    ([], "arrived", arrived),
    ([confirmed], "arrived", arrived),
    ([arrived], "in-chair", seated),
    ([arrived, seated], "completed", completed),
    ([], "cancelled", cancelled),
    ([confirmed], "cancelled", cancelled),
    ([], "no-show", missed),
    ([confirmed], "no-show", missed),
])
def test_a_visit_moves_along_its_life(history, status, event):
    given(booked, *history).when(to(status)).then(event)


ALLOWED = {
    "booked": {"confirmed", "arrived", "cancelled", "no-show"}, "confirmed": {"arrived", "cancelled", "no-show"}, "arrived": {"in-chair"},
    "in-chair": {"completed"}, "completed": set(), "cancelled": set(), "no-show": set(),
}
REACHED = {
    "booked": [], "confirmed": [confirmed], "arrived": [arrived], "in-chair": [arrived, seated],
    "completed": [arrived, seated, completed], "cancelled": [cancelled], "no-show": [missed],
}


@pytest.mark.parametrize(("before", "after"), [(a, b) for a in REACHED for b in REACHED if b != "booked" and b not in ALLOWED[a]])
def test_no_other_move_is_possible(before, after):
    refusal = given(booked, *REACHED[before]).when(to(after)).refused(WrongStatus)
    assert refusal.details == {"from": before, "to": after}


@pytest.mark.parametrize(("now", "late"), [("2026-01-06 09:00", False), ("2026-01-06 09:01", True), ("2026-01-07 12:00", True)])
def test_a_cancellation_is_late_less_than_a_day_ahead(now, late):
    moment = replace(noon, now=at(now))
    event = AppointmentCancelled(**visit, by="patient", late=late, reason="flu")
    given(booked, at=moment).when(to("cancelled", cancelled_by="patient", reason="flu")).then(event)


# changing


def test_a_visit_is_moved():
    moved = AppointmentRescheduled(
        patient_id=PATIENT, doctor_id=OTHER, on=date(2026, 1, 8), type="checkup", start_local="2026-01-08T14:00:00", zone="Europe/Amsterdam",
        starts_at=at("2026-01-08 13:00"), ends_at=at("2026-01-08 13:45"), buffer_before=5, buffer_after=10, was_on=date(2026, 1, 7),
        was_doctor_id=DOCTOR, notes="call first",
    )
    command = ChangeAppointment(doctor_id=OTHER, start=local("2026-01-08 14:00"), duration=45, notes="call first")
    given(booked).looking(**others).when(command).then(moved)
    assert {(c.kind, c.id) for c in Appointment.replay([booked, moved]).claims()} == {("doctor", OTHER), ("patient", PATIENT)}


def test_an_edit_that_keeps_time_and_doctor_changes_only_details():
    changed = AppointmentDetailsChanged(**visit, room_id=ROOM, type="filling", notes="left side")
    command = replace(edit, room_id=ROOM, type="filling", notes="left side")
    given(booked).looking(**others | {"room": room}).when(command).then(changed)
    assert ("room", ROOM) in {(c.kind, c.id) for c in Appointment.replay([booked, changed]).claims()}


def test_details_may_change_outside_hours_with_a_doctor_who_left_but_a_room_must_be_in_use():
    gone = {"schedule": Schedule(), "doctor": Staff(), "room": None}
    given(booked).looking(**gone).when(edit).then(AppointmentDetailsChanged(**visit, type="checkup"))
    given(booked).looking(**gone | {"room": Room()}).when(replace(edit, room_id=ROOM)).refused(RoomNotInUse)
    in_room = replace(booked, room_id=ROOM)
    given(in_room).looking(**gone | {"room": Room()}).when(replace(edit, room_id=ROOM)).then(
        AppointmentDetailsChanged(**visit, type="checkup", room_id=ROOM))


def test_an_overbooked_visit_stays_so_until_it_is_moved():
    over = replace(booked, forced=True)
    given(over).looking(**others).when(edit).then(AppointmentDetailsChanged(**visit, type="checkup", forced=True))
    (event,) = replace(edit, start=local("2026-01-07 11:00")).decide(Appointment.replay([over]), noon, **others)
    assert not event.forced


def test_a_visit_is_moved_by_the_same_rules_as_it_is_booked():
    move = replace(edit, start=local("2026-01-07 11:00"))
    given(booked).looking(**others | {"schedule": Schedule()}).when(move).refused(DoctorNotWorking)
    given(booked).looking(**others | {"doctor": Staff()}).when(move).refused(DoctorNotAvailable)
    given(booked).looking(**others | {"room": Room()}).when(replace(move, room_id=ROOM)).refused(RoomNotInUse)
    given(booked).looking(**others).when(replace(move, overbook=True)).refused(OverbookingNeedsReason)
    given(booked).looking(**others).when(replace(move, start=local("2030-01-07 11:00"))).refused(TimeTooFar)


@pytest.mark.parametrize("status", ["completed", "cancelled", "no-show"])
def test_what_is_over_is_not_moved_but_its_notes_may_change(status):
    history = [booked, *REACHED[status]]
    given(*history).looking(**others).when(replace(edit, start=local("2026-01-07 11:00"))).refused(WrongStatus)
    given(*history).looking(**others).when(replace(edit, notes="late")).then(
        AppointmentDetailsChanged(**visit, type="checkup", notes="late"))


def test_a_visit_keeps_its_status_when_it_is_moved():
    (moved,) = replace(edit, start=local("2026-01-07 11:00")).decide(Appointment.replay([booked, confirmed]), noon, **others)
    assert Appointment.replay([booked, confirmed, moved]).status == "confirmed"


# removing


def test_a_visit_is_removed():
    given(booked).when(RemoveAppointment()).then(removed)
    given(booked, cancelled).when(RemoveAppointment()).then(replace(removed, was="cancelled"))


def test_a_visit_that_took_place_is_not_removed():
    for status in ("in-chair", "completed"):
        given(booked, *REACHED[status]).when(RemoveAppointment()).refused(VisitTookPlace)


def test_what_is_removed_is_gone():
    for command in (to("confirmed"), RemoveAppointment()):
        given(booked, removed).when(command).refused(NotFound)
    given(booked, removed).looking(**others).when(edit).refused(NotFound)


# as it is stored and seen


def test_without_the_key_an_appointment_is_still_decided_alike():
    over = replace(booked, notes="anxious", forced=True, reason="broken tooth")
    assert Appointment.replay([over]) == Appointment.replay([replace(over, notes=None, reason=None)])


@forall(st.lists(st.sampled_from(["confirmed", "arrived", "in-chair", "completed", "cancelled", "no-show", "move", "edit", "remove"])))
def test_any_life_survives_storage(wishes):
    events: list[AppointmentEvent] = [booked]
    for n, wish in enumerate(wishes):
        state = Appointment.replay(events)
        command = {
            "move": replace(edit, start=local("2026-01-07 11:00") + timedelta(minutes=n)), "edit": edit, "remove": RemoveAppointment(),
        }.get(wish) or to(wish)
        found = others if isinstance(command, ChangeAppointment) else {}
        try:
            events += command.decide(state, noon, **found)
        except (WrongStatus, NotFound, VisitTookPlace):
            continue
    stored = json.decode(json.encode(events), type=list[AppointmentEvent])
    assert stored == events
    assert Appointment.replay(stored) == Appointment.replay(events)


def row_of(*events: AppointmentEvent) -> AppointmentRow | None:
    row = None
    for fact in facts(*events):
        row = appointments(row, fact)
    return row


def test_an_appointment_as_it_is_seen():
    row = row_of(replace(booked, notes="anxious"), arrived, seated, completed)
    assert row == AppointmentRow(
        id=THIS, patient_id=PATIENT, doctor_id=DOCTOR, room_id=None, type="checkup", status="completed", date=date(2026, 1, 7),
        start_local="2026-01-07T10:00:00", zone="Europe/Amsterdam", fold=0, starts_at=at("2026-01-07 09:00"), ends_at=at("2026-01-07 09:30"),
        buffer_before=5, buffer_after=10, overbooked=False, notes="anxious", booked_at=noon.now, arrived_at=noon.now, seated_at=noon.now,
        completed_at=noon.now, sequence=3,
    )


def test_a_cancellation_as_it_is_seen():
    row = row_of(booked, AppointmentCancelled(**visit, by="patient", late=True, reason="flu"))
    assert row
    assert (row.status, row.cancelled_by, row.cancelled_late, row.cancelled_because) == ("cancelled", "patient", True, "flu")


def test_an_edit_as_it_is_seen():
    over = replace(booked, forced=True, reason="broken tooth", notes="old")
    row = row_of(over, AppointmentDetailsChanged(**visit, type="filling", room_id=ROOM, forced=True, notes="new"))
    assert row
    assert (row.type, row.room_id, row.notes, row.overbooked, row.overbooked_because) == ("filling", ROOM, "new", True, "broken tooth")


def test_a_removed_appointment_is_not_seen():
    assert row_of(booked, removed) is None
    assert row_of(booked, missed) is not None


def test_statuses_of_row_and_state_agree():
    for history in REACHED.values():
        row = row_of(booked, *history)
        assert row
        assert row.status == Appointment.replay([booked, *history]).status
    assert len(list(combinations(REACHED, 2))) == 21  # all seven are there
