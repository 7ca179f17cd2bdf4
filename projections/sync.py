"""What has changed since a device last asked, and what it wanted and could not have.

How it works: the store is the list of changes. A device's mark says for each kind up to which position it knows everything; from there on the log tells which things have moved, and
they are read as they are now. What is not there any more, or is nothing to whoever asks, is told as removed. A kind that the device knows nothing of is read through by id, and
what changes meanwhile comes afterwards, from the position at which the reading began. No clock is asked anything.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from domain.kit import Fact, Frozen, Invalid, only
from domain.sync import SetAside, SyncConflictKept, SyncConflictSettled, SyncEvent
from projections.kit import projects
from projections.kit.reading import Reader, wire_of
from schemas.appointments import AppointmentRow
from schemas.invoices import InvoiceRow
from schemas.kit import Row
from schemas.patient_notes import PatientNoteRow
from schemas.patients import PatientRow
from schemas.recalls import RecallRow
from schemas.rooms import RoomRow
from schemas.schedules import BlockRow, ScheduleRow
from schemas.staff import StaffRow
from schemas.sync import Changes, Pulled, PulledChanges, SyncConflictRow

KINDS: dict[str, type[Row]] = {
    row.table: row for row in (
        StaffRow, RoomRow, ScheduleRow, BlockRow, PatientRow, PatientNoteRow, AppointmentRow, RecallRow, InvoiceRow, SyncConflictRow)
}
"""What a device gets; each of these rows is one stream's own, so that it changes with that stream alone."""

MOVED = "select entity_id, seq from audit_log where clinic_id = %s and entity_type = %s and seq > %s order by seq limit %s"

_encode = msgspec.json.Encoder().encode


class MarkInvalid(Invalid):
    """That mark is not one of ours. Take it from the answer before, or leave it out to have everything."""


class Known(Frozen, array_like=True):
    """What a device knows of a kind: everything up to a position; while it is read through, up to an id; as seen by whom."""

    position: int
    after: UUID | None
    sight: UUID | None


@projects(SyncConflictRow, of=SyncEvent)
def sync_conflicts(row: SyncConflictRow | None, fact: Fact) -> SyncConflictRow | None:
    match fact.event:
        case SyncConflictKept() as kept:
            return SyncConflictRow(id=fact.id, **only(SetAside, kept), kept_at=fact.recorded_at, kept_by=fact.actor)
        case SyncConflictSettled(how=how, reason=reason):
            return row and replace(row, status=how, reason=reason, settled_at=fact.recorded_at, settled_by=fact.actor)
    return row


class Sight(NamedTuple):
    """The column that must hold the id of whoever asks, if only such rows are theirs to see, and that id."""

    column: str | None
    id: UUID | None


def opened(mark: str | None) -> dict[str, Known]:
    """Return what a device knows already."""
    if mark is None:
        return {}
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)), type=dict[str, Known])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise MarkInvalid from None


async def pulled(reader: Reader, sights: Mapping[str, Sight], mark: str | None, head: int, limit: int) -> PulledChanges:
    """Return what somebody's device does not know yet, so much at a time; the reader has reached `head`."""
    known = opened(mark)
    told: dict[str, Known] = {}
    changes: dict[str, Changes] = {}
    left, more = limit, False
    for kind, sight in sights.items():
        before = known.get(kind)
        if before is None or before.sight != sight.id:
            before = Known(position=head, after=UUID(int=0), sight=sight.id)
        if left > 0:
            before, found = await step(reader, KINDS[kind], sight, before, head, left)
            left -= len(found.changed) + len(found.removed)
            if found.changed or found.removed:
                changes[kind] = found
        more = more or before.after is not None or before.position < head
        told[kind] = before
    return PulledChanges(mark=base64.urlsafe_b64encode(_encode(told)).decode().rstrip("="), more=more, changes=changes, withheld=[kind for kind in KINDS if kind not in sights])


async def step(reader: Reader, row: type[Row], sight: Sight, known: Known, head: int, limit: int) -> tuple[Known, Changes]:
    """Return what a device knows of a kind after the next rows, and those rows."""
    if known.after is not None:
        rows = await _rows(reader, row, sight, "t.id > %s order by t.id limit %s", (known.after, limit))
        after = rows[-1][0] if len(rows) == limit else None
        return replace(known, after=after), Changes(changed=[one for _, one in rows])
    events = (await reader.ask(MOVED, (reader.clinic, row.table, known.position, limit))).rows
    moved = list(dict.fromkeys(id_ for id_, _ in events))
    there = dict(await _rows(reader, row, sight, "t.id = any(%s::uuid[])", (moved,))) if moved else {}
    position = events[-1][1] if len(events) == limit else head
    return replace(known, position=position), Changes(changed=[there[id_] for id_ in moved if id_ in there], removed=[id_ for id_ in moved if id_ not in there])


async def _rows(reader: Reader, row: type[Row], sight: Sight, where: str, params: tuple[Any, ...]) -> list[tuple[UUID, Pulled]]:
    wire = wire_of(row)
    theirs, own = (f"t.{sight.column} = %s and ", (sight.id,)) if sight.column else ("", ())
    sql = f"select {wire.columns}, t.position, t.id from {row.table} t where t.clinic_id = %s and {theirs}{where}"  # noqa: S608
    records = (await reader.ask(sql, (reader.clinic, *own, *params))).rows
    items = wire.items([record[:-2] for record in records])
    return [(record[-1], Pulled(position=record[-2], row=Raw(_encode(item)))) for record, item in zip(records, items, strict=True)]
