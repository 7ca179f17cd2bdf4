"""The calendar: where every visit stands, by its day."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
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
from projections.calendar import calendar, week
from projections.kit.reading import Reader, Reading
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
    place = {name: value for name, value in only(AppointmentBooked, booked).items() if name not in {"series_id", "occurrence", "deposit"}} | {
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


# --- as it is looked for


FILL = """
insert into calendar (clinic_id, position, id, patient_id, doctor_id, date, start_local, starts_at, ends_at, buffer_before, buffer_after, type, status, overbooked)
select %(clinic)s, n, gen_random_uuid(), gen_random_uuid(), ('00000000-0000-0000-0000-' || lpad((n %% 10)::text, 12, '0'))::uuid, day, '', day + slot, day + slot, 0, 0, 'visit', 'booked', false
from generate_series(1, %(count)s) n, lateral (select date '2026-12-07' + n / 120 as day, interval '40 minutes' * (n / 10 %% 12) as slot) at
"""


async def test_a_clinic_that_the_planner_does_not_know_is_not_walked_through(module_database: Any) -> None:
    """Statistics are of the clinics before it, so it counts as one row: any index looks as good as any other, unless it gives the order for nothing."""
    new, doctor = uuid4(), UUID(int=3)
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        for clinic in (uuid4(), uuid4()):
            owner.execute(FILL, {"clinic": clinic, "count": 10_000})
        owner.execute("analyze calendar_v1")
        owner.execute(FILL, {"clinic": new, "count": 5_000})
    asked: list[tuple[str, Sequence[Any]]] = []
    reading = Reading(module_database.url("gateway"), size=1)
    await reading.open()

    class Noting(Reader):
        async def ask(self, sql: str, params: Sequence[Any] = ()) -> Any:
            asked.append((sql, params))
            return await super().ask(sql, params)

    reader = Noting(reading.lanes, new, 0)
    shown = msgspec.json.decode(await week(reader, date(2026, 12, 7), date(2026, 12, 11), {"doctor_id": doctor}))
    await reading.close()
    assert len(shown["appointments"]) == 60
    assert [one["startsAt"] for one in shown["appointments"]] == sorted(one["startsAt"] for one in shown["appointments"])
    with psycopg.connect(module_database.url("gateway"), autocommit=True) as gateway:
        gateway.execute("select set_config('app.clinic', %s, false)", [str(new)])
        sql, params = next(one for one in asked if "calendar_entries" in one[0])
        plan = "\n".join(line for (line,) in gateway.execute(f"explain (analyze, timing off) {sql}", params))
    looked_at = [int(found) for found in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
    assert sum(looked_at) < 1_000, plan
