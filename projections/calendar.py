"""How appointments become the calendar, and how a day, a week or a patient's visits are read from it."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentDetailsChanged,
    AppointmentEvent,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    Status,
)
from domain.kit import Event, Fact, Invalid
from projections.kit import installs, projects
from projections.kit.reading import Reader, wire_of
from schemas.calendar import BlockEntry, CalendarEntry, CalendarRow
from schemas.kit import Row

LEADS_TO: dict[type[Event], Status] = {
    AppointmentConfirmed: "confirmed", PatientArrived: "arrived", PatientSeated: "in-chair", AppointmentCompleted: "completed",
    AppointmentCancelled: "cancelled", PatientMissed: "no-show",
}

MOST = 5000  # entries of a calendar at once

# names are joined when they are read: a rename touches one row, not a thousand
installs("""
create or replace view calendar_entries with (security_invoker = true) as
select c.*, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, s.name as doctor_name, r.name as room_name
from calendar c
left join patients p on p.clinic_id = c.clinic_id and p.id = c.patient_id
left join staff s on s.clinic_id = c.clinic_id and s.id = c.doctor_id
left join rooms r on r.clinic_id = c.clinic_id and r.id = c.room_id;
grant select on calendar_entries to anamnesis_gateway;
create or replace view block_entries with (security_invoker = true) as
select b.*, s.name as doctor_name, r.name as room_name
from blocks b
left join staff s on s.clinic_id = b.clinic_id and s.id = b.doctor_id
left join rooms r on r.clinic_id = b.clinic_id and r.id = b.room_id;
grant select on block_entries to anamnesis_gateway;
""")


class CalendarTooLong(Invalid):
    """That is more than a calendar shows at once. Ask for fewer days, or for one doctor."""


@projects(CalendarRow, of=AppointmentEvent)
def calendar(row: CalendarRow | None, fact: Fact) -> CalendarRow | None:
    match fact.event:
        case AppointmentBooked() as event:
            return CalendarRow(id=fact.id, status="booked", **arranged(event))
        case AppointmentRescheduled() as event if row:
            return replace(row, **arranged(event))
        case AppointmentDetailsChanged() as e if row:
            return replace(row, room_id=e.room_id, type=e.type, overbooked=e.forced)
        case AppointmentRemoved():
            return None
        case event if row and type(event) in LEADS_TO:
            return replace(row, status=LEADS_TO[type(event)])
    return row


def arranged(e: AppointmentBooked | AppointmentRescheduled) -> dict[str, Any]:
    return {
        "patient_id": e.patient_id, "doctor_id": e.doctor_id, "room_id": e.room_id, "date": e.on, "start_local": e.start_local,
        "starts_at": e.starts_at, "ends_at": e.ends_at, "buffer_before": e.buffer_before, "buffer_after": e.buffer_after, "type": e.type,
        "overbooked": e.forced,
    }


async def week(reader: Reader, first: date, last: date, whose: dict[str, UUID]) -> bytes:
    """Return all that is in the calendar from one day of the clinic to another, as the JSON of `Calendar`; `whose` is columns and their values."""
    visits = _between(reader, CalendarEntry, "t.date between %s and %s", (first, last), whose)
    if "patient_id" in whose:  # no time is blocked for a patient
        return msgspec.json.encode({"appointments": await visits, "blocks": []})
    blocks = _between(reader, BlockEntry, "t.last_date >= %s and t.date <= %s", (first, last), whose)
    return msgspec.json.encode(dict(zip(("appointments", "blocks"), await asyncio.gather(visits, blocks), strict=True)))


async def _between(reader: Reader, row: type[Row], days: str, ends: tuple[date, date], whose: dict[str, UUID]) -> list[Any]:
    """Ask for them in the order of time, and of the day first: no index has that order, so the planner is never led to walk through all of a clinic's time."""
    where = " and ".join(["t.clinic_id = %s", *(f"t.{column} = %s" for column in whose), days])
    sql = f"select {wire_of(row).columns} from {row.table} t where {where} order by t.date, t.starts_at, t.id limit {MOST + 1}"  # noqa: S608
    found = (await reader.ask(sql, [reader.clinic, *whose.values(), *ends])).rows
    if len(found) > MOST:
        raise CalendarTooLong
    return wire_of(row).items(found)
