"""The calendar: where every visit stands, by its day."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentDetailsChanged,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientArrived,
    PatientMissed,
    PatientSeated,
)
from domain.kit import only
from projections.calendar import calendar
from schemas.calendar import CalendarRow
from tests.kit import THIS, facts

PATIENT, DOCTOR, OTHER, ROOM = UUID(int=2), UUID(int=3), UUID(int=4), UUID(int=5)
visit = {"patient_id": PATIENT, "doctor_id": DOCTOR, "on": date(2026, 1, 7)}
booked = AppointmentBooked(
    **visit, type="checkup", start_local="2026-01-07T10:00:00", zone="Europe/Amsterdam", starts_at=datetime(2026, 1, 7, 9, tzinfo=UTC),
    ends_at=datetime(2026, 1, 7, 9, 30, tzinfo=UTC), buffer_before=5, buffer_after=10, notes="anxious",
)
seen = CalendarRow(
    id=THIS, patient_id=PATIENT, doctor_id=DOCTOR, room_id=None, date=date(2026, 1, 7), start_local="2026-01-07T10:00:00",
    starts_at=booked.starts_at, ends_at=booked.ends_at, buffer_before=5, buffer_after=10, type="checkup", status="booked", overbooked=False,
)


def after(*events):
    row = None
    for fact in facts(*events):
        row = calendar(row, fact)
    return row


def test_a_booking_is_in_the_calendar():
    assert after(booked) == seen


def test_the_calendar_tells_nothing_that_needs_a_key():
    assert after(booked) == after(replace(booked, notes=None))


@pytest.mark.parametrize(("event", "status"), [
    (AppointmentConfirmed(**visit), "confirmed"),
    (PatientArrived(**visit), "arrived"),
    (PatientSeated(**visit), "in-chair"),
    (AppointmentCompleted(**visit), "completed"),
    (AppointmentCancelled(**visit, by="patient", late=False), "cancelled"),
    (PatientMissed(**visit), "no-show"),
])
def test_the_calendar_follows_a_visit(event, status):
    assert after(booked, event) == replace(seen, status=status)


def test_a_moved_visit_is_where_it_was_moved_to():
    place = only(AppointmentBooked, booked) | {
        "doctor_id": OTHER, "on": date(2026, 1, 8), "start_local": "2026-01-08T10:00:00", "starts_at": datetime(2026, 1, 8, 9, tzinfo=UTC),
        "ends_at": datetime(2026, 1, 8, 9, 30, tzinfo=UTC), "forced": True,
    }
    moved = AppointmentRescheduled(**place, was_on=date(2026, 1, 7), was_doctor_id=DOCTOR)
    assert after(booked, AppointmentConfirmed(**visit), moved) == replace(
        seen, doctor_id=OTHER, date=date(2026, 1, 8), start_local="2026-01-08T10:00:00", starts_at=moved.starts_at, ends_at=moved.ends_at,
        overbooked=True, status="confirmed",
    )


def test_details_change_in_place():
    assert after(booked, AppointmentDetailsChanged(**visit, room_id=ROOM, type="filling")) == replace(seen, room_id=ROOM, type="filling")


def test_a_removed_visit_is_gone():
    assert after(booked, AppointmentRemoved(**visit, was="booked")) is None
