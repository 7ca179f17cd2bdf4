"""Which visits could be booked: the doctor's hours, less what is taken, and the rooms free at each."""

import asyncio
from collections import defaultdict
from datetime import date, datetime, timedelta
from uuid import UUID

from domain.appointments import LONGEST, REACH, SHORTEST, DurationOutOfRange, TimeTooFar
from domain.kit import NotFound, day, only, span, wall
from domain.schedules import Interval, Timetable, meets, merged, schedule_of
from projections.kit.reading import Reader
from schemas.clinics import ClinicRow
from schemas.rooms import RoomRow
from schemas.schedules import ScheduleRow
from schemas.slots import AvailableSlot, FreeRoom
from schemas.staff import StaffRow

EDGE = timedelta(hours=8)  # two buffers of the longest

# the days are there for the index, two more to either side: a visit of a day and its buffers reach no further
TAKEN = """
select c.doctor_id, c.room_id, c.starts_at - make_interval(mins => c.buffer_before::int), c.ends_at + make_interval(mins => c.buffer_after::int)
from calendar c
where c.clinic_id = %s and c.date between %s::date - 2 and %s::date + 2 and (c.doctor_id = %s or c.room_id is not null)
    and c.ends_at > %s and c.starts_at < %s and c.status in ('booked', 'confirmed', 'arrived', 'in-chair', 'completed')
union all
select b.doctor_id, b.room_id, b.starts_at, b.ends_at
from blocks b
where b.clinic_id = %s and b.last_date >= %s::date - 2 and b.date <= %s::date + 2
union all
select h.doctor_id, h.room_id, h.starts_at - make_interval(mins => h.buffer_before::int), h.ends_at + make_interval(mins => h.buffer_after::int)
from holds h
where h.clinic_id = %s and h.expires_at > %s"""


async def available(
    reader: Reader, doctor: UUID, *, first: date, days: int, minutes: int, now: datetime, room: UUID | None = None
) -> list[AvailableSlot]:
    """Return the visits of that length that could still be booked with a doctor, and in a room if one is named."""
    clinic, works, schedule, rooms = await asyncio.gather(
        reader.one(ClinicRow, reader.clinic), reader.one(StaffRow, doctor), reader.one(ScheduleRow, schedule_of(doctor)),
        reader.find(RoomRow, active=True, deleted=False),
    )
    if clinic is None or works is None:
        raise NotFound(kind="staff", id=str(doctor))
    if not SHORTEST <= minutes <= LONGEST:
        raise DurationOutOfRange
    if not day(now - REACH, clinic.zone) < first < day(now + REACH, clinic.zone) - timedelta(days=days):
        raise TimeTooFar
    last = first + timedelta(days=days - 1)
    if schedule is None or not works.active or works.role == "receptionist":
        return []
    usable = [r for r in rooms if room in {None, r.id}]
    if room is not None and not usable:
        return []
    hours, taken = Timetable(**only(Timetable, schedule)), await busy(reader, doctor, (first, last), minutes, clinic.zone, now)
    starts = (slot for n in range(days) for slot in hours.slots(first + timedelta(days=n), minutes, clinic.zone, taken[doctor]) if slot[0] >= now)
    slots = [_slot(slot, hours, usable, taken, clinic.zone) for slot in starts]
    return [slot for slot in slots if room is None or slot.rooms]


async def busy(reader: Reader, doctor: UUID, days: tuple[date, date], minutes: int, zone: str, now: datetime) -> dict[UUID, list[Interval]]:
    """Return when that doctor and the rooms are taken, buffers included, as far as it matters to visits that start on these days."""
    start, end = span(*days, zone)
    edges = start - EDGE, end + timedelta(minutes=minutes) + EDGE
    answer = await reader.ask(TAKEN, [reader.clinic, *days, doctor, *edges, reader.clinic, *days, reader.clinic, now])
    found: defaultdict[UUID, list[Interval]] = defaultdict(list)
    for doctor_id, room_id, start, end in answer.rows:
        for whose in (doctor_id, room_id):
            if whose is not None:
                found[whose].append((start, end))
    return defaultdict(list, {whose: merged(intervals) for whose, intervals in found.items()})


def _slot(slot: Interval, hours: Timetable, rooms: list[RoomRow], taken: dict[UUID, list[Interval]], zone: str) -> AvailableSlot:
    start, end = slot
    local = wall(start, zone)
    held = start - timedelta(minutes=hours.buffer_before), end + timedelta(minutes=hours.buffer_after)
    free = sorted((r for r in rooms if not meets(held, taken[r.id])), key=lambda r: r.name)
    return AvailableSlot(
        start_local=local.isoformat(timespec="seconds"), fold=local.fold, starts_at=start, ends_at=end,
        rooms=[FreeRoom(id=r.id, name=r.name) for r in free],
    )
