"""Where clinics live on the web."""

from litestar import Router, get

from commands.clinics import ChangeClinic, ChangeClinicPlan, OpenClinic
from domain.kit import NotFound
from gateway.kit import Desk, act, create, fetch
from schemas.clinics import ClinicRow


@get("/context", operation_id="GetClinicContext", summary="Show: the clinic you are working in")
async def context(desk: Desk) -> ClinicRow:
    """Name, time zone, currency and plan."""
    if (row := await desk.reader.one(ClinicRow, desk.who.clinic)) is None:
        raise NotFound
    return row


router = Router("/api/v1/protected/clinics", tags=["Clinics"], route_handlers=[
    context,
    fetch("/{id:uuid}", ClinicRow),
    create("/", OpenClinic),
    act("/{id:uuid}", ChangeClinic, method="PUT"),
    act("/{id:uuid}/subscription", ChangeClinicPlan, method="PUT"),
])
