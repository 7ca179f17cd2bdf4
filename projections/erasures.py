"""Wishes to be forgotten as rows, and everything that is known about a person."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.erasures import ErasureEvent, ErasureRefused, PersonErased
from domain.kit import Fact
from domain.kit.codec import hints, metas
from projections.kit import PROJECTIONS, projects
from projections.kit.keys import SELECT, KeyRing
from projections.kit.reading import Reader
from projections.kit.stored import COLUMNS, Stored, fact_of
from schemas.erasures import ErasureRow, PersonExport, Source
from schemas.patients import PatientRow

ABOUT = (
    "with mine as (select distinct originator_id from stored_events where clinic_id = %s and (originator_id = any(%s::uuid[]) or person = any(%s::uuid[]) "  # noqa: S608
    "or exists (select from unnest(%s::text[]) named where position(convert_to(named, 'UTF8') in state) > 0))) "
    f"select {COLUMNS} from stored_events where originator_id in (select originator_id from mine) and clinic_id = %s order by notification_id"
)
ORIGINS = "select id, account, behalf, client, address, agent from origins where id = any(%s::uuid[])"


@projects(ErasureRow, of=ErasureEvent)
def erasures(row: ErasureRow | None, fact: Fact) -> ErasureRow | None:
    refusals = row.refusals if row else 0
    match fact.event:
        case PersonErased() as event:
            return ErasureRow(
                id=fact.id, person_id=event.person_id, kind=event.kind, reason=event.reason, status="erased", despite_retention=event.despite_retention,
                asked_at=fact.recorded_at, asked_by=fact.actor, refusals=refusals)
        case ErasureRefused() as event:
            if row and row.status == "erased":
                return replace(row, refusals=refusals + 1)
            return ErasureRow(
                id=fact.id, person_id=event.person_id, kind=event.kind, reason=event.reason, status="refused", because=event.because, until=event.until,
                asked_at=fact.recorded_at, asked_by=fact.actor, refusals=refusals + 1)
    return row


async def known_of(reader: Reader, keys: KeyRing, patient: UUID, at: datetime) -> PersonExport:
    """Return everything about a patient, under whichever of their records: rows that name them, and every event of each stream that does."""
    records = await records_of(reader, patient)
    found = [Stored(*line) for line in (await reader.ask(ABOUT, (reader.clinic, records, records, [str(record) for record in records], reader.clinic))).rows]
    if wanted := keys.missing(event.person for event in found):
        keys.learn((await reader.ask(SELECT, (wanted,))).rows, wanted)
    causes = list({event.causation for event in found if event.causation})
    origins = {line[0]: _origin(line) for line in (await reader.ask(ORIGINS, (causes,))).rows}
    rows = {name: await reader.find(projection.row, **{column: records}) for name, projection in PROJECTIONS.items() if (column := _naming(projection.row))}
    facts = [fact_of(event, keys.key_of) for event in found]
    strangers = {stream for stream, owner in _owners(facts).items() if owner not in records}
    return PersonExport(
        patient_id=records[0], taken_at=at, rows={name: [*each] for name, each in rows.items() if each},
        events=[_source(fact, origins) for fact in facts if fact.id not in strangers])


async def records_of(reader: Reader, patient: UUID) -> list[UUID]:
    """Return all records of one patient, whichever of them is named: first the one that stands for the others."""
    row = await reader.one(PatientRow, patient)
    while row is not None and row.merged_into is not None:
        row = await reader.one(PatientRow, row.merged_into)
    return [row.id, *(one.id for one in row.merged_records)] if row else [patient]


def _owners(facts: list[Fact]) -> dict[UUID, UUID]:
    """Return whose each stream is that is somebody's: records that were merged and parted again name each other, and so does what went from one to the other.

    A thing is whose its row says; if it has none any more, of whoever it was begun for.
    """
    begun: dict[UUID, UUID] = {}
    rows: dict[UUID, Any] = {}
    for fact in facts:
        if fact.kind == "patients":
            begun[fact.id] = fact.id
        elif (projection := PROJECTIONS.get(fact.kind)) is not None and projection.key is None and "patient_id" in projection.row.__struct_fields__:
            begun.setdefault(fact.id, getattr(fact.event, "patient_id", fact.id))
            rows[fact.id] = projection.next(rows.get(fact.id), fact, (fact.id,))
    return begun | {stream: row.patient_id for stream, row in rows.items() if row is not None}


def _naming(row: Any) -> str | None:
    """Return the column of a row that names a patient, if it has one."""
    if row.table in {"patients", "medical_histories"}:
        return "id"
    return next((name for name, hint in hints(row).items() for extra in metas(hint) if extra.get("ref") == "patients"), None)


def _source(fact: Fact, origins: dict[UUID, dict[str, Any]]) -> Source:
    said: dict[str, Any] = msgspec.to_builtins(fact.event)
    return Source(
        position=fact.position, event=said.pop("event"), entity_type=fact.kind, entity_id=fact.id, version=fact.version, recorded_at=fact.recorded_at,
        actor=fact.actor, origin=origins.get(fact.causation) if fact.causation else None, said=said)


def _origin(line: tuple[Any, ...]) -> dict[str, Any]:
    """Return where a change came from; the address is the staff's, hence not shown to the patient."""
    _, account, behalf, client, _, _ = line
    return {"account": account, "onBehalfOf": behalf, "client": client}
