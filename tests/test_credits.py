"""What a patient has with the clinic: received, used, returned; one number wherever it is shown; and of many at once exactly the right ones win."""

import asyncio
import csv
import io
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from pypdf import PdfReader

from commands.credits import ReceiveDeposit, ReturnCredit, ReverseDeposit
from commands.invoices import ApplyCredit, CreditInvoice, RecordPayment, ReversePayment, VoidInvoice
from domain.credits import Credit, CreditReceived, CreditTooSmall, DepositNotFound, DepositWasReversed, credit_of
from domain.invoices import (
    Invoice,
    InvoiceAlreadyPaid,
    InvoiceHasCredits,
    InvoiceNotIssued,
    LineAmount,
    PaymentReallocated,
    PaymentUsedAlready,
)
from domain.kit import Elsewhere
from domain.kit.bills import DateInFuture
from domain.patients import Patient, PatientNotActive
from domain.series import Series
from tests.kit import given, noon
from tests.served import failure, served, today_there, working
from tests.test_invoices import PATIENT, PAYMENT_1, drafted, half, issued, rest

ACCOUNT = credit_of(PATIENT)
received = CreditReceived(
    deposit_id=Credit().receive(ACCOUNT, PATIENT, 1, "EUR", "card", noon.today, noon.today)[0].deposit_id, patient_id=PATIENT, amount=50_00, currency="EUR",
    method="card", received_on=noon.today, purpose="Implant")


# --- the rules


def having(*events: Any) -> Any:
    return given(*events).looking(credits={ACCOUNT: Credit.replay(events)})


def test_money_without_an_invoice_is_the_patients_credit() -> None:
    given().looking(patient=Patient(registered=True)).when(ReceiveDeposit(patient_id=PATIENT, amount=50_00, method="card", purpose="Implant")).then(received)
    later = ReceiveDeposit(patient_id=PATIENT, amount=1, method="card", received_on=noon.today.replace(year=2027))
    given().looking(patient=Patient(registered=True)).when(later).refused(DateInFuture)
    given().looking(patient=Patient(registered=True, archived=True)).when(ReceiveDeposit(patient_id=PATIENT, amount=1, method="card")).refused(PatientNotActive)


def test_no_more_goes_back_than_there_is_and_a_mistake_is_undone_once() -> None:
    assert having(received).when(ReturnCredit(patient_id=PATIENT, amount=50_01, method="cash", reason="x")).refused(CreditTooSmall).details == {"there": 50_00}
    undo = ReverseDeposit(patient_id=PATIENT, deposit_id=received.deposit_id, reason="Somebody else's")
    (event,) = having(received).when(undo).decide()
    assert (event.amount, event.method) == (50_00, "card")
    having(received, event).when(undo).refused(DepositWasReversed)
    having(received).when(ReverseDeposit(patient_id=PATIENT, deposit_id=UUID(int=5), reason="x")).refused(DepositNotFound)
    (back,) = having(received).when(ReturnCredit(patient_id=PATIENT, amount=1, method="cash", reason="x")).decide()
    having(received, back).when(undo).refused(CreditTooSmall)


def test_credit_pays_what_is_due_and_no_more() -> None:
    credits_ = {ACCOUNT: Credit.replay([received])}
    events = given(drafted, issued).looking(credits=credits_).when(ApplyCredit()).decide()
    assert [type(event).__name__ for event in events] == ["CreditApplied", "Elsewhere"]
    assert (events[0].amount, events[1].events[0].amount, events[1].id) == (50_00, 50_00, ACCOUNT)
    given(drafted, issued, half, rest).looking(credits=credits_).when(ApplyCredit()).refused(InvoiceAlreadyPaid)
    given(drafted, issued).looking(credits={}).when(ApplyCredit()).refused(CreditTooSmall)
    given(drafted).looking(credits=credits_).when(ApplyCredit()).refused(InvoiceNotIssued)


def test_of_two_payments_the_last_one_is_set_free_first() -> None:
    """Both lie on the second line, and almost all of what it costs is credited."""
    history = [drafted, issued, half, rest]
    credit = CreditInvoice(reason="Chipped", lines=[LineAmount(line=2, amount=107_50)])
    events = given(*history).looking(series=Series(), credit=Credit()).when(credit).decide()
    freed = [event for event in events if isinstance(event, PaymentReallocated)]
    assert [(event.payment_id, event.released) for event in freed] == [(rest.payment_id, 107_00), (half.payment_id, 50)]
    own = [event for event in events if not isinstance(event, Elsewhere)]
    after = Invoice.replay([*history, *own])
    assert (after.balance, after.payments[PAYMENT_1].amount) == (0, 99_50)
    given(*history, *own).when(ReversePayment(payment_id=PAYMENT_1, reason="x")).refused(PaymentUsedAlready)


def test_what_was_credited_is_not_voided() -> None:
    (noted, *_) = given(drafted, issued).looking(series=Series(), credit=Credit()).when(CreditInvoice(reason="x", amount=1)).decide()
    given(drafted, issued, noted).when(VoidInvoice(reason="x")).refused(InvoiceHasCredits)


def test_what_is_paid_is_not_paid_again_into_credit() -> None:
    given(drafted, issued, half, rest).looking(credit=Credit()).when(RecordPayment(amount=1, method="cash", excess="credit")).refused(InvoiceAlreadyPaid)


# --- on real processes


class Front:
    """The front desk of a clinic of its own."""

    def __init__(self, web: Any, clinic: UUID, admin: Any) -> None:
        self.web, self.clinic, self.admin = web, clinic, admin
        self.seen: dict[str, str] = {}

    async def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.admin(method, path, body, headers=self.seen)
        assert answer.is_success, answer.text
        if int(answer.headers.get("x-position", 0)) > int(self.seen.get("x-position", 0)) and method != "GET":
            self.seen = await self.admin.seen(answer)
        return answer.json() if answer.content else None

    async def patient(self, name: str = "Bakker") -> str:
        return (await self("POST", "/patients", {"givenName": "Noor", "familyName": name}))["id"]

    async def bill(self, patient: str, *prices: int, **more: Any) -> str:
        lines = [{"description": "Crown", "unitPrice": price} for price in prices]
        return (await self("POST", "/invoices", {"patientId": patient, "lines": lines, "issue": True, **more}))["id"]

    async def balance(self, patient: str, **more: Any) -> tuple[int, int, int]:
        query = "".join(f"?{name}={value}" for name, value in more.items())
        found = await self("GET", f"/patients/{patient}/balance{query}")
        return found["owed"], found["credit"], found["balance"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    async with served(module_database, nats) as web, working(module_database, nats):
        clinic = await web.clinic()
        yield Front(web, clinic, await web.person(clinic, "admin"))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patients_account_from_a_deposit_to_the_last_cent(front: Any) -> None:
    one = await front.patient()
    deposit = await front("POST", f"/patients/{one}/deposits", {"amount": 5_000, "method": "card", "purpose": "Implant"})
    assert (deposit["balance"], deposit["patientId"]) == (5_000, one)
    assert await front.balance(one) == (0, 5_000, -5_000)
    bill = await front.bill(one, 10_000, 2_000)
    used = await front("POST", f"/invoices/{bill}/apply-credit", {})
    assert (used["status"], used["due"]) == ("partly-paid", 7_000)
    paid = await front("POST", f"/invoices/{bill}/payments", {"amount": 8_000, "method": "cash", "excess": "credit"})
    assert (paid["status"], paid["due"], paid["paid"]) == ("paid", 0, 12_000)
    assert await front.balance(one) == (0, 1_000, -1_000)
    credited = await front("POST", f"/invoices/{bill}/credit", {"reason": "Chipped", "lines": [{"line": 2, "amount": 2_000}]})
    assert (credited["status"], credited["due"], credited["credited"]) == ("paid", 0, 2_000)
    assert await front.balance(one) == (0, 3_000, -3_000)
    (note,) = (await front("GET", f"/credit-notes?invoiceId={bill}"))["items"]
    assert (note["number"], note["total"], note["cause"]) == (f"{today_there().year}-000001", 2_000, "credit-note")
    assert (await front("GET", f"/credit-notes/{note['id']}"))["invoiceNumber"] == credited["number"]
    pdf = await front.admin("GET", f"/credit-notes/{note['id']}/pdf?language=es")
    words = PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text()
    for said in ("Factura rectificativa", note["number"], credited["number"], "Noor Bakker", "20,00 EUR", "Chipped"):
        assert said in words, (said, words)
    await front("POST", f"/patients/{one}/credit/return", {"amount": 3_000, "method": "transfer", "reason": "Asked for it"})
    assert await front.balance(one) == (0, 0, 0)
    failure(await front.admin("POST", f"/patients/{one}/credit/return", {"amount": 1, "method": "cash", "reason": "x"}), 409, "CREDIT_TOO_SMALL")
    statement = await front("GET", f"/patients/{one}/statement")
    assert [(line["what"], line["amount"], line["credit"]) for line in statement["lines"]] == [
        ("deposit", -5_000, 5_000), ("invoice", 12_000, 0), ("credit-applied", 0, -5_000), ("payment", -7_000, 0), ("deposit", -1_000, 1_000),
        ("credit-gained", 0, 2_000), ("credit-note", -2_000, 0), ("credit-returned", 3_000, -3_000)]
    assert (statement["opening"], statement["closing"]) == (0, 0)
    day = (await front("GET", f"/expenses/eod-report?date={today_there()}"))
    assert day["received"] - day["refunded"] == 5_000 + 8_000 - 3_000
    sheet = await front.admin("GET", f"/patients/{one}/statement?format=csv")
    assert [line["balance"] for line in csv.DictReader(io.StringIO(sheet.text))][-1] == "0"


@pytest.mark.asyncio(loop_scope="module")
async def test_the_balance_is_the_same_at_every_position_wherever_it_is_shown(front: Any) -> None:
    one = await front.patient()
    bill, other = await front.bill(one, 4_000, 1_000), await front.bill(one, 700)
    payment = (await front("POST", f"/invoices/{bill}/payments", {"amount": 5_000, "method": "cash"}))
    kept = (await front("GET", f"/invoices/{bill}/payments"))["items"][0]["id"]
    await front("POST", f"/invoices/{bill}/payments/{kept}/reallocate", {"allocations": [{"line": 1, "amount": 3_000}]})
    await front("POST", f"/invoices/{other}/apply-credit", {"amount": 600})
    await front("POST", f"/invoices/{other}/write-off", {"reason": "Too little to ask for"})
    await front("POST", f"/invoices/{bill}/credit", {"reason": "x", "amount": 4_500})
    await front("POST", f"/invoices/{bill}/refunds", {"paymentId": kept, "amount": 100, "reason": "x"})
    assert payment["status"] == "paid"
    statement = await front("GET", f"/patients/{one}/statement")
    for line in statement["lines"]:
        owed, credit, balance = await front.balance(one, asOf=line["position"])
        then = await front("GET", f"/patients/{one}/statement?asOf={line['position']}")
        rows = (await front("GET", f"/invoices?patientId={one}&asOf={line['position']}"))["items"]
        assert balance == then["closing"] == line["balance"] == owed - credit
        assert owed == sum(row["due"] for row in rows)
        assert credit == sum(one["credit"] for one in then["lines"])
    owed, credit, balance = await front.balance(one)
    assert (balance, credit) == (statement["closing"], sum(line["credit"] for line in statement["lines"]))
    assert owed == sum(row["due"] for row in (await front("GET", f"/invoices?patientId={one}"))["items"])
    assert credit == (await front("GET", f"/credits?patientId={one}"))["items"][0]["balance"]


@pytest.mark.asyncio(loop_scope="module")
async def test_one_payment_settles_a_familys_invoices_oldest_first(front: Any) -> None:
    payer, child, stranger = [await front.patient(name) for name in ("Payer", "Child", "Stranger")]
    await front("POST", f"/patients/{child}/relations", {"relation": "parent", "relatedId": payer, "payer": True})
    bills = [await front.bill(child, 300), await front.bill(payer, 200), await front.bill(child, 100)]
    ask = {"amount": 550, "method": "transfer", "patients": [child]}
    failure(await front.admin("POST", f"/patients/{payer}/payments", {**ask, "patients": [stranger]}), 409, "PAYER_UNKNOWN")
    failure(await front.admin("POST", f"/patients/{payer}/payments", {**ask, "amount": 601}), 409, "PAYMENT_TOO_LARGE")
    failure(await front.admin("POST", f"/patients/{payer}/payments", {**ask, "invoices": [await front.bill(stranger, 5)]}), 400, "INVOICE_NOT_THEIRS")
    await front("POST", f"/patients/{payer}/payments", ask)
    assert [(await front("GET", f"/invoices/{bill}"))["due"] for bill in bills] == [0, 0, 50]
    await front("POST", f"/patients/{payer}/payments", {**ask, "amount": 80, "excess": "credit"})
    assert await front.balance(payer) == (0, 30, -30)
    assert await front.balance(child) == (0, 0, 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_of_many_at_once_exactly_the_right_ones_win(front: Any) -> None:
    one = await front.patient()
    await front("POST", f"/patients/{one}/deposits", {"amount": 100, "method": "cash"})
    bills = [await front.bill(one, 60) for _ in range(6)]
    wishes = [("POST", f"/invoices/{bill}/apply-credit", {"amount": 30}) for bill in bills]
    wishes += [("POST", f"/patients/{one}/credit/return", {"amount": 30, "method": "cash", "reason": "x"})] * 6
    answers = await asyncio.gather(*(front.admin(*wish) for wish in wishes))
    assert Counter(answer.status_code for answer in answers) == {200: 3, 409: 9}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"CREDIT_TOO_SMALL"}
    head = {"x-position": max((answer.headers["x-position"] for answer in answers if answer.is_success), key=int)}
    (kept,) = (await front.admin("GET", f"/credits?patientId={one}", headers=head)).json()["items"]
    assert kept["balance"] == 10
    owed = (await front.admin("GET", f"/patients/{one}/balance", headers=head)).json()["owed"]
    answers = await asyncio.gather(*(front.admin("POST", f"/patients/{one}/payments", {"amount": owed, "method": "card"}) for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 9}
    (bill,) = [await front.bill(one, 100)]
    notes = await asyncio.gather(*(front.admin("POST", f"/invoices/{bill}/credit", {"amount": 30, "reason": "x"}) for _ in range(10)))
    assert Counter(answer.status_code for answer in notes) == {200: 3, 409: 7}
    wishes = [("POST", f"/invoices/{bill}/payments", {"amount": 10, "method": "cash"}), ("POST", f"/invoices/{bill}/write-off", {"reason": "x"})] * 5
    answers = await asyncio.gather(*(front.admin(*wish) for wish in wishes))
    assert sum(answer.is_success for answer in answers) == 1
    numbers = sorted(note["number"] for note in (await front.admin("GET", "/credit-notes?limit=200", headers=await front.admin.seen(next(a for a in answers if a.is_success)))).json()["items"] if note["cause"] == "credit-note")
    assert [int(number.partition("-")[2]) for number in numbers] == list(range(1, len(numbers) + 1))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_merge_takes_the_account_along_and_back(front: Any) -> None:
    loser, survivor = await front.patient("Loser"), await front.patient("Survivor")
    await front("POST", f"/patients/{loser}/deposits", {"amount": 70, "method": "cash"})
    mine = await front.bill(loser, 100)
    await front("POST", f"/invoices/{mine}/credit", {"amount": 40, "reason": "x"})
    before = await front.balance(loser)
    await front("POST", f"/patients/{survivor}/merge", {"loserId": loser})
    assert await front.balance(survivor) == await front.balance(loser) == before == (60, 70, -10)
    assert {note["patientId"] for note in (await front("GET", f"/credit-notes?invoiceId={mine}"))["items"]} == {survivor}
    assert [one["amount"] for one in (await front("GET", f"/deposits?patientId={survivor}"))["items"]] == [70]
    await front("POST", f"/patients/{survivor}/deposits", {"amount": 5, "method": "cash"})
    await front("POST", f"/patients/{survivor}/credit/return", {"amount": 45, "method": "cash", "reason": "x"})
    assert (await front.balance(survivor))[1] == 30
    await front("POST", f"/patients/{survivor}/unmerge", {"loserId": loser})
    assert (await front.balance(survivor), await front.balance(loser)) == ((0, 0, 0), (60, 30, 30))
    assert (await front("GET", f"/patients/{loser}/statement"))["closing"] == 30


@pytest.mark.asyncio(loop_scope="module")
async def test_the_books_stay_when_a_patient_is_forgotten(front: Any) -> None:
    one = await front.patient("Forgotten")
    await front("POST", f"/patients/{one}/deposits", {"amount": 70, "method": "cash"})
    bill = await front.bill(one, 100)
    await front("POST", f"/invoices/{bill}/apply-credit", {"amount": 20})
    before, lines = await front.balance(one), (await front("GET", f"/patients/{one}/statement"))["lines"]
    gone = await front.admin("POST", "/privacy/erasures", {"kind": "patients", "personId": one, "reason": "They asked", "despiteRetention": True})
    assert gone.is_success, gone.text
    assert await front.balance(one) == before == (80, 50, 30)
    assert (await front("GET", f"/patients/{one}/statement"))["lines"] == lines


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_sees_their_own_account_and_another_clinic_none(front: Any) -> None:
    one, other = await front.patient(), await front.patient()
    await front("POST", f"/patients/{one}/deposits", {"amount": 70, "method": "cash"})
    mine = await front.web.person(front.clinic, "patient", UUID(one))
    assert (await mine("GET", f"/patients/{one}/balance", headers=front.seen)).json()["credit"] == 70
    assert [row["patientId"] for row in (await mine("GET", "/credits", headers=front.seen)).json()["items"]] == [one]
    stranger = await front.web.person(await front.web.clinic(), "admin")
    for who, whose in ((mine, other), (stranger, one), (stranger, str(uuid4()))):
        for path in ("balance", "statement"):
            failure(await who("GET", f"/patients/{whose}/{path}"), 404, "NOT_FOUND")
    failure(await stranger("POST", f"/patients/{one}/deposits", {"amount": 1, "method": "cash"}), 404, "NOT_FOUND")
    failure(await mine("POST", f"/patients/{one}/deposits", {"amount": 1, "method": "cash"}), 403, "FORBIDDEN")
    desk = await front.web.person(front.clinic, "receptionist")
    bill = await front.bill(one, 100)
    failure(await desk("POST", f"/invoices/{bill}/write-off", {"reason": "x"}), 403, "FORBIDDEN")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_payment_by_mistake_is_reversed_and_is_not_receipted(front: Any) -> None:
    one = await front.patient()
    bill = await front.bill(one, 100)
    await front("POST", f"/invoices/{bill}/payments", {"amount": 60, "method": "card"})
    (payment,) = (await front("GET", f"/invoices/{bill}/payments"))["items"]
    path = f"/invoices/{bill}/payments/{payment['id']}/reverse"
    answers = await asyncio.gather(*(front.admin("POST", path, {"reason": "Another patient's"}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    failure(await front.admin("POST", "/receipts", {"invoiceId": bill, "paymentId": payment["id"]}), 409, "PAYMENT_WAS_REVERSED")
    front.seen = await front.admin.seen(next(answer for answer in answers if answer.is_success))
    assert await front.balance(one) == (100, 0, 100)
    (payment,) = (await front("GET", f"/invoices/{bill}/payments"))["items"]
    assert (payment["reversed"], payment["reverseReason"]) == (True, "Another patient's")
