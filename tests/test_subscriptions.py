"""How a clinic pays: by card through Stripe, whose messages come late, twice and in any order; or as agreed."""

import asyncio
import json
import time
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from commands.subscriptions import AgreeCustomSubscription, HearStripe, StartCheckout
from domain.clinics import Clinic, ClinicLicensed
from domain.kit import PLATFORM, Elsewhere
from domain.kit.licences import Licence
from domain.subscriptions import (
    AgreementOver,
    Charge,
    CheckoutStarted,
    CustomSubscriptionAgreed,
    CustomSubscriptionRunning,
    PaymentCustomerLinked,
    Subscription,
    SubscriptionChanged,
    SubscriptionEnded,
    SubscriptionPaid,
    SubscriptionPaymentFailed,
    SubscriptionRunning,
    SubscriptionStarted,
    Told,
)
from tests.kit import CLINIC, given, noon
from tests.served import failure, served, until, working
from tests.till import DAY, SECRET, Till, sign

TERMS: dict[str, Any] = {"plan": "Pro+", "users": 30, "doctors": 10, "price": 19_900, "currency": "EUR", "interval": "month"}
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
told = Told(code="sub_1", standing="active", began_at=NOON, period_ends_at=datetime(2026, 2, 5, 12, tzinfo=UTC), **TERMS)
started = SubscriptionStarted(told=told, asked_at=NOON)
late = Charge(bill="in_1", amount=19_900, currency="EUR", charged_at=NOON, paid=False, attempt=1)


def hears(*events: Any) -> Any:
    return given(*events).looking(clinic=Clinic(name="Grachten"))


def licensed(**fields: Any) -> Elsewhere:
    wanted = {"plan": "Pro+", "users": 30, "doctors": 10, "until": date(2026, 2, 8), **fields}
    return Elsewhere(state=Clinic, id=CLINIC, events=[ClinicLicensed(**wanted)])


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_the_licence_follows_the_subscription_and_a_little_longer():
    hears().when(HearStripe(told=told, asked_at=NOON)).then(started, licensed())


def test_one_that_is_cancelled_ends_with_its_period():
    ending = replace(told, cancels=True)
    hears(started).when(HearStripe(told=ending, asked_at=at(1))).then(
        SubscriptionChanged(told=ending, asked_at=at(1)), licensed(until=date(2026, 2, 5)))
    over = replace(told, standing="canceled", ended_at=at(60))
    hears(started).when(HearStripe(told=over, asked_at=at(61))).then(
        SubscriptionEnded(told=over, asked_at=at(61)), Elsewhere(state=Clinic, id=CLINIC, events=[ClinicLicensed(plan="Pro", until=date(2026, 1, 5))]))


def test_a_failed_payment_is_noted_once_for_each_attempt_and_takes_nothing_away():
    owing = replace(told, standing="past_due")
    changed = SubscriptionChanged(told=owing, asked_at=at(1))
    failed = SubscriptionPaymentFailed(code="sub_1", bill="in_1", amount=19_900, currency="EUR", failed_at=NOON, attempt=1)
    hears(started).when(HearStripe(told=owing, asked_at=at(1), charge=late)).then(changed, failed)
    hears(started, changed, failed).when(HearStripe(told=owing, asked_at=at(2), charge=late)).then()
    again = HearStripe(told=owing, asked_at=at(2), charge=replace(late, attempt=2))
    hears(started, changed, failed).when(again).then(replace(failed, attempt=2))
    paid = HearStripe(told=owing, asked_at=at(2), charge=replace(late, paid=True))
    hears(started, changed, failed).when(paid).then(SubscriptionPaid(code="sub_1", bill="in_1", amount=19_900, currency="EUR", paid_at=NOON))


def test_an_answer_to_an_earlier_question_changes_nothing():
    later = SubscriptionChanged(told=replace(told, cancels=True), asked_at=at(5))
    hears(started, later).when(HearStripe(told=told, asked_at=at(4))).then()
    hears(started, later).when(HearStripe(told=told, asked_at=at(6))).then(SubscriptionChanged(told=told, asked_at=at(6)), licensed())


def test_the_end_of_a_subscription_that_was_replaced_changes_nothing():
    second = SubscriptionStarted(told=replace(told, code="sub_2", began_at=at(10)), asked_at=at(10))
    over = replace(told, standing="canceled", ended_at=at(11))
    hears(started, second).when(HearStripe(told=over, asked_at=at(12))).then()
    hears(started, second).when(HearStripe(told=told, asked_at=at(12))).then()
    hears().when(HearStripe(told=over, asked_at=at(12))).then()


def test_nobody_pays_twice():
    wanted = StartCheckout(customer="cus_1", checkout="cs_1", **TERMS)
    linked, begun = PaymentCustomerLinked(customer="cus_1"), CheckoutStarted(checkout="cs_1", **TERMS)
    given().when(wanted).then(linked, begun)
    given(linked).when(wanted).then(begun)
    given(linked, started).when(wanted).refused(SubscriptionRunning)
    agreed = CustomSubscriptionAgreed(until=noon.today, reason="On paper", **TERMS)
    given(agreed).when(wanted).refused(CustomSubscriptionRunning)
    given(replace(agreed, until=noon.today - timedelta(days=1))).when(wanted).then(linked, begun)


def test_an_agreement_gives_the_licence_and_does_not_come_upon_a_card():
    agree = AgreeCustomSubscription(clinic_id=CLINIC, until=date(2027, 1, 5), reason="On paper", **TERMS)
    hears().when(agree).then(
        CustomSubscriptionAgreed(until=date(2027, 1, 5), reason="On paper", **TERMS), licensed(until=date(2027, 1, 5), reason="On paper"))
    hears(started).when(agree).refused(SubscriptionRunning)
    hears().when(replace(agree, until=date(2026, 1, 4))).refused(AgreementOver)


def test_days_of_a_licence_are_the_clinics_and_no_calendar_is_overrun():
    far = Subscription.replay([SubscriptionStarted(told=replace(told, period_ends_at=datetime.max.replace(tzinfo=UTC)), asked_at=NOON)])
    assert far.licensed(Licence(), "Pacific/Apia").until.year == 9000
    midnight = Subscription.replay([SubscriptionStarted(told=replace(told, period_ends_at=datetime(2026, 2, 5, 23, 30, tzinfo=UTC)), asked_at=NOON)])
    assert midnight.licensed(Licence(), "Europe/Amsterdam").until == date(2026, 2, 9)


# from here on through HTTP, against a server that speaks Stripe's wire


@pytest.fixture
async def shop(database: Any, nats_server: Any) -> Any:
    """A gateway, its workers, a clinic with an admin, and somebody to pay."""
    with Till() as till:
        async with served(database, nats_server, **till.settings) as web, working(database, nats_server):
            clinic = await web.clinic("Pro")
            yield SimpleNamespace(web=web, till=till, clinic=clinic, admin=await web.person(clinic, "admin"), root=await web.person(PLATFORM, "superadmin"))


async def checkout(shop: Any, plan: str = "Pro+") -> str:
    answer = await shop.admin("POST", "/payment/checkout", {"plan": plan})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def report(shop: Any, message: bytes, header: str = "") -> Any:
    headers = {"stripe-signature": header or sign(message), "content-type": "application/json"}
    return await shop.web.client.post("/api/v1/stripe/webhook", content=message, headers=headers)


async def licence(shop: Any) -> Any:
    """The clinic's licence as the store has it."""
    return (await shop.web.services.handler.clinic(shop.clinic)).licence


async def status(shop: Any) -> Any:
    return (await shop.admin("GET", "/payment/status")).json()


async def test_paying_by_card_gives_the_plan(shop: Any) -> None:
    page = await checkout(shop)
    (form,) = (params for _, path, params, _ in shop.till.seen if path == "/v1/checkout/sessions")
    assert form["client_reference_id"] == form["subscription_data"]["metadata"]["clinic"] == str(shop.clinic)
    assert form["line_items"]["0"]["price_data"]["unit_amount"] == "19900"
    assert (await licence(shop)).plan == "Pro"
    subscription = shop.till.pay(page)
    assert (await report(shop, shop.till.completed(page))).json() == {"received": True, "changed": True}
    held = await licence(shop)
    assert (held.plan, held.users, held.doctors, held.trial) == ("Pro+", 30, 10, False)
    ends = datetime.fromtimestamp(subscription["items"]["data"][0]["current_period_end"], UTC).date()
    assert ends < held.until <= ends + timedelta(days=4)
    await until(lambda: is_status(shop, "active"))
    failure(await shop.admin("POST", "/payment/checkout", {"plan": "Enterprise"}), 409, "SUBSCRIPTION_RUNNING")
    log = (await shop.root("GET", f"/admin/billing/logs?clinic={shop.clinic}")).json()["items"]
    assert {line["action"] for line in log} >= {"PaymentCustomerLinked", "CheckoutStarted", "SubscriptionStarted", "ClinicLicensed"}


async def is_status(shop: Any, wanted: str) -> bool:
    return bool((await status(shop))["status"] == wanted)


async def test_a_message_that_comes_twice_or_twenty_times_at_once_changes_something_once(shop: Any) -> None:
    page = await checkout(shop)
    shop.till.pay(page)
    message = shop.till.completed(page)
    answers = await asyncio.gather(*(report(shop, message) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert sum(answer.json()["changed"] for answer in answers) == 1
    asked = len(shop.till.seen)
    assert (await report(shop, message)).json() == {"received": True, "changed": False}
    assert len(shop.till.seen) == asked
    assert await count(shop, "SubscriptionStarted") == 1
    assert await count(shop, "ClinicLicensed") == 1


async def count(shop: Any, topic: str) -> int:
    rows = (await shop.web.services.reading.lanes.ask(shop.clinic, "select count(*) from stored_events where topic = %s", (topic,))).rows
    return int(rows[0][0])


async def test_messages_in_the_wrong_order_end_where_stripe_is(shop: Any) -> None:
    """The end is told before the beginning, and a change before the one it followed: what counts is how it is at Stripe now."""
    page = await checkout(shop)
    code = shop.till.pay(page)["id"]
    created, old = shop.till.event("customer.subscription.created", shop.till.things[code]), shop.till.event("customer.subscription.updated", shop.till.things[code])
    shop.till.change(code, status="canceled", ended_at=int(time.time()))
    gone = shop.till.event("customer.subscription.deleted", shop.till.things[code])
    for message in (gone, old, created, shop.till.completed(page)):
        assert (await report(shop, message)).status_code == 200
    assert ((await licence(shop)).plan, await count(shop, "SubscriptionStarted")) == ("Pro", 0)


async def test_a_renewal_prolongs_a_failure_is_noted_and_the_end_ends_it(shop: Any) -> None:
    page = await checkout(shop)
    code = shop.till.pay(page)["id"]
    await report(shop, shop.till.completed(page))
    first = (await licence(shop)).until
    shop.till.change(code, ends=int(time.time()) + 60 * DAY)
    await report(shop, shop.till.bill(code, paid=True))
    assert (await licence(shop)).until >= first + timedelta(days=29)
    shop.till.change(code, status="past_due", ends=int(time.time()) + 90 * DAY)
    before = (await licence(shop)).until
    await report(shop, shop.till.bill(code, paid=False))
    assert (await licence(shop)).until == before
    await until(lambda: is_status(shop, "past_due"))
    assert (await status(shop))["paymentFailedAt"] is not None
    shop.till.change(code, status="canceled", ended_at=int(time.time()))
    await report(shop, shop.till.event("customer.subscription.deleted", shop.till.things[code]))
    assert (await licence(shop)).until <= datetime.now(UTC).date() + timedelta(days=1)
    await until(lambda: is_status(shop, "canceled"))


async def test_an_upgrade_in_stripes_portal_is_an_upgrade_here(shop: Any) -> None:
    page = await checkout(shop, "Pro")
    code = shop.till.pay(page)["id"]
    await report(shop, shop.till.completed(page))
    assert (await licence(shop)).plan == "Pro"
    shop.till.things[code]["items"]["data"][0]["price"]["product"] = "anamnesis-enterprise"
    await report(shop, shop.till.event("customer.subscription.updated", shop.till.things[code]))
    assert (await licence(shop)).plan == "Enterprise"


async def test_what_is_none_of_our_business_is_taken_and_forgotten(shop: Any) -> None:
    page = await checkout(shop)
    code = shop.till.pay(page)["id"]
    for message in (
        shop.till.event("charge.refunded", {"id": "ch_1", "object": "charge"}), shop.till.event("customer.subscription.updated", {"id": "sub_0", "object": "subscription"}),
        shop.till.event("invoice.paid", {"id": "in_1", "object": "invoice", "amount_paid": 5, "currency": "eur"}),
    ):
        assert (await report(shop, message)).json() == {"received": True, "changed": False}
    shop.till.things[code]["metadata"] = {"clinic": "00000000-0000-4000-8000-000000000000"}
    assert (await report(shop, shop.till.completed(page))).json()["changed"] is False
    shop.till.things[code]["metadata"] = {}
    assert (await report(shop, shop.till.completed(page))).json()["changed"] is False
    shop.till.things[code]["items"]["data"][0]["price"]["product"] = "prod_of_somebody_else"
    assert (await report(shop, shop.till.completed(page))).json()["changed"] is False
    assert (await licence(shop)).plan == "Pro"


async def test_a_message_that_stripe_did_not_sign_opens_nothing(shop: Any) -> None:
    page = await checkout(shop)
    shop.till.pay(page)
    message = shop.till.completed(page)
    for header in ("t=1,v1=00", sign(message, "whsec_guessed"), sign(message, at=time.time() - 400), sign(message[:-1])):
        failure(await report(shop, message, header), 400, "SIGNATURE_INVALID")
    failure(await shop.web.client.post("/api/v1/stripe/webhook", content=message), 400, "SIGNATURE_INVALID")
    assert (await licence(shop)).plan == "Pro"
    failure(await report(shop, b"{", sign(b"{")), 400, "JSON_MALFORMED")


async def test_while_stripe_is_away_its_message_is_not_taken_and_comes_again(shop: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.kit.stripe.PAUSE", 0.001)
    page = await checkout(shop)
    shop.till.pay(page)
    message = shop.till.completed(page)
    shop.till.troubles = [500] * 3
    failure(await report(shop, message), 503, "PAYMENTS_UNAVAILABLE")
    assert (await report(shop, message)).json()["changed"] is True


async def test_a_checkout_asked_for_twice_with_one_key_is_one_checkout(shop: Any) -> None:
    key = {"idempotency-key": "once"}
    first, second = [await shop.admin("POST", "/payment/checkout", {"plan": "Pro+"}, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert await count(shop, "CheckoutStarted") == 1
    assert len([thing for thing in shop.till.things.values() if thing["object"] == "customer"]) == 1


async def test_ways_to_pay_are_the_clinics_own_and_the_last_one_stays(shop: Any) -> None:
    assert (await shop.admin("GET", "/billing/payment-methods")).json() == {"items": []}
    page = await checkout(shop)
    customer = shop.till.pay(page)["customer"]
    await report(shop, shop.till.completed(page))
    (card,) = (await shop.admin("GET", "/billing/payment-methods")).json()["items"]
    assert (card["brand"], card["last4"], card["expires"], card["default"]) == ("visa", "4242", "2031-04", False)
    failure(await shop.admin("DELETE", f"/billing/payment-methods/{card['id']}"), 409, "LAST_PAYMENT_METHOD")
    spare = shop.till.save_card(customer, "0005")
    assert (await shop.admin("PATCH", f"/billing/payment-methods/{spare}/default")).json()["default"] is True
    assert (await shop.admin("DELETE", f"/billing/payment-methods/{card['id']}")).status_code == 204
    assert [one["id"] for one in (await shop.admin("GET", "/billing/payment-methods")).json()["items"]] == [spare]
    other = await shop.web.person(await shop.web.clinic(), "admin")
    for method, path in (("DELETE", spare), ("PATCH", f"{spare}/default")):
        failure(await other(method, f"/billing/payment-methods/{path}"), 404, "NOT_FOUND")
    await other("POST", "/payment/portal", {})  # a customer of its own makes no difference
    failure(await other("DELETE", f"/billing/payment-methods/{spare}"), 404, "NOT_FOUND")
    failure(await shop.admin("DELETE", "/billing/payment-methods/pm_000000nobodys"), 404, "NOT_FOUND")
    assert [await count(shop, topic) for topic in ("PaymentMethodPreferred", "PaymentMethodRemoved")] == [1, 1]


async def test_only_the_admin_pays_and_the_platform_says_for_whom(shop: Any) -> None:
    for role in ("doctor", "receptionist", "patient"):
        person = await shop.web.person(shop.clinic, role)
        for method, path in (("POST", "/payment/checkout"), ("POST", "/payment/portal"), ("GET", "/billing/payment-methods")):
            failure(await person(method, path, {"plan": "Pro+"} if "checkout" in path else {} if method == "POST" else None), 403, "FORBIDDEN")
        assert (await person("GET", "/payment/status")).status_code == (403 if role == "patient" else 200)
    failure(await shop.root("POST", "/payment/portal", {}), 400, "CLINIC_UNNAMED")
    assert (await shop.root("POST", f"/payment/portal?clinicId={shop.clinic}", {})).json()["url"].startswith(shop.till.url)
    stranger = await shop.web.person(await shop.web.clinic(), "admin")
    failure(await stranger("POST", f"/payment/portal?clinicId={shop.clinic}", {}), 404, "NOT_FOUND")


async def test_an_agreement_of_its_own_is_the_platforms_to_make_and_takes_effect_at_once(shop: Any) -> None:
    until_ = (datetime.now(UTC).date() + timedelta(days=365)).isoformat()
    body = {"clinicId": str(shop.clinic), "plan": "Enterprise", "price": 100_000, "currency": "EUR", "interval": "year", "until": until_, "reason": "On paper"}
    failure(await shop.admin("POST", "/admin/billing/custom-subscription", body), 403, "FORBIDDEN")
    failure(await shop.root("POST", "/admin/billing/custom-subscription", {**body, "clinicId": str(PLATFORM)}), 404, "NOT_FOUND")
    failure(await shop.root("POST", "/admin/billing/custom-subscription", {**body, "until": "2020-01-01"}), 400, "AGREEMENT_OVER")
    assert (await shop.root("POST", "/admin/billing/custom-subscription", body)).json()["status"] == "custom"
    assert (await licence(shop)).plan == "Enterprise"
    failure(await shop.admin("POST", "/payment/checkout", {"plan": "Pro+"}), 409, "CUSTOM_SUBSCRIPTION_RUNNING")


async def test_without_keys_nothing_else_suffers(module_database: Any) -> None:
    async with served(module_database) as web:
        admin = await web.person(await web.clinic(), "admin")
        failure(await admin("POST", "/payment/checkout", {"plan": "Pro+"}), 503, "PAYMENTS_NOT_CONFIGURED")
        failure(await admin("POST", "/payment/portal", {}), 503, "PAYMENTS_NOT_CONFIGURED")
        message = json.dumps({"id": "evt_1", "type": "x", "created": 1, "data": {"object": {}}}).encode()
        answer = await web.client.post("/api/v1/stripe/webhook", content=message, headers={"stripe-signature": sign(message, "")})
        failure(answer, 503, "PAYMENTS_NOT_CONFIGURED")
        assert (await admin("GET", "/payment/status")).json()["status"] == "none"
        assert (await admin("GET", "/billing/payment-methods")).json() == {"items": []}


def test_secrets_are_not_shown() -> None:
    from anamnesis.settings import Settings  # noqa: PLC0415

    settings = Settings(kind="gateway", stripe_key="sk_live_secret", stripe_webhook_secret=SECRET)
    assert "sk_live" not in repr(settings)
    assert SECRET not in repr(settings)
