"""A small server that speaks Stripe's wire, as far as we use it; written from Stripe's documentation and importing nothing of ours.

It keeps customers, checkouts, subscriptions and ways to pay in memory, insists on what Stripe insists on (the key, form encoding, known parameters, idempotency keys that
belong to one request), and can be told to fail. `pay` and the like are what people do on Stripe's own pages; `sign` is its published signature.
"""

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]

KEY = "sk_test_till"
SECRET = "whsec_till"
DAY = 86_400
_PART = re.compile(r"\[([^\]]*)\]")


class Wrong(Exception):
    """Stripe says no."""

    def __init__(self, status: int, code: str, message: str = "", kind: str = "invalid_request_error") -> None:
        super().__init__(message or code)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": message or code}}


def nested(pairs: list[tuple[str, str]]) -> Json:
    """Read a[b][0][c]=d as Stripe does."""
    found: Json = {}
    for name, value in pairs:
        head, steps = name.partition("[")[0], _PART.findall(name)
        place = found
        for step, following in zip([head, *steps], [*steps, None], strict=True):
            if following is None:
                place[step] = value
            else:
                place = place.setdefault(step, {})
    return found


class Till:
    """`with Till() as till:` and there is a Stripe at `till.url`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.keys = {KEY}  # that open it
        self.numbers = count(1)
        self.things: dict[str, Json] = {}
        self.answers: dict[str, tuple[Json, Json]] = {}  # by idempotency key: what was asked, what was answered
        self.seen: list[tuple[str, str, Json, dict[str, str]]] = []  # method, path, parameters, headers
        self.troubles: list[Any] = []  # statuses to answer with before it works again; "hang up" breaks the connection
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Wire", (Wire,), {"till": self}))
        self.server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def settings(self) -> dict[str, str]:
        return {"stripe_key": KEY, "stripe_webhook_secret": SECRET, "stripe_url": self.url}

    @property
    def environment(self) -> dict[str, str]:
        return {f"ANAMNESIS_{name.upper()}": value for name, value in self.settings.items()}

    # what people do on Stripe's pages, and what time does

    def pay(self, checkout: str, *, ends: int | None = None) -> Json:
        """Pay on the page of a checkout; the subscription that begins."""
        with self.lock:
            session = self.things[checkout]
            item = session["line_items"][0]
            price = {**item["price_data"], "unit_amount": int(item["price_data"]["unit_amount"])}
            now = int(time.time())
            subscription = {
                "id": self.id("sub"), "object": "subscription", "customer": session["customer"], "status": "active", "created": now,
                "cancel_at_period_end": False, "ended_at": None, "metadata": session["subscription_data"]["metadata"],
                "items": {"object": "list", "data": [{"id": self.id("si"), "quantity": 1, "current_period_end": ends or now + 30 * DAY, "price": price}]},
            }
            self.things[subscription["id"]] = subscription
            self.save_card(session["customer"])
            session.update(status="complete", subscription=subscription["id"])
            return subscription

    def pay_once(self, checkout: str, amount: int | None = None, currency: str = "") -> Json:
        """Pay on the page of a checkout that is for one payment; the payment."""
        with self.lock:
            session = self.things[checkout]
            if session["status"] != "open":
                raise Wrong(400, "checkout_session_not_open")
            intent = self.made("pi", "payment_intent", amount=amount or session["amount_total"], returned=0, metadata=session["payment_intent_data"]["metadata"])
            session.update(
                status="complete", payment_status="paid", payment_intent=intent["id"], amount_total=intent["amount"], currency=currency or session["currency"])
            return intent

    def lapse(self, checkout: str) -> None:
        """Let the time of a checkout run out."""
        with self.lock:
            if self.things[checkout]["status"] == "open":
                self.things[checkout]["status"] = "expired"

    def save_card(self, customer: str, last4: str = "4242") -> str:
        method = self.id("pm")
        card = {"brand": "visa", "last4": last4, "exp_month": 4, "exp_year": 2031}
        self.things[method] = {"id": method, "object": "payment_method", "type": "card", "customer": customer, "card": card}
        return method

    def change(self, subscription: str, **fields: Any) -> None:
        with self.lock:
            ends = fields.pop("ends", None)
            self.things[subscription].update(fields)
            if ends is not None:
                self.things[subscription]["items"]["data"][0]["current_period_end"] = ends

    def event(self, kind: str, about: Json, event: str = "") -> bytes:
        """Return a message about something, as it would be sent."""
        body = {
            "id": event or self.id("evt"), "object": "event", "api_version": "2025-03-31.basil", "created": int(time.time()), "type": kind,
            "livemode": False, "data": {"object": about},
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def completed(self, checkout: str) -> bytes:
        return self.event("checkout.session.completed", {**self.things[checkout], "object": "checkout.session"})

    def expired(self, checkout: str) -> bytes:
        return self.event("checkout.session.expired", {**self.things[checkout], "object": "checkout.session"})

    def bill(self, subscription: str, *, paid: bool, amount: int = 9_900, attempt: int = 1) -> bytes:
        about = {
            "id": self.id("in"), "object": "invoice", "customer": self.things[subscription]["customer"], "currency": "eur", "amount_due": amount,
            "amount_paid": amount if paid else 0, "attempt_count": attempt, "parent": {"type": "subscription_details", "subscription_details": {
                "subscription": subscription}},
        }
        return self.event("invoice.paid" if paid else "invoice.payment_failed", about)

    # the wire

    def id(self, prefix: str) -> str:
        return f"{prefix}_{next(self.numbers):06}till"

    def asked(self, path: str) -> list[tuple[str, str, Json, dict[str, str]]]:
        return [one for one in self.seen if one[1] == path]

    def answer(self, method: str, path: str, params: Json, headers: dict[str, str]) -> Json:
        with self.lock:
            if headers.get("authorization") not in {f"Bearer {key}" for key in self.keys}:
                raise Wrong(401, "api_key_invalid", kind="authentication_error")
            key = headers.get("idempotency-key")
            if method != "POST" or key is None:
                return self.done(method, path, params)
            if key in self.answers:
                asked, answered = self.answers[key]
                if asked != {"path": path, **params}:
                    raise Wrong(400, "idempotency_key_in_use", "Keys for idempotent requests can only be used with the same parameters.", "idempotency_error")
                return answered
            answered = self.done(method, path, params)
            self.answers[key] = ({"path": path, **params}, answered)
            return answered

    def done(self, method: str, path: str, params: Json) -> Json:
        for wanted, pattern, act in ROUTES:
            if method == wanted and (found := re.fullmatch(pattern, path)):
                return act(self, params, *found.groups())
        raise Wrong(404, "url_invalid", f"Unrecognized request URL ({method}: {path})")

    def thing(self, id_: str, kind: str) -> Json:
        found = self.things.get(id_)
        if found is None or found["object"] != kind:
            raise Wrong(404, "resource_missing", f"No such {kind}: '{id_}'")
        return found

    def made(self, prefix: str, kind: str, **fields: Any) -> Json:
        thing = {"id": fields.pop("id", None) or self.id(prefix), "object": kind, **fields}
        if thing["id"] in self.things:
            raise Wrong(400, "resource_already_exists")
        self.things[thing["id"]] = thing
        return thing


class Wire(BaseHTTPRequestHandler):
    """One request of HTTP; `till` is whose."""

    protocol_version = "HTTP/1.1"
    till: Till

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.respond("GET", url.path, nested(parse_qsl(url.query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if body and self.headers.get("content-type") != "application/x-www-form-urlencoded":
            self.reply(400, {"error": {"type": "invalid_request_error", "message": "Invalid content type"}})
            return
        self.respond("POST", self.path, nested(parse_qsl(body.decode())))

    def respond(self, method: str, path: str, params: Json) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.till.seen.append((method, path, params, headers))
        trouble = self.till.troubles.pop(0) if self.till.troubles else None
        if isinstance(trouble, int):
            self.reply(trouble, {"error": {"type": "api_error", "code": "lock_timeout" if trouble == 409 else None}})
            return
        try:
            answer = self.till.answer(method, path, params, headers) if trouble != "hang up" else {}
        except Wrong as wrong:
            self.reply(wrong.status, wrong.body)
            return
        if trouble is None:
            self.reply(200, answer)
        else:  # with "hang up after" it was done, and nobody learns it
            self.close_connection = True

    def reply(self, status: int, body: Json) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None: ...


def make_customer(till: Till, params: Json) -> Json:
    return till.made("cus", "customer", **known(params, "name", "email", "metadata"), invoice_settings={"default_payment_method": None})


def change_customer(till: Till, params: Json, id_: str) -> Json:
    customer = till.thing(id_, "customer")
    default = known(params, "invoice_settings")["invoice_settings"]["default_payment_method"]
    if till.thing(default, "payment_method")["customer"] != id_:
        raise Wrong(400, "resource_missing", "The customer does not have a payment method with that id.")
    customer["invoice_settings"]["default_payment_method"] = default
    return customer


def make_product(till: Till, params: Json) -> Json:
    return till.made("prod", "product", **known(params, "id", "name"))


def make_checkout(till: Till, params: Json) -> Json:
    if params["mode"] == "payment":
        return make_checkout_once(till, params)
    known(params, "mode", "customer", "client_reference_id", "line_items", "subscription_data", "success_url", "cancel_url")
    till.thing(params["customer"], "customer")
    items = list(params["line_items"].values())
    price = known(items[0]["price_data"], "product", "currency", "unit_amount", "recurring")
    till.thing(price["product"], "product")
    if params["mode"] != "subscription" or price["recurring"]["interval"] not in {"day", "week", "month", "year"}:
        raise Wrong(400, "parameter_invalid")
    id_ = till.id("cs_test")
    return till.made("cs", "checkout.session", **{**params, "line_items": items}, id=id_, url=f"{till.url}/pay/{id_}", status="open")


def make_checkout_once(till: Till, params: Json) -> Json:
    known(
        params, "mode", "client_reference_id", "payment_method_types", "line_items", "metadata", "payment_intent_data", "locale", "success_url", "cancel_url",
        "expires_at")
    items = list(params["line_items"].values())
    price = known(items[0]["price_data"], "product_data", "currency", "unit_amount")
    known(price["product_data"], "name")
    amount, left = int(price["unit_amount"]) * int(items[0]["quantity"]), int(params["expires_at"]) - time.time()
    if amount < 50:
        raise Wrong(400, "amount_too_small")
    if not 30 * 60 <= left <= DAY or price["currency"] != price["currency"].lower():
        raise Wrong(400, "parameter_invalid_integer")
    id_ = till.id("cs_test")
    return till.made("cs", "checkout.session", **{**params, "line_items": items, "expires_at": int(params["expires_at"])}, id=id_, url=f"{till.url}/pay/{id_}",
                     status="open", payment_status="unpaid", payment_intent=None, amount_total=amount, currency=price["currency"])


def end_checkout(till: Till, _: Json, id_: str) -> Json:
    session = till.thing(id_, "checkout.session")
    if session["status"] != "open":
        raise Wrong(400, "resource_not_open", 'Only Checkout Sessions with a status in ["open"] can be expired.')
    session["status"] = "expired"
    return session


def checkouts_of(till: Till, params: Json) -> Json:
    known(params, "limit")
    return {"object": "list", "data": [t for t in till.things.values() if t["object"] == "checkout.session" and t["mode"] == "payment"][: int(params["limit"])]}


def give_back(till: Till, params: Json) -> Json:
    intent, amount = till.thing(known(params, "payment_intent", "amount")["payment_intent"], "payment_intent"), int(params["amount"])
    if intent["returned"] + amount > intent["amount"]:
        raise Wrong(400, "charge_already_refunded")
    intent["returned"] += amount
    return till.made("re", "refund", payment_intent=intent["id"], amount=amount, status="succeeded")


def make_portal(till: Till, params: Json) -> Json:
    till.thing(known(params, "customer", "return_url")["customer"], "customer")
    id_ = till.id("bps")
    return till.made("bps", "billing_portal.session", **params, id=id_, url=f"{till.url}/portal/{id_}")


def methods_of(till: Till, _: Json, customer: str) -> Json:
    till.thing(customer, "customer")
    return {"object": "list", "data": [t for t in till.things.values() if t["object"] == "payment_method" and t["customer"] == customer]}


def detach(till: Till, _: Json, id_: str) -> Json:
    method = till.thing(id_, "payment_method")
    if method["customer"] is None:
        raise Wrong(400, "payment_method_unexpected_state", "The payment method is not attached to a customer.")
    owner = till.thing(method["customer"], "customer")
    if owner["invoice_settings"]["default_payment_method"] == id_:
        owner["invoice_settings"]["default_payment_method"] = None
    method["customer"] = None
    return method


def known(params: Json, *names: str) -> Json:
    if unknown := set(params) - set(names):
        raise Wrong(400, "parameter_unknown", f"Received unknown parameter: {sorted(unknown)}")
    return params


def showing(kind: str) -> Callable[[Till, Json, str], Json]:
    return lambda till, _, id_: till.thing(id_, kind)


ROUTES: list[tuple[str, str, Callable[..., Json]]] = [
    ("POST", "/v1/customers", make_customer), ("POST", "/v1/customers/([^/]+)", change_customer), ("GET", "/v1/customers/([^/]+)", showing("customer")),
    ("GET", "/v1/customers/([^/]+)/payment_methods", methods_of), ("POST", "/v1/products", make_product),
    ("GET", "/v1/products/([^/]+)", showing("product")), ("POST", "/v1/checkout/sessions", make_checkout),
    ("GET", "/v1/checkout/sessions", checkouts_of), ("GET", "/v1/checkout/sessions/([^/]+)", showing("checkout.session")),
    ("POST", "/v1/checkout/sessions/([^/]+)/expire", end_checkout), ("POST", "/v1/refunds", give_back),
    ("POST", "/v1/billing_portal/sessions", make_portal), ("GET", "/v1/subscriptions/([^/]+)", showing("subscription")),
    ("GET", "/v1/payment_methods/([^/]+)", showing("payment_method")), ("POST", "/v1/payment_methods/([^/]+)/detach", detach),
]


def sign(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """Return the header Stripe-Signature: HMAC-SHA256 over the time, a point and the body, in hexadecimal."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode("utf-8"), b"%b.%b" % (stamp.encode(), body), hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"
