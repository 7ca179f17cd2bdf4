"""Where a patient's household is seen on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter

from domain.kit import NotFound
from gateway.kit import Desk
from gateway.kit.query import no_query
from projections.households import household_of
from schemas.households import Household

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]


@get("/{patientId:uuid}/household", operation_id="GetHousehold", summary="Show: a patient's household", opt={
    "permission": "patients.view", "refusals": [NotFound]})
async def of_patient(desk: Desk, patientId: PatientId) -> Household:  # noqa: N803
    """Whom parents, guardians, children, partners and siblings join to the patient, step by step; address, telephone and e-mail that they share; who pays for whom."""
    no_query(desk.call.query())
    if (found := await household_of(desk.reader, patientId)) is None:
        raise NotFound(kind="patients", id=str(patientId))
    return found


router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[of_patient])
