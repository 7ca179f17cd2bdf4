"""Where patients live on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter, QueryParameter

from commands.patients import (
    ArchivePatient,
    ChangeMedicalHistory,
    ChangePatient,
    MergePatients,
    RegisterPatient,
    RestorePatient,
    UnmergePatients,
)
from domain.kit import Elsewhere, NotFound
from domain.patients import MergedWithItself, PatientErased, PatientMerged, PatientNotActive, PatientReplaced, VisitsClash
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from projections.patients import due, search, whole_history
from schemas.patients import MedicalHistoryRow, MergePreview, PatientRow, PatientsFound

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
LoserId = Annotated[UUID, PathParameter(description="Id of the other record.")]
Typed = Annotated[str, QueryParameter(name="q", min_length=1, max_length=200, description="Name in any order, telephone, e-mail address or day of birth.")]
Most = Annotated[int, QueryParameter(name="limit", ge=1, le=100)]


@get("/search", operation_id="SearchPatients", opt={"permission": PatientRow.permission})
async def found(desk: Desk, q: Typed, limit: Most = 20) -> PatientsFound:
    """Find patients.

    Names in any order and with a slip of the keyboard, a telephone in any form, an e-mail address, a day of birth, or several of these;
    the best fit first.
    """
    no_query(desk.call.query(), ("q", "limit"))
    return PatientsFound(items=await search(desk.reader, q, limit))


@get("/{id:uuid}/merge/{loserId:uuid}", operation_id="PreviewMerge", opt={
    "permission": MergePatients.permission, "refusals": [PatientMerged, PatientNotActive, MergedWithItself, PatientErased, VisitsClash, NotFound]})
async def rehearsed(desk: Desk, id: PatientId, loserId: LoserId) -> MergePreview:  # noqa: A002, N803
    """Show: what merging another record into this one would move, without moving it.

    It is decided as the merge itself, so what forbids that is said here too.
    """
    no_query(desk.call.query())
    plans = await desk.rehearse(MergePatients(loser_id=loserId), id)
    events = [event for plan in plans if isinstance(plan, Elsewhere) for event in plan.events]
    moved = [one for event in events if isinstance(event, PatientReplaced) for one in event.moved]
    bills = [one.id for one in moved if one.kind == "invoices"]
    return MergePreview(
        survivor_id=id, loser_id=loserId, appointments=len(moved) - len(bills), invoices=len(bills), due=await due(desk.reader, bills), moved=moved)


router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[
    browse("/", PatientRow, by=["archived", "registered_on.."], sort="sort_name", only={"merged_into": None}),
    found,
    fetch("/{id:uuid}", PatientRow),
    fetch("/{id:uuid}/medical", MedicalHistoryRow, whole_history),
    create("/", RegisterPatient),
    act("/{id:uuid}", ChangePatient, "PUT"),
    act("/{id:uuid}/medical", ChangeMedicalHistory, "PUT"),
    act("/{id:uuid}", ArchivePatient, "DELETE"),
    act("/{id:uuid}/restore", RestorePatient),
    rehearsed,
    act("/{id:uuid}/merge", MergePatients),
    act("/{id:uuid}/unmerge", UnmergePatients),
])
