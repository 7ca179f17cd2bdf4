"""Where patients live on the web."""

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from commands.patients import ArchivePatient, ChangeMedicalHistory, ChangePatient, RegisterPatient, RestorePatient
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from projections.patients import search
from schemas.patients import MedicalHistoryRow, PatientRow, PatientsFound

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


router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[
    browse("/", PatientRow, by=["archived", "registered_on.."], sort="sort_name"),
    found,
    fetch("/{id:uuid}", PatientRow),
    fetch("/{id:uuid}/medical", MedicalHistoryRow),
    create("/", RegisterPatient),
    act("/{id:uuid}", ChangePatient, "PUT"),
    act("/{id:uuid}/medical", ChangeMedicalHistory, "PUT"),
    act("/{id:uuid}", ArchivePatient, "DELETE"),
    act("/{id:uuid}/restore", RestorePatient),
])
