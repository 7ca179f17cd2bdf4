"""Where receipts live on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Response, Router, delete, get, post
from litestar.params import PathParameter

from commands.receipts import IssueReceipt, RevokeReceiptLink, SendReceipt, ShareReceipt
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.public_documents import DAYS, MEDIA, Days, PaperLanguage, ensure_told, link_of, pdf_of
from schemas.public_documents import DocumentLink
from schemas.receipts import ReceiptEntry, ReceiptRow

ReceiptId = Annotated[UUID, PathParameter(description="Id of one of the clinic's receipts.")]


@get("/{id:uuid}/pdf", operation_id="PrintReceipt", opt={"permission": ReceiptRow.permission, "media": MEDIA})
async def paper(desk: Desk, id: ReceiptId, language: PaperLanguage = None) -> Response[bytes]:  # noqa: A002
    """Print a receipt as PDF, with the names that it was issued with; what was given back of the payment since is said."""
    no_query(desk.call.query(), ("language",))
    return await pdf_of(desk, "receipts", id, desk.who.subject if own_column(ReceiptRow, desk.who) else None, language)


@post("/{id:uuid}/share", operation_id="ShareReceipt", status_code=201, summary="Give out a link to a receipt", opt={
    "permission": ShareReceipt.permission, "refusals": refusals_of(ShareReceipt)})
async def share(desk: Desk, id: ReceiptId, days: Days = DAYS) -> Response[DocumentLink]:  # noqa: A002
    """By it the patient looks at the receipt, and prints it, without an account.

    There is one link to a receipt: asked for again it is the same, and lasts longer; taken back, the next one is another.
    """
    no_query(desk.call.query(), ("days",))
    ensure_told(desk)
    return await link_of(desk, (await desk.handle(ShareReceipt(receipt_id=id, days=days))).id)


@delete("/{id:uuid}/share", operation_id="RevokeReceiptLink", status_code=204, opt={
    "permission": RevokeReceiptLink.permission, "refusals": refusals_of(RevokeReceiptLink)})
async def take_back(desk: Desk, id: ReceiptId) -> None:  # noqa: A002
    """Take the link to a receipt back: it opens nothing any more."""
    await desk.handle(RevokeReceiptLink(receipt_id=id))


router = Router("/api/v1/protected/receipts", tags=["Billing"], route_handlers=[
    browse("/", ReceiptEntry, by=["patient_id", "invoice_id", "method", "number", "issued_on..", "paid_on.."], sort="-issued_at"),
    fetch("/{id:uuid}", ReceiptEntry),
    paper,
    create("/", IssueReceipt),
    act("/{id:uuid}/send", SendReceipt),
    share,
    take_back,
])
