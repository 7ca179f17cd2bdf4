"""Where an invoice is paid by card through the link to it, where the payment service tells what was paid, and where the clinic sees it."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple, cast
from urllib.parse import quote
from uuid import UUID

import structlog
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody, PathParameter
from msgspec import ValidationError, convert, to_builtins

from commands.card_payments import LapseCheckout, NoteCardReturn, OpenCheckout, ReceiveCardPayment
from commands.kit.ids import derived
from commands.kit.receipt import house
from domain.card_payments import CardPayment, ReturnTooLarge, card_payment_of
from domain.card_payments import What as What  # noqa: PLC0414 - for the doors by which is paid
from domain.invoices import Invoice
from domain.kit import PLATFORM, Frozen, Invalid, NotFound, Positive, Reason, Refused, day, only
from gateway.kit import Desk, browse, fetch, stripe
from gateway.kit import desk as kit
from gateway.kit.services import Services
from gateway.kit.stripe import PaymentsRefused, PaymentsUnavailable, SignatureInvalid
from gateway.payment_accounts import EVENTS, CardPaymentsNotSetUp, account_of, keys_of, known_to
from projections.card_payments import over
from schemas.card_payments import CardPaymentRow
from schemas.subscriptions import Heard

LIFE, SLOT = 3600, 600  # seconds of a page, which ends with a slot; Stripe takes from half an hour to a day
LEAST = timedelta(minutes=10)  # that a page must have left to be given out again
MANY = 500  # pages that are looked after in one round
REFUSALS = [CardPaymentsNotSetUp, PaymentsUnavailable, PaymentsRefused]
ClinicId = Annotated[UUID, PathParameter(description="Id of the clinic.")]

log = structlog.get_logger(__name__)


class AmountNotPayable(Invalid):
    """That amount cannot be paid by card: it is too small, or the card networks do not know its last digit. `details` may say which can."""


class ReturnWish(Frozen, forbid_unknown_fields=True):
    """How much is to be given back, and why."""

    amount: Positive
    reason: Reason


class Payer(Frozen):
    """What a patient wants to pay, and where the payment service sends them afterwards."""

    amount: int | None
    done: str
    back: str
    language: str


class Bill(NamedTuple):
    """What is to be paid: which invoice or visit, what the page calls it, how much, and in which version of it."""

    what: What
    title: str
    amount: int
    currency: str
    version: int


async def bill_of(desk: kit.Desk, invoice_id: UUID, payer: Payer) -> Bill:
    """Return what is to be paid of an invoice: all that is due, if no amount is named."""
    entry = await desk.call.services.handler.streams.latest(Invoice, invoice_id, desk.who.clinic)
    invoice = cast("Invoice", entry.state)
    title = f"{'Factura' if payer.language == 'es' else 'Invoice'} {invoice.number}"
    return Bill(What(invoice_id=invoice_id), title, invoice.to_be_paid(payer.amount), invoice.currency, entry.version)


async def checkout(desk: kit.Desk, bill: Bill, payer: Payer) -> stripe.Checkout:
    """Return a page on which something is paid: the one that is open for that amount, or a new one in place of all others."""
    service, _ = await keys_of(desk.call.services, (await account_of(desk.call.services, desk.who.clinic)).connected())
    if (found := await still_open(desk, service, bill)) is not None:
        return found
    # asked twice at once it is one page: the key is the same until something is paid
    until = (int(time.time() / SLOT) + 1) * SLOT + LIFE
    key = str(derived(b"checkout", bill.what.of.bytes, f"{bill.version}/{bill.amount}/{payer.language}/{payer.done}/{payer.back}/{until}".encode()))
    form = form_of(desk, bill, payer, until)
    page = await opened(service, form, key)
    if (await payment_at(desk, card_payment_of(bill.what.of, page.id))).status not in {"none", "open"}:
        page = await opened(service, form, None)
    command = OpenCheckout(**only(What, bill.what), checkout=page.id, amount=bill.amount, currency=bill.currency, until=moment(page.expires_at))
    await desk.call.services.handler.handle(convert(to_builtins(command), OpenCheckout), house(PLATFORM, desk.who.clinic))
    return page


def form_of(desk: kit.Desk, bill: Bill, payer: Payer, until: int) -> dict[str, Any]:
    """Return what Stripe is asked: nothing about the patient, and a mark by which it is known what the payment is for."""
    told = {"clinic": desk.who.clinic, "invoice" if bill.what.invoice_id else "appointment": bill.what.of}
    price = {"currency": bill.currency.lower(), "unit_amount": units_of(bill.amount, bill.currency), "product_data": {"name": bill.title}}
    return {
        "mode": "payment", "client_reference_id": bill.what.of, "payment_method_types": ["card"], "line_items": [{"quantity": 1, "price_data": price}],
        "metadata": told, "payment_intent_data": {"metadata": told}, "locale": payer.language, "success_url": payer.done, "cancel_url": payer.back,
        "expires_at": until,
    }


def units_of(amount: int, currency: str) -> int:
    """Return an amount as it is charged; refuse one that cannot be."""
    if over_it := amount % stripe.grain(currency):
        raise AmountNotPayable(payable=amount - over_it)
    return stripe.charged(amount, currency)


async def opened(service: stripe.Stripe, form: dict[str, Any], key: str | None) -> stripe.Checkout:
    try:
        return await service.post(stripe.Checkout, "/v1/checkout/sessions", form, key)
    except PaymentsRefused as refused:
        if refused.details.get("code") not in {"amount_too_small", "amount_too_large"}:
            raise
        raise AmountNotPayable(because=refused.details["code"]) from None


async def still_open(desk: kit.Desk, service: stripe.Stripe, bill: Bill) -> stripe.Checkout | None:
    """Return the page that is open for that amount; close all others, so that nobody pays twice."""
    found = None
    reader = await desk.call.services.reader(desk.who.clinic, await desk.reader.head())
    for row in await reader.find(CardPaymentRow, status="open", **only(What, bill.what)):
        page = await page_at(service, row.checkout)
        if page is not None and page.status == "open":
            good = row.amount == bill.amount and moment(page.expires_at) > datetime.now(UTC) + LEAST
            if good and found is None:
                found = page
                continue
            page = await closed(service, page)
        if page is not None:
            await settle(desk.call.services, desk.who.clinic, page)
    return found


async def closed(service: stripe.Stripe, page: stripe.Checkout) -> stripe.Checkout | None:
    """Have nobody pay on a page any more; if somebody has paid at this moment, the page says so."""
    try:
        return await service.post(stripe.Checkout, f"/v1/checkout/sessions/{quote(page.id, safe='')}/expire", {})
    except PaymentsRefused:
        return await page_at(service, page.id)


async def page_at(service: stripe.Stripe, code: str) -> stripe.Checkout | None:
    """Return a page as it is at Stripe now; None if it has none of that name."""
    try:
        return await service.get(stripe.Checkout, f"/v1/checkout/sessions/{quote(code, safe='')}")
    except PaymentsRefused as refused:
        if refused.details.get("status") == 404:  # noqa: PLR2004
            return None
        raise


async def settle(services: Services, clinic: UUID, page: stripe.Checkout, paid_at: datetime | None = None) -> bool:
    """Record what has become of a page, once, however often it is told; say whether that was new."""
    invoice, appointment = (identified(page.metadata.get(name, "")) for name in ("invoice", "appointment"))
    what = What(invoice_id=invoice, appointment_id=None if invoice else appointment)
    if page.metadata.get("clinic") != str(clinic) or what.of == PLATFORM:
        return False
    this, who = card_payment_of(what.of, page.id), house(PLATFORM, clinic)
    if page.status == "complete" and page.payment_status == "paid" and page.amount_total:
        currency = page.currency.upper()
        house_of = await services.handler.clinic(clinic)
        paid = {
            "charge": page.payment_intent, "amount": stripe.counted(page.amount_total, currency), "currency": currency,
            "receivedOn": day(paid_at or datetime.now(UTC), house_of.zone)}
        try:
            command: Any = convert({**to_builtins(what), "checkout": page.id, "paid": paid}, ReceiveCardPayment)
        except ValidationError as error:
            raise PaymentsRefused(problem=str(error)) from None
        receipt = await services.handler.handle(command, who)
    elif page.status == "expired":
        receipt = await services.handler.handle(LapseCheckout(), who, id=this)
    else:
        return False
    services.bus.hint(receipt.position)
    return receipt.position > 0


async def look_after(services: Services, clinic: UUID, code: str, paid_at: datetime | None = None) -> bool:
    """Ask Stripe about a page, by whichever of the clinic's keys opens it, and record what has become of it."""
    for service in await known_to(services, clinic):
        with suppress(PaymentsRefused):
            if (page := await page_at(service, code)) is not None:
                return await settle(services, clinic, page, paid_at)
    return False


async def come_back(desk: kit.Desk, invoice_id: UUID, code: str) -> None:
    """Look after a page from which somebody comes back, so that they see what they have paid; whatever goes wrong, the webhook tells."""
    if (await payment_at(desk, card_payment_of(invoice_id, code))).status == "open":
        with suppress(Refused):
            await look_after(desk.call.services, desk.who.clinic, code)


async def tend(services: Services, now: datetime | None = None) -> None:
    """Look after pages that have lapsed without a word: what was paid there is recorded even if no webhook ever comes."""
    for one in await over(services.reading.lanes, now or datetime.now(UTC), MANY):
        try:
            await look_after(services, one.clinic, one.checkout)
        except Refused as error:
            log.warning("a checkout could not be looked after", checkout=one.checkout, error=type(error).__name__)


async def payment_at(desk: kit.Desk, id_: UUID) -> CardPayment:
    return cast("CardPayment", (await desk.call.services.handler.streams.latest(CardPayment, id_, desk.who.clinic)).state)


@post("/stripe/clinics/{clinicId:uuid}/webhook", operation_id="HearCardPayment", status_code=200, tags=["Payments"], opt={
    "public": True, "refusals": [SignatureInvalid, PaymentsUnavailable]})
async def hear(desk: Desk, clinicId: ClinicId) -> Heard:  # noqa: N803
    """Hear from a clinic's own account at Stripe what was paid.

    Every message is signed with the secret of the clinic's webhook. The checkout that it is about is asked of Stripe anew: in which order messages come, how late or how often, does not matter.
    """
    with suppress(NotFound):
        await desk.enter(clinicId)
    body, header = await desk.call.body(), desk.call.headers.get(b"stripe-signature", b"").decode("latin-1")
    services = desk.call.services
    service, webhook = await signed(services, clinicId, body, header)
    about = webhook.data.object
    if webhook.type not in EVENTS or about.id is None or not about.id.startswith("cs_"):
        return Heard()
    if (page := await page_at(service, about.id)) is None:
        return Heard()
    with suppress(NotFound):  # of an invoice that is none of this clinic's
        return Heard(changed=await settle(services, clinicId, page, moment(webhook.created)))
    return Heard()


async def signed(services: Services, clinic: UUID, body: bytes, header: str) -> tuple[stripe.Stripe, stripe.Webhook]:
    """Return what a message says, and the payment service by the key that goes with the secret with which it is signed."""
    for keys in (await account_of(services, clinic)).known:
        service, secret = await keys_of(services, keys)
        with suppress(SignatureInvalid, stripe.PaymentsNotConfigured):
            return service, stripe.verified(body, header, secret, time.time())
    raise SignatureInvalid


@post("/{id:uuid}/return", operation_id="ReturnCardPayment", status_code=200, opt={
    "permission": NoteCardReturn.permission, "refusals": [*REFUSALS, NotFound, ReturnTooLarge]})
async def give_back(desk: Desk, id: FromPath[UUID], data: JSONBody[ReturnWish]) -> Response[CardPaymentRow]:  # noqa: A002
    """Give a card payment back, or a part of it, by the payment service: what could be put to nothing, then what is left of the credit that it became, then what the invoice had taken, which is due again by
    that much.
    """
    wanted = NoteCardReturn(refund="re_wanted", amount=data.amount, reason=data.reason)
    first: Any = next(iter(await desk.rehearse(wanted, id)), None)
    if (there := first.kept + first.credited + first.taken) < data.amount:
        raise ReturnTooLarge(left=there)
    entry = await desk.call.services.handler.streams.latest(CardPayment, id, desk.who.clinic)
    payment = cast("CardPayment", entry.state)
    units = units_of(data.amount, payment.currency)
    given = await returned(desk, payment, units, str(derived(b"card return", id.bytes, f"{entry.version}/{units}".encode())))
    return desk.answer(NoteCardReturn, await desk.handle(NoteCardReturn(refund=given.id, amount=data.amount, reason=data.reason), id))


async def returned(desk: kit.Desk, payment: CardPayment, units: int, key: str) -> stripe.Given:
    """Have Stripe give money back, by whichever of the clinic's keys it was received with; asked twice at once it is given once."""
    missing: PaymentsRefused | None = None
    for service in await known_to(desk.call.services, desk.who.clinic):
        try:
            return await service.post(stripe.Given, "/v1/refunds", {"payment_intent": payment.charge, "amount": units}, key)
        except PaymentsRefused as refused:
            if refused.details.get("code") != "resource_missing":
                raise
            missing = refused
    raise missing or CardPaymentsNotSetUp


def identified(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


router = Router("/api/v1", tags=["Billing"], route_handlers=[
    hear,
    Router("/protected/card-payments", route_handlers=[
        browse("/", CardPaymentRow, by=["invoice_id", "appointment_id", "status", "received_on..", "changed_at.."], sort="-changed_at", sorts=["received_on"]),
        fetch("/{id:uuid}", CardPaymentRow),
        give_back,
    ]),
])
