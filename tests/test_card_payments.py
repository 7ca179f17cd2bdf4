"""Paying an invoice by the link to it: once, whatever is told twice, late or never; and what the invoice cannot take is the patient's credit."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given as such
from hypothesis import strategies as some
from msgspec.structs import replace

from commands.card_payments import LapseCheckout, NoteCardReturn, OpenCheckout, ReceiveCardPayment
from domain.card_payments import (
    CardPayment,
    CardPaymentReceived,
    CardPaymentReturned,
    CheckoutLapsed,
    CheckoutOpened,
    Paid,
    What,
    card_payment_of,
    payment_of,
)
from domain.credits import Credit, credit_of
from domain.invoices import Invoice, InvoiceDrafted, InvoiceIssued, InvoiceVoided, by_doctor
from domain.kit import Elsewhere, only
from domain.kit.bills import Charges, Line, charged
from gateway import card_payments
from gateway.kit.stripe import charged as as_stripe_counts
from gateway.kit.stripe import counted, grain
from tests.kit import THIS, given, noon
from tests.served import failure, served, today_there, until, working
from tests.till import KEY, SECRET, Till, sign

PATIENT, BILL, CODE = UUID(int=5), UUID(int=6), "cs_test_1"
PAGE = card_payment_of(BILL, CODE)


def billed(total: int, patient: UUID = PATIENT, currency: str = "EUR") -> list[Any]:
    bill = charged(patient, currency, [Line(description="Crown", unit_price=total)], discount=None, notes=None)
    return [InvoiceDrafted(**only(Charges, bill)), InvoiceIssued(
        number="2026-000007", issued_on=noon.today, due_on=noon.today, patient_id=patient, subtotal=total, tax=0, total=total, shares=by_doctor(bill.lines))]


paid = Paid(charge="pi_1", amount=10_000, currency="EUR", received_on=noon.today)
asked = OpenCheckout(invoice_id=BILL, checkout=CODE, amount=10_000, currency="EUR", until=noon.now)
opened = CheckoutOpened(invoice_id=BILL, checkout=CODE, amount=10_000, currency="EUR", until=noon.now)
told = ReceiveCardPayment(invoice_id=BILL, checkout=CODE, paid=paid)
received = CardPaymentReceived(
    invoice_id=BILL, checkout=CODE, charge="pi_1", amount=10_000, currency="EUR", received_on=noon.today, applied=10_000, payment_id=payment_of(PAGE))
spare = replace(received, applied=0, payment_id=None, credited=10_000, because="paid-otherwise")


def hearing(*before: Any, invoice: list[Any]) -> Any:
    return given(*before).looking(invoice=Invoice.replay(invoice), whose=PATIENT, credit=Credit())


def gained(amount: int) -> Elsewhere:
    """What becomes of the patient's credit."""
    account, why = credit_of(PATIENT), "2026-000007: paid by card beyond what was due"
    return Elsewhere(state=Credit, id=account, events=Credit().receive(account, PATIENT, amount, "EUR", "card", noon.today, noon.today, why))


def settled(amount: int, bill: list[Any], payment: UUID | None = None) -> list[Any]:
    return Invoice.replay(bill).pay(payment or uuid4(), amount, "card", noon.today, noon.today)


def test_what_is_paid_is_a_payment_on_the_invoice_once_in_whatever_order_it_is_told() -> None:
    bill = billed(10_000)
    there = Elsewhere(state=Invoice, id=BILL, events=settled(10_000, bill, payment_of(PAGE)))
    for before in ((), (opened,), (opened, CheckoutLapsed())):
        hearing(*before, invoice=bill).when(told).then(received, there)
    hearing(opened, received, invoice=bill).when(told).then()
    given(opened, received).when(asked).then()
    given(opened, received).when(LapseCheckout()).then()
    given().when(asked).then(opened)
    given(opened).when(LapseCheckout()).then(CheckoutLapsed())
    given().when(LapseCheckout()).then()


def test_what_the_invoice_cannot_take_is_the_patients_credit_and_what_cannot_be_that_is_kept() -> None:
    bill = billed(10_000)
    half = [*bill, *settled(4_000, bill)]
    part = replace(received, applied=6_000, credited=4_000, because="paid-otherwise")
    hearing(opened, invoice=half).when(told).then(part, Elsewhere(state=Invoice, id=BILL, events=settled(6_000, half, payment_of(PAGE))), gained(4_000))
    hearing(opened, invoice=[*bill, *settled(10_000, bill)]).when(told).then(spare, gained(10_000))
    void = InvoiceVoided(reason="x", voided_on=noon.today, shares=[])
    hearing(opened, invoice=[*bill, void]).when(told).then(replace(spare, because="invoice-void"), gained(10_000))
    kept = replace(spare, credited=0, kept=10_000, because="currency-differs")
    hearing(opened, invoice=billed(10_000, currency="USD")).when(told).then(kept)
    dollars = Credit.replay(Credit().receive(credit_of(PATIENT), PATIENT, 5, "USD", "card", noon.today, noon.today))
    given(opened).looking(invoice=Invoice.replay([*bill, void]), whose=PATIENT, credit=dollars).when(told).then(kept)


def test_a_deposit_is_the_patients_credit_and_of_a_visit_that_is_gone_it_is_kept() -> None:
    visit = UUID(int=11)
    deposit = ReceiveCardPayment(appointment_id=visit, checkout=CODE, paid=paid)
    came = replace(received, invoice_id=None, appointment_id=visit, applied=0, payment_id=None, credited=10_000)
    account = credit_of(PATIENT)
    events = Credit().receive(account, PATIENT, 10_000, "EUR", "card", noon.today, noon.today, None, visit)
    given().looking(invoice=Invoice(), whose=PATIENT, credit=Credit()).when(deposit).then(came, Elsewhere(state=Credit, id=account, events=events))
    given(came).looking(invoice=Invoice(), whose=PATIENT, credit=Credit()).when(deposit).then()
    given().looking(invoice=Invoice(), whose=None, credit=Credit()).when(deposit).then(replace(came, credited=0, kept=10_000, because="visit-gone"))


def test_it_is_the_day_of_the_payment_but_neither_tomorrow_nor_before_the_invoice() -> None:
    bill = billed(10_000)
    for days in (-3, 1):
        other = replace(told, paid=replace(paid, received_on=noon.today + timedelta(days)))
        hearing(invoice=bill).when(other).then(
            replace(received, received_on=noon.today + timedelta(days)), Elsewhere(state=Invoice, id=BILL, events=settled(10_000, bill, payment_of(PAGE))))


@such(paid_=some.integers(1, 500), due=some.integers(0, 500), fits=some.booleans(), steps=some.lists(some.tuples(some.sampled_from(["use", "return"]), some.integers(1, 300)), max_size=8))
def test_no_cent_is_lost_whatever_is_done_with_it(paid_: int, due: int, fits: bool, steps: list[tuple[str, int]]) -> None:
    why: Any = "paid-otherwise" if fits else "currency-differs"
    events: list[Any] = [*CardPayment().receive(THIS, What(invoice_id=BILL), CODE, replace(paid, amount=paid_), due if fits else 0, why)]
    left, credit, used, back = events[0].applied, events[0].credited, 0, 0
    for no, (what, amount) in enumerate(steps):
        state = CardPayment.replay(events)
        if what == "use":
            part = min(amount, credit)
            credit, used = credit - part, used + part
        elif amount <= state.kept + left + credit:
            (given_back,) = state.give_back(f"re_{no}", amount, "x", credit=credit, left=left, refund_id=uuid4())
            events.append(given_back)
            assert CardPayment.replay(events).give_back(f"re_{no}", amount, "x", credit=credit, left=left, refund_id=uuid4()) == []
            assert given_back.kept + given_back.credited + given_back.taken == amount
            left, credit, back = left - given_back.taken, credit - given_back.credited, back + amount
        assert CardPayment.replay(events).kept + left + credit + used + back == paid_


def test_what_was_given_back_is_noted_on_credit_and_invoice_as_far_as_they_have_it() -> None:
    bill, account = billed(10_000), credit_of(PATIENT)
    half = [*bill, *settled(6_000, bill, payment_of(PAGE))]
    part = replace(received, applied=6_000, credited=4_000, because="paid-otherwise")
    back = NoteCardReturn(refund="re_1", amount=4_500, reason="A courtesy")
    invoice, credit = Invoice.replay(half), Credit.replay(gained(4_000).events)
    refund = invoice.next_refund(BILL)
    given(part).looking(invoice=invoice, whose=PATIENT, credits={account: credit}).when(back).then(
        CardPaymentReturned(refund="re_1", amount=4_500, kept=0, credited=4_000, taken=500, payment_refund_id=refund, reason="A courtesy"),
        Elsewhere(state=Credit, id=account, events=[credit.give_back(account, 4_000, method="card", reason="A courtesy", on=noon.today, today=noon.today)]),
        Elsewhere(state=Invoice, id=BILL, events=invoice.refund(
            refund, payment_of(PAGE), 500, reason="A courtesy", method="card", on=noon.today, today=noon.today)))
    gone = Invoice.replay(bill)  # all was used or given back otherwise in between: what happened is noted all the same
    given(part).looking(invoice=gone, whose=PATIENT, credits={}).when(back).then(CardPaymentReturned(refund="re_1", amount=4_500, kept=0, reason="A courtesy"))


@pytest.mark.parametrize(("amount", "currency", "theirs"), [
    (1_234, "EUR", 1_234), (500, "JPY", 500), (5, "ISK", 500), (12_340, "KWD", 12_340), (1_200, "XAF", 12), (7, "UGX", 7)])
def test_amounts_are_counted_as_stripe_counts_them(amount: int, currency: str, theirs: int) -> None:
    assert (as_stripe_counts(amount, currency), counted(theirs, currency), amount % grain(currency)) == (theirs, amount, 0)
    assert [grain(one) for one in ("KWD", "XAF", "EUR", "ISK")] == [10, 100, 1, 1]


# from here on through HTTP, against a server that speaks Stripe's wire

HOOK = "whsec_clinic"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    with Till() as till:
        till.keys = {"sk_test_clinic", "sk_test_second"}
        async with working(module_database, nats), served(module_database, nats, stripe_url=till.url, public_url="https://anamnesis.example") as web:
            clinic = await web.clinic()
            admin = await web.person(clinic, "admin")
            patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "<b>Bakker</b>"})).json()["id"]
            there = SimpleNamespace(web=web, till=till, clinic=clinic, admin=admin, patient=patient, database=module_database)
            assert (await admin("PUT", "/payment-account", {"secretKey": "sk_test_clinic", "webhookSecret": HOOK})).status_code == 200
            yield there


async def bill_of(desk: Any, amount: int = 10_000, patient: str = "") -> tuple[str, str]:
    """A new invoice, and the token of the link to it."""
    lines = [{"description": "Crown", "unitPrice": amount}]
    made = await desk.admin("POST", "/invoices", {"patientId": patient or desk.patient, "lines": lines, "issue": True})
    link = await desk.admin("POST", f"/invoices/{made.json()['id']}/share", {})
    assert link.status_code == 201, link.text
    return made.json()["id"], link.json()["token"]


def public(token: str, rest: str = "") -> str:
    return f"/api/v1/public-documents/{token}{rest}"


async def page_of(desk: Any, token: str, amount: int | None = None) -> str:
    answer = await desk.web.client.post(public(token, "/pay"), json={"amount": amount} if amount else {})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"]).rpartition("/")[2]


async def report(desk: Any, message: bytes, header: str = "", clinic: Any = None) -> Any:
    headers = {"stripe-signature": header or sign(message, HOOK), "content-type": "application/json"}
    return await desk.web.client.post(f"/api/v1/stripe/clinics/{clinic or desk.clinic}/webhook", content=message, headers=headers)


async def invoice(desk: Any, id_: str) -> Any:
    head = {"x-position": str(await (await desk.web.services.reader(desk.clinic)).head())}
    return (await desk.admin("GET", f"/invoices/{id_}", headers=head)).json()


async def cards(desk: Any, id_: str) -> Any:
    head = {"x-position": str(await (await desk.web.services.reader(desk.clinic)).head())}
    return (await desk.admin("GET", f"/card-payments?invoiceId={id_}", headers=head)).json()["items"]


@pytest.mark.asyncio(loop_scope="module")
async def test_an_invoice_is_paid_by_its_link_and_says_so(desk: Any) -> None:
    bill, token = await bill_of(desk, 125_000)
    before = (await desk.web.client.get(public(token))).json()
    assert (before["payable"], before["status"], before["due"]) == (True, "issued", 125_000)
    answer = (await desk.web.client.post(public(token, "/pay"), json={})).json()
    assert (answer["amount"], answer["currency"], answer["amountInWords"]) == (125_000, "EUR", "1,250.00 EUR")
    code = answer["url"].rpartition("/")[2]
    form = next(params for _, path, params, _ in reversed(desk.till.seen) if path == "/v1/checkout/sessions")
    assert form["metadata"] == form["payment_intent_data"]["metadata"] == {"clinic": str(desk.clinic), "invoice": bill}
    assert form["success_url"] == f"https://anamnesis.example{public(token)}?checkout={{CHECKOUT_SESSION_ID}}"
    assert "Noor" not in str(form)
    assert "Crown" not in str(form)
    desk.till.pay_once(code)
    message = desk.till.completed(code)
    answers = await asyncio.gather(*(report(desk, message) for _ in range(12)))
    assert [one.status_code for one in answers] == [200] * 12
    assert sum(one.json()["changed"] for one in answers) == 1
    assert (await report(desk, message)).json() == {"received": True, "changed": False}
    now = await invoice(desk, bill)
    assert (now["status"], now["paid"], now["due"]) == ("paid", 125_000, 0)
    (payment,) = (await desk.admin("GET", f"/invoices/{bill}/payments")).json()["items"]
    (card,) = await cards(desk, bill)
    assert (payment["method"], payment["amount"], payment["id"]) == ("card", 125_000, card["paymentId"])
    assert (card["status"], card["applied"], card["kept"]) == ("applied", 125_000, 0)
    after = (await desk.web.client.get(public(token))).json()
    assert (after["payable"], after["status"], after["paid"]) == (False, "paid", 125_000)
    failure(await desk.web.client.post(public(token, "/pay"), json={}), 409, "INVOICE_ALREADY_PAID")


@pytest.mark.asyncio(loop_scope="module")
async def test_in_a_browser_it_is_a_page_with_a_button_that_leads_to_the_payment(desk: Any) -> None:
    _, token = await bill_of(desk)
    page = await desk.web.client.get(public(token), headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "Pay 100.00 EUR by card" in page.text
    assert "&lt;b&gt;Bakker&lt;/b&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    gone = await desk.web.client.post(public(token, "/checkout"), follow_redirects=False)
    assert (gone.status_code, gone.content) == (303, b"")
    code = gone.headers["location"].rpartition("/")[2]
    desk.till.pay_once(code)  # the webhook has not come: whoever comes back sees all the same that it is paid
    back = await desk.web.client.get(public(token) + f"?checkout={code}", headers={"accept": "text/html"})
    assert "by card</button>" not in back.text
    assert "paid" in back.text


@pytest.mark.asyncio(loop_scope="module")
async def test_a_part_is_paid_and_then_the_rest(desk: Any) -> None:
    bill, token = await bill_of(desk)
    for amount, status in ((4_000, "partly-paid"), (None, "paid")):
        code = await page_of(desk, token, amount)
        desk.till.pay_once(code)
        assert (await report(desk, desk.till.completed(code))).json()["changed"]
        assert (await invoice(desk, bill))["status"] == status
    assert sorted(card["applied"] for card in await cards(desk, bill)) == [4_000, 6_000]
    other, link = await bill_of(desk)
    for wrong, code in ((0, "VALIDATION_FAILED"), (10_001, "PAYMENT_TOO_LARGE"), (20, "AMOUNT_NOT_PAYABLE")):
        answer = await desk.web.client.post(public(link, "/pay"), json={"amount": wrong})
        assert answer.json()["code"] == code or (wrong == 0 and answer.status_code == 400), answer.text
    assert await cards(desk, other) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_there_is_one_page_at_a_time_however_many_ask(desk: Any) -> None:
    bill, token = await bill_of(desk)
    codes = await asyncio.gather(*(page_of(desk, token) for _ in range(8)))
    assert len(set(codes)) == 1
    assert await page_of(desk, token) == codes[0]
    other = await page_of(desk, token, 3_000)
    assert other != codes[0]
    assert desk.till.things[codes[0]]["status"] == "expired"
    assert {card["checkout"]: card["status"] for card in await cards(desk, bill)} == {codes[0]: "lapsed", other: "open"}
    again = await page_of(desk, token)
    assert again not in {codes[0], other}
    assert desk.till.things[again]["status"] == "open"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_paid_otherwise_meanwhile_is_credit_and_can_be_used_or_given_back(desk: Any) -> None:
    noor = (await desk.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Smit"})).json()["id"]
    bill, token = await bill_of(desk, patient=noor)
    code = await page_of(desk, token)
    assert (await desk.admin("POST", f"/invoices/{bill}/payments", {"amount": 4_000, "method": "cash"})).status_code == 200
    desk.till.pay_once(code)
    assert (await report(desk, desk.till.completed(code))).json()["changed"]
    (card,) = await cards(desk, bill)
    assert (card["status"], card["applied"], card["credited"], card["because"]) == ("credited", 6_000, 4_000, "paid-otherwise")
    assert (await invoice(desk, bill))["due"] == 0
    assert [one["id"] for one in (await desk.admin("GET", "/card-payments?status=credited")).json()["items"]] == [card["id"]]
    other, _ = await bill_of(desk, 1_500, noor)
    assert (await desk.admin("POST", f"/invoices/{other}/apply-credit", {})).status_code == 200
    assert (await invoice(desk, other))["status"] == "paid"
    back = await asyncio.gather(*(desk.admin("POST", f"/card-payments/{card['id']}/return", {"amount": 2_500, "reason": "Paid twice"}) for _ in range(3)))
    assert {one.status_code for one in back} <= {200, 409}
    (card,) = await cards(desk, bill)
    assert card["returned"] == desk.till.things[card["charge"]]["returned"] >= 2_500
    assert (await invoice(desk, bill))["refunded"] == card["returned"] - 2_500  # whoever asked after the first got it from the invoice
    failure(await desk.admin("POST", f"/card-payments/{card['id']}/return", {"amount": 9_000, "reason": "x"}), 409, "RETURN_TOO_LARGE")


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_given_back_of_an_invoice_makes_it_due_again(desk: Any) -> None:
    bill, token = await bill_of(desk)
    code = await page_of(desk, token)
    intent = desk.till.pay_once(code)
    await report(desk, desk.till.completed(code))
    (card,) = await cards(desk, bill)
    answer = await desk.admin("POST", f"/card-payments/{card['id']}/return", {"amount": 2_500, "reason": "A courtesy"})
    assert (answer.status_code, answer.json()["returned"]) == (200, 2_500), answer.text
    assert desk.till.things[intent["id"]]["returned"] == 2_500
    now = await invoice(desk, bill)
    assert (now["status"], now["due"], now["refunded"]) == ("partly-paid", 2_500, 2_500)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_no_message_tells_is_found_out_and_a_late_message_still_counts(desk: Any) -> None:
    bill, token = await bill_of(desk)
    code = await page_of(desk, token)
    desk.till.pay_once(code)
    later = datetime.now(UTC) + timedelta(hours=3)
    await cards(desk, bill)
    await asyncio.gather(card_payments.tend(desk.web.services, later), card_payments.tend(desk.web.services, later))
    assert (await invoice(desk, bill))["status"] == "paid"
    assert (await report(desk, desk.till.completed(code))).json()["changed"] is False
    other, link = await bill_of(desk)
    code = await page_of(desk, link)
    desk.till.lapse(code)
    assert (await report(desk, desk.till.expired(code))).json()["changed"]
    (card,) = await cards(desk, other)
    assert card["status"] == "lapsed"
    assert await page_of(desk, link) != code
    assert (await invoice(desk, other))["status"] == "issued"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_message_that_is_not_the_clinics_opens_nothing(desk: Any) -> None:
    bill, token = await bill_of(desk)
    code = await page_of(desk, token)
    desk.till.pay_once(code)
    message = desk.till.completed(code)
    for header in ("t=1,v1=00", sign(message, SECRET), sign(message, HOOK, at=time.time() - 400), sign(message[:-1], HOOK)):
        failure(await report(desk, message, header), 400, "SIGNATURE_INVALID")
    other = await desk.web.clinic()
    failure(await report(desk, message, clinic=other), 400, "SIGNATURE_INVALID")
    failure(await report(desk, message, clinic=uuid4()), 400, "SIGNATURE_INVALID")
    admin = await desk.web.person(other, "admin")
    assert (await admin("PUT", "/payment-account", {"secretKey": "sk_test_clinic", "webhookSecret": "whsec_other"})).status_code == 200
    assert (await report(desk, message, sign(message, "whsec_other"), other)).json() == {"received": True, "changed": False}
    desk.till.things[code]["metadata"] = {"clinic": str(other), "invoice": bill}
    assert (await report(desk, message, sign(message, "whsec_other"), other)).json() == {"received": True, "changed": False}
    assert (await invoice(desk, bill))["status"] == "issued"
    for about in ({"id": "ch_1", "object": "charge"}, {"id": "cs_test_nobodys", "object": "checkout.session"}):
        foreign = desk.till.event("checkout.session.completed", about)
        assert (await report(desk, foreign)).json() == {"received": True, "changed": False}


@pytest.mark.asyncio(loop_scope="module")
async def test_the_keys_are_put_in_and_never_seen_again(desk: Any) -> None:
    shown = (await desk.admin("GET", "/payment-account")).json()
    assert (shown["connected"], shown["hint"], shown["live"]) == (True, "inic", False)
    assert shown["webhookUrl"] == f"https://anamnesis.example/api/v1/stripe/clinics/{desk.clinic}/webhook"
    assert "sk_test_clinic" not in str(shown)
    wrong = {"secretKey": "sk_test_nobodys", "webhookSecret": HOOK}
    assert "sk_test_nobodys" not in str(failure(await desk.admin("PUT", "/payment-account", wrong), 400, "PAYMENT_KEY_REFUSED"))
    for role in ("doctor", "receptionist", "patient"):
        person = await desk.web.person(desk.clinic, role, uuid4() if role == "patient" else None)
        failure(await person("GET", "/payment-account"), 403, "FORBIDDEN")
        failure(await person("PUT", "/payment-account", wrong), 403, "FORBIDDEN")
        failure(await person("DELETE", "/payment-account"), 403, "FORBIDDEN")
    lanes = desk.web.services.reading.lanes
    for sql in ("select state from stored_events where topic = 'PaymentAccountConnected'", "select to_jsonb(p) from payment_accounts p"):
        assert "sk_test_clinic" not in str((await lanes.ask(desk.clinic, sql, ())).rows)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_begun_with_the_keys_before_is_still_recorded(desk: Any) -> None:
    bill, token = await bill_of(desk)
    code = await page_of(desk, token)
    assert (await desk.admin("PUT", "/payment-account", {"secretKey": "sk_test_second", "webhookSecret": "whsec_second"})).status_code == 200
    desk.till.pay_once(code)
    assert (await report(desk, desk.till.completed(code))).json()["changed"]
    assert (await invoice(desk, bill))["status"] == "paid"
    bill, token = await bill_of(desk)
    code = await page_of(desk, token)
    desk.till.pay_once(code)
    assert (await desk.admin("DELETE", "/payment-account")).status_code == 204
    message = desk.till.completed(code)
    assert (await report(desk, message, sign(message, "whsec_second"))).json()["changed"]
    assert (await invoice(desk, bill))["status"] == "paid"
    _, token = await bill_of(desk)
    failure(await desk.web.client.post(public(token, "/pay"), json={}), 503, "CARD_PAYMENTS_NOT_SET_UP")
    assert (await desk.web.client.get(public(token))).json()["payable"] is False
    assert (await desk.admin("PUT", "/payment-account", {"secretKey": KEY.replace("till", "clinic"), "webhookSecret": HOOK})).status_code == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_while_stripe_is_away_nothing_is_lost(desk: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.kit.stripe.PAUSE", 0.001)
    bill, token = await bill_of(desk)
    code = await page_of(desk, token)
    desk.till.pay_once(code)
    message = desk.till.completed(code)
    desk.till.troubles = [500] * 3
    failure(await report(desk, message), 503, "PAYMENTS_UNAVAILABLE")
    assert (await report(desk, message)).json()["changed"]
    (card,) = await cards(desk, bill)
    desk.till.troubles = ["hang up after"] * 3  # it was given back, and nobody has learned it: asked again it is the same
    failure(await desk.admin("POST", f"/card-payments/{card['id']}/return", {"amount": 1_000, "reason": "x"}), 503, "PAYMENTS_UNAVAILABLE")
    assert (await desk.admin("POST", f"/card-payments/{card['id']}/return", {"amount": 1_000, "reason": "x"})).json()["returned"] == 1_000
    assert desk.till.things[card["charge"]]["returned"] == 1_000
    await until(lambda: refunded(desk, bill, 1_000))


async def refunded(desk: Any, bill: str, amount: int) -> bool:
    return bool((await invoice(desk, bill))["refunded"] == amount)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_kind_of_visit_asks_for_a_deposit_that_is_paid_by_link_or_at_the_desk(desk: Any) -> None:
    doctor = (await desk.admin("POST", "/staff/create", {"name": "Dr Sam Visser", "email": "sam@clinic.example", "role": "doctor"})).json()["id"]
    await desk.admin("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})
    made = await desk.admin("POST", "/appointment-types", {"name": "Implant", "minutes": 60, "deposit": 20_000})
    implant = made.json()["id"]
    noor = (await desk.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Visser"})).json()["id"]
    day = today_there() + timedelta(days=3)
    slots = (await desk.admin("GET", f"/appointments/available-slots?doctorId={doctor}&date={day}&typeId={implant}", headers=await desk.admin.seen(made))).json()["items"]
    booked = await desk.admin("POST", "/appointments", {"patientId": noor, "doctorId": doctor, "start": slots[0]["startLocal"], "typeId": implant})
    assert (booked.status_code, booked.json()["deposit"]) == (201, 20_000), booked.text
    visit = booked.json()["id"]
    assert (await desk.admin("PUT", f"/appointment-types/{implant}", {"name": "Implant", "minutes": 60, "deposit": 50_000})).status_code == 200
    shown = (await desk.admin("GET", f"/booking-deposits/{visit}", headers=await desk.admin.seen(booked))).json()
    assert (shown["status"], shown["asked"], shown["paid"], shown["due"], shown["visit"]) == ("unpaid", 20_000, 0, 20_000, "booked")
    desked = await desk.admin("POST", f"/patients/{noor}/deposits", {"amount": 5_000, "method": "cash", "appointmentId": visit})
    assert desked.status_code == 201, desked.text
    token = (await desk.admin("GET", f"/appointments/{visit}/share-link")).json()["token"]
    links = f"/api/v1/appointments/links/{token}"
    before = (await desk.web.client.get(links)).json()
    assert (before["deposit"], before["depositPayable"]) == (20_000, True)
    page = await desk.web.client.post(f"{links}/pay-deposit")
    assert (page.status_code, page.json()["amount"]) == (201, 15_000), page.text
    code = page.json()["url"].rpartition("/")[2]
    desk.till.pay_once(code)
    assert sum(one.json()["changed"] for one in await asyncio.gather(*(report(desk, desk.till.completed(code)) for _ in range(5)))) == 1
    head = {"x-position": str(await (await desk.web.services.reader(desk.clinic)).head())}
    shown = (await desk.admin("GET", f"/booking-deposits/{visit}", headers=head)).json()
    assert (shown["status"], shown["paid"], shown["due"]) == ("paid", 20_000, 0)
    assert [one["id"] for one in (await desk.admin("GET", f"/booking-deposits?patientId={noor}&status=paid")).json()["items"]] == [visit]
    after = (await desk.web.client.get(links)).json()
    assert (after["depositPaid"], after["depositPayable"]) == (20_000, False)
    failure(await desk.web.client.post(f"{links}/pay-deposit"), 409, "DEPOSIT_PAID")
    bill, _ = await bill_of(desk, 80_000, noor)
    assert (await desk.admin("POST", f"/invoices/{bill}/apply-credit", {})).json()["due"] == 60_000
    assert (await desk.admin("GET", "/booking-deposits", headers=head)).json()["items"][0]["id"] == visit
    other = await desk.web.person(await desk.web.clinic(), "admin")
    failure(await other("GET", f"/booking-deposits/{visit}"), 404, "NOT_FOUND")
    patient = await desk.web.person(desk.clinic, "patient", UUID(noor))
    assert len((await patient("GET", "/booking-deposits")).json()["items"]) == 1
    stranger = await desk.web.person(desk.clinic, "patient", uuid4())
    assert (await stranger("GET", "/booking-deposits")).json()["items"] == []
