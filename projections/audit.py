"""Every event of a clinic as a line of its audit log."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct, json
from msgspec.structs import replace

from domain.kit import Fact, span
from projections.erasures import records_of
from projections.kit import ALL, projects
from projections.kit.reading import Reader, Wanted
from schemas.audit import AuditLine, AuditPage, AuditRow, ChartLook, ChartLooks, HeadKey, Origin, SignedHead, SignedHeads

AGO = 100  # events of a stream in which is sought what was said before
STEPS = """
with page as (
    select originator_id, min(originator_version) as first, max(originator_version) as last
    from stored_events where clinic_id = %s and notification_id = any(%s) group by originator_id
), life as (
    select e.originator_id, e.notification_id, e.causation_id, convert_from(e.state, 'UTF8')::jsonb - 'event' - 'sealed' as said
    from page p join stored_events e on e.originator_id = p.originator_id and e.originator_version between p.first - %s and p.last
    where e.clinic_id = %s
), fields as (
    select l.notification_id, f.key, f.value, lag(f.value) over (partition by l.originator_id, f.key order by l.notification_id) as was
    from life l, jsonb_each(l.said) f
), before as (
    select notification_id, jsonb_object_agg(key, was) as was from fields where was <> value group by notification_id
)
select l.notification_id as seq, l.said::text as changes, coalesce(b.was, '{}')::text as before,
    o.account, o.behalf, o.session, o.client, o.address, o.agent
from life l left join before b using (notification_id) left join origins o on o.id = l.causation_id
where l.notification_id = any(%s)
"""


class Step(Struct):
    """What an event changed, what was last said of the same things before, and where the request came from that caused it."""

    seq: int
    changes: str
    before: str
    account: UUID | None
    behalf: UUID | None
    session: UUID | None
    client: str | None
    address: str | None
    agent: str | None

    @property
    def told(self) -> dict[str, Any]:
        """The same as a line shows it."""
        origin = None if self.address is None else Origin(
            account=self.account, on_behalf_of=self.behalf, session=self.session, client=self.client, address=self.address, agent=self.agent or "")
        return {"changes": json.decode(self.changes), "before": json.decode(self.before), "origin": origin}


async def steps(reader: Reader, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return what the events at these positions changed; what is sealed because it is about a person is left out."""
    wanted = list(positions)
    found = await reader.select(Step, STEPS, reader.clinic, wanted, AGO, reader.clinic, wanted)
    return {one.seq: one.told for one in found}


def each(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return ((fact.position,),)


@projects(AuditRow, of=ALL, key=each, fresh=True)
def audit_log(_: AuditRow | None, fact: Fact, __: tuple[Any, ...]) -> AuditRow:
    return AuditRow(
        seq=fact.position, recorded_at=fact.recorded_at, actor=fact.actor, action=type(fact.event).__name__, entity_type=fact.kind,
        entity_id=fact.id, version=fact.version, command_id=fact.command, correlation_id=fact.correlation,
        hash=b64encode(fact.hash).decode(), mac=b64encode(fact.mac).decode(),
    )


async def log(
    reader: Reader, equals: dict[str, Any], *, since: date | None, until: date | None, zone: str, limit: int, cursor: str | None
) -> AuditPage:
    """Return lines of the audit log, the latest first; days are the clinic's."""
    conditions = [(column, "=", value) for column, value in equals.items() if value is not None]
    if since:
        conditions.append(("recorded_at", ">=", span(since, since, zone)[0]))
    if until:
        conditions.append(("recorded_at", "<", span(until, until, zone)[1]))
    page = await reader.page(AuditRow, Wanted(tuple(conditions), "seq", descending=True, limit=limit, cursor=cursor))
    lines = json.decode(page.items, type=list[AuditLine])
    found = await steps(reader, [line.seq for line in lines])
    return AuditPage(items=[replace(line, **found.get(line.seq, {})) for line in lines], next=page.next)


HEADS = """select position, events, encode(hash, 'hex') as hash, signed_at, key, encode(signature, 'hex') as signature, 'anamnesis head 1 clinic '
|| clinic_id || ' position ' || position || ' events ' || events || ' hash ' || encode(hash, 'hex') || ' at '
|| to_char(signed_at, 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00') as statement from signed_heads where clinic_id = %s order by position desc limit 100"""


KEYS = "select key, encode(public, 'hex') as public from head_keys order by since desc"


async def signed_heads(reader: Reader) -> SignedHeads:
    """Return the newest signed heads of a clinic."""
    items = await reader.select(SignedHead, HEADS, reader.clinic)
    keys = await reader.select(HeadKey, KEYS)
    return SignedHeads(items=items, public_keys=sorted({head.key for head in items}), keys=keys)


async def wish_head(reader: Reader) -> None:
    """Have the notary look at a clinic now."""
    await reader.ask("select wish_head(%s)", (reader.clinic,))


LOOKED = """select r.at, s.name as who, r.role, r.what, r.emergency from chart_looks r left join staff s on s.clinic_id = r.clinic_id and s.account_id = r.actor
where r.clinic_id = %s and r.patient = any(%s::uuid[]) and r.at < %s order by r.at desc limit %s"""


async def looks_at(reader: Reader, patient: UUID, before: datetime, limit: int) -> ChartLooks:
    """Return who has looked at a patient's chart, under whichever of their records."""
    found = await reader.select(ChartLook, LOOKED, reader.clinic, await records_of(reader, patient), before, limit + 1)
    return ChartLooks(items=found[:limit], next=found[limit - 1].at if len(found) > limit else None)
