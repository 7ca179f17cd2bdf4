"""Where patients' covers live on the web."""

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import QueryParameter

from commands.insurance_covers import AddCover, ChangeCover, RemoveCover
from domain.kit import NotFound, day
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.insurance_covers import eligibility
from schemas.insurance_covers import CoverEntry, CoverRow, Eligibility

Patient = Annotated[UUID, QueryParameter(name="patientId", description="Id of one of the clinic's patients.")]
Day = Annotated[date | None, QueryParameter(name="date", description="A day of the clinic's; today if not given.")]


@get("/eligibility", operation_id="GetEligibility", opt={"permission": CoverRow.permission, "refusals": [NotFound]})
async def eligible(desk: Desk, patient: Patient, on: Day = None) -> Eligibility:
    """Show: how a patient is insured on a day, as the clinic has noted it; no insurer is asked."""
    no_query(desk.call.query(), ("patientId", "date"))
    if (own_column(CoverRow, desk.who) and patient != desk.who.subject) or not await desk.known("patients", patient):
        raise NotFound(kind="patients", id=str(patient))
    return await eligibility(desk.reader, patient, on or day(datetime.now(UTC), (await desk.clinic()).zone))


router = Router("/api/v1/protected/insurance-covers", tags=["Insurance"], route_handlers=[
    browse("/", CoverEntry, by=["patient_id", "payer_id", "rank", "valid_from..", "valid_to.."], sort="-valid_from", sorts=["created_at"]),
    eligible,
    fetch("/{id:uuid}", CoverEntry),
    create("/", AddCover),
    act("/{id:uuid}", ChangeCover, "PUT"),
    act("/{id:uuid}", RemoveCover, "DELETE"),
])
