"""What people have agreed to, as rows; how it stands with a patient, and who has not agreed."""

import base64
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.consents import (
    ConsentEvent,
    ConsentFormDefined,
    ConsentFormEvent,
    ConsentFormRestored,
    ConsentFormRetired,
    ConsentFormRevised,
    ConsentGiven,
    ConsentStatus,
    ConsentWithdrawn,
    ConsentWords,
)
from domain.kit import Fact, only
from projections.erasures import records_of
from projections.kit import projects
from projections.kit.reading import CursorInvalid, Reader
from schemas.consents import (
    ConsentFormRow,
    ConsentMissing,
    ConsentOfPatient,
    ConsentRow,
    ConsentsMissing,
    ConsentStep,
    ConsentWording,
)

MISSING = """
select p.id as patient_id, p.given_name, p.family_name, p.sort_name, c.version, c.valid_until,
    case when c.id is null then 'none' when c.withdrawn then 'withdrawn' when c.valid_until < %s::date then 'expired' else 'given' end as status
from patients p
left join lateral (
    select c.* from consents c where c.clinic_id = %s and c.form_id = %s
        and (c.patient_id = p.id or c.patient_id = any(select (m->>'id')::uuid from jsonb_array_elements(p.merged_records) m))
    order by c.withdrawn, c.valid_until desc nulls first limit 1) c on true
where p.clinic_id = %s and p.merged_into is null and not p.archived and (p.sort_name, p.id) > (%s::text collate "C", %s::uuid)
    and (c.id is null or c.withdrawn or c.valid_until < %s::date or c.version < %s::bigint)
order by p.sort_name, p.id limit %s"""


@projects(ConsentFormRow, of=ConsentFormEvent)
def consent_forms(row: ConsentFormRow | None, fact: Fact) -> ConsentFormRow | None:
    match fact.event:
        case ConsentFormDefined() as event:
            first = ConsentWording(version=1, text=event.text, since=fact.recorded_at)
            return ConsentFormRow(id=fact.id, **only(ConsentWords, event), version=1, versions=[first])
        case ConsentFormRevised() as event if row:
            new = [] if event.version == row.version else [ConsentWording(version=event.version, text=event.text, since=fact.recorded_at)]
            return replace(row, **only(ConsentWords, event), version=event.version, versions=[*row.versions, *new])
        case ConsentFormRetired():
            return row and replace(row, retired=True)
        case ConsentFormRestored():
            return row and replace(row, retired=False)
    return row


@projects(ConsentRow, of=ConsentEvent)
def consents(row: ConsentRow | None, fact: Fact) -> ConsentRow | None:
    match fact.event:
        case ConsentGiven() as event:
            step = ConsentStep(
                status="given", on=event.given_on, at=fact.recorded_at, noted_by=fact.actor, way=event.way, by=event.by, relation_id=event.relation_id,
                version=event.version, valid_until=event.valid_until)
            return ConsentRow(
                id=fact.id, patient_id=event.patient_id, form_id=event.form_id, version=event.version, given_on=event.given_on, valid_until=event.valid_until,
                way=event.way, by=event.by, relation_id=event.relation_id, note=event.note, noted_at=fact.recorded_at, noted_by=fact.actor,
                history=[*(row.history if row else ()), step])
        case ConsentWithdrawn() as event if row:
            step = ConsentStep(
                status="withdrawn", on=event.withdrawn_on, at=fact.recorded_at, noted_by=fact.actor, way=event.way, by=event.by, relation_id=event.relation_id)
            return replace(
                row, withdrawn=True, withdrawn_on=event.withdrawn_on, withdraw_reason=event.reason, noted_at=fact.recorded_at, noted_by=fact.actor,
                history=[*row.history, step])
    return row


def status_of(row: ConsentRow, today: date) -> ConsentStatus:
    """Return how it stands with a consent on a day of the clinic."""
    if row.withdrawn:
        return "withdrawn"
    return "expired" if row.valid_until is not None and row.valid_until < today else "given"


async def consents_of(reader: Reader, patient: UUID, today: date) -> list[ConsentOfPatient]:
    """Return how it stands with each form on all records of a patient: one that holds counts before one that does not, and of these the later."""
    records = await records_of(reader, patient)
    rows = await reader.find(ConsentRow, patient_id=records)
    forms = sorted(await reader.find(ConsentFormRow), key=lambda form: (form.name.casefold(), form.id))
    by_form: dict[UUID, list[ConsentRow]] = {}
    for row in rows:
        by_form.setdefault(row.form_id, []).append(row)
    return [stands(form, by_form.get(form.id, []), today) for form in forms if not form.retired or form.id in by_form]


def stands(form: ConsentFormRow, rows: list[ConsentRow], today: date) -> ConsentOfPatient:
    """Return how it stands with one form."""
    if not rows:
        return ConsentOfPatient(form_id=form.id, name=form.name, purpose=form.purpose, status="none", form_version=form.version, text=form.text)
    best = max(rows, key=lambda row: (status_of(row, today) == "given", row.noted_at, row.id))
    words = next((one.text for one in form.versions if one.version == best.version), form.text)
    history = sorted((step for row in rows for step in row.history), key=lambda step: step.at)
    said = {name: getattr(best, name) for name in ("version", "given_on", "valid_until", "withdrawn_on", "way", "by", "relation_id")}
    return ConsentOfPatient(
        form_id=form.id, name=form.name, purpose=form.purpose, status=status_of(best, today), form_version=form.version, text=words,
        outdated=best.version < form.version, history=history, **said)


async def missing(reader: Reader, form: UUID, today: date, least: int, limit: int, cursor: str | None) -> ConsentsMissing:
    """Return who, of those that are with the clinic, has no valid consent to a form, or none to the words of a version or later."""
    after = ("", UUID(int=0)) if cursor is None else read(cursor)
    found = await reader.ask(MISSING, (today, reader.clinic, form, reader.clinic, *after, today, least, limit + 1))
    lines: list[dict[str, Any]] = [dict(zip(found.columns, line, strict=True)) for line in found.rows]
    last = lines[limit - 1] if len(lines) > limit else None
    items = [
        ConsentMissing(
            patient_id=line["patient_id"], given_name=line["given_name"], family_name=line["family_name"], status=line["status"], version=line["version"],
            valid_until=line["valid_until"])
        for line in lines[:limit]]
    return ConsentsMissing(items=items, next=written(last["sort_name"], last["patient_id"]) if last else None)


def written(name: str, patient: UUID) -> str:
    """Return where a page ended, as a text that goes into an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode([name, patient])).decode().rstrip("=")


def read(cursor: str) -> tuple[str, UUID]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[str, UUID])
    except (ValueError, msgspec.DecodeError):
        raise CursorInvalid from None
