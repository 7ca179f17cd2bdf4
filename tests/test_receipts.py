"""Receipts: one a payment, numbered without a gap, saying what was received; and what was given back of it since."""

import asyncio
import io
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from pypdf import PdfReader

from commands.receipts import IssueReceipt, SendReceipt, ShareReceipt
from domain.invoices import (
    Invoice,
    InvoiceDrafted,
    InvoiceIssued,
    InvoiceNotIssued,
    PaymentNotFound,
    PaymentRecorded,
    PaymentRefunded,
    by_doctor,
)
from domain.kit import Elsewhere, NotFound, only
from domain.kit.bills import Charges, Line, charged
from domain.patients import Patient, PatientRegistered, PatientUnreachable
from domain.public_documents import DocumentShared, PublicDocument, link_to
from domain.receipts import SERIES, ReceiptIssued, ReceiptIssuedAlready, ReceiptReassigned, ReceiptSent, receipt_of
from domain.series import NumberAllotted, Series, series_of
from tests.kit import CLINIC, THIS, given, noon
from tests.served import failure, served, working

PATIENT, INVOICE = UUID(int=5), UUID(int=6)
CHARGES = charged(PATIENT, "KWD", [Line(description="Crown", unit_price=10_000)], discount=None, notes=None)
drafted = InvoiceDrafted(**only(Charges, CHARGES))
issued = InvoiceIssued(
    number="2026-000007", issued_on=noon.today, due_on=noon.today, patient_id=PATIENT, subtotal=10_000, tax=0, total=10_000, shares=by_doctor(CHARGES.lines))
(paid,) = Invoice.replay([drafted, issued]).pay(uuid4(), 4_000, "card", noon.today, noon.today)
assert isinstance(paid, PaymentRecorded)
receipted = ReceiptIssued(
    number="2026-000001", issued_on=noon.today, patient_id=PATIENT, invoice_id=INVOICE, invoice_number="2026-000007", payment_id=paid.payment_id, amount=4_000,
    currency="KWD", method="card", paid_on=noon.today)
first = Elsewhere(state=Series, id=series_of(CLINIC, SERIES, 2026), events=[NumberAllotted(series=SERIES, year=2026, number=1)])
ASK = IssueReceipt(invoice_id=INVOICE, payment_id=paid.payment_id)
known = Patient.replay([PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=noon.today)])


def asking(*invoice: Any, before: tuple[Any, ...] = ()) -> Any:
    return given(*before).looking(invoice=Invoice.replay(invoice), series=Series())


def test_a_payment_is_receipted_once_and_whole_whatever_was_given_back() -> None:
    asking(drafted, issued, paid).when(ASK).then(receipted, first)
    back = Invoice.replay([drafted, issued, paid]).refund(uuid4(), paid.payment_id, 1_500, reason="x", method=None, on=noon.today, today=noon.today)
    assert isinstance(back[0], PaymentRefunded)
    asking(drafted, issued, paid, *back).when(ASK).then(receipted, first)
    asking(drafted, issued, paid, before=(receipted,)).when(ASK).refused(ReceiptIssuedAlready)
    asking(drafted, issued).when(ASK).refused(PaymentNotFound)
    asking(drafted).when(ASK).refused(InvoiceNotIssued)
    assert ASK.stream(noon) == receipt_of(paid.payment_id)


def test_it_is_sent_and_shared() -> None:
    shared = DocumentShared(document="receipts", document_id=THIS, number=1, until=noon.now + timedelta(90))
    sent = ReceiptSent(patient_id=PATIENT, link=1)
    there = given(receipted).looking(patient=known, reachable=True, link=PublicDocument())
    there.when(SendReceipt()).then(sent, Elsewhere(state=PublicDocument, id=link_to(THIS), events=[shared]))
    given(receipted).looking(patient=known, reachable=False, link=PublicDocument()).when(SendReceipt()).refused(PatientUnreachable)
    given().looking(patient=known, reachable=True, link=PublicDocument()).when(SendReceipt()).refused(NotFound)
    given().when(ShareReceipt(receipt_id=THIS)).then(shared)


def test_it_moves_with_its_patient_and_back() -> None:
    mine = ReceiptReassigned(patient_id=THIS, was_patient_id=PATIENT)
    state = given(receipted).when(SendReceipt()).events
    receipt = SendReceipt.state.replay(state)
    assert receipt.reassign(PATIENT, THIS, noon.now) == [mine]
    assert receipt.evolve(mine).reassign(PATIENT, THIS, noon.now) == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        patient = (await admin("POST", "/patients", {"givenName": "Нина", "familyName": "Ковальчук"})).json()["id"]
        lines = [{"description": "Crown", "unitPrice": 10_000}]
        bills = [(await admin("POST", "/invoices", {"patientId": patient, "lines": lines, "issue": True})).json() for _ in range(8)]
        for bill in bills:
            last = await admin("POST", f"/invoices/{bill['id']}/payments", {"amount": 4_000, "method": "cash"})
            assert last.status_code == 200, last.text
        seen = await admin.seen(last)
        payments = [(await admin("GET", f"/invoices/{bill['id']}/payments", headers=seen)).json()["items"][0]["id"] for bill in bills]
        asks = [{"invoiceId": bill["id"], "paymentId": payment} for bill, payment in zip(bills, payments, strict=True)]
        yield SimpleNamespace(web=web, clinic=clinic, admin=admin, patient=patient, asks=asks)


@pytest.mark.asyncio(loop_scope="module")
async def test_of_many_at_once_each_payment_gets_one_receipt_and_no_number_is_missing(desk: Any) -> None:
    answers = await asyncio.gather(*(desk.admin("POST", "/receipts", ask) for ask in desk.asks * 3))
    assert sorted(answer.status_code for answer in answers) == [201] * 8 + [409] * 16
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"RECEIPT_ISSUED_ALREADY"}
    numbers = sorted(int(answer.json()["number"].partition("-")[2]) for answer in answers if answer.status_code == 201)
    assert numbers == list(range(1, 9))


@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_printed_and_shown_with_what_was_given_back_since(desk: Any) -> None:
    ask = desk.asks[0]
    made = (await desk.admin("POST", "/receipts", ask))
    this = made.json()["id"] if made.status_code == 201 else (await desk.admin("GET", f"/receipts?invoiceId={ask['invoiceId']}")).json()["items"][0]["id"]
    last = await desk.admin("POST", f"/invoices/{ask['invoiceId']}/refunds", {"paymentId": ask["paymentId"], "amount": 1_500, "reason": "A courtesy"})
    assert last.status_code == 200, last.text
    seen = await desk.admin.seen(last)
    shown = (await desk.admin("GET", f"/receipts/{this}", headers=seen)).json()
    assert (shown["amount"], shown["refunded"], shown["method"]) == (4_000, 1_500, "cash")
    pdf = await desk.admin("GET", f"/receipts/{this}/pdf?language=es", headers=seen)
    words = PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text()
    for said in ("Recibo", shown["number"], "Нина Ковальчук", "Recibido", "40,00 EUR", "15,00 EUR", "25,00 EUR", "efectivo", shown["invoiceNumber"]):
        assert said in words, (said, words)
    link = (await desk.admin("POST", f"/receipts/{this}/share")).json()["token"]
    public = (await desk.web.client.get(f"/api/v1/public-documents/{link}")).json()
    assert (public["document"], public["total"], public["refunded"], public["patientName"]) == ("receipts", 4_000, 1_500, "Нина Ковальчук")
    assert (await desk.admin("DELETE", f"/receipts/{this}/share")).status_code == 204
    failure(await desk.web.client.get(f"/api/v1/public-documents/{link}"), 410, "DOCUMENT_LINK_OVER")


@pytest.mark.asyncio(loop_scope="module")
async def test_another_clinic_sees_none_of_it_and_a_patient_their_own(desk: Any) -> None:
    stranger = await desk.web.person(await desk.web.clinic(), "admin")
    this = (await desk.admin("GET", "/receipts")).json()["items"][0]["id"]
    for method, path in (("GET", ""), ("GET", "/pdf"), ("POST", "/send"), ("POST", "/share"), ("DELETE", "/share")):
        failure(await stranger(method, f"/receipts/{this}{path}", {} if path == "/send" else None), 404, "NOT_FOUND")
    failure(await stranger("POST", "/receipts", desk.asks[0]), 404, "NOT_FOUND")
    assert (await stranger("GET", "/receipts")).json()["items"] == []
    mine = await desk.web.person(desk.clinic, "patient", UUID(desk.patient))
    assert len((await mine("GET", "/receipts")).json()["items"]) == len(desk.asks)
    other = await desk.web.person(desk.clinic, "patient", uuid4())
    assert (await other("GET", "/receipts")).json()["items"] == []
    failure(await other("GET", f"/receipts/{this}"), 404, "NOT_FOUND")
    failure(await other("GET", f"/receipts/{this}/pdf"), 404, "NOT_FOUND")
    failure(await mine("POST", "/receipts", desk.asks[0]), 403, "FORBIDDEN")
