"""Which visits could be booked: the doctors' hours, less what is taken, and the rooms free at each."""

import asyncio
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.appointment_types import AppointmentType, Offer
from domain.appointments import LONGEST, REACH, SHORTEST, USUAL, DurationOutOfRange, TimeTooFar
from domain.closed_days import ClosedDays
from domain.kit import Frozen, NotFound, RoomType, day, only, span, wall
from domain.kit.paces import Pace
from domain.schedules import Interval, Timetable, days_of, meets, schedule_of
from projections.closed_days import closed_on
from projections.kit.reading import Reader, wire_of
from schemas.appointment_types import AppointmentTypeRow
from schemas.clinics import ClinicRow
from schemas.group_sessions import GroupSessionEntry
from schemas.rooms import RoomRow
from schemas.schedules import ScheduleRow
from schemas.slots import AvailableSlot, FreeRoom
from schemas.staff import StaffRow

EDGE = timedelta(hours=8)  # two buffers of the longest
STEPS = (7, 14, 31)  # days in which the first free visits are sought, one after the other

# The days are there for the index, two more to either side: a visit of a day and its buffers reach no further. What follows without a gap comes as one.
TAKEN = """
with taken as (
    select c.doctor_id, c.room_id, c.patient_id,
        tstzrange(c.starts_at - make_interval(mins => c.buffer_before::int), c.ends_at + make_interval(mins => c.buffer_after::int)) as held, tstzrange(c.starts_at, c.ends_at) as seen
    from calendar c
    where c.clinic_id = %s and c.date between %s::date - 2 and %s::date + 2 and (c.doctor_id = any(%s::uuid[]) or c.room_id is not null or c.patient_id = %s::uuid)
        and c.ends_at > %s and c.starts_at < %s and c.status in ('booked', 'confirmed', 'arrived', 'in-chair', 'completed')
    union all
    select b.doctor_id, b.room_id, null, tstzrange(b.starts_at, b.ends_at), null
    from blocks b
    where b.clinic_id = %s and b.last_date >= %s::date - 2 and b.date <= %s::date + 2
    union all
    select h.doctor_id, h.room_id, null, tstzrange(h.starts_at - make_interval(mins => h.buffer_before::int), h.ends_at + make_interval(mins => h.buffer_after::int)), null
    from holds h
    where h.clinic_id = %s and h.expires_at > %s
    union all
    select g.doctor_id, g.room_id, null, tstzrange(g.starts_at - make_interval(mins => g.buffer_before::int), g.ends_at + make_interval(mins => g.buffer_after::int)), null
    from group_sessions g
    where g.clinic_id = %s and g.status = 'planned' and g.date between %s::date - 2 and %s::date + 2
), spans as (
    select doctor_id as whose, unnest(range_agg(held)) as held from taken where doctor_id is not null group by doctor_id
    union all
    select room_id, unnest(range_agg(held)) from taken where room_id is not null group by room_id
    union all
    select patient_id, unnest(range_agg(seen)) from taken where patient_id = %s::uuid group by patient_id
)
select whose, lower(held), upper(held) from spans order by whose, held"""

SESSIONS = f"""
select {wire_of(GroupSessionEntry).columns} from group_session_entries t
where t.clinic_id = %s and t.status = 'planned' and t.date between %s::date and %s::date and t.starts_at >= %s and t.seats_left > 0
order by t.starts_at, t.id limit 1000"""  # noqa: S608 - a constant

Taken = dict[UUID, list[Interval]]


class Sought(Frozen):
    """Which visits are asked for: from a day on, with a doctor or any, in a room, a kind of room, at a place; of a kind or a length; when a patient has time."""

    first: date
    days: int = 1
    doctor: UUID | None = None
    room: UUID | None = None
    room_type: RoomType | None = None
    place: UUID | None = None
    kind: UUID | None = None
    minutes: int | None = None
    patient: UUID | None = None
    group: UUID | None = None  # a group session: is there a seat left in it?


class Means(Frozen):
    """What there is to be booked at a clinic, as its rows say."""

    zone: str
    doctors: dict[UUID, Timetable]
    rooms: list[RoomRow]
    kind: AppointmentType | None
    closed: ClosedDays

    def pace(self, hours: Timetable, minutes: int) -> Pace:
        return self.kind.pace(hours.pace(minutes)) if self.kind else hours.pace(minutes)


async def available(reader: Reader, sought: Sought, now: datetime) -> list[AvailableSlot]:
    """Return the visits that could still be booked, in the order of time: exactly those that a booking of them is not refused for."""
    means = await means_of(reader, sought)
    minutes = sought.minutes or (means.kind.offer.minutes if means.kind and means.kind.offer else USUAL)
    if not SHORTEST <= minutes <= LONGEST:
        raise DurationOutOfRange
    if not day(now - REACH, means.zone) < sought.first < day(now + REACH, means.zone) - timedelta(days=sought.days):
        raise TimeTooFar
    days = days_of(sought.first, sought.first + timedelta(days=sought.days - 1))
    taken = await busy(reader, sought, means, (days[0], days[-1]), minutes, now)
    if sought.group or (means.kind and means.kind.seats > 1):
        return await seats(reader, sought, means, (days[0], days[-1]), taken[sought.patient] if sought.patient else [], now)
    closed = frozenset(on for year in range((days[0] - timedelta(days=1)).year, (days[-1] + timedelta(days=2)).year + 1) for on in means.closed.of(year))
    free = Free(sought, means, taken)
    theirs = taken[sought.patient] if sought.patient else []
    found: list[AvailableSlot] = []
    for doctor, hours in means.doctors.items():
        pace = means.pace(hours, minutes)
        for start, end, place in hours.slots(days, pace, means.zone, taken[doctor], closed):
            if start < now or sought.place not in {None, place} or meets((start, end), theirs):
                continue
            if (rooms := free.rooms(start, end, place, pace)) is not None:
                found.append(AvailableSlot(**free.told(start), starts_at=start, ends_at=end, rooms=rooms, doctor_id=doctor, place_id=place))
    return sorted(found, key=lambda slot: slot.starts_at) if len(means.doctors) > 1 else found


async def seats(reader: Reader, sought: Sought, means: Means, days: tuple[date, date], theirs: list[Interval], now: datetime) -> list[AvailableSlot]:
    """Return the group sessions that have a seat left: of a kind of visit that takes place in such, there is nothing else to be booked."""
    rooms = {room.id: FreeRoom(id=room.id, name=room.name) for room in means.rooms}
    found = [row for row in await reader.select(GroupSessionEntry, SESSIONS, reader.clinic, *days, now) if suits(row, sought) and not meets((row.starts_at, row.ends_at), theirs)]
    return [
        AvailableSlot(
            start_local=row.start_local, fold=row.fold, starts_at=row.starts_at, ends_at=row.ends_at, doctor_id=row.doctor_id, place_id=row.place_id, group_id=row.id,
            seats_left=row.seats_left, rooms=[rooms[row.room_id]] if row.room_id in rooms else [])
        for row in found]


def suits(session: GroupSessionEntry, sought: Sought) -> bool:
    wishes = ((sought.group, session.id), (sought.kind, session.type_id), (sought.doctor, session.doctor_id), (sought.room, session.room_id), (sought.place, session.place_id))
    return all(wish in {None, there} for wish, there in wishes)


async def first_free(reader: Reader, sought: Sought, now: datetime, most: int) -> list[AvailableSlot]:
    """Return the first visits that could be booked within these days, without looking further than it must."""
    found: list[AvailableSlot] = []
    days, gone, steps = sought.days, 0, [*STEPS]
    while gone < days and len(found) < most:
        step = min(steps.pop(0) if len(steps) > 1 else steps[0], days - gone)
        found += await available(reader, replace(sought, first=sought.first + timedelta(days=gone), days=step), now)
        gone += step
    return found[:most]


async def means_of(reader: Reader, sought: Sought) -> Means:
    """Return who and what could be booked; a doctor without hours or a room out of use is not among them."""
    clinic, staff, schedules, rooms, kind, closed = await asyncio.gather(
        reader.one(ClinicRow, reader.clinic), reader.find(StaffRow), reader.find(ScheduleRow), reader.find(RoomRow, active=True, deleted=False),
        reader.one(AppointmentTypeRow, sought.kind or UUID(int=0)), closed_on(reader))
    if clinic is None:
        raise NotFound(kind="clinics", id=str(reader.clinic))
    if sought.kind and (kind is None or kind.deleted):
        raise NotFound(kind="appointment_types", id=str(sought.kind))
    if sought.doctor not in {None, *(one.id for one in staff)}:
        raise NotFound(kind="staff", id=str(sought.doctor))
    tables = {row.id: Timetable(**only(Timetable, row)) for row in schedules}
    doctors = sorted((one for one in staff if one.active and one.role != "receptionist" and sought.doctor in {None, one.id}), key=lambda one: (one.name or "", one.id))
    of = AppointmentType(offer=Offer(**only(Offer, kind))) if kind else None
    usable = sorted((room for room in rooms if wanted(room, sought) and (of is None or of.fits(room.type))), key=lambda room: room.name)
    treating = {one.id: tables[schedule_of(one.id)] for one in doctors if schedule_of(one.id) in tables}
    return Means(zone=clinic.zone, doctors=treating if of is None or of.offered else {}, rooms=usable, kind=of, closed=closed)


def wanted(room: RoomRow, sought: Sought) -> bool:
    return sought.room in {None, room.id} and sought.room_type in {None, room.type} and sought.place in {None, room.place_id}


async def busy(reader: Reader, sought: Sought, means: Means, days: tuple[date, date], minutes: int, now: datetime) -> Taken:
    """Return when the doctors, the rooms and the patient are taken, buffers included, as far as it matters to visits that start on these days."""
    start, end = span(*days, means.zone)
    edges = start - EDGE, end + timedelta(minutes=minutes) + EDGE
    clinic, patient = reader.clinic, sought.patient
    answer = await reader.ask(TAKEN, [clinic, *days, [*means.doctors], patient, *edges, clinic, *days, clinic, now, clinic, *days, patient])
    found: Taken = defaultdict(list)
    for whose, begins, ends in answer.rows:
        found[whose].append((begins, ends))
    return found


class Free:
    """The rooms that are free at a time, asked once for all doctors whose visits take them equally long."""

    def __init__(self, sought: Sought, means: Means, taken: Taken) -> None:
        self.zone = means.zone
        self.asked: dict[tuple[datetime, UUID | None, Pace], list[FreeRoom]] = {}
        self.needed = sought.room is not None or sought.room_type is not None or not (means.kind is None or means.kind.fits(None))
        self.by_place: defaultdict[UUID | None, list[tuple[FreeRoom, list[Interval]]]] = defaultdict(list)
        for room in means.rooms:
            self.by_place[room.place_id].append((FreeRoom(id=room.id, name=room.name), taken[room.id]))
        self.times: dict[datetime, dict[str, Any]] = {}

    def rooms(self, start: datetime, end: datetime, place: UUID | None, pace: Pace) -> list[FreeRoom] | None:
        """Return the rooms that a visit could be in; None if it needs one and there is none."""
        key = start, place, pace
        if key not in self.asked:
            held = start - pace.buffers[0], end + pace.buffers[1]
            self.asked[key] = [room for room, taken in self.by_place[place] if not meets(held, taken)]
        found = self.asked[key]
        return None if self.needed and not found else found

    def told(self, start: datetime) -> dict[str, Any]:
        """Return a start as people say it."""
        if start not in self.times:
            local = wall(start, self.zone)
            self.times[start] = {"start_local": local.isoformat(timespec="seconds"), "fold": local.fold}
        return self.times[start]
