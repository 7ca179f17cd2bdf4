"""Where insurance claims live on the web."""

from datetime import UTC, datetime
from typing import Annotated, cast
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import PathParameter, QueryParameter

from commands.insurance_claims import (
    AcceptInsuranceClaim,
    AnswerInsuranceClaim,
    AppealInsuranceClaim,
    CreateInsuranceClaim,
    DeleteInsuranceClaim,
    DenyInsuranceClaim,
    PayInsuranceClaim,
    ReplaceInsuranceClaim,
    ReverseInsurancePayment,
    SubmitInsuranceClaim,
    UpdateInsuranceClaim,
    VoidInsuranceClaim,
    WithdrawInsuranceClaim,
)
from domain.kit import NotFound, day
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.sheets import CSV, named, of_structs
from projections.insurance_claims import coverage, figures, of_patient
from schemas.insurance_claims import (
    ClaimFigures,
    InsuranceClaimEntry,
    InsuranceClaimRow,
    InsuranceClaims,
    InvoiceCoverage,
    PayerOutstanding,
)

InvoiceId = Annotated[UUID, PathParameter(description="Id of one of the clinic's invoices.")]
PatientId = Annotated[UUID, PathParameter(description="Id of one of the clinic's patients.")]
As = Annotated[str, QueryParameter(name="format", description="`csv` for what is outstanding with each payer as a sheet.", pattern="^(json|csv)$")]


@get("/patient/{patientId:uuid}", operation_id="ListClaimsOfPatient", opt={"permission": InsuranceClaimRow.permission, "refusals": [NotFound]})
async def of_one(desk: Desk, patientId: PatientId) -> InsuranceClaims:  # noqa: N803
    """List: a patient's claims, the last one first."""
    no_query(desk.call.query())
    if (own_column(InsuranceClaimRow, desk.who) and patientId != desk.who.subject) or not await desk.known("patients", patientId):
        raise NotFound(kind="patients", id=str(patientId))
    return await of_patient(desk.reader, patientId)


@get("/figures", operation_id="GetClaimFigures", opt={"permission": InsuranceClaimRow.permission, "csv": True})
async def summed(desk: Desk, form: As = "json") -> Response[ClaimFigures]:
    """Show: claims by status and age, and what is outstanding with each payer."""
    no_query(desk.call.query(), ("format",))
    own_column(InsuranceClaimRow, desk.who)
    clinic = await desk.clinic()
    found = await figures(desk.reader, day(datetime.now(UTC), clinic.zone), clinic.zone, clinic.currency)
    if form == "json":
        return Response(found)
    headers = {k.decode(): v.decode() for k, v in named("claims-outstanding")}
    return cast("Response[ClaimFigures]", Response(of_structs(PayerOutstanding, found.payers), media_type=CSV.decode(), headers=headers))


@get("/invoice/{invoiceId:uuid}", operation_id="GetInvoiceCoverage", opt={"permission": InsuranceClaimRow.permission, "refusals": [NotFound]})
async def borne(desk: Desk, invoiceId: InvoiceId) -> InvoiceCoverage:  # noqa: N803
    """Show: who bears an invoice, and the patient's share of it."""
    no_query(desk.call.query())
    return await coverage(desk.reader, invoiceId, desk.who.subject if own_column(InsuranceClaimRow, desk.who) else None)


BY = ["patient_id", "invoice_id", "payer_id", "cover_id", "status", "rank", "number", "submitted_on..", "answered_on..", "replaces_id"]
router = Router("/api/v1/protected/insurance-claims", tags=["Insurance"], route_handlers=[
    browse("/", InsuranceClaimEntry, by=BY, sort="-created_at", sorts=["submitted_on", "claimed"], csv=True),
    of_one,
    summed,
    borne,
    fetch("/{id:uuid}", InsuranceClaimEntry),
    create("/", CreateInsuranceClaim),
    act("/{id:uuid}", UpdateInsuranceClaim, "PUT"),
    act("/{id:uuid}/submit", SubmitInsuranceClaim),
    act("/{id:uuid}/withdraw", WithdrawInsuranceClaim),
    act("/{id:uuid}/answer", AnswerInsuranceClaim),
    act("/{id:uuid}/accept", AcceptInsuranceClaim),
    act("/{id:uuid}/deny", DenyInsuranceClaim),
    act("/{id:uuid}/appeal", AppealInsuranceClaim),
    create("/{replacesId:uuid}/replacement", ReplaceInsuranceClaim),
    act("/{id:uuid}/payments", PayInsuranceClaim),
    act("/{id:uuid}/reversals", ReverseInsurancePayment),
    act("/{id:uuid}/void", VoidInsuranceClaim),
    act("/{id:uuid}", DeleteInsuranceClaim, "DELETE"),
])
