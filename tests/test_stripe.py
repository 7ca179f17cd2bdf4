"""Stripe's wire: forms, keys that make a request happen once, patience, and signatures that a second party checks."""

import json
import time

import pytest
import stripe as theirs
from stripe import SignatureVerificationError, WebhookSignature

from gateway.kit import stripe
from gateway.kit.stripe import (
    PaymentsNotConfigured,
    PaymentsRefused,
    PaymentsUnavailable,
    SignatureInvalid,
    Stripe,
    flat,
    verified,
)
from tests.till import KEY, SECRET, Till, nested, sign

NOW = 1_800_000_000.0
BODY = '{"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1, "data": {"object": {"id": "in_1", "object": "invoice", "naïve": "Ł"}}}'.encode()


@pytest.fixture
def till():
    with Till() as running:
        yield running


@pytest.fixture
async def api(till, monkeypatch):
    monkeypatch.setattr(stripe, "PAUSE", 0.001)
    client = Stripe(KEY, till.url)
    yield client
    await client.close()


def test_nested_parameters_are_spelled_as_stripe_reads_them():
    params = {"mode": "x", "items": [{"price": {"amount": 5}, "on": True}, {"off": False}], "nothing": None}
    pairs = list(flat(params))
    assert pairs == [("mode", "x"), ("items[0][price][amount]", "5"), ("items[0][on]", "true"), ("items[1][off]", "false")]
    assert nested(pairs) == {"mode": "x", "items": {"0": {"price": {"amount": "5"}, "on": "true"}, "1": {"off": "false"}}}


async def test_a_request_says_who_asks_by_which_version_and_by_what_key(till, api):
    made = await api.post(stripe.Customer, "/v1/customers", {"name": "Grachten", "metadata": {"clinic": "7"}}, "customer/7")
    ((method, path, params, headers),) = till.seen
    assert (method, path, params) == ("POST", "/v1/customers", {"name": "Grachten", "metadata": {"clinic": "7"}})
    assert (headers["authorization"], headers["idempotency-key"], headers["stripe-version"]) == (f"Bearer {KEY}", "customer/7", stripe.VERSION)
    assert (await api.get(stripe.Customer, f"/v1/customers/{made.id}")).id == made.id
    assert "idempotency-key" not in till.seen[-1][3]


@pytest.mark.parametrize("troubles", [["hang up"], ["hang up after"], [409], [429], [500, 503], ["hang up after", 500]])
async def test_what_may_be_tried_again_is_with_the_same_key_and_happens_once(till, api, troubles):
    till.troubles = list(troubles)
    await api.post(stripe.Customer, "/v1/customers", {"name": "Grachten"})
    assert len(till.seen) == 1 + len(troubles)
    assert len({headers["idempotency-key"] for *_, headers in till.seen}) == 1
    assert len([thing for thing in till.things.values() if thing["object"] == "customer"]) == 1


async def test_patience_ends(till, api):
    till.troubles = [503] * 3
    with pytest.raises(PaymentsUnavailable):
        await api.get(stripe.Customer, "/v1/customers/cus_1")
    assert len(till.seen) == 3


async def test_a_refusal_is_told_at_once_without_what_was_sent(till, api):
    with pytest.raises(PaymentsRefused) as caught:
        await api.get(stripe.Customer, "/v1/customers/cus_1")
    assert caught.value.details == {"status": 404, "code": "resource_missing", "param": None}
    assert len(till.seen) == 1


async def test_nobody_there_is_unavailable_and_no_key_is_not_configured(monkeypatch):
    monkeypatch.setattr(stripe, "PAUSE", 0.001)
    deaf = Stripe(KEY, "http://127.0.0.1:9")
    with pytest.raises(PaymentsUnavailable):
        await deaf.get(stripe.Customer, "/v1/customers/cus_1")
    await deaf.close()
    assert KEY not in repr(deaf)
    with pytest.raises(PaymentsNotConfigured):
        await Stripe("").get(stripe.Customer, "/v1/customers/cus_1")


def test_three_parties_agree_on_a_signature():
    """Ours checks what the server of these tests signs by the documentation, and what Stripe's own library signs; the library checks the server's."""
    header = sign(BODY, at=NOW)
    assert verified(BODY, header, SECRET, NOW).id == "evt_1"
    stamp = int(time.time())
    made = f"t={stamp},v1={WebhookSignature._compute_signature(f'{stamp}.{BODY.decode()}', SECRET)}"
    assert verified(BODY, made, SECRET, stamp).type == "invoice.paid"
    assert theirs.Webhook.construct_event(BODY, sign(BODY), SECRET).id == "evt_1"
    assert made == sign(BODY, at=stamp)


@pytest.mark.parametrize("header", [
    "", "nonsense", "t=1800000000", "v1=00", sign(BODY, "whsec_other", NOW), sign(BODY + b" ", at=NOW), sign(BODY, at=NOW - 301), sign(BODY, at=NOW + 301),
    sign(BODY, at=NOW).replace("v1=", "v0="), sign(BODY, at=NOW).replace("t=1800000000", "t=1800000001"), sign(BODY, at=NOW).upper(), "t=²,v1=00",
    f"t={'9' * 40},v1=00", "t=-1,v1=00", ",".join(["t=1800000000", *["v1=00"] * 10, sign(BODY, at=NOW).partition(",")[2]]), "t=1800000000,v1=Ł",
])
def test_what_is_not_signed_or_not_lately_is_refused(header):
    with pytest.raises(SignatureInvalid):
        verified(BODY, header, SECRET, NOW)


def test_the_library_refuses_the_same():
    for header in (sign(BODY, "whsec_other"), sign(BODY, at=time.time() - 301)):
        with pytest.raises(SignatureVerificationError):
            WebhookSignature.verify_header(BODY, header, SECRET, 300)


def test_any_of_several_signatures_will_do_for_secrets_are_rotated():
    old, new = sign(BODY, "whsec_old", NOW), sign(BODY, at=NOW)
    assert verified(BODY, f"{old},{new.partition(',')[2]}", SECRET, NOW).id == "evt_1"
    assert verified(BODY, sign(BODY, at=NOW - 299), SECRET, NOW).id == "evt_1"
    with pytest.raises(PaymentsNotConfigured):
        verified(BODY, new, "", NOW)


def test_a_message_says_which_subscription_it_is_about_in_its_old_form_and_its_new():
    def about(**thing):
        body = json.dumps({"id": "evt_1", "type": "x", "created": 1, "data": {"object": thing}}).encode()
        return verified(body, sign(body, at=NOW), SECRET, NOW).data.object.of

    assert about(object="subscription", id="sub_1") == "sub_1"
    assert about(object="checkout.session", subscription="sub_1") == "sub_1"
    assert about(object="invoice", id="in_1", subscription="sub_1") == "sub_1"
    assert about(object="invoice", id="in_1", parent={"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}) == "sub_1"
    assert about(object="invoice", id="in_1", parent=None) is None
