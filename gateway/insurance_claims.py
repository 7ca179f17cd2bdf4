"""Where insurance claims live on the web."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, cast
from uuid import UUID, uuid4

from litestar import Response, Router, delete, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import convert

from commands.insurance_claims import (
    AcceptInsuranceClaim,
    AnswerInsuranceClaim,
    AppealInsuranceClaim,
    AttachToInsuranceClaim,
    CreateInsuranceClaim,
    DeleteInsuranceClaim,
    DenyInsuranceClaim,
    DetachFromInsuranceClaim,
    PayInsuranceClaim,
    ReplaceInsuranceClaim,
    ReverseInsurancePayment,
    SubmitInsuranceClaim,
    UpdateInsuranceClaim,
    VoidInsuranceClaim,
    WithdrawInsuranceClaim,
    WriteOffInsuranceClaim,
)
from commands.kit.ids import derived
from domain.insurance_claims import AttachmentNotFound, InsuranceClaim, NothingToWriteOff, TooManyAttachments, WriteOffUnconfirmed
from domain.kit import Forbidden, NotFound, Refused, day
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.errors import BodyInvalid, BodyTooLarge, BodyUnexpected
from gateway.kit.files import MOST, TAKES, Paper, PaperTooLarge, PaperUnreadable, drop, given_out, keep, media_of
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.sheets import handed, of_structs
from gateway.kit.uploads import received
from projections.insurance_claims import coverage, figures, of_patient
from schemas.insurance_claims import (
    Attachments,
    ClaimAge,
    ClaimFigures,
    InsuranceClaimEntry,
    InsuranceClaimRow,
    InsuranceClaims,
    InvoiceCoverage,
    PayerOutstanding,
    WriteOffPreview,
)

LIMIT = MOST + (64 << 10)  # bytes of a request with a file
ClaimId = Annotated[UUID, PathParameter(description="Id of one of the clinic's insurance claims.")]
FileId = Annotated[UUID, PathParameter(description="Id of one of the claim's attachments.")]
InvoiceId = Annotated[UUID, PathParameter(description="Id of one of the clinic's invoices.")]
PatientId = Annotated[UUID, PathParameter(description="Id of one of the clinic's patients.")]
As = Annotated[str, QueryParameter(name="format", description="`csv` for a sheet.", pattern="^(json|csv)$")]
Which = Annotated[str, QueryParameter(name="sheet", description="Which of the two the sheet tells.", pattern="^(payers|ages)$")]


@get("/patient/{patientId:uuid}", operation_id="ListClaimsOfPatient", opt={"permission": InsuranceClaimRow.permission, "refusals": [NotFound]})
async def of_one(desk: Desk, patientId: PatientId) -> InsuranceClaims:  # noqa: N803
    """List: a patient's claims, the last one first."""
    no_query(desk.call.query())
    if (own_column(InsuranceClaimRow, desk.who) and patientId != desk.who.subject) or not await desk.known("patients", patientId):
        raise NotFound(kind="patients", id=str(patientId))
    return await of_patient(desk.reader, patientId)


@get("/figures", operation_id="GetClaimFigures", opt={"permission": InsuranceClaimRow.permission, "csv": True})
async def summed(desk: Desk, form: As = "json", which: Which = "payers") -> Response[ClaimFigures]:
    """Show: claims by status and age, and what is outstanding with each payer."""
    no_query(desk.call.query(), ("format", "sheet"))
    if own_column(InsuranceClaimRow, desk.who):
        raise Forbidden(permission=InsuranceClaimRow.permission)  # these are everybody's
    clinic = await desk.clinic()
    found = await figures(desk.reader, day(datetime.now(UTC), clinic.zone), clinic.zone, clinic.currency)
    if form == "json":
        return Response(found)
    lines = of_structs(PayerOutstanding, found.payers) if which == "payers" else of_structs(ClaimAge, found.ages)
    return handed(f"claims-by-{which}", lines)


@get("/invoice/{invoiceId:uuid}", operation_id="GetInvoiceCoverage", opt={"permission": InsuranceClaimRow.permission, "refusals": [NotFound]})
async def borne(desk: Desk, invoiceId: InvoiceId) -> InvoiceCoverage:  # noqa: N803
    """Show: who bears an invoice, and the patient's share of it."""
    no_query(desk.call.query())
    desk.require("billing.invoices.view")
    return await coverage(desk.reader, invoiceId, desk.who.subject if own_column(InsuranceClaimRow, desk.who) else None)


@get("/{id:uuid}/write-off", operation_id="PreviewClaimWriteOff", opt={
    "permission": WriteOffInsuranceClaim.permission, "refusals": [refusal for refusal in refusals_of(WriteOffInsuranceClaim) if refusal is not WriteOffUnconfirmed]})
async def preview(desk: Desk, id: ClaimId) -> WriteOffPreview:  # noqa: A002
    """Preview: what would be written off, as things stand. Nothing is stored; to have it done, say the amount."""
    no_query(desk.call.query())
    try:
        await desk.rehearse(WriteOffInsuranceClaim(), id)
    except WriteOffUnconfirmed as told:
        return convert(told.details, WriteOffPreview)
    raise NothingToWriteOff


@get("/{id:uuid}/attachments", operation_id="ListClaimAttachments", opt={"permission": InsuranceClaimRow.permission, "refusals": [NotFound]})
async def attached(desk: Desk, id: ClaimId) -> Attachments:  # noqa: A002
    """List: the attachments of a claim, the first one first."""
    no_query(desk.call.query())
    return Attachments(items=(await claim_of(desk, id)).attachments)


@post("/{id:uuid}/attachments", operation_id="AttachToInsuranceClaim", status_code=201, request_max_body_size=LIMIT, opt={
    "permission": AttachToInsuranceClaim.permission, "takes": TAKES, "refusals": [BodyUnexpected, BodyInvalid, BodyTooLarge, PaperTooLarge, PaperUnreadable, TooManyAttachments, NotFound]})
async def attach(desk: Desk, id: ClaimId) -> Response[InsuranceClaimRow]:  # noqa: A002
    """Attach a file to a claim.

    A form with `file`, and `name` if it is to be called something, or the file itself. What it is is read off its bytes: PDF, PNG, JPEG, GIF or WebP, 8 MiB at most. It is kept encrypted under the
    patient's key.
    """
    no_query(desk.call.query())
    desk.require(AttachToInsuranceClaim.permission)
    form, body = await received(desk.call, ("application/pdf", "image/"), LIMIT)
    media, state = media_of(body), await state_of(desk, id)
    key = desk.call.key
    digest = sha256(body).hexdigest()
    attachment = derived(id.bytes, b"attachment", key.encode(), digest.encode()) if key else uuid4()  # sent again it is the same
    paper = place_of(desk, id, attachment, state)
    await keep(desk, paper, body)
    name = form.get("name", "").strip()[:200] or f"{attachment}.{media.rpartition('/')[2]}"
    command = AttachToInsuranceClaim(attachment_id=attachment, name=name, media=media, size=len(body), digest=digest)
    try:
        receipt = await desk.handle(command, id)
    except Refused:
        if attachment not in state.attachments:
            await drop(desk, paper)
        raise
    return desk.answer(AttachToInsuranceClaim, receipt, 201)


@get("/{id:uuid}/attachments/{fileId:uuid}", operation_id="GetClaimAttachment", summary="Download: an attachment", opt={
    "permission": InsuranceClaimRow.permission, "media": "*/*", "refusals": [NotFound]})
async def attachment(desk: Desk, id: ClaimId, fileId: FileId) -> Response[bytes]:  # noqa: A002, N803
    """The file as it was sent, as a download of the type that was seen."""
    no_query(desk.call.query())
    found = next((one for one in (await claim_of(desk, id)).attachments if one.id == fileId), None)
    if found is None:
        raise AttachmentNotFound(attachmentId=str(fileId))
    return await given_out(desk, place_of(desk, id, fileId, await state_of(desk, id)), found.media, found.name or str(fileId))


@delete("/{id:uuid}/attachments/{fileId:uuid}", operation_id="DetachFromInsuranceClaim", status_code=204, opt={
    "permission": DetachFromInsuranceClaim.permission, "refusals": refusals_of(DetachFromInsuranceClaim)})
async def detach(desk: Desk, id: ClaimId, fileId: FileId) -> None:  # noqa: A002, N803
    """Remove an attachment. The file goes; that there was one, and its SHA-256, stays in the history."""
    await desk.handle(DetachFromInsuranceClaim(attachment_id=fileId), id)
    await drop(desk, place_of(desk, id, fileId, await state_of(desk, id)))


async def claim_of(desk: kit.Desk, id_: UUID) -> InsuranceClaimRow:
    """Return a claim that whoever asks may see."""
    own = own_column(InsuranceClaimRow, desk.who)
    row = await desk.reader.one(InsuranceClaimRow, id_)
    if row is None or (own and row.patient_id != desk.who.subject):
        raise NotFound(kind="insurance_claims", id=str(id_))
    return row


async def state_of(desk: kit.Desk, id_: UUID) -> InsuranceClaim:
    """Return a claim as its rules see it, this very moment."""
    if not await desk.known("insurance_claims", id_):
        raise NotFound(kind="insurance_claims", id=str(id_))
    entry = await desk.call.services.handler.streams.latest(InsuranceClaim, id_, desk.who.clinic)
    return cast("InsuranceClaim", entry.state)


def place_of(desk: kit.Desk, claim: UUID, attachment: UUID, state: InsuranceClaim) -> Paper:
    """Return where a file is kept: sealed under the key of the record under which the claim was drafted, whoever's it is now."""
    return Paper(f"clinics/{desk.who.clinic}/insurance-claims/{claim}/{attachment}", attachment, state.keeper(state.patient_id))


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
    preview,
    act("/{id:uuid}/write-off", WriteOffInsuranceClaim),
    act("/{id:uuid}/void", VoidInsuranceClaim),
    act("/{id:uuid}", DeleteInsuranceClaim, "DELETE"),
    attached,
    attach,
    attachment,
    detach,
])
