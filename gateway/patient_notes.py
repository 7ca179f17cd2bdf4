"""Where notes about patients live on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter, QueryParameter

from commands.patient_notes import AmendPatientNote, PinPatientNote, RemovePatientNote, UnpinPatientNote, WritePatientNote
from domain.kit import NotFound
from gateway.kit import Desk, act, create, fetch
from gateway.kit.query import no_query
from projections.patient_notes import notes_of
from schemas.patient_notes import PatientNoteRow, PatientNotes

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
Removed = Annotated[bool, QueryParameter(name="removed", description="Also those that were removed.")]


@get("/patients/{patientId:uuid}/notes", operation_id="ListPatientNotes", summary="List: the notes about a patient", opt={
    "permission": PatientNoteRow.permission, "refusals": [NotFound]})
async def of_patient(desk: Desk, patientId: PatientId, removed: Removed = False) -> PatientNotes:  # noqa: N803
    """Those that are pinned first, then the newest; with those of the records that were merged into this one."""
    no_query(desk.call.query(), ("removed",))
    if (found := await notes_of(desk.reader, patientId, removed=removed)) is None:
        raise NotFound(kind="patients", id=str(patientId))
    return PatientNotes(items=found)


router = Router("/api/v1/protected", tags=["Patients"], route_handlers=[
    of_patient,
    create("/patients/{patientId:uuid}/notes", WritePatientNote),
    fetch("/patient-notes/{id:uuid}", PatientNoteRow),
    act("/patient-notes/{id:uuid}", AmendPatientNote, "PUT"),
    act("/patient-notes/{id:uuid}/pin", PinPatientNote, "PUT"),
    act("/patient-notes/{id:uuid}/pin", UnpinPatientNote, "DELETE"),
    act("/patient-notes/{id:uuid}", RemovePatientNote, "DELETE"),
])
