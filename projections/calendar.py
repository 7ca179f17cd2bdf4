"""How appointments become the calendar, and how a day, a week or a patient's visits are read from it."""

import asyncio
import base64
import binascii
from datetime import date, datetime
from operator import attrgetter
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
from projections.kit import projects
from projections.kit.reading import CursorInvalid, Reader
from schemas.calendar import CalendarEntry, CalendarPage, CalendarRow

LEADS_TO: dict[type[Event], Status] = {
    AppointmentConfirmed: "confirmed", PatientArrived: "arrived", PatientSeated: "in-chair", AppointmentCompleted: "completed",
    AppointmentCancelled: "cancelled", PatientMissed: "no-show",
}

MOST = 5000  # entries of a calendar at once

APPOINTMENTS = """
select 'appointment', c.id, c.patient_id, nullif(concat_ws(' ', p.given_name, p.family_name), ''), c.doctor_id, s.name, c.room_id, r.name, c.day,
    c.start_local, c.starts_at, c.ends_at, c.type, c.status, c.overbooked
from calendar c
left join patients p on p.clinic_id = c.clinic_id and p.id = c.patient_id
left join staff s on s.clinic_id = c.clinic_id and s.id = c.doctor_id
left join rooms r on r.clinic_id = c.clinic_id and r.id = c.room_id
where c.clinic_id = %s"""

BLOCKS = """
select 'block', b.id, null::uuid, null::text, b.doctor_id, s.name, b.room_id, r.name, b.day, b.start_local, b.starts_at, b.ends_at, null::text,
    null::text, false
from blocks b
left join staff s on s.clinic_id = b.clinic_id and s.id = b.doctor_id
left join rooms r on r.clinic_id = b.clinic_id and r.id = b.room_id
where b.clinic_id = %s and b.last_day >= %s and b.day <= %s"""


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
        "patient_id": e.patient_id, "doctor_id": e.doctor_id, "room_id": e.room_id, "day": e.on, "start_local": e.start_local,
        "starts_at": e.starts_at, "ends_at": e.ends_at, "buffer_before": e.buffer_before, "buffer_after": e.buffer_after, "type": e.type,
        "overbooked": e.forced,
    }


Only = dict[str, UUID | str | None]  # column -> the value it must have; None asks for nothing
Place = tuple[date, datetime, UUID]


async def entries(reader: Reader, first: date, last: date, only: Only, *, blocks: bool = True) -> list[CalendarEntry]:
    """Return all that is in the calendar from one day of the clinic to another, in the order of time."""
    wanted = {column: value for column, value in only.items() if value is not None}
    where = "".join(f" and c.{column} = %s" for column in wanted)
    sql = f"{APPOINTMENTS}{where} and c.day between %s and %s order by c.day, c.starts_at, c.id limit {MOST + 1}"
    asked = [reader.ask(sql, [reader.clinic, *wanted.values(), first, last])]
    if blocks:
        whose = "".join(f" and b.{column} = %s" for column in wanted)
        asked.append(reader.ask(f"{BLOCKS}{whose} limit {MOST + 1}", [reader.clinic, first, last, *wanted.values()]))
    found = [entry(record) for answer in await asyncio.gather(*asked) for record in answer.rows]
    if len(found) > MOST:
        raise CalendarTooLong
    return sorted(found, key=attrgetter("starts_at", "id"))


async def visits(reader: Reader, only: Only, days: tuple[date | None, date | None], *, descending: bool, limit: int, cursor: str | None) -> CalendarPage:
    """Return one page of the appointments between two days, both included."""
    wanted: list[tuple[str, Any]] = [(f"c.{column} = %s", value) for column, value in only.items() if value is not None]
    wanted += [(f"c.day {than} %s", day) for than, day in zip((">=", "<="), days, strict=True) if day is not None]
    where = "".join(f" and {condition}" for condition, _ in wanted)
    params: list[Any] = [value for _, value in wanted]
    if cursor is not None:
        where += f" and (c.day, c.starts_at, c.id) {'<' if descending else '>'} (%s, %s, %s)"
        params += _opened(cursor)
    order = ", ".join(f"c.{column} {'desc' if descending else 'asc'}" for column in ("day", "starts_at", "id"))
    answer = await reader.ask(f"{APPOINTMENTS}{where} order by {order} limit %s", [reader.clinic, *params, limit + 1])
    items = [entry(record) for record in answer.rows[:limit]]
    return CalendarPage(items=items, next=_cursor(items[-1]) if len(answer.rows) > limit else None)


def entry(record: tuple[Any, ...]) -> CalendarEntry:
    return CalendarEntry(**dict(zip(CalendarEntry.__struct_fields__, record, strict=True)))


def _cursor(last: CalendarEntry) -> str:
    place: Place = (last.day, last.starts_at, last.id)
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _opened(cursor: str) -> Place:
    try:
        place: Place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise CursorInvalid from None
    return place
