"""Where invoices live on the web."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, delete, get, post
from litestar.params import PathParameter

from commands.invoices import (
    ApplyCredit,
    CreateInvoice,
    CreditInvoice,
    DeleteInvoice,
    EditInvoice,
    IssueInvoice,
    MarkInvoicePaid,
    ReallocatePayment,
    RecordPayment,
    RefundPayment,
    ReversePayment,
    RevokeInvoiceLink,
    SendInvoice,
    ShareInvoice,
    VoidInvoice,
    WriteOffInvoice,
)
from domain.invoices import InvoiceNotIssued
from domain.kit import day
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.document import refusals_of
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.public_documents import DAYS, MEDIA, Days, PaperLanguage, ensure_told, link_of, pdf_of
from projections.invoices import next_number, page_then, payments_of, payments_then
from schemas.invoices import CreditNoteRow, InvoiceRow, NextNumber, PaymentRow, Payments
from schemas.public_documents import DocumentLink

CreditNoteId = Annotated[UUID, PathParameter(description="Id of one of the clinic's credit notes or write-offs.")]
InvoiceId = Annotated[UUID, PathParameter(description="Id of one of the clinic's invoices.")]


@get("/next-number", operation_id="GetNextInvoiceNumber", opt={"permission": InvoiceRow.permission})
async def preview(desk: Desk) -> NextNumber:
    """Preview the next number.

    It is what an invoice issued today would get; nothing is reserved.
    """
    no_query(desk.call.query())
    own_column(InvoiceRow, desk.who)
    return await next_number(desk.reader, day(datetime.now(UTC), (await desk.clinic()).zone))


@get("/{id:uuid}/payments", operation_id="BrowsePayments", opt={"permission": PaymentRow.permission})
async def paid(desk: Desk, id: InvoiceId, as_of: AsOf = None) -> Payments:  # noqa: A002
    """List: the payments of an invoice, and what was given back of each, the first one first."""
    no_query(desk.call.query(), ("asOf",))
    whose = desk.who.subject if own_column(InvoiceRow, desk.who) else None
    if as_of is not None:
        return Payments(items=await payments_then(desk.reader, desk.call.services.handler.keys, id, whose, await desk.then(as_of)))
    return Payments(items=await payments_of(desk.reader, id, whose))


@get("/{id:uuid}/pdf", operation_id="PrintInvoice", opt={"permission": InvoiceRow.permission, "media": MEDIA})
async def paper(desk: Desk, id: InvoiceId, language: PaperLanguage = None) -> Response[bytes]:  # noqa: A002
    """Print an invoice as PDF, with the names that it was issued with, and what is paid of it by now. Nothing else in the file changes."""
    no_query(desk.call.query(), ("language",))
    return await pdf_of(desk, "invoices", id, desk.who.subject if own_column(InvoiceRow, desk.who) else None, language)


@post("/{id:uuid}/share", operation_id="ShareInvoice", status_code=201, summary="Give out a link to an invoice", opt={
    "permission": ShareInvoice.permission, "refusals": [*refusals_of(ShareInvoice), InvoiceNotIssued]})
async def share(desk: Desk, id: InvoiceId, days: Days = DAYS) -> Response[DocumentLink]:  # noqa: A002
    """By it the patient looks at an issued invoice, and prints it, without an account.

    There is one link to an invoice: asked for again it is the same, and lasts longer; taken back, the next one is another.
    """
    no_query(desk.call.query(), ("days",))
    ensure_told(desk)
    return await link_of(desk, (await desk.handle(ShareInvoice(invoice_id=id, days=days))).id)


@delete("/{id:uuid}/share", operation_id="RevokeInvoiceLink", status_code=204, opt={"permission": RevokeInvoiceLink.permission, "refusals": refusals_of(RevokeInvoiceLink)})
async def take_back(desk: Desk, id: InvoiceId) -> None:  # noqa: A002
    """Take the link to an invoice back: it opens nothing any more."""
    await desk.handle(RevokeInvoiceLink(invoice_id=id))


@get("/credit-notes/{id:uuid}/pdf", operation_id="PrintCreditNote", opt={"permission": CreditNoteRow.permission, "media": MEDIA})
async def note(desk: Desk, id: CreditNoteId, language: PaperLanguage = None) -> Response[bytes]:  # noqa: A002
    """Print a credit note as PDF, with the names of the day on which it was issued, and the invoice that it corrects. What was written off is printed likewise."""
    no_query(desk.call.query(), ("language",))
    return await pdf_of(desk, "credit-notes", id, desk.who.subject if own_column(CreditNoteRow, desk.who) else None, language)


invoices = Router("/invoices", route_handlers=[
    browse("/", InvoiceRow, by=["patient_id", "status", "number", "issued_on..", "due_on.."], sort="-created_at", past=page_then),
    preview,
    fetch("/{id:uuid}", InvoiceRow),
    paid,
    paper,
    create("/", CreateInvoice),
    act("/{id:uuid}", EditInvoice, "PUT"),
    act("/{id:uuid}/issue", IssueInvoice),
    act("/{id:uuid}/payments", RecordPayment),
    act("/{id:uuid}/mark-paid", MarkInvoicePaid),
    act("/{id:uuid}/payments/{paymentId:uuid}/reallocate", ReallocatePayment),
    act("/{id:uuid}/payments/{paymentId:uuid}/reverse", ReversePayment),
    act("/{id:uuid}/apply-credit", ApplyCredit),
    act("/{id:uuid}/refunds", RefundPayment),
    act("/{id:uuid}/credit", CreditInvoice),
    act("/{id:uuid}/write-off", WriteOffInvoice),
    act("/{id:uuid}/send", SendInvoice),
    share,
    take_back,
    act("/{id:uuid}/void", VoidInvoice),
    act("/{id:uuid}", DeleteInvoice, "DELETE"),
])

router = Router("/api/v1/protected", tags=["Billing"], route_handlers=[
    invoices,
    browse("/credit-notes", CreditNoteRow, by=["patient_id", "invoice_id", "cause", "number", "credited_on.."], sort="-credited_on", csv=True),
    fetch("/credit-notes/{id:uuid}", CreditNoteRow),
    note,
])
