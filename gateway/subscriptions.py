"""Where it lives on the web how a clinic pays: checkout, portal, saved ways to pay, and the address to which Stripe reports."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, ValidationError, convert

from commands.kit import Command
from commands.kit.ids import derived
from commands.subscriptions import (
    AgreeCustomSubscription,
    HearStripe,
    OpenPortal,
    PreferPaymentMethod,
    RemovePaymentMethod,
    StartCheckout,
)
from domain.kit import PLATFORM, Frozen, NotFound, day, only
from domain.kit.licences import Plan
from domain.kit.prices import Interval
from domain.subscriptions import (
    PRODUCTS,
    AgreementOver,
    CustomSubscriptionRunning,
    LastPaymentMethod,
    PlanNotOffered,
    Subscription,
    SubscriptionRunning,
    Terms,
    subscription_of,
)
from gateway.kit import Desk, stripe
from gateway.kit import desk as kit
from gateway.kit.errors import camel
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.stripe import PaymentsNotConfigured, PaymentsRefused, PaymentsUnavailable, SignatureInvalid
from projections.subscriptions import payment_status, terms_of
from schemas.subscriptions import CheckoutPage, Heard, PaymentMethod, PaymentMethods, PaymentStatus, PortalPage, SubscriptionRow

C = TypeVar("C", bound=Command)
ClinicNamed = Annotated[UUID | None, QueryParameter(name="clinicId", description="The clinic; only the platform's people must say it.")]
InvoiceId = Annotated[UUID, PathParameter(description="Id of an invoice of the platform to the clinic.")]
MethodId = Annotated[str, PathParameter(description="Id of one of the clinic's saved ways to pay.", pattern=r"^(pm|card|src)_[A-Za-z0-9_]{1,60}$")]
Address = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", max_length=2000, examples=["https://clinic.example/billing"])]
STRIPE = [PaymentsNotConfigured, PaymentsUnavailable, PaymentsRefused]
ADMIN: dict[str, Any] = {"permission": "admin", "lapsed": True, "refusals": STRIPE}

HEARD = frozenset({
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "customer.subscription.created", "customer.subscription.updated",
    "customer.subscription.deleted", "customer.subscription.paused", "customer.subscription.resumed", "invoice.paid", "invoice.payment_failed",
})


class Checkout(Frozen, forbid_unknown_fields=True):
    """The plan to pay for, how often, and where Stripe sends you afterwards."""

    plan: Plan
    interval: Interval = "month"
    success_url: Address | None = None
    cancel_url: Address | None = None


class Portal(Frozen, forbid_unknown_fields=True):
    """Where the portal's way back leads."""

    return_url: Address | None = None


@get("/status", operation_id="GetPaymentStatus", summary="Show: how the clinic pays just now", opt={"permission": "self", "lapsed": True})
async def status(desk: Desk, clinic: ClinicNamed = None) -> PaymentStatus:
    """As Stripe last told us, or as agreed with us."""
    no_query(desk.call.query(), ("clinicId",))
    own_column(SubscriptionRow, desk.who)
    await desk.at(clinic)
    return await payment_status(desk.reader)


@post("/checkout", operation_id="StartCheckout", status_code=201, opt={**ADMIN, "refusals": [*STRIPE, SubscriptionRunning, CustomSubscriptionRunning, PlanNotOffered]})
async def check_out(desk: Desk, data: JSONBody[Checkout], clinic: ClinicNamed = None) -> CheckoutPage:
    """Begin to pay by card: a checkout at Stripe.

    Go to the address in the answer. When the payment is made, Stripe tells us, and the plan follows.
    """
    await desk.at(clinic)
    paying, zone = await paid_by(desk), (await desk.clinic()).zone
    paying.ensure_free(day(datetime.now(UTC), zone))
    terms = await terms_of(await desk.call.services.reader(PLATFORM, desk.call.position), data.plan, data.interval)
    customer = await customer_of(desk, paying)
    page = await desk.call.services.stripe.post(
        stripe.Link, "/v1/checkout/sessions", await checkout_form(desk, data, terms, customer), once(desk, "checkout"))
    await desk.handle(intelligible(StartCheckout, customer=customer, checkout=page.id, **only(Terms, terms)))
    return CheckoutPage(id=page.id, url=page.url)


@post("/portal", operation_id="OpenPortal", status_code=200, opt=ADMIN)
async def open_portal(desk: Desk, data: JSONBody[Portal], clinic: ClinicNamed = None) -> PortalPage:
    """Open Stripe's customer portal, where the clinic sees its receipts and changes or cancels its subscription."""
    await desk.at(clinic)
    return await portal(desk, data.return_url)


@post("/invoices/{id:uuid}/portal", operation_id="OpenPortalOfInvoice", status_code=200, opt={**ADMIN, "refusals": [*STRIPE, NotFound]})
async def open_portal_of_invoice(desk: Desk, id: InvoiceId, data: JSONBody[Portal]) -> PortalPage:  # noqa: A002
    """Open Stripe's customer portal from an invoice of the platform."""
    await desk.beside(id)
    if not await desk.known("subscription_invoices", id):
        raise NotFound(id=id)
    return await portal(desk, data.return_url)


@get("/payment-methods", operation_id="BrowsePaymentMethods", summary="List: the clinic's saved ways to pay", opt=ADMIN)
async def methods(desk: Desk, clinic: ClinicNamed = None) -> PaymentMethods:
    """As Stripe has them now, the default one first."""
    no_query(desk.call.query(), ("clinicId",))
    await desk.at(clinic)
    paying = await paid_by(desk)
    if paying.customer is None:
        return PaymentMethods(items=[])
    saved, default = await saved_methods(desk, paying.customer)
    return PaymentMethods(items=sorted((shown(method, default) for method in saved), key=lambda one: (not one.default, one.id)))


@patch("/payment-methods/{id:str}/default", operation_id="PreferPaymentMethod", opt={**ADMIN, "refusals": [*STRIPE, NotFound]})
async def prefer(desk: Desk, id: MethodId, clinic: ClinicNamed = None) -> PaymentMethod:  # noqa: A002
    """Pay this way from now on."""
    await desk.at(clinic)
    customer, method = await own_method(desk, id)
    wanted = {"invoice_settings": {"default_payment_method": method.id}}
    await desk.call.services.stripe.post(stripe.Customer, f"/v1/customers/{customer}", wanted, once(desk, "default"))
    await desk.handle(intelligible(PreferPaymentMethod, method=method.id))
    return shown(method, method.id)


@delete("/payment-methods/{id:str}", operation_id="RemovePaymentMethod", opt={**ADMIN, "refusals": [*STRIPE, NotFound, LastPaymentMethod]})
async def remove(desk: Desk, id: MethodId, clinic: ClinicNamed = None) -> None:  # noqa: A002
    """Remove a way to pay; the last one stays while a subscription runs."""
    await desk.at(clinic)
    customer, method = await own_method(desk, id)
    saved, _ = await saved_methods(desk, customer)
    (await paid_by(desk)).ensure_payable(sum(1 for one in saved if one.id != method.id))
    await desk.call.services.stripe.post(stripe.Method, f"/v1/payment_methods/{method.id}/detach", {}, once(desk, "detach"))
    await desk.handle(intelligible(RemovePaymentMethod, method=method.id))


@post("/webhook", operation_id="HearStripe", status_code=200, opt={"public": True, "refusals": [SignatureInvalid, PaymentsNotConfigured, PaymentsUnavailable]})
async def hear(desk: Desk) -> Heard:
    """Hear what happened at Stripe.

    Every message is signed with the secret that Stripe and we share. What it is about is asked of Stripe anew, so that it does not matter in which order messages
    come; one that comes twice changes nothing, and of what is none of our business we take no notice.
    """
    body, secret = await desk.call.body(), getattr(desk.call.services.settings, "stripe_webhook_secret", "")
    header = desk.call.headers.get(b"stripe-signature", b"").decode("latin-1")
    webhook = stripe.verified(body, header, secret, time.time())
    command_id = derived(b"stripe", webhook.id.encode())
    code = webhook.data.object.of
    if webhook.type not in HEARD or code is None or await desk.call.services.handler.logged(command_id):
        return Heard()
    asked_at = datetime.now(UTC)
    found = await subscription_at_stripe(desk, code)
    if found is None or (told := told_of(found)) is None:
        return Heard()
    try:
        await desk.enter(UUID(found.metadata["clinic"]))
        receipt = await desk.handle(intelligible(HearStripe, told=told, asked_at=asked_at, charge=charge_of(webhook)), command_id=command_id)
    except (NotFound, ValueError, KeyError):  # of a clinic that is gone, or of another product of ours
        return Heard()
    return Heard(changed=receipt.position > 0 and not receipt.replayed)


@post("/custom-subscription", operation_id="AgreeCustomSubscription", status_code=200, opt={
    "permission": "superadmin", "refusals": [SubscriptionRunning, AgreementOver, NotFound]})
async def agree(desk: Desk, data: JSONBody[AgreeCustomSubscription]) -> Response[SubscriptionRow]:
    """Give a clinic a subscription of its own, agreed outside of the price list and paid by invoice; its licence follows at once."""
    await desk.within(data.clinic_id)
    return desk.answer(AgreeCustomSubscription, await desk.handle(data))


async def paid_by(desk: kit.Desk) -> Subscription:
    """Return how the clinic pays, as it is in the store."""
    clinic = desk.who.clinic
    entry = await desk.call.services.handler.streams.get(Subscription, subscription_of(clinic), clinic)
    return cast("Subscription", entry.state)


async def customer_of(desk: kit.Desk, paying: Subscription) -> str:
    """Return who the clinic is at Stripe; whoever asks first is made known there."""
    if paying.customer is not None:
        return paying.customer
    clinic = desk.who.clinic
    form = {"name": (await desk.clinic()).name, "metadata": {"clinic": clinic}}
    made = await desk.call.services.stripe.post(stripe.Customer, "/v1/customers", form, f"customer/{clinic}")
    return str(made.id)


async def checkout_form(desk: kit.Desk, data: Checkout, terms: Terms, customer: str) -> dict[str, Any]:
    """Return what Stripe is asked: a price of our own, and a mark by which the subscription is known to be this clinic's."""
    home = desk.call.services.address
    told = {"clinic": desk.who.clinic, "users": terms.users, "doctors": terms.doctors}
    price = {
        "product": await product_of(desk, data.plan), "currency": terms.currency.lower(), "unit_amount": terms.price,
        "recurring": {"interval": terms.interval},
    }
    return {
        "mode": "subscription", "customer": customer, "client_reference_id": desk.who.clinic,
        "line_items": [{"quantity": 1, "price_data": price}], "subscription_data": {"metadata": told},
        "success_url": data.success_url or f"{home}/billing?checkout=done", "cancel_url": data.cancel_url or f"{home}/billing?checkout=cancelled",
    }


async def product_of(desk: kit.Desk, plan: Plan) -> str:
    """Return a plan's product at Stripe, which is made when it is first asked for."""
    code = PRODUCTS[plan]
    try:
        await desk.call.services.stripe.get(stripe.Product, f"/v1/products/{code}")
    except PaymentsRefused as refused:
        if refused.details.get("code") != "resource_missing":
            raise
        await desk.call.services.stripe.post(stripe.Product, "/v1/products", {"id": code, "name": f"Anamnesis {plan}"}, f"product/{code}")
    return code


async def portal(desk: kit.Desk, return_url: str | None) -> PortalPage:
    customer = await customer_of(desk, await paid_by(desk))
    form = {"customer": customer, "return_url": return_url or f"{desk.call.services.address}/billing"}
    page = await desk.call.services.stripe.post(stripe.Link, "/v1/billing_portal/sessions", form, once(desk, "portal"))
    await desk.handle(intelligible(OpenPortal, customer=customer))
    return PortalPage(url=page.url)


async def own_method(desk: kit.Desk, method: str) -> tuple[str, stripe.Method]:
    """Return the clinic's customer and one of its own ways to pay; another's does not exist."""
    customer = (await paid_by(desk)).customer
    if customer is None:
        raise NotFound(id=method)
    try:
        found = await desk.call.services.stripe.get(stripe.Method, f"/v1/payment_methods/{quote(method, safe='')}")
    except PaymentsRefused as refused:
        if refused.details.get("status") != 404:  # noqa: PLR2004
            raise
        raise NotFound(id=method) from None
    if found.customer != customer:
        raise NotFound(id=method)
    return customer, found


async def saved_methods(desk: kit.Desk, customer: str) -> tuple[list[stripe.Method], str | None]:
    """Return the ways to pay that a customer has saved, and the default one."""
    api: stripe.Stripe = desk.call.services.stripe
    found = await api.get(stripe.Methods, f"/v1/customers/{customer}/payment_methods", limit=100)
    known = await api.get(stripe.Customer, f"/v1/customers/{customer}")
    return found.data, known.invoice_settings.default_payment_method


async def subscription_at_stripe(desk: kit.Desk, code: str) -> stripe.StripeSubscription | None:
    try:
        found: stripe.StripeSubscription = await desk.call.services.stripe.get(stripe.StripeSubscription, f"/v1/subscriptions/{quote(code, safe='')}")
    except PaymentsRefused as refused:
        if refused.details.get("status") == 404:  # noqa: PLR2004
            return None
        raise
    return found


def told_of(found: stripe.StripeSubscription) -> dict[str, Any] | None:
    """Return a subscription in our words; None if it is not for one of our plans."""
    plans = {product: plan for plan, product in PRODUCTS.items()}
    item = next((one for one in found.items.data if one.price.product in plans), None)
    if item is None:
        return None
    ends = item.current_period_end or found.current_period_end or found.created
    return {
        "code": found.id, "standing": found.status, "plan": plans[item.price.product], "users": number(found.metadata.get("users")),
        "doctors": number(found.metadata.get("doctors")), "price": (item.price.unit_amount or 0) * item.quantity,
        "currency": item.price.currency.upper(), "interval": item.price.recurring.interval if item.price.recurring else "month",
        "beganAt": moment(found.created), "periodEndsAt": moment(ends), "cancels": found.cancel_at_period_end,
        "endedAt": moment(found.ended_at) if found.ended_at else None,
    }


def charge_of(webhook: stripe.Webhook) -> dict[str, Any] | None:
    """Return what an invoice of Stripe's says about money."""
    about, paid = webhook.data.object, webhook.type == "invoice.paid"
    if about.object != "invoice" or about.id is None:
        return None
    return {
        "bill": about.id, "amount": (about.amount_paid if paid else about.amount_due) or 0, "currency": (about.currency or "").upper(),
        "chargedAt": moment(webhook.created), "paid": paid, "attempt": about.attempt_count or 1,
    }


def shown(method: stripe.Method, default: str | None) -> PaymentMethod:
    card = method.card
    expires = f"{card.exp_year:04}-{card.exp_month:02}" if card else None
    return PaymentMethod(
        id=method.id, type=method.type, brand=card.brand if card else None, last4=card.last4 if card else None, expires=expires,
        default=method.id == default,
    )


def intelligible(command: type[C], **told: Any) -> C:
    """Return a command made of what Stripe said; what could not be read again from the store is refused."""
    try:
        return convert({camel(name): value for name, value in told.items()}, command)
    except ValidationError as error:
        raise PaymentsRefused(problem=str(error)) from None


def once(desk: kit.Desk, what: str) -> str | None:
    """Return Stripe's key for what a client asks with one of its own: asked again, it is the same thing."""
    if (key := desk.call.key) is None:
        return None
    return str(derived(desk.who.clinic.bytes, desk.who.actor.bytes, what.encode(), key.encode()))


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


router = Router("/api/v1", route_handlers=[
    Router("/protected/payment", tags=["Payments"], route_handlers=[status, check_out, open_portal]),
    Router("/protected/billing", tags=["Subscriptions"], route_handlers=[methods, prefer, remove, open_portal_of_invoice]),
    Router("/protected/admin/billing", tags=["Subscriptions"], route_handlers=[agree]),
    Router("/stripe", tags=["Payments"], route_handlers=[hear]),
])
