"""Stripe, as far as we need it: its HTTP API through httpx, and the signature of its webhooks.

How it works: a request is form-encoded, names the API version its answer is read by, and carries an Idempotency-Key, so that it can be sent again after a broken
connection, a 409, a 429 or a 5xx without anything happening twice; it is, twice at most. Answers are decoded into the few fields that are used. A webhook's body is
signed with a secret that only Stripe and we know, over the bytes as they came; it counts for five minutes.

What may go wrong: without a key everything here is refused with PAYMENTS_NOT_CONFIGURED, and nothing else of the product suffers. An answer that never comes leaves open
whether Stripe did what was asked; the client sends the same Idempotency-Key again and learns it. Neither key nor secret is ever shown: `repr` hides them,
and errors carry Stripe's code, never what was sent.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from random import uniform
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import msgspec
import structlog
from msgspec import Struct, field

from domain.kit import Refused
from domain.kit.money import MINOR

API = "https://api.stripe.com"
VERSION = "2025-03-31.basil"
TRIES = 3
PAUSE = 0.2  # seconds before the second try, doubled before the third
LONGEST_PAUSE = 2.0
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
TOLERANCE = 300  # seconds for which a signature counts
SIGNATURES = 10  # that are looked at in one header
UNITS = {"ISK": 2, "UGX": 2, "MGA": 0, "BIF": 0, "DJF": 0, "GNF": 0, "KMF": 0, "PYG": 0, "RWF": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0}  # its digits, where not ours

T = TypeVar("T")

log = structlog.get_logger(__name__)


class PaymentsNotConfigured(Refused):
    """Card payments are not set up on this installation. Ask whoever runs it to set ANAMNESIS_STRIPE_KEY and ANAMNESIS_STRIPE_WEBHOOK_SECRET."""

    status = 503


class PaymentsUnavailable(Refused):
    """The payment service does not answer just now. Try again in a moment with the same Idempotency-Key; nothing is charged twice."""

    status = 503


class PaymentsRefused(Refused):
    """The payment service refused this. `details` gives its code; try again, or ask us with the request id."""

    status = 502


class SignatureInvalid(Refused):
    """This is not signed by the payment service, or was signed too long ago."""

    status = 400


class Preferences(Struct):
    default_payment_method: str | None = None


class Customer(Struct):
    """Whoever pays."""

    id: str
    deleted: bool = False
    invoice_settings: Preferences = field(default_factory=Preferences)


class Link(Struct):
    """A page of Stripe's to send somebody to."""

    id: str
    url: str


class Product(Struct):
    """What is sold: one of our plans."""

    id: str


class Recurring(Struct):
    interval: str = "month"


class Price(Struct):
    product: str
    currency: str
    unit_amount: int | None = None
    recurring: Recurring | None = None


class Item(Struct):
    price: Price
    quantity: int = 1
    current_period_end: int | None = None


class Items(Struct):
    data: list[Item]


class StripeSubscription(Struct):
    """A subscription as it is now."""

    id: str
    customer: str
    status: str
    created: int
    items: Items
    cancel_at_period_end: bool = False
    ended_at: int | None = None
    current_period_end: int | None = None  # where it was before items had it
    metadata: dict[str, str] = field(default_factory=dict)


class Card(Struct):
    brand: str = ""
    last4: str = ""
    exp_month: int = 0
    exp_year: int = 0


class Method(Struct):
    """A way to pay."""

    id: str
    type: str
    customer: str | None = None
    card: Card | None = None


class Methods(Struct):
    data: list[Method]


class Subject(Struct):
    """What a webhook is about: only what says where to look; everything else is asked for."""

    id: str | None = None
    object: str = ""
    customer: str | None = None
    subscription: str | None = None
    parent: dict[str, Any] | None = None  # of an invoice: {"subscription_details": {"subscription": ..}}
    client_reference_id: str | None = None
    currency: str | None = None
    amount_paid: int | None = None
    amount_due: int | None = None
    attempt_count: int | None = None
    metadata: dict[str, str] | None = None

    @property
    def of(self) -> str | None:
        """The subscription that it is about."""
        if self.object == "subscription":
            return self.id
        return self.subscription or ((self.parent or {}).get("subscription_details") or {}).get("subscription")


class Checkout(Struct):
    """A page on which somebody pays once, as it is now."""

    id: str
    status: str  # open, complete or expired
    payment_status: str = "unpaid"
    url: str | None = None
    amount_total: int | None = None
    currency: str = ""
    payment_intent: str | None = None
    expires_at: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


class Checkouts(Struct):
    data: list[Checkout]


class Given(Struct):
    """What was given back of a payment."""

    id: str
    status: str | None = None


class Data(Struct):
    object: Subject


class Webhook(Struct):
    """Something that happened at Stripe."""

    id: str
    type: str
    created: int
    data: Data


class Why(Struct):
    """Why Stripe refused something."""

    type: str = ""
    code: str | None = None
    param: str | None = None


class Failed(Struct):
    error: Why = field(default_factory=Why)


class Stripe:
    """The API; one client per process, whosever account it is about."""

    def __init__(self, key: str, url: str = "", line: "Stripe | None" = None) -> None:
        self._key = key
        self._url = url or API
        self._line = line
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Stripe({'configured' if self._key else 'not configured'})"

    def of(self, key: str) -> "Stripe":
        """Return the same, for whoever has an account of their own there."""
        return Stripe(key, self._url, self)

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            await self._client.aclose()

    async def get(self, kind: type[T], path: str, **params: Any) -> T:
        """Read something."""
        return await self._asked("GET", path, kind, params, None)

    async def post(self, kind: type[T], path: str, params: Mapping[str, Any], key: str | None = None) -> T:
        """Change something, once for each `key`."""
        return await self._asked("POST", path, kind, params, key or str(uuid4()))

    async def _asked(self, method: str, path: str, kind: type[T], params: Mapping[str, Any], key: str | None) -> T:
        answer = await self._answer(method, path, params, key)
        if answer.is_success:
            return msgspec.json.decode(answer.content, type=kind)
        failed = _failure(answer)
        log.warning("the payment service refused", status=answer.status_code, path=path, code=failed.code, kind=failed.type)
        raise PaymentsRefused(status=answer.status_code, code=failed.code or failed.type, param=failed.param)

    async def _answer(self, method: str, path: str, params: Mapping[str, Any], key: str | None) -> httpx.Response:
        """Send a request until it is answered for good."""
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._sent(method, path, params, key)
            except httpx.TransportError as error:
                log.warning("the payment service cannot be reached", error=type(error).__name__, attempt=attempt)
                answer = None
            if answer is not None and not _again(answer):
                return answer
            if attempt < TRIES:
                await asyncio.sleep(_pause(answer, attempt))
        raise PaymentsUnavailable

    async def _sent(self, method: str, path: str, params: Mapping[str, Any], key: str | None) -> httpx.Response:
        if not self._key:
            raise PaymentsNotConfigured
        client, pairs = (self._line or self).dialled(), dict(flat(params))
        headers = {"authorization": f"Bearer {self._key}", **({"idempotency-key": key} if key is not None else {})}
        if method == "GET":
            return await client.request(method, path, params=pairs, headers=headers)
        return await client.request(method, path, data=pairs, headers=headers)

    def dialled(self) -> httpx.AsyncClient:
        """Return the client over which all accounts are asked."""
        if self._client is None:
            self._client = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT, headers={"stripe-version": VERSION})
        return self._client


def grain(currency: str) -> int:
    """Return the amount of which whatever is charged must be a multiple: of currencies with three digits Stripe takes no last one, of a few it knows no digits at all."""
    ours, theirs = digits(currency)
    return 10 if theirs == 3 else int(10 ** max(0, ours - theirs))  # noqa: PLR2004


def charged(amount: int, currency: str) -> int:
    """Return an amount as Stripe counts it."""
    ours, theirs = digits(currency)
    return amount * int(10**theirs) // int(10**ours)


def counted(amount: int, currency: str) -> int:
    """Return an amount of Stripe's as we count it."""
    ours, theirs = digits(currency)
    return amount * int(10**ours) // int(10**theirs)


def digits(currency: str) -> tuple[int, int]:
    """Return how many digits after the point a currency has here and there."""
    ours = MINOR.get(currency, 2)
    return ours, UNITS.get(currency, ours)


def _again(answer: httpx.Response) -> bool:
    """Say whether a request is worth sending again; Stripe's own word counts most."""
    if (said := answer.headers.get("stripe-should-retry")) in {"true", "false"}:
        return bool(said == "true")
    return answer.status_code in {409, 429} or answer.status_code >= 500  # noqa: PLR2004


def _pause(answer: httpx.Response | None, attempt: int) -> float:
    told = answer.headers.get("retry-after", "") if answer is not None else ""
    return min(LONGEST_PAUSE, float(told) if told.isdigit() else PAUSE * 2 ** (attempt - 1) * uniform(0.5, 1))  # noqa: S311 - a pause, no secret


def _failure(answer: httpx.Response) -> Why:
    try:
        return msgspec.json.decode(answer.content, type=Failed).error
    except msgspec.MsgspecError:
        return Why()


def flat(params: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested parameters as Stripe's forms spell them: items[0][price]=..; None is left out."""
    for name, value in params.items():
        yield from _flat(f"{within}[{name}]" if within else name, value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():
            yield name, "true" if value else "false"
        case Mapping():
            yield from flat(value, name)
        case list() | tuple():
            for n, one in enumerate(value):
                yield from _flat(f"{name}[{n}]", one)
        case _:
            yield name, str(value)


def verified(body: bytes, header: str, secret: str, now: float) -> Webhook:
    """Return what a webhook says, if Stripe signed it within the last minutes; any of several signatures will do, for secrets are rotated."""
    if not secret:
        raise PaymentsNotConfigured
    parts = [part.strip().partition("=")[::2] for part in header.split(",")]
    stamp = next((value for name, value in parts if name == "t"), "")
    given = [value for name, value in parts if name == "v1"][:SIGNATURES]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or abs(now - int(stamp)) > TOLERANCE:  # noqa: PLR2004 - digits of a time
        raise SignatureInvalid
    right = hmac.digest(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hex()
    if not any(hmac.compare_digest(right.encode(), one.encode()) for one in given):
        raise SignatureInvalid
    return msgspec.json.decode(body, type=Webhook)
