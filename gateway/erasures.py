"""Where somebody is forgotten, and where everything that is known about somebody is handed out."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter

from commands.erasures import ErasePatient, ErasePerson
from commands.kit.erasure import traces_of
from domain.erasures import PersonId, PersonKind, PersonStillActive
from domain.kit import Forbidden, Frozen, NotFound, Reason, Refused
from domain.patients import PatientMerged
from gateway.kit import Desk, browse
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from projections.erasures import known_of, records_of
from projections.kit.erasing import readable, replayed
from schemas.erasures import ErasureReport, ErasureRow, PersonExport, Traces

HOUSES = {"accounts", "signups", "demo_requests"}  # kinds of persons who belong to no clinic
PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]


class RecordsMustStay(Refused):
    """Retention periods or a legal hold keep this person's records. `details` say which and until when; that you asked is on record."""


class AskErasure(Frozen, forbid_unknown_fields=True):
    """Who is to be forgotten, and why. `dryRun` only reports; `despiteRetention` overrides retention periods of a patient's records, never legal holds."""

    kind: PersonKind = "patients"
    person_id: PersonId
    reason: Reason
    despite_retention: bool = False
    dry_run: bool = False


@post("/", operation_id="AskErasure", status_code=200, opt={"permission": "admin", "refusals": [RecordsMustStay, PersonStillActive, PatientMerged, NotFound, Forbidden]})
async def erase(desk: Desk, data: JSONBody[AskErasure]) -> ErasureReport:
    """Forget a person for good: the key under which everything about them is sealed is destroyed.

    Nobody can read it any more in the event log, the stream or backups; read models are blanked, sessions, secrets and links deleted. Visits, invoices and figures
    keep their numbers. Records that were merged into a patient's go with it; name the one that stands for them. It cannot be undone: try `dryRun` first. The answer says what was found and what is left, which is counted afresh.
    """
    desk.require("admin")
    return await forget(desk, data)


async def forget(desk: kit.Desk, data: AskErasure) -> ErasureReport:
    """Forget somebody, and say what was found and what is left."""
    here = await (desk.home() if data.kind in HOUSES else desk.beside(data.person_id))
    records = await records_of(here.reader, data.person_id) if data.kind == "patients" else [data.person_id]
    before, events, _ = await traces(here, records)
    if data.dry_run:
        if not await here.known(data.kind, data.person_id):
            raise NotFound(kind=data.kind, id=str(data.person_id))
        return ErasureReport(
            person_id=data.person_id, kind=data.kind, dry_run=True, erased_at=None, sealed_events=events, found=before, left=before)
    if data.kind == "patients":
        receipt = await here.handle(ErasePatient(patient_id=data.person_id, reason=data.reason, despite_retention=data.despite_retention))
    else:
        receipt = await here.handle(ErasePerson(kind=data.kind, person_id=data.person_id, reason=data.reason))
    row = receipt.row
    if isinstance(row, ErasureRow) and row.status == "refused" and receipt.position:
        raise RecordsMustStay(because=row.because, until=row.until and row.until.isoformat())
    services = desk.call.services
    services.handler.erase(records)
    here.reader = await services.reader(here.who.clinic, receipt.position)
    left, events, at = await traces(here, records)
    return ErasureReport(person_id=data.person_id, kind=data.kind, dry_run=False, erased_at=at, sealed_events=events, found=before, left=left)


async def traces(desk: kit.Desk, records: list[UUID]) -> tuple[Traces, int, datetime | None]:
    """Return what is kept about a person that can be read, how many events are sealed under their keys, and when these were destroyed."""
    found = await traces_of(desk.call.services.reading.lanes, records, desk.who.clinic)
    rows = await readable(desk.reader, records)
    readable_now = Traces(
        keys=found.keys, events=found.events, rows=rows, replays=sum([await replayed(desk.reader, record) for record in records]), sessions=found.sessions,
        secrets=found.secrets, links=found.links, addresses=found.addresses)
    return readable_now, found.sealed, found.destroyed_at


@get("/{id:uuid}/export", operation_id="ExportPatient", opt={"refusals": [NotFound, Forbidden]})
async def export(desk: Desk, id: PatientId) -> PersonExport:  # noqa: A002
    """Take along everything that is known about a patient, under whichever of their records.

    The rows as they stand and every event about them, each with when, by whom, through what, and where it lies. Patients may take along their own.
    """
    no_query(desk.call.query())
    if desk.who.role != "patient" or desk.who.subject != id:
        desk.require("admin")
    here = await desk.beside(id)
    if not await here.known("patients", id):
        raise NotFound(kind="patients", id=str(id))
    await here.call.saw("export", id)
    return await known_of(here.reader, desk.call.services.handler.keys, id, datetime.now(UTC))


router = Router("/api/v1/protected", tags=["Privacy"], route_handlers=[
    Router("/privacy/erasures", route_handlers=[browse("/", ErasureRow, by=["person_id", "kind", "status", "asked_at.."], sort="-asked_at"), erase]),
    Router("/patients", route_handlers=[export]),
])
