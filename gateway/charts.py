"""Where a patient's chart lives on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import PathParameter

from domain.kit import Forbidden, NotFound
from gateway.kit import Desk
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.charts import APPOINTMENTS, INVOICES, MEDICAL, PATIENT, Own, Part, Parts, chart, chart_then
from schemas.charts import Chart

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]


@get("/{id:uuid}/chart", operation_id="GetChart", summary="Show: a patient's chart", opt={"permission": PATIENT.permission, "refusals": [NotFound, Forbidden]})
async def shown(desk: Desk, id: PatientId, as_of: AsOf = None) -> Response[Chart]:  # noqa: A002
    """Particulars, medical history, visits and invoices, of both the latest hundred; a part that your role may not see is null. The look is on record."""
    no_query(desk.call.query(), ("asOf",))
    emergency = await desk.call.open_chart(id, PATIENT.permission)
    if own_column(PATIENT.row, desk.who) is not None and desk.who.subject != id:
        raise NotFound(kind="patients", id=str(id))
    medical, urgent = await medicine(desk, id)
    keys = desk.call.services.handler.keys
    parts = Parts(medical, owned(desk, APPOINTMENTS), owned(desk, INVOICES))
    if as_of is None:
        found, headers = await chart(desk.reader, keys, id, parts), {}
    else:
        position = await desk.then(as_of)
        found, headers = await chart_then(desk.reader, keys, id, parts, position), {"X-Position": str(position)}
    await desk.call.saw("chart", id, emergency=emergency or urgent)
    return Response(found, headers=headers)


async def medicine(desk: Desk, patient: UUID) -> tuple[bool, bool]:
    """Say whether somebody may see a patient's medical history, and whether in an emergency alone."""
    if desk.who.role == "patient":
        return False, False
    try:
        return True, await desk.call.open_chart(patient, MEDICAL.permission)
    except Forbidden:
        return False, False


def owned(desk: Desk, part: Part) -> Own | None:
    """Return what columns must hold in the rows that somebody may see; None if they may see none."""
    if not desk.who.may(part.permission):
        return None
    try:
        own = own_column(part.row, desk.who)
    except Forbidden:
        return None
    return {} if own is None else {own: desk.who.subject}


router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[shown])
