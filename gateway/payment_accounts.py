"""Where a clinic says to which account of its own at the payment service its patients pay; its keys are put in, and never shown again."""

from typing import Annotated, Any, cast
from uuid import UUID

from litestar import Router, delete, get, put
from litestar.params import JSONBody
from msgspec import Meta

from commands.payment_accounts import ConnectPaymentAccount, DisconnectPaymentAccount
from domain.kit import PLATFORM, Frozen, Invalid, NotFound
from domain.payment_accounts import AccountKeys, PaymentAccount, payment_account_of
from domain.payment_accounts import CardPaymentsNotSetUp as CardPaymentsNotSetUp  # noqa: PLC0414 - for the doors by which is paid
from gateway.kit import Desk, stripe
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.kit.services import Services
from gateway.kit.stripe import PaymentsRefused, PaymentsUnavailable
from schemas.payment_accounts import PaymentAccountRow, PaymentAccountShown

EVENTS = ["checkout.session.completed", "checkout.session.expired"]  # that the clinic has Stripe tell us
KEY, WEBHOOK = "payment-key", "payment-webhook"  # what the vault calls them
HINT = 4
UNAUTHORIZED = (401, 403)
PERMISSION = ConnectPaymentAccount.permission


class PaymentKeyRefused(Invalid):
    """The payment service does not take this key. Copy it anew: it begins with sk_ or rk_ and may read, open and give back checkouts."""


class PaymentKeys(Frozen, forbid_unknown_fields=True):
    """The keys of the clinic's own account at Stripe: a secret or a restricted key, and the signing secret of the webhook that was entered there."""

    secret_key: Annotated[str, Meta(pattern=r"^(sk|rk)_(test|live)_[A-Za-z0-9_]{4,250}$", description="Never shown again.", examples=["rk_test_51Nx"])]
    webhook_secret: Annotated[str, Meta(pattern=r"^whsec_[A-Za-z0-9+/=_-]{4,250}$", description="Never shown again.", examples=["whsec_5c1b"])]


@get("/", operation_id="GetPaymentAccount", summary="Show: to which account patients pay by card", opt={"permission": PERMISSION})
async def shown(desk: Desk) -> PaymentAccountShown:
    """And the address to be entered there as a webhook. Of the keys only the last signs are shown."""
    no_query(desk.call.query())
    ensure_clinic(desk)
    row = await desk.reader.one(PaymentAccountRow, payment_account_of(desk.who.clinic))
    return as_shown(desk, row)


@put("/", operation_id="ConnectPaymentAccount", opt={"permission": PERMISSION, "refusals": [PaymentKeyRefused, PaymentsUnavailable]})
async def connect(desk: Desk, data: JSONBody[PaymentKeys]) -> PaymentAccountShown:
    """Have patients pay their invoices by card to the clinic's own account, by the link that they are given.

    The key is tried before it is kept. It replaces the one before, by which is still heard what was begun with it.
    """
    ensure_clinic(desk)
    desk.require(PERMISSION)
    try:
        await desk.call.services.stripe.of(data.secret_key).get(stripe.Checkouts, "/v1/checkout/sessions", limit=1)
    except PaymentsRefused as refused:
        if refused.details.get("status") not in UNAUTHORIZED:
            raise
        raise PaymentKeyRefused from None
    id_, vault = payment_account_of(desk.who.clinic), desk.call.services.vault
    known = (await account_of(desk.call.services, desk.who.clinic)).known
    secret = await vault.put_sealed(id_, data.secret_key.encode(), KEY, [keys.secret_id for keys in known])
    webhook = await vault.put_sealed(id_, data.webhook_secret.encode(), WEBHOOK, [keys.webhook_id for keys in known])
    receipt = await desk.handle(ConnectPaymentAccount(
        secret_id=secret, webhook_id=webhook, hint=data.secret_key[-HINT:], live="_live_" in data.secret_key))
    return as_shown(desk, cast("PaymentAccountRow", receipt.row))


@delete("/", operation_id="DisconnectPaymentAccount", opt={"permission": PERMISSION})
async def disconnect(desk: Desk) -> None:
    """Take no more card payments online; what was begun by then is still recorded."""
    ensure_clinic(desk)
    await desk.handle(DisconnectPaymentAccount())


def ensure_clinic(desk: kit.Desk) -> None:
    """Nobody sets keys up in another's name, and the platform has none of a clinic's."""
    desk.call.only_owner()
    if desk.who.clinic == PLATFORM:
        raise NotFound(kind="clinics")


def as_shown(desk: kit.Desk, row: PaymentAccountRow | None) -> PaymentAccountShown:
    url = f"{desk.call.services.address}/api/v1/stripe/clinics/{desk.who.clinic}/webhook"
    said: dict[str, Any] = {"connected": row.connected, "hint": row.hint, "live": row.live, "changed_at": row.changed_at} if row else {
        "connected": False, "hint": None, "live": False}
    return PaymentAccountShown(webhook_url=url, webhook_events=EVENTS, **said)


async def account_of(services: Services, clinic: UUID) -> PaymentAccount:
    """Return a clinic's account, as the store has it: it may just have been changed elsewhere."""
    return cast("PaymentAccount", (await services.handler.streams.latest(PaymentAccount, payment_account_of(clinic), clinic)).state)


async def known_to(services: Services, clinic: UUID) -> list[stripe.Stripe]:
    """Return the payment service by each key by which something may still be heard, those that count first."""
    return [(await keys_of(services, keys))[0] for keys in (await account_of(services, clinic)).known]


async def keys_of(services: Services, keys: AccountKeys) -> tuple[stripe.Stripe, str]:
    """Return the payment service for an account, and the secret with which it signs what it tells us."""
    secret, webhook = [await services.vault.unsealed(id_) for id_ in (keys.secret_id, keys.webhook_id)]
    return services.stripe.of(secret.secret.decode() if secret else ""), webhook.secret.decode() if webhook else ""


router = Router("/api/v1/protected/payment-account", tags=["Payments"], route_handlers=[shown, connect, disconnect])
