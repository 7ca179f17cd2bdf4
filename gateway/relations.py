"""Where those live on the web who are there for a patient."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter

from commands.relations import AddRelation, ChangeRelation, EndRelation
from domain.kit import NotFound
from gateway.kit import Desk, act, create
from gateway.kit.query import no_query
from projections.relations import relations_of
from schemas.relations import RelationRow, RelationsOfPatient

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]


@get("/patients/{patientId:uuid}/relations", operation_id="ListRelations", summary="List: who is there for a patient", opt={
    "permission": RelationRow.permission, "refusals": [NotFound]})
async def of_patient(desk: Desk, patientId: PatientId) -> RelationsOfPatient:  # noqa: N803
    """Guardians first, then those to call in an emergency; for whom the patient is there in turn; and by which address the patient is reached: a guardian's, if they have none."""
    no_query(desk.call.query())
    if (found := await relations_of(desk.reader, patientId)) is None:
        raise NotFound(kind="patients", id=str(patientId))
    return found


router = Router("/api/v1/protected", tags=["Patients"], route_handlers=[
    of_patient,
    create("/patients/{patientId:uuid}/relations", AddRelation),
    act("/patient-relations/{id:uuid}", ChangeRelation, "PUT"),
    act("/patient-relations/{id:uuid}", EndRelation, "DELETE"),
])
