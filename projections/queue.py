"""How arrivals and walk-ins become the queue, and how it is read: in turn, with what is to be expected."""

import asyncio
from collections.abc import Container, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.appointments import (
    AppointmentCompleted,
    AppointmentDetailsChanged,
    AppointmentReassigned,
    AppointmentRemoved,
    AppointmentRescheduled,
    ArrivalUndone,
    PatientArrived,
    PatientSeated,
    SeatingUndone,
    TurnRanked,
)
from domain.kit import Fact
from domain.queue import (
    HERE,
    Outlook,
    Patience,
    PatientQueued,
    QueueEntryCancelled,
    QueueEntryCompleted,
    QueueEntryPlaced,
    QueueEntryRanked,
    QueueEntryReassigned,
    QueueEntryReturned,
    QueueEntryStarted,
    QueueEvent,
    in_turn,
    outlooks,
)
from projections.kit import PROJECTIONS, installs, projects
from projections.kit.keys import KeyRing
from projections.kit.past import past
from projections.kit.reading import Reader, wire_of
from schemas.kit.row import table_of
from schemas.queue import ActiveSession, BoardLine, QueueEntry, QueuePlace, QueueRow, TurnRow

TurnEvent = (
    PatientArrived | ArrivalUndone | PatientSeated | SeatingUndone | AppointmentCompleted | AppointmentRemoved | AppointmentRescheduled
    | AppointmentDetailsChanged | AppointmentReassigned | TurnRanked
)
COLUMNS = ", ".join(["clinic_id", "position", *(column.name for column in table_of(QueueRow).columns)])

installs(f"""
create or replace view queue_entries with (security_invoker = true) as
select q.*, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, s.name as doctor_name, r.name as room_name
from (select {COLUMNS} from queue union all select {COLUMNS} from turns) q
left join patients p on p.clinic_id = q.clinic_id and p.id = q.patient_id
left join staff s on s.clinic_id = q.clinic_id and s.id = q.doctor_id
left join rooms r on r.clinic_id = q.clinic_id and r.id = q.room_id;
grant select on queue_entries to anamnesis_gateway;
""")  # noqa: S608 - names of ours


@projects(QueueRow, of=QueueEvent)
def queue(row: QueueRow | None, fact: Fact) -> QueueRow | None:  # noqa: PLR0911 - one case per event
    at = fact.recorded_at
    match fact.event:
        case PatientQueued() as e:
            return QueueRow(
                id=fact.id, date=e.on, number=e.number, status="WAITING", patient_id=e.patient_id, appointment_id=None, doctor_id=e.doctor_id, room_id=e.room_id,
                rank=e.rank, rank_because=e.reason, notes=e.notes, way="clinic", minutes=None, due_at=at, came_at=at)
        case QueueEntryStarted() if row:
            return replace(row, status="IN_PROGRESS", started_at=at)
        case QueueEntryReturned() if row:
            return replace(row, status="WAITING", started_at=None, ended_at=None, cancelled_because=None)
        case QueueEntryCompleted() if row:
            return replace(row, status="COMPLETED", ended_at=at)
        case QueueEntryCancelled(reason=reason) if row:
            return replace(row, status="CANCELLED", ended_at=at, cancelled_because=reason)
        case QueueEntryPlaced(doctor_id=doctor, room_id=room) if row:
            return replace(row, doctor_id=doctor, room_id=room)
        case QueueEntryRanked(rank=rank, reason=reason) if row:
            return replace(row, rank=rank, rank_because=reason)
        case QueueEntryReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row


@projects(TurnRow, of=TurnEvent)
def turns(row: TurnRow | None, fact: Fact) -> TurnRow | None:  # noqa: C901, PLR0911 - one case per event
    at = fact.recorded_at
    match fact.event:
        case PatientArrived(turn=turn) as e if turn is not None:
            return TurnRow(
                id=fact.id, date=e.on, number=turn.number, status="WAITING", patient_id=e.patient_id, appointment_id=fact.id, doctor_id=e.doctor_id,
                room_id=turn.room_id, rank="normal", rank_because=None, notes=None, way=e.way, minutes=turn.minutes, due_at=max(turn.due_at, at), came_at=at)
        case ArrivalUndone(reason=reason) if row:
            return replace(row, status="CANCELLED", ended_at=at, cancelled_because=reason)
        case PatientSeated() if row:
            return replace(row, status="IN_PROGRESS", started_at=at)
        case SeatingUndone() if row:
            return replace(row, status="WAITING", started_at=None)
        case AppointmentCompleted() if row:
            return replace(row, status="COMPLETED", ended_at=at)
        case AppointmentRemoved() if row:
            return replace(row, status="CANCELLED", ended_at=row.ended_at or at)
        case AppointmentDetailsChanged(room_id=room) if row:
            return replace(row, room_id=room)
        case AppointmentRescheduled() as e if row:
            return moved(row, e, at)
        case TurnRanked(rank=rank, reason=reason) if row:
            return replace(row, rank=rank, rank_because=reason)
        case AppointmentReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row


def moved(row: TurnRow, e: AppointmentRescheduled, at: datetime) -> TurnRow:
    """Whoever waits for a visit that is put off to another time of the day waits for that; to another day, and they have left the queue."""
    minutes = (e.ends_at - e.starts_at) // timedelta(minutes=1)
    placed = replace(row, doctor_id=e.doctor_id, room_id=e.room_id, minutes=minutes, due_at=max(e.starts_at, row.came_at))
    return placed if e.on == row.date else replace(row, status="CANCELLED", ended_at=at) if row.status in HERE else row


# --- how it is read

ENTRIES = f"select {wire_of(QueueEntry).columns} from queue_entries t where t.clinic_id = %s and t.date = %s"  # noqa: S608
USUAL = """
select doctor_id, greatest(1, round(percentile_cont(0.5) within group (order by seconds) / 60))::int from (
    select doctor_id, seconds, row_number() over (partition by doctor_id order by at desc) as nth from (
        select v.doctor_id, v.chair_seconds as seconds, v.starts_at as at from visits v
        where v.clinic_id = %s and v.day > %s::date - 28 and v.status = 'completed' and v.chair_seconds is not null
        union all
        select q.doctor_id, extract(epoch from q.ended_at - q.started_at), q.started_at from queue q
        where q.clinic_id = %s and q.date > %s::date - 28 and q.status = 'COMPLETED' and q.doctor_id is not null and q.started_at is not null
    ) each
) latest where nth <= 50 group by doctor_id
"""
NAMES = """
select (select nullif(concat_ws(' ', p.given_name, p.family_name), '') from patients p where p.clinic_id = %s and p.id = %s::uuid),
    (select s.name from staff s where s.clinic_id = %s and s.id = %s::uuid), (select r.name from rooms r where r.clinic_id = %s and r.id = %s::uuid)
"""


async def usual(reader: Reader, today: date) -> dict[UUID, int]:
    """Return how many minutes a doctor's visits usually take in the chair: the median of the last fifty within four weeks, of those who had any."""
    return dict((await reader.ask(USUAL, (reader.clinic, today, reader.clinic, today))).rows)


async def day(reader: Reader, on: date, now: datetime, today: date) -> list[QueuePlace]:
    """Return the queue of a day: who is being seen, then who waits in their turn, then who is done or gone by number; with their prospects if it is today's."""
    entries, lengths = await asyncio.gather(reader.select(QueueEntry, ENTRIES, reader.clinic, on), usual(reader, today))
    prospects = looking_ahead(entries, lengths, now) if on == today else {}
    waiting = {one.id: n for n, one in enumerate(in_turn(patience(entry) for entry in entries if entry.status == "WAITING"))}
    sections = {"IN_PROGRESS": 0, "WAITING": 1, "COMPLETED": 2, "CANCELLED": 2}
    entries.sort(key=lambda entry: (sections[entry.status], waiting.get(entry.id, 0), entry.number))
    return [with_prospect(entry, prospects.get(entry.id)) for entry in entries]


async def one(
    reader: Reader, keys: KeyRing, id_: UUID, now: datetime, today: date, *, upto: int | None = None, walk_in: bool = False,
) -> QueuePlace | None:
    """Return one entry as it is, or right after what was stored at a position, whether or not the queue's read model has got there."""
    if upto is None:
        entry = await reader.one(QueueEntry, id_)
    else:
        found = await past(reader, keys, PROJECTIONS["queue" if walk_in else "turns"], id_, upto)
        entry = await named(reader, found.row) if found and isinstance(found.row, QueueRow) else None
    if entry is None:
        return None
    if entry.status != "WAITING" or entry.date != today:
        return with_prospect(entry, None)
    others, lengths = await asyncio.gather(reader.select(QueueEntry, ENTRIES, reader.clinic, today), usual(reader, today))
    everybody = [entry, *(other for other in others if other.id != id_)]
    return with_prospect(entry, looking_ahead(everybody, lengths, now).get(id_))


async def named(reader: Reader, row: QueueRow) -> QueueEntry:
    clinic = reader.clinic
    patient, doctor, room = (await reader.ask(NAMES, (clinic, row.patient_id, clinic, row.doctor_id, clinic, row.room_id))).rows[0]
    return QueueEntry(**msgspec.structs.asdict(row), patient_name=patient, doctor_name=doctor, room_name=room)


def looking_ahead(entries: list[QueueEntry], lengths: Mapping[UUID, int], now: datetime) -> dict[UUID, Outlook]:
    there = [(entry.status, patience(entry)) for entry in entries]
    waiting, seated = ([one for status, one in there if status == which] for which in ("WAITING", "IN_PROGRESS"))
    return outlooks(waiting, seated, lengths, now)


def patience(entry: QueueRow) -> Patience:
    return Patience(
        id=entry.id, number=entry.number, doctor=entry.doctor_id, rank=entry.rank, due=entry.due_at, agreed=entry.appointment_id is not None,
        minutes=entry.minutes, since=entry.started_at)


def with_prospect(entry: QueueEntry, outlook: Outlook | None) -> QueuePlace:
    said: dict[str, Any] = {"before": outlook.before, "expected_wait": outlook.minutes} if outlook else {}
    return QueuePlace(**msgspec.structs.asdict(entry), **said)


def board(places: list[QueuePlace]) -> list[BoardLine]:
    """Return what everybody may see of those who are there."""
    return [
        BoardLine(number=place.number, status=place.status, room_name=place.room_name if place.status == "IN_PROGRESS" else None, expected_wait=place.expected_wait)
        for place in places if place.status in HERE]


def sessions(places: list[QueuePlace], lengths: Mapping[UUID, int], shown: Container[UUID]) -> list[ActiveSession]:
    """Return who of those shown is in a chair, and whose turn it is next there: the first who waits for that doctor or for none in particular."""
    places = [place for place in places if place.id in shown]
    waiting = [place for place in places if place.status == "WAITING"]
    return [
        ActiveSession(
            doctor_id=place.doctor_id, doctor_name=place.doctor_name, room_id=place.room_id, room_name=place.room_name, now=place,
            since=place.started_at or place.came_at, minutes=lengths.get(place.doctor_id) if place.doctor_id else None,
            next=next((other for other in waiting if other.doctor_id in {None, place.doctor_id}), None))
        for place in places if place.status == "IN_PROGRESS"]
