"""How appointments become the calendar, and how a day, a week or a patient's visits are read from it."""

import asyncio
from collections.abc import Iterable
from datetime import date, timedelta
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
    AppointmentReassigned,
    AppointmentRemoved,
    AppointmentRescheduled,
    AppointmentRetimed,
    ArrivalUndone,
    MissUndone,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    SeatingUndone,
    Status,
)
from domain.kit import Event, Fact, Invalid
from domain.schedules import LONGEST
from projections.kit import PROJECTIONS, installs, projects
from projections.kit.keys import KeyRing
from projections.kit.past import fits, pasts
from projections.kit.reading import Reader, wire_of
from projections.trails import on_days
from schemas.calendar import BlockEntry, Calendar, CalendarEntry, CalendarRow
from schemas.group_sessions import GroupSessionRow
from schemas.kit import Row

LEADS_TO: dict[type[Event], Status] = {
    AppointmentConfirmed: "confirmed", PatientArrived: "arrived", PatientSeated: "in-chair", AppointmentCompleted: "completed",
    AppointmentCancelled: "cancelled", PatientMissed: "no-show", SeatingUndone: "arrived",
}

MOST = 5000  # entries of a calendar at once
MOST_THEN = 2000  # that ever were on some days, when the calendar is asked for as it was: each is folded anew

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
def calendar(row: CalendarRow | None, fact: Fact) -> CalendarRow | None:  # noqa: PLR0911 - one case per event
    match fact.event:
        case AppointmentBooked() as event:
            return CalendarRow(id=fact.id, status="booked", series_id=event.series_id, occurrence=event.occurrence, **arranged(event))
        case AppointmentRescheduled() as event if row:
            return replace(row, **arranged(event))
        case AppointmentRetimed() as e if row:
            return replace(row, date=e.on, start_local=e.start_local, starts_at=e.starts_at, ends_at=e.ends_at, overbooked=e.forced)
        case AppointmentDetailsChanged() as e if row:
            return replace(row, room_id=e.room_id, type=e.type, type_id=e.type_id, overbooked=e.forced)
        case AppointmentReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
        case AppointmentRemoved():
            return None
        case ArrivalUndone(status=status) | MissUndone(status=status) if row:
            return replace(row, status=status)
        case event if row and type(event) in LEADS_TO:
            return replace(row, status=LEADS_TO[type(event)])
    return row


def arranged(e: AppointmentBooked | AppointmentRescheduled) -> dict[str, Any]:
    return {
        "patient_id": e.patient_id, "doctor_id": e.doctor_id, "room_id": e.room_id, "date": e.on, "start_local": e.start_local,
        "starts_at": e.starts_at, "ends_at": e.ends_at, "buffer_before": e.buffer_before, "buffer_after": e.buffer_after, "type": e.type,
        "overbooked": e.forced, "type_id": e.type_id, "place_id": e.place_id, "group_id": e.group_id,
    }


async def week(reader: Reader, first: date, last: date, whose: dict[str, UUID]) -> bytes:
    """Return all that is in the calendar from one day of the clinic to another, as the JSON of `Calendar`; `whose` is columns and their values."""
    visits = _between(reader, CalendarEntry, "t.date between %s and %s", (first, last), whose)
    if "patient_id" in whose:  # no time is blocked for a patient
        return msgspec.json.encode({"appointments": await visits, "blocks": [], "groupSessions": []})
    blocks = _between(reader, BlockEntry, "t.last_date >= %s and t.date <= %s", (first, last), whose)
    sessions = _between(reader, GroupSessionRow, "t.date between %s and %s", (first, last), whose)
    return msgspec.json.encode(dict(zip(("appointments", "blocks", "groupSessions"), await asyncio.gather(visits, blocks, sessions), strict=True)))


async def of_day(reader: Reader, day: date, whose: dict[str, UUID]) -> list[Any]:
    """Return the visits of a day in the order of time."""
    return await _between(reader, CalendarEntry, "t.date between %s and %s", (day, day), whose)


async def _between(reader: Reader, row: type[Row], days: str, ends: tuple[date, date], whose: dict[str, UUID]) -> list[Any]:
    """Ask for them in the order of time, and of the day first: no index has that order, so the planner is never led to walk through all of a clinic's time."""
    where = " and ".join(["t.clinic_id = %s", *(f"t.{column} = %s" for column in whose), days])
    sql = f"select {wire_of(row).columns} from {row.table} t where {where} order by t.date, t.starts_at, t.id limit {MOST + 1}"  # noqa: S608
    found = (await reader.ask(sql, [reader.clinic, *whose.values(), *ends])).rows
    if len(found) > MOST:
        raise CalendarTooLong
    return wire_of(row).items(found)


async def week_then(reader: Reader, keys: KeyRing, first: date, last: date, whose: dict[str, UUID], upto: int) -> bytes:
    """Return the same as it was at a position: whatever had ever been on these days is folded anew, and so are those who are named."""
    visits = await _then(reader, keys, "calendar", await _ever(reader, "appointments", first, last, upto), whose, upto)
    visits = [visit for visit in visits if first <= visit.date <= last]
    blocks: list[Any] = []
    sessions: list[Any] = []
    if "patient_id" not in whose:  # no time is blocked for a patient
        sessions = await _then(reader, keys, "group_sessions", await _ever(reader, "group_sessions", first, last, upto), whose, upto)
        blocks = await _then(reader, keys, "blocks", await _ever(reader, "blocks", first, last, upto, LONGEST + timedelta(days=1)), whose, upto)
    patients = await _named(reader, keys, "patients", (visit.patient_id for visit in visits), upto)
    staff = await _named(reader, keys, "staff", (one.doctor_id for one in (*visits, *blocks)), upto)
    rooms = await _named(reader, keys, "rooms", (one.room_id for one in (*visits, *blocks)), upto)
    return msgspec.json.encode(Calendar(
        appointments=[CalendarEntry(
            **msgspec.structs.asdict(one), patient_name=patients.get(one.patient_id), doctor_name=staff.get(one.doctor_id), room_name=rooms.get(one.room_id),
        ) for one in visits],
        group_sessions=[session for session in sessions if first <= session.date <= last],
        blocks=[BlockEntry(**msgspec.structs.asdict(one), doctor_name=staff.get(one.doctor_id), room_name=rooms.get(one.room_id)) for one in blocks],
    ))


async def _ever(reader: Reader, kind: str, first: date, last: date, upto: int, longest: timedelta = timedelta()) -> list[UUID]:
    found = await on_days(reader, kind, first, last, upto, MOST_THEN + 1, longest)
    if len(found) > MOST_THEN:
        raise CalendarTooLong
    return found


async def _then(reader: Reader, keys: KeyRing, name: str, streams: list[UUID], whose: dict[str, UUID], upto: int) -> list[Any]:
    """Return the rows of these streams as they were, in the order of time."""
    found: list[Any] = [past.row for past in (await pasts(reader, keys, PROJECTIONS[name], streams, upto)).values()]
    conditions = [(column, "=", value) for column, value in whose.items()]
    return sorted((row for row in found if fits(row, conditions)), key=lambda row: (row.date, row.starts_at, row.id))


async def _named(reader: Reader, keys: KeyRing, kind: str, ids: Iterable[UUID | None], upto: int) -> dict[UUID | None, str | None]:
    """Return what these were called then."""
    found = await pasts(reader, keys, PROJECTIONS[kind], (id_ for id_ in ids if id_ is not None), upto)
    return {id_: name_of(past.row) for id_, past in found.items()}


def name_of(row: Any) -> str | None:
    """Return a row's name: a patient has two, of which either may be missing."""
    if (name := getattr(row, "name", None)) is not None:
        return str(name)
    return " ".join(name for name in (getattr(row, "given_name", None), getattr(row, "family_name", None)) if name is not None) or None
