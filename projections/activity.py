"""An entity's life so far, told by its events."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.kit import NotFound
from projections.audit import steps
from projections.kit.reading import Reader
from schemas.activity import Activity, Timeline
from schemas.appointments import AppointmentRow
from schemas.clinics import ClinicRow
from schemas.invoices import InvoiceRow
from schemas.kit import Row
from schemas.patients import PatientRow
from schemas.rooms import RoomRow
from schemas.schedules import BlockRow, ScheduleRow
from schemas.staff import StaffRow

SAID = """
select a.seq, a.recorded_at, a.actor, a.action, a.version from audit_log a
where a.clinic_id = %s and a.entity_id = %s and a.entity_type = %s and a.seq < %s
order by a.seq desc limit %s"""
LAST = 2**62
Own = tuple[str, UUID | None]


class Entity(NamedTuple):
    """A kind of thing that has a timeline, and its row, whose key for a single one opens it."""

    kind: str
    row: type[Row]

    @property
    def permission(self) -> str:
        """The key that opens the timeline."""
        return self.row.detail or self.row.permission


KINDS = [
    Entity("patients", PatientRow), Entity("appointments", AppointmentRow), Entity("invoices", InvoiceRow), Entity("rooms", RoomRow),
    Entity("staff", StaffRow), Entity("schedules", ScheduleRow), Entity("blocks", BlockRow), Entity("clinics", ClinicRow),
]
ENTITIES = {word: entity for entity in KINDS for word in (entity.kind, entity.kind.removesuffix("s")) if word != "staf"}


class Said(Struct):
    seq: int
    recorded_at: datetime
    actor: UUID
    action: str
    version: int


async def timeline(reader: Reader, entity: Entity, id: UUID, *, limit: int, before: int | None, own: Own | None) -> Timeline:  # noqa: A002
    """Return the latest steps of an entity's life; with `own` (a column and whose id it must hold), of an entity that is theirs."""
    if own is not None and not await owned(reader, entity.row, id, *own):
        raise NotFound(kind=entity.kind, id=str(id))
    found = await reader.select(Said, SAID, reader.clinic, id, entity.kind, before or LAST, limit + 1)
    if not found and before is None:
        raise NotFound(kind=entity.kind, id=str(id))
    told = await steps(reader, [one.seq for one in found[:limit]])
    return Timeline(items=[activity(one, told[one.seq]) for one in found[:limit]], next=found[limit - 1].seq if len(found) > limit else None)


async def owned(reader: Reader, row: type[Row], id: UUID, column: str, owner: UUID | None) -> bool:  # noqa: A002
    found = await reader.one(row, id)
    return found is not None and getattr(found, column) == owner


def activity(one: Said, told: dict[str, Any]) -> Activity:
    return Activity(
        seq=one.seq, recorded_at=one.recorded_at, actor=one.actor, action=one.action, version=one.version,
        changes=told["changes"], before=told["before"])
