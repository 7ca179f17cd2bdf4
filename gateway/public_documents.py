"""Where a patient without an account looks at a document by a link, and how a document is printed."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from babel.dates import format_date
from babel.numbers import format_decimal
from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from commands.public_documents import ViewDocument
from commands.quotations import AnswerQuotation
from domain.invoices import InvoiceAlreadyPaid, InvoiceNotIssued, PaymentTooLarge
from domain.kit import Frozen, NotFound, Positive, Reason
from domain.kit.money import MINOR
from domain.public_documents import DAYS as DAYS  # noqa: PLC0414 - for the doors of the documents
from domain.public_documents import PAGE, PURPOSE, DocumentKind, DocumentLinkOver, PublicDocument
from domain.quotations import QuotationConvertedAlready, QuotationExpired, QuotationNotOpen
from gateway import card_payments
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.errors import ClinicIsClosing
from gateway.kit.pages import POLICY, as_page
from gateway.kit.pdf import Column, Labels, Paper, printed
from gateway.kit.query import no_query
from gateway.kit.stripe import Checkout
from projections.public_documents import document_of
from schemas.card_payments import CheckoutLink
from schemas.public_documents import DocumentLine, DocumentLink, DocumentShown, Printed

MEDIA = "application/pdf"
SECRET = {"cache-control": "private, no-store", "referrer-policy": "no-referrer"}  # what a link shows or is is its patient's alone
PERCENT = 100  # basis points
Token = Annotated[str, PathParameter(description="The token of the link.")]
PaperLanguage = Annotated[Literal["en", "es"] | None, QueryParameter(name="language", description="In which it is printed; the clinic's unless said.")]
PageCode = Annotated[str | None, QueryParameter(name="checkout", pattern=r"^cs_[A-Za-z0-9_]{1,250}$", description="The page from which somebody comes back who has paid.")]
Address = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", max_length=2000, examples=["https://clinic.example/paid"])]
Days = Annotated[int, QueryParameter(name="days", ge=1, le=366, description="For how many days the link is good.")]

SPANISH = {
    "Invoice": "Factura", "Quotation": "Presupuesto", "Receipt": "Recibo", "Credit note": "Factura rectificativa", "written-off": "dada por perdida", "Draft": "Borrador", "From": "De", "To": "Para", "page {0} of {1}": "página {0} de {1}",
    "Number": "Número", "Issued": "Fecha", "Due": "Vencimiento", "Valid until": "Válido hasta", "Paid on": "Pagado el", "Method": "Forma de pago",
    "Description": "Descripción", "Quantity": "Cantidad", "Price": "Precio", "Discount": "Descuento", "Tax": "IVA", "Net": "Base", "With tax": "Con IVA", "Total": "Total", "Subtotal": "Base imponible",
    "Paid": "Pagado", "Refunded": "Devuelto", "Credited": "Abonado", "To pay": "Pendiente", "Received": "Recibido", "Amount": "Importe",
    "draft": "borrador", "issued": "emitida", "partly-paid": "pagada en parte", "paid": "pagada", "void": "anulada", "sent": "enviado", "accepted": "aceptado",
    "declined": "rechazado", "expired": "caducado", "converted": "facturado", "withdrawn": "retirado", "refunded": "devuelto", "credited": "abonada", "reversed": "anulado",
    "cash": "efectivo", "card": "tarjeta", "transfer": "transferencia", "insurance": "seguro", "other": "otra",
}
TITLES: dict[Printed, str] = {"invoices": "Invoice", "quotations": "Quotation", "receipts": "Receipt", "credit-notes": "Credit note"}
UNSTAMPED = {"issued", "sent"}  # as a document is when it goes out


class Word(Frozen, forbid_unknown_fields=True):
    """Why somebody declines."""

    reason: Reason | None = None


class PayWish(Frozen, forbid_unknown_fields=True):
    """How much is to be paid, all that is due if not said; and where the payment service leads to afterwards, the document itself if not said."""

    amount: Positive | None = None
    success_url: Address | None = None
    cancel_url: Address | None = None


class Linked(NamedTuple):
    """What a token leads to."""

    document: DocumentKind
    id: UUID
    number: int
    stream: UUID


async def linked(desk: kit.Desk, token: str) -> Linked:
    """Go on in the clinic to whose document a link leads; whatever is wrong with a token, the answer is the same."""
    services = desk.call.services
    named = services.lasting.read(PURPOSE, token)
    clinic = await services.handler.tenant_of(named.subject) if named else None
    if named is None or clinic is None:
        raise DocumentLinkOver
    await desk.enter(clinic)
    house = await desk.clinic()
    entry = await services.handler.streams.latest(PublicDocument, named.subject, clinic)  # it may just have been taken back elsewhere
    state: Any = entry.state
    state.ensure_open(named.number, datetime.now(UTC))
    if not house.active or house.closing is not None or state.document is None or state.document_id is None:
        raise DocumentLinkOver
    return Linked(state.document, state.document_id, named.number, named.subject)


async def opened(desk: kit.Desk, token: str) -> DocumentShown:
    """Return the document to which a link leads, and note the first look at it."""
    found = await linked(desk, token)
    services = desk.call.services
    reader = await services.reader(desk.who.clinic, await desk.reader.head())  # what was shared a moment ago is there
    shown = await document_of(reader, services.handler.keys, found.document, found.id)
    if shown is None or shown.patient_name is None:  # nobody's any more: the patient was erased
        raise DocumentLinkOver
    await desk.handle(ViewDocument(number=found.number), found.stream)
    return shown


@get("/{token:str}", operation_id="GetPublicDocument", summary="Show: a document, to the patient who has its link", opt={"public": True, "refusals": [DocumentLinkOver]})
async def look(desk: Desk, token: Token, checkout: PageCode = None) -> Response[DocumentShown]:
    """An invoice, a receipt or a quotation: what it says, and how it stands now. The first look by a link is noted.

    Whoever opens it in a browser sees a page, with a button to pay what is due, where the clinic takes cards online. With `checkout`, as whoever comes back from paying has it, the payment is looked up first.
    """
    no_query(desk.call.query(), ("checkout",))
    if checkout is not None:
        found = await linked(desk, token)
        if found.document == "invoices":
            await card_payments.come_back(desk, found.id, checkout)
    shown = await opened(desk, token)
    if b"text/html" not in desk.call.headers.get(b"accept", b""):
        return Response(shown, headers=SECRET)
    return Response(page_of(shown, f"{desk.call.services.address}{PAGE.format(token=token)}"), headers=SECRET | POLICY, media_type="text/html")  # type: ignore[arg-type]


@post("/{token:str}/pay", operation_id="PayPublicDocument", status_code=201, opt={
    "public": True, "refusals": [DocumentLinkOver, InvoiceNotIssued, InvoiceAlreadyPaid, PaymentTooLarge, card_payments.AmountNotPayable, *card_payments.REFUSALS]})
async def pay(desk: Desk, token: Token, data: JSONBody[PayWish]) -> Response[CheckoutLink]:
    """Pay an invoice by card, or a part of it, by the link to it, without an account.

    Go to the address in the answer, a page of the payment service's to which the clinic's own account belongs. There is one such page at a time: asked again for the same amount it is the same one, and
    for another one it takes the place of the last. What was paid is on the invoice as soon as the payment service says so.
    """
    found = await payable(desk, token)
    whose = await payer(desk, token, data)
    bill = await card_payments.bill_of(desk, found.id, whose)
    return Response(page_link(await card_payments.checkout(desk, bill, whose), bill, whose.language), status_code=201, headers=SECRET)


@post("/{token:str}/checkout", operation_id="GoToCheckout", status_code=303, opt={
    "public": True, "refusals": [DocumentLinkOver, InvoiceNotIssued, InvoiceAlreadyPaid, *card_payments.REFUSALS]})
async def go(desk: Desk, token: Token) -> Response[None]:
    """Pay all that is due of an invoice: what the button of its page does. Leads to the payment service's page."""
    found = await payable(desk, token)
    whose = await payer(desk, token, PayWish())
    page = await card_payments.checkout(desk, await card_payments.bill_of(desk, found.id, whose), whose)
    return Response(b"", status_code=303, media_type="text/plain", headers={**SECRET, "location": page.url or ""})  # type: ignore[arg-type]


def page_link(page: Checkout, bill: card_payments.Bill, language: str) -> CheckoutLink:
    """Return the address of a page on which something is paid, with how much that is."""
    words = in_figures(bill.amount, bill.currency, language)
    return CheckoutLink(url=page.url or "", amount=bill.amount, currency=bill.currency, amount_in_words=words, expires_at=card_payments.moment(page.expires_at))


async def payable(desk: kit.Desk, token: str) -> Linked:
    """Return the invoice to which a link leads; nothing else can be paid."""
    found = await linked(desk, token)
    if found.document != "invoices":
        raise DocumentLinkOver
    return found


async def payer(desk: kit.Desk, token: str, wish: PayWish) -> card_payments.Payer:
    page = f"{desk.call.services.address}{PAGE.format(token=token)}"
    return card_payments.Payer(
        amount=wish.amount, done=wish.success_url or f"{page}?checkout={{CHECKOUT_SESSION_ID}}", back=wish.cancel_url or page, language=await written_in(desk))


async def written_in(desk: kit.Desk) -> str:
    """Return the language in which the clinic writes."""
    return (await desk.clinic()).language or "en"


@get("/{token:str}/pdf", operation_id="PrintPublicDocument", summary="Print: a document, for the patient who has its link", opt={
    "public": True, "refusals": [DocumentLinkOver], "media": MEDIA})
async def paper(desk: Desk, token: Token, language: PaperLanguage = None) -> Response[bytes]:
    """The same as the clinic prints it. The first look by a link is noted."""
    no_query(desk.call.query(), ("language",))
    return await as_pdf(await opened(desk, token), language)


@post("/{token:str}/accept", operation_id="AcceptPublicDocument", status_code=200, opt={
    "public": True, "refusals": [DocumentLinkOver, QuotationExpired, QuotationNotOpen, QuotationConvertedAlready]})
async def accept(desk: Desk, token: Token) -> Response[DocumentShown]:
    """Accept a quotation, as its patient, by the link they were given. Twice is once."""
    return await answered(desk, token, accept=True)


@post("/{token:str}/decline", operation_id="DeclinePublicDocument", status_code=200, opt={
    "public": True, "refusals": [DocumentLinkOver, QuotationExpired, QuotationNotOpen, QuotationConvertedAlready]})
async def decline(desk: Desk, token: Token, data: JSONBody[Word]) -> Response[DocumentShown]:
    """Decline a quotation, as its patient, by the link they were given; while it is valid it can be accepted after all."""
    return await answered(desk, token, accept=False, reason=data.reason)


async def answered(desk: kit.Desk, token: str, *, accept: bool, reason: str | None = None) -> Response[DocumentShown]:
    found = await linked(desk, token)
    if found.document != "quotations":
        raise DocumentLinkOver
    receipt = await desk.handle(AnswerQuotation(accept=accept, reason=reason, number=found.number), found.id)
    desk.reader = await desk.call.services.reader(desk.who.clinic, receipt.position)
    shown = await document_of(desk.reader, desk.call.services.handler.keys, found.document, found.id)
    if shown is None:
        raise DocumentLinkOver
    return Response(shown, headers=SECRET)


def ensure_told(desk: kit.Desk) -> None:
    """Refuse to make a link in a clinic that is being closed: nothing comes on record there any more, and that there is a link has to."""
    if desk.who.closing:
        raise ClinicIsClosing


async def link_of(desk: kit.Desk, stream: UUID) -> Response[DocumentLink]:
    """Return the link to a document that has just been shared, as it is handed out."""
    state: Any = (await desk.call.services.handler.streams.get(PublicDocument, stream, desk.who.clinic)).state
    token = desk.call.services.lasting.token(PURPOSE, stream, state.number)
    url = f"{desk.call.services.address}/api/v1/public-documents/{token}"
    return Response(DocumentLink(url=url, token=token, expires_at=state.until), status_code=201, headers=SECRET)


async def pdf_of(desk: kit.Desk, kind: Printed, id: UUID, whose: UUID | None, language: str | None) -> Response[bytes]:  # noqa: A002
    """Return a document of the clinic's as PDF; with `whose`, of that patient's."""
    shown = await document_of(desk.reader, desk.call.services.handler.keys, kind, id, whose)
    if shown is None:
        raise NotFound(kind=kind, id=str(id))
    return await as_pdf(shown, language)


async def as_pdf(shown: DocumentShown, language: str | None) -> Response[bytes]:
    name = f"{TITLES[shown.document].lower().replace(' ', '-')}-{shown.number or 'draft'}.pdf"
    headers = {**SECRET, "content-disposition": f'inline; filename="{name}"'}
    return Response(await printed(paper_of(shown, language or shown.language)), media_type=MEDIA, headers=headers)


def page_of(shown: DocumentShown, here: str) -> str:
    """Return a document as a page, with a button if it can be paid there."""
    es = shown.language == "es"
    due = in_figures(shown.due, shown.currency, shown.language)
    button = (f"Pagar {due} con tarjeta" if es else f"Pay {due} by card", f"{here}/checkout") if shown.payable else None
    return as_page(paper_of(shown, shown.language), link=("Descargar en PDF" if es else "Download as PDF", f"{here}/pdf"), button=button)


def paper_of(shown: DocumentShown, language: str) -> Paper:
    """Return a document as it is printed."""
    def said(word: str) -> str:
        return SPANISH[word] if language == "es" else word

    def amount(of: int) -> str:
        return in_figures(of, shown.currency, language)

    title = f"{said(TITLES[shown.document])} {shown.number}" if shown.number else f"{said('Draft')}: {said(TITLES[shown.document]).lower()}"
    facts = [
        ("Number", shown.number or ""), ("Issued", written(shown.issued_on, language)), ("Due", written(shown.due_on, language)),
        ("Valid until", written(shown.valid_until, language)), ("Paid on", written(shown.paid_on, language)),
        ("Invoice", shown.invoice_number or ""), ("Method", said(shown.method) if shown.method else ""),
    ]
    columns = [Column(said("Description"), 38), *(Column(said(name), share, number=True) for name, share in (
        ("Quantity", 12), ("Price", 16), ("Discount", 14), ("Tax", 8), ("With tax" if shown.tax_included else "Net", 16)))]
    house = shown.clinic
    return Paper(
        title=title, sender="\n".join(filter(None, (house.name, house.address, house.phone, house.email))), receiver=shown.patient_name or "",
        facts=[(said(name), value) for name, value in facts if value], columns=columns, rows=[row_of(one, amount, language, tax_included=shown.tax_included) for one in shown.lines],
        sums=[(name, amount(of)) for name, of in sums_of(shown, said, language)],
        notes=shown.notes or "", dated=shown.issued_on or date.today(), stamp="" if shown.status in UNSTAMPED else said(shown.status),  # noqa: DTZ011
        labels=Labels(said("From"), said("To"), said("page {0} of {1}"), language),
    )


def sums_of(shown: DocumentShown, said: Callable[[str], str], language: str) -> list[tuple[str, int]]:
    """Return what stands at the foot of a document, the sum that counts last."""
    back = [(said("Refunded"), shown.refunded)] if shown.refunded else []
    if shown.document == "receipts":
        return [*([(said("Received"), shown.total), *back] if back else []), (said("Amount"), shown.total - shown.refunded)]
    taxes = [(f"{said('Tax')} {rate_of(group.rate, language)}", group.tax) for group in shown.taxes if group.tax]
    found = [(said("Subtotal"), shown.subtotal), *taxes, (said("Total"), shown.total)]
    off = [(said("Credited"), shown.credited)] if shown.credited else []
    paid = [(said("Paid"), shown.paid), *back] if shown.paid else []
    return [*found, *off, *paid, (said("To pay"), shown.due)] if off or paid else found


def row_of(line: DocumentLine, amount: Any, language: str, *, tax_included: bool) -> list[str]:
    off = amount(-line.reduction) if line.reduction else ""
    return [line.description, str(line.quantity), amount(line.unit_price), off, rate_of(line.tax_rate, language), amount(line.total if tax_included else line.net)]


def rate_of(rate: int, language: str) -> str:
    return f"{format_decimal(Decimal(rate) / PERCENT, locale=language)} %"


def in_figures(amount: int, currency: str, language: str) -> str:
    """Return an amount as it is written in a language, with all the digits that its currency has."""
    digits = MINOR.get(currency, 2)
    figures: str = format_decimal(Decimal(amount).scaleb(-digits), "#,##0" + ("." + "0" * digits if digits else ""), locale=language)
    return f"{figures} {currency}"


def written(on: date | None, language: str) -> str:
    return str(format_date(on, "long", locale=language)) if on else ""


router = Router("/api/v1/public-documents", tags=["Billing"], route_handlers=[look, paper, accept, decline, pay, go])
