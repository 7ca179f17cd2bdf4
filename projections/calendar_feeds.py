"""The address of a doctor's calendar as a row, and what is read by it."""

import asyncio
from datetime import date, timedelta
from uuid import UUID

from domain.calendar_feeds import CalendarFeedClosed, CalendarFeedEvent, CalendarFeedOpened
from domain.kit import Fact
from domain.kit.calendars import Occasion
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.calendar_feeds import CalendarFeedRow
from schemas.clinics import ClinicRow

BEFORE, AHEAD = timedelta(days=31), timedelta(days=366)
MOST = 5000  # entries of a feed

VISITS = f"""
select a.id, a.sequence, a.starts_at, a.ends_at, a.zone, a.type, concat_ws(', ', r.name, p.name, nullif(p.address, '')), a.status in ('cancelled', 'no-show')
from appointments a
left join rooms r on r.clinic_id = a.clinic_id and r.id = a.room_id
left join places p on p.clinic_id = a.clinic_id and p.id = a.place_id
where a.clinic_id = %s and a.doctor_id = %s and a.date between %s and %s and a.group_id is null order by a.date, a.starts_at, a.id limit {MOST}"""  # noqa: S608 - a constant
SESSIONS = f"""
select g.id, g.sequence, g.starts_at, g.ends_at, g.zone, g.type, concat_ws(', ', r.name, p.name, nullif(p.address, '')), g.status = 'cancelled'
from group_sessions g
left join rooms r on r.clinic_id = g.clinic_id and r.id = g.room_id
left join places p on p.clinic_id = g.clinic_id and p.id = g.place_id
where g.clinic_id = %s and g.doctor_id = %s and g.date between %s and %s order by g.date, g.starts_at, g.id limit {MOST}"""  # noqa: S608 - a constant
BLOCKS = f"""
select b.id, b.sequence, b.starts_at, b.ends_at from blocks b
where b.clinic_id = %s and b.doctor_id = %s and b.last_date >= %s and b.date <= %s order by b.starts_at, b.id limit {MOST}"""  # noqa: S608 - likewise


@projects(CalendarFeedRow, of=CalendarFeedEvent)
def calendar_feeds(row: CalendarFeedRow | None, fact: Fact) -> CalendarFeedRow | None:
    match fact.event:
        case CalendarFeedOpened(doctor_id=doctor, number=number):
            return CalendarFeedRow(id=fact.id, doctor_id=doctor, opened=True, number=number, opened_at=fact.recorded_at)
        case CalendarFeedClosed():
            return None
    return row


async def occasions(reader: Reader, doctor: UUID, today: date, busy: str) -> list[Occasion]:
    """Return a doctor's visits, group sessions (each once, whoever takes part) and blocked time, from a month ago to a year ahead; no word about patients, or why time is blocked, for calendars travel."""
    days = today - BEFORE, today + AHEAD
    visits, sessions, blocks, here = await asyncio.gather(
        reader.ask(VISITS, [reader.clinic, doctor, *days]), reader.ask(SESSIONS, [reader.clinic, doctor, *days]), reader.ask(BLOCKS, [reader.clinic, doctor, *days]), reader.one(ClinicRow, reader.clinic))
    zone = here.zone if here else "UTC"
    return [
        *(Occasion(id=id_, sequence=sequence, starts_at=start, ends_at=end, zone=zone_, summary=what, location=where, cancelled=off)
          for id_, sequence, start, end, zone_, what, where, off in (*visits.rows, *sessions.rows)),
        *(Occasion(id=id_, sequence=sequence, starts_at=start, ends_at=end, zone=zone, summary=busy) for id_, sequence, start, end in blocks.rows)]
