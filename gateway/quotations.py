"""Where quotations live on the web."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, delete, get, post
from litestar.params import PathParameter

from commands.quotations import (
    AcceptQuotation,
    ConvertQuotation,
    CreateQuotation,
    DeclineQuotation,
    EditQuotation,
    IssueQuotation,
    ReissueQuotation,
    RevokeQuotationLink,
    SendQuotation,
    ShareQuotation,
    WithdrawQuotation,
)
from domain.kit import day
from domain.quotations import QuotationConvertedAlready, QuotationExpired, QuotationNotOpen
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.public_documents import DAYS, MEDIA, Days, PaperLanguage, ensure_told, link_of, pdf_of
from projections.quotations import next_number
from schemas.public_documents import DocumentLink
from schemas.quotations import NextQuotationNumber, QuotationEntry, QuotationRow

QuotationId = Annotated[UUID, PathParameter(description="Id of one of the clinic's quotations.")]


@get("/next-number", operation_id="GetNextQuotationNumber", opt={"permission": QuotationRow.permission})
async def preview(desk: Desk) -> NextQuotationNumber:
    """Preview the next number.

    It is what a quotation issued today would get; nothing is reserved.
    """
    no_query(desk.call.query())
    own_column(QuotationRow, desk.who)
    return await next_number(desk.reader, day(datetime.now(UTC), (await desk.clinic()).zone))


@get("/{id:uuid}/pdf", operation_id="PrintQuotation", opt={"permission": QuotationRow.permission, "media": MEDIA})
async def paper(desk: Desk, id: QuotationId, language: PaperLanguage = None) -> Response[bytes]:  # noqa: A002
    """Print a quotation as PDF, with the names that it was issued with, and how it stands by now. Nothing else in the file changes."""
    no_query(desk.call.query(), ("language",))
    return await pdf_of(desk, "quotations", id, desk.who.subject if own_column(QuotationRow, desk.who) else None, language)


@post("/{id:uuid}/share", operation_id="ShareQuotation", status_code=201, summary="Give out a link to a quotation", opt={
    "permission": ShareQuotation.permission, "refusals": [*refusals_of(ShareQuotation), QuotationConvertedAlready, QuotationExpired, QuotationNotOpen]})
async def share(desk: Desk, id: QuotationId, days: Days = DAYS) -> Response[DocumentLink]:  # noqa: A002
    """By it the patient looks at the quotation, prints it, and accepts or declines it, without an account. A draft is issued first.

    There is one link to a quotation: asked for again it is the same, and lasts longer; taken back, the next one is another.
    """
    no_query(desk.call.query(), ("days",))
    ensure_told(desk)
    return await link_of(desk, (await desk.handle(ShareQuotation(quotation_id=id, days=days))).id)


@delete("/{id:uuid}/share", operation_id="RevokeQuotationLink", status_code=204, opt={"permission": RevokeQuotationLink.permission, "refusals": refusals_of(RevokeQuotationLink)})
async def take_back(desk: Desk, id: QuotationId) -> None:  # noqa: A002
    """Take the link to a quotation back: it opens nothing any more."""
    await desk.handle(RevokeQuotationLink(quotation_id=id))


router = Router("/api/v1/protected/quotations", tags=["Billing"], route_handlers=[
    browse("/", QuotationEntry, by=["patient_id", "status", "number", "issued_on..", "valid_until.."], sort="-created_at"),
    preview,
    fetch("/{id:uuid}", QuotationEntry),
    paper,
    create("/", CreateQuotation),
    act("/{id:uuid}", EditQuotation, "PUT"),
    act("/{id:uuid}/issue", IssueQuotation),
    act("/{id:uuid}/send", SendQuotation),
    share,
    take_back,
    act("/{id:uuid}/accept", AcceptQuotation),
    act("/{id:uuid}/decline", DeclineQuotation),
    act("/{id:uuid}/reissue", ReissueQuotation),
    act("/{id:uuid}/convert-to-invoice", ConvertQuotation),
    act("/{id:uuid}", WithdrawQuotation, "DELETE"),
])
