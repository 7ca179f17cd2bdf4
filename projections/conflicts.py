"""What appointments collide with, as the calendar, blocked time and the doctors' hours stand now: three questions, however many appointments there are."""

import asyncio
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from domain.appointments import BUSY
from domain.kit import only
from domain.schedules import Timetable, schedule_of
from projections.closed_days import closed_on
from projections.kit.reading import Reader
from schemas.clinics import ClinicRow
from schemas.conflicts import AppointmentConflict
from schemas.schedules import ScheduleRow

STATUSES = ", ".join(f"'{status}'" for status in sorted(BUSY))
TIMES = """
c.starts_at - make_interval(mins => c.buffer_before::int) as held_from, c.ends_at + make_interval(mins => c.buffer_after::int) as held_to"""

# an appointment lasts a day at most, so whatever overlaps it begins no more than two days before or after: the day is there for the indexes
MINE = f"""
select c.id, c.doctor_id, c.room_id, c.patient_id, c.date, c.starts_at, c.ends_at, {TIMES}, c.place_id, c.group_id
from calendar c where c.clinic_id = %s::uuid and {{which}} and c.status in ({STATUSES})"""  # noqa: S608 - constants
OTHERS = f"""
select '{{kind}}', m.id, o.id, o.starts_at, o.ends_at from mine m
join lateral (
    select c.id, c.starts_at, c.ends_at, {TIMES} from calendar c
    where c.clinic_id = %s::uuid and c.{{kind}}_id = m.{{kind}}_id and c.date between m.date - 2 and m.date + 2 and c.id <> m.id and c.status in ({STATUSES}) and (c.group_id is null or c.group_id is distinct from m.group_id)
) o on {{overlap}}"""  # noqa: S608 - constants
BUFFERED, BARE = "o.held_from < m.held_to and o.held_to > m.held_from", "o.starts_at < m.ends_at and o.ends_at > m.starts_at"
COLLISIONS = f"""
with mine as materialized ({MINE})
{OTHERS.format(kind="doctor", overlap=BUFFERED)}
union all {OTHERS.format(kind="room", overlap=BUFFERED)}
union all {OTHERS.format(kind="patient", overlap=BARE)}
union all
select case when g.doctor_id = m.doctor_id then 'doctor' else 'room' end, m.id, g.id, g.starts_at, g.ends_at from mine m
join group_sessions g on g.clinic_id = %s::uuid and g.status = 'planned' and g.date between m.date - 2 and m.date + 2 and (g.doctor_id = m.doctor_id or g.room_id = m.room_id)
    and g.id is distinct from m.group_id and g.starts_at - make_interval(mins => g.buffer_before::int) < m.held_to
    and g.ends_at + make_interval(mins => g.buffer_after::int) > m.held_from
union all
select 'blocked', m.id, b.id, b.starts_at, b.ends_at from mine m
join blocks b on b.clinic_id = %s::uuid and (b.doctor_id = m.doctor_id or b.room_id = m.room_id) and b.starts_at < m.held_to and b.ends_at > m.held_from"""  # noqa: S608 - constants


class Which(NamedTuple):
    """Which appointments: one, those of some days, a doctor's, a patient's; each narrows it down."""

    appointment: UUID | None = None
    days: tuple[date, date] | None = None
    doctor: UUID | None = None
    patient: UUID | None = None

    @property
    def asked(self) -> tuple[str, list[Any]]:
        """As conditions with their values; only those that there are, so that an index serves them."""
        given = {"c.id = %s::uuid": self.appointment, "c.doctor_id = %s::uuid": self.doctor, "c.patient_id = %s::uuid": self.patient}
        wanted: dict[str, list[Any]] = {condition: [value] for condition, value in given.items() if value is not None}
        if self.days:
            wanted["c.date between %s::date and %s::date"] = [*self.days]
        return " and ".join(wanted) or "true", [value for values in wanted.values() for value in values]


async def conflicts(reader: Reader, which: Which, *, named: bool) -> list[AppointmentConflict]:
    """Return what these appointments collide with; `named` says whether to tell with which."""
    clinic, (conditions, values) = reader.clinic, which.asked
    mine, found, here, hours, closed = await asyncio.gather(
        reader.ask(MINE.format(which=conditions), [clinic, *values]),
        reader.ask(COLLISIONS.format(which=conditions), [clinic, *values, clinic, clinic, clinic, clinic, clinic]),
        reader.one(ClinicRow, clinic), reader.find(ScheduleRow), closed_on(reader))
    zone = here.zone if here else "UTC"
    tables = {row.id: Timetable(**only(Timetable, row)) for row in hours}
    items = [
        AppointmentConflict(appointment_id=id_, kind=kind, with_id=other if named else None, starts_at=start, ends_at=end)
        for kind, id_, other, start, end in found.rows]
    for id_, doctor, _, _, _, start, end, _, _, place, _ in mine.rows:
        table = tables.get(schedule_of(doctor))
        if table is None or place not in table.covering(start, end, zone, closed):
            items.append(AppointmentConflict(appointment_id=id_, kind="hours", with_id=None, starts_at=start, ends_at=end))
    return sorted(items, key=lambda one: (one.starts_at, one.appointment_id, one.kind, str(one.with_id)))
