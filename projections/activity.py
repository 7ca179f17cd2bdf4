"""An entity's life so far, told by its events."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.kit import NotFound
from projections.kit import PROJECTIONS
from projections.kit.keys import KeyRing
from projections.kit.past import Step, neighbours
from projections.kit.reading import Reader
from schemas.activity import Activity, Cause, Related, Timeline
from schemas.appointments import AppointmentRow
from schemas.clinics import ClinicRow
from schemas.group_sessions import GroupSessionRow
from schemas.insurance_claims import InsuranceClaimRow
from schemas.invoices import InvoiceRow
from schemas.kit import Row
from schemas.lead_forms import LeadFormRow
from schemas.leads import LeadRow
from schemas.patients import MedicalHistoryRow, PatientRow
from schemas.queue import QueueRow
from schemas.quotations import QuotationRow
from schemas.recalls import RecallRow
from schemas.receipts import ReceiptRow
from schemas.referral_leads import ReferralLeadRow
from schemas.referrals import ReferralRow
from schemas.rooms import RoomRow
from schemas.schedules import BlockRow, ScheduleRow
from schemas.slot_offers import SlotOfferRow
from schemas.staff import StaffRow
from schemas.waiting_list import WaitingListRow

SAID = """
select a.seq, a.recorded_at, a.actor, a.action, a.version, a.command_id, a.correlation_id, e.causation_id, o.behalf as on_behalf_of, o.client,
    (select s.name from staff s where s.clinic_id = a.clinic_id and s.account_id = a.actor limit 1) as actor_name,
    (convert_from(e.state, 'UTF8')::jsonb - 'event' - 'sealed')::text as changes
from audit_log a join stored_events e on e.clinic_id = a.clinic_id and e.notification_id = a.seq left join origins o on o.id = e.causation_id
where a.clinic_id = %s and a.entity_id = %s and a.entity_type = %s and a.seq < %s and a.action = coalesce(%s, a.action) and a.actor = coalesce(%s, a.actor)
order by a.seq desc limit %s"""
TOGETHER = """
select r.seq, r.action, r.entity_type, r.entity_id, r.correlation_id, e.event_id
from unnest(%s::uuid[]) c(id) cross join lateral (
    select a.seq, a.action, a.entity_type, a.entity_id, a.correlation_id from audit_log a where a.clinic_id = %s and a.correlation_id = c.id order by a.seq limit %s
) r join stored_events e on e.clinic_id = %s and e.notification_id = r.seq order by r.seq"""
LAST = 2**62
MOST = 50  # events of one correlation that are looked at: an import may have thousands
UNTOLD = {"version"}  # what every step changes
Own = tuple[str, UUID | None]


class Entity(NamedTuple):
    """A kind of thing that has a timeline, its row, whose key for a single one opens it, and rows beside it with keys of their own."""

    kind: str
    row: type[Row]
    beside: tuple[type[Row], ...] = ()

    @property
    def permission(self) -> str:
        """The key that opens the timeline."""
        return self.row.detail or self.row.permission


KINDS = [
    Entity("patients", PatientRow, (MedicalHistoryRow,)), Entity("appointments", AppointmentRow), Entity("invoices", InvoiceRow), Entity("rooms", RoomRow),
    Entity("staff", StaffRow), Entity("schedules", ScheduleRow), Entity("blocks", BlockRow), Entity("clinics", ClinicRow),
    Entity("recalls", RecallRow), Entity("quotations", QuotationRow), Entity("receipts", ReceiptRow), Entity("referrals", ReferralRow), Entity("referral_leads", ReferralLeadRow), Entity("leads", LeadRow), Entity("lead_forms", LeadFormRow),
    Entity("queue", QueueRow), Entity("waiting_list", WaitingListRow), Entity("slot_offers", SlotOfferRow), Entity("group_sessions", GroupSessionRow), Entity("insurance_claims", InsuranceClaimRow),
]
ENTITIES = {word: entity for entity in KINDS for word in (entity.kind, entity.kind.removesuffix("s")) if word != "staf"}


class Asked(NamedTuple):
    """Which steps: how many, before which, of which name, done by whom."""

    limit: int = 50
    before: int | None = None
    action: str | None = None
    actor: UUID | None = None


class Sight(NamedTuple):
    """What somebody may see: things whose column holds his id, if only such; which rows beside the entity's own; of which kinds everything."""

    own: Own | None = None
    beside: frozenset[type[Row]] = frozenset()
    kinds: frozenset[str] = frozenset()


class Said(Struct):
    seq: int
    recorded_at: datetime
    actor: UUID
    action: str
    version: int
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    on_behalf_of: UUID | None
    client: str | None
    actor_name: str | None
    changes: str


class Together(Struct):
    seq: int
    action: str
    entity_type: str
    entity_id: UUID
    correlation_id: UUID
    event_id: UUID


async def timeline(reader: Reader, keys: KeyRing, entity: Entity, id: UUID, asked: Asked, sight: Sight) -> Timeline:  # noqa: A002
    """Return the latest steps of an entity's life."""
    if sight.own is not None and not await owned(reader, entity.row, id, *sight.own):
        raise NotFound(kind=entity.kind, id=str(id))
    found = await reader.select(Said, SAID, reader.clinic, id, entity.kind, asked.before or LAST, asked.action, asked.actor, asked.limit + 1)
    if not found and asked == Asked(limit=asked.limit):
        raise NotFound(kind=entity.kind, id=str(id))
    page = found[: asked.limit]
    rows = [PROJECTIONS[row.table] for row in (entity.row, *(row for row in entity.beside if row in sight.beside))]
    changed = await neighbours(reader, keys, rows, id, [one.seq for one in page])
    together = await reader.select(Together, TOGETHER, list({one.correlation_id for one in page}), reader.clinic, MOST, reader.clinic) if page else []
    return Timeline(items=[activity(one, changed[one.seq], together, sight, id) for one in page], next=page[-1].seq if len(found) > asked.limit else None)


async def owned(reader: Reader, row: type[Row], id: UUID, column: str, owner: UUID | None) -> bool:  # noqa: A002
    found = await reader.one(row, id)
    return found is not None and getattr(found, column) == owner


def activity(one: Said, steps: Iterable[Step], together: Sequence[Together], sight: Sight, id: UUID) -> Activity:  # noqa: A002
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for step in steps:
        was, now = told(step.before), told(step.after)
        before |= {name: value for name, value in was.items() if name not in now or now[name] != value}
        after |= {name: value for name, value in now.items() if name not in was or was[name] != value}
    others = [
        Related(seq=other.seq, action=other.action, entity_type=other.entity_type, entity_id=other.entity_id) for other in together
        if other.correlation_id == one.correlation_id and other.seq != one.seq and (other.entity_id == id or other.entity_type in sight.kinds)
    ]
    cause = next((other.seq for other in together if other.event_id == one.causation_id), None)
    return Activity(
        seq=one.seq, recorded_at=one.recorded_at, actor=one.actor, actor_name=one.actor_name, action=one.action, version=one.version,
        cause=Cause(
            command_id=one.command_id, correlation_id=one.correlation_id, client=one.client, on_behalf_of=one.on_behalf_of,
            event=next((other for other in others if other.seq == cause), None)),
        changes=msgspec.json.decode(one.changes), before=before, after=after, related=others)


def told(row: Row | None) -> dict[str, Any]:
    """Return a row's fields as JSON has them."""
    return {} if row is None else {name: value for name, value in msgspec.to_builtins(row).items() if name not in UNTOLD}
