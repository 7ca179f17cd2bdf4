"""Where a clinic says for how long it keeps what, and what must be kept whatever it says."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter

from commands.retention import LiftLegalHold, PlaceLegalHold, SetRetention
from gateway.kit import Desk, act, browse
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from projections.retention import periods, periods_then
from schemas.retention import LegalHoldRow, RetentionRow, RetentionShown

WHILE_CLOSING = {"lapsed": True}  # what binds a clinic does so until it is gone
ClinicId = Annotated[UUID, PathParameter(description="Id of the clinic.")]


@get("/{clinicId:uuid}/retention", operation_id="GetRetention", summary="Show: for how long a clinic keeps its records", opt={
    "permission": RetentionRow.permission})
async def shown(desk: Desk, clinicId: ClinicId, as_of: AsOf = None) -> RetentionShown:  # noqa: N803
    """By kind of record: the years after its last change, the least that the platform wants, and where that is from."""
    no_query(desk.call.query(), ("asOf",))
    await desk.within(clinicId)
    if as_of is not None:
        position = await desk.then(as_of)
        return await periods_then(desk.reader, desk.call.services.handler.keys, position)
    return await periods(desk.reader)


router = Router("/api/v1/protected/clinics", tags=["Retention"], route_handlers=[
    shown,
    act("/{clinicId:uuid}/retention", SetRetention, method="PUT"),
    browse("/{clinicId:uuid}/holds", LegalHoldRow, by=["open", "patient_id", "placed_at.."], sort="-placed_at"),
    act("/{clinicId:uuid}/holds", PlaceLegalHold, opt=WHILE_CLOSING),
    act("/{clinicId:uuid}/holds/{holdId:uuid}", LiftLegalHold, method="DELETE", opt=WHILE_CLOSING),
])
