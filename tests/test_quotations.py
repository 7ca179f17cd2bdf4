"""Quotations: sums like an invoice's, one number each, answered while they are valid, an invoice at most once; and the link and the paper of a document."""

import asyncio
import io
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec.structs import replace
from pypdf import PdfReader

from commands.quotations import (
    AcceptQuotation,
    AnswerQuotation,
    ConvertQuotation,
    CreateQuotation,
    DeclineQuotation,
    EditQuotation,
    IssueQuotation,
    ReissueQuotation,
    SendQuotation,
    ShareQuotation,
    WithdrawQuotation,
)
from domain.invoices import Bill, Invoice, InvoiceDrafted, worked_out
from domain.kit import Elsewhere, NotFound, only
from domain.kit.bills import Charges, Discount, Line, charged
from domain.patients import Patient, PatientRegistered
from domain.public_documents import (
    DocumentLinkOver,
    DocumentLinkRevoked,
    DocumentShared,
    DocumentViewed,
    LinkLifeImpossible,
    PublicDocument,
    link_to,
)
from domain.quotations import (
    SERIES,
    Offer,
    Quotation,
    QuotationAccepted,
    QuotationConverted,
    QuotationConvertedAlready,
    QuotationDeclined,
    QuotationDeclinedAlready,
    QuotationDrafted,
    QuotationEdited,
    QuotationExpired,
    QuotationIssued,
    QuotationNotDraft,
    QuotationNotOpen,
    QuotationReissued,
    QuotationSent,
    QuotationStillStands,
    QuotationWithdrawn,
    ValidityImpossible,
    invoice_of,
)
from domain.series import NumberAllotted, Series, series_of
from gateway.public_documents import in_figures
from tests.kit import CLINIC, THIS, given, noon
from tests.mail import MailServer, carrying, text
from tests.served import PROTECTED, failure, served, today_there, until, working

PATIENT, RECORD = UUID(int=5), UUID(int=6)
LINES = [Line(description="Crown", quantity=1, unit_price=80_000, tax_rate=2100), Line(description="Check", quantity=3, unit_price=3_333)]
CHARGES = charged(PATIENT, "EUR", LINES, discount=Discount(percent=1000), notes=None)
drafted = QuotationDrafted(**only(Charges, CHARGES))
whose = {"patient_id": PATIENT}
issued = QuotationIssued(number="2026-000001", issued_on=noon.today, valid_until=noon.today + timedelta(30), total=CHARGES.total, currency="EUR", **whose)
accepted = QuotationAccepted(by="clinic", accepted_on=noon.today, **whose)
declined = QuotationDeclined(by="clinic", declined_on=noon.today, **whose)
withdrawn = QuotationWithdrawn(reason="Deleted.", withdrawn_on=noon.today, **whose)
converted = QuotationConverted(invoice_id=invoice_of(THIS), converted_on=noon.today, **whose)
first = Elsewhere(state=Series, id=series_of(CLINIC, SERIES, 2026), events=[NumberAllotted(series=SERIES, year=2026, number=1)])
LATER = replace(noon, today=noon.today + timedelta(31), now=noon.now + timedelta(31))
known = Patient.replay([PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=noon.today)])
shared = DocumentShared(document="quotations", document_id=THIS, number=1, until=noon.now + timedelta(90))
sent = QuotationSent(link=1, **whose)


def issuing(*events: Any, at: Any = noon) -> Any:
    return given(*events, at=at).looking(series=Series())


def sending(*events: Any, at: Any = noon, link: PublicDocument | None = None) -> Any:
    return given(*events, at=at).looking(series=Series(), patient=known, reachable=True, link=link or PublicDocument())


def converting(*events: Any, at: Any = noon) -> Any:
    return given(*events, at=at).looking(patient=known, notes="As agreed", invoice=Invoice())


# --- the rules


def test_a_draft_is_worked_out_like_an_invoice() -> None:
    given().looking(patient=known, doctors=[]).when(CreateQuotation(patient_id=PATIENT, lines=LINES, discount=Discount(percent=1000))).then(drafted)
    given(drafted).looking(doctors=[]).when(EditQuotation(lines=LINES)).then(
        QuotationEdited(**only(Charges, charged(PATIENT, "EUR", LINES, discount=None, notes=None))))
    given(drafted, issued).looking(doctors=[]).when(EditQuotation(lines=LINES)).refused(QuotationNotDraft)


@drawn(
    st.lists(st.builds(
        Line, description=st.just("x"), quantity=st.integers(1, 99), unit_price=st.integers(0, 10**8), tax_rate=st.sampled_from([0, 900, 2100, 10_000]),
        discount=st.none() | st.builds(Discount, percent=st.integers(0, 10_000))), min_size=1, max_size=8),
    st.none() | st.builds(Discount, percent=st.integers(0, 10_000)), st.sampled_from(["JPY", "EUR", "KWD"]))
def test_a_quotation_and_the_invoice_that_it_becomes_say_the_same_to_the_last_unit(lines: list[Line], discount: Discount | None, currency: str) -> None:
    offer = Offer(**only(Charges, charged(PATIENT, currency, lines, discount=discount, notes=None)))
    history = [QuotationDrafted(**only(Offer, offer)), replace(issued, total=offer.total, currency=currency)]
    _, there = ConvertQuotation().decide(Quotation.replay(history), noon, patient=known, notes=None, invoice=Invoice())
    (drawn_up,) = there.events  # type: ignore[union-attr]
    assert only(Bill, drawn_up) == only(Bill, worked_out(PATIENT, currency, lines, discount=discount, due_on=None, notes=None))
    assert sum(line.net + line.tax for line in drawn_up.lines) == drawn_up.total == offer.total


def test_issuing_takes_the_next_number_and_says_until_when_it_counts() -> None:
    issuing(drafted).when(IssueQuotation()).then(issued, first)
    day = date(2026, 1, 9)
    issuing(drafted).when(IssueQuotation(valid_until=day)).then(replace(issued, valid_until=day), first)
    issuing(drafted, issued).when(IssueQuotation()).refused(QuotationNotDraft)
    issuing().when(IssueQuotation()).refused(NotFound)
    for wrong in (noon.today - timedelta(1), noon.today + timedelta(367)):
        issuing(drafted).when(IssueQuotation(valid_until=wrong)).refused(ValidityImpossible)


def test_sending_and_sharing_issue_a_draft_first() -> None:
    opened = Elsewhere(state=PublicDocument, id=link_to(THIS), events=[shared])
    sending(drafted).when(SendQuotation()).then(issued, sent, first, opened)
    sending(drafted, issued, link=PublicDocument.replay([shared])).when(SendQuotation()).then(sent)
    sending(drafted, issued, at=LATER).when(SendQuotation()).refused(QuotationExpired)
    sending(drafted, withdrawn).when(SendQuotation()).refused(QuotationNotOpen)
    given().looking(quotation=Quotation.replay([drafted]), series=Series()).when(ShareQuotation(quotation_id=THIS)).then(
        shared, Elsewhere(state=Quotation, id=THIS, events=[issued]), first)


def test_a_patient_may_change_their_mind_while_it_is_valid() -> None:
    given(drafted, issued).when(AcceptQuotation()).then(accepted)
    given(drafted, issued, accepted).when(AcceptQuotation()).then()
    given(drafted, issued, accepted).when(DeclineQuotation()).then(declined)
    given(drafted, issued, declined).when(AcceptQuotation()).then(accepted)
    given(drafted, issued, at=replace(noon, today=issued.valid_until)).when(AcceptQuotation()).then(replace(accepted, accepted_on=issued.valid_until))
    given(drafted, issued, at=LATER).when(AcceptQuotation()).refused(QuotationExpired)
    given(drafted).when(AcceptQuotation()).refused(QuotationNotOpen)
    by_link = given(drafted, issued).looking(link=PublicDocument.replay([shared]))
    by_link.when(AnswerQuotation(accept=True, number=1)).then(replace(accepted, by="patient"))
    by_link.when(AnswerQuotation(accept=True, number=2)).refused(DocumentLinkOver)


def test_what_has_expired_is_reissued_and_what_stands_is_not() -> None:
    again = QuotationReissued(issued_on=LATER.today, valid_until=LATER.today + timedelta(30), **whose)
    given(drafted, issued, at=LATER).when(ReissueQuotation()).then(again)
    given(drafted, issued, again, at=LATER).when(ReissueQuotation()).refused(QuotationStillStands)
    given(drafted, issued).when(ReissueQuotation()).refused(QuotationStillStands)
    given(drafted, issued, declined).when(ReissueQuotation(valid_until=noon.today)).then(replace(again, issued_on=noon.today, valid_until=noon.today))
    given(drafted).when(ReissueQuotation()).refused(QuotationNotOpen)


def test_it_becomes_an_invoice_once() -> None:
    bill = InvoiceDrafted(**only(Charges, replace(CHARGES, notes="As agreed")))
    there = Elsewhere(state=Invoice, id=invoice_of(THIS), events=[bill])
    converting(drafted, issued).when(ConvertQuotation()).then(converted, there)
    agreed = converting(drafted, issued, accepted, at=LATER)  # what was agreed to in time stays agreed to
    agreed.when(ConvertQuotation()).then(replace(converted, converted_on=LATER.today), there)
    converting(drafted, issued, at=LATER).when(ConvertQuotation()).refused(QuotationExpired)
    converting(drafted, issued, declined).when(ConvertQuotation()).refused(QuotationDeclinedAlready)
    converting(drafted, issued, converted).when(ConvertQuotation()).refused(QuotationConvertedAlready)
    converting(drafted).when(ConvertQuotation()).refused(QuotationNotOpen)


def test_it_is_withdrawn_with_a_reason_unless_it_is_an_invoice() -> None:
    for history in ((drafted,), (drafted, issued), (drafted, issued, accepted)):
        given(*history).when(WithdrawQuotation()).then(withdrawn)
    given(drafted, withdrawn).when(WithdrawQuotation()).then()
    given(drafted, issued, converted).when(WithdrawQuotation()).refused(QuotationConvertedAlready)


def test_there_is_one_link_at_a_time() -> None:
    nobodys, one = PublicDocument(), PublicDocument.replay([shared])
    assert nobodys.share("quotations", THIS, 90, noon.now) == [shared]
    assert one.share("quotations", THIS, 30, noon.now) == []
    assert one.share("quotations", THIS, 91, noon.now) == [replace(shared, until=noon.now + timedelta(91))]
    (revoked,) = one.revoke()
    assert revoked == DocumentLinkRevoked(document="quotations", document_id=THIS, number=1)
    dead = one.evolve(revoked)
    assert dead.revoke() == []
    assert dead.share("quotations", THIS, 90, noon.now) == [replace(shared, number=2)]
    for gone, at in ((dead, noon.now), (one, shared.until), (nobodys, noon.now)):
        with pytest.raises(DocumentLinkOver):
            gone.ensure_open(1, at)
    viewed = DocumentViewed(document="quotations", document_id=THIS, number=1)
    assert one.view(1, noon.now) == [viewed]
    assert one.evolve(viewed).view(1, noon.now) == []
    with pytest.raises(LinkLifeImpossible):
        nobodys.share("quotations", THIS, 0, noon.now)


@pytest.mark.parametrize(("amount", "currency", "language", "said"), [
    (123_456, "EUR", "en", "1,234.56 EUR"), (1_234_567, "EUR", "es", "12.345,67 EUR"), (123_456, "JPY", "en", "123,456 JPY"),
    (1_234_567, "KWD", "es", "1.234,567 KWD"), (-50, "EUR", "en", "-0.50 EUR")])
def test_figures_have_the_digits_of_their_currency(amount: int, currency: str, language: str, said: str) -> None:
    assert in_figures(amount, currency, language) == said


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        made = await admin("POST", "/patients", {"givenName": "Ευαγγελία", "familyName": "Łącka-Nguyễn", "email": f"{uuid4().hex[:8]}@patient.example"})
        assert made.status_code == 201, made.text
        yield SimpleNamespace(web=web, clinic=clinic, admin=admin, patient=made.json()["id"], database=module_database, nats=nats)


async def drafting(desk: Any, **more: Any) -> str:
    lines = [{"description": "Crown", "unitPrice": 80_000, "taxRate": 2100}, {"description": "Check", "quantity": 3, "unitPrice": 3_333}]
    made = await desk.admin("POST", "/quotations", {"patientId": desk.patient, "lines": lines, "discount": {"percent": 1000}, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def asked(desk: Any, path: str, body: Any = None, method: str = "POST", status: int = 200) -> Any:
    answer = await desk.admin(method, path, body)
    assert answer.status_code == status, answer.text
    return answer


def public(link: str, rest: str = "") -> str:
    return f"/api/v1/public-documents/{link}{rest}"


@pytest.mark.asyncio(loop_scope="module")
async def test_many_at_once_are_numbered_without_a_gap(desk: Any) -> None:
    drafts = [await drafting(desk) for _ in range(12)]
    answers = await asyncio.gather(*(
        desk.admin("POST", f"/quotations/{one}/{'issue' if n % 2 else 'send'}", {}) for n, one in enumerate(drafts)))
    assert {answer.status_code for answer in answers} == {200}
    numbers = sorted(int(answer.json()["number"].partition("-")[2]) for answer in answers)
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    seen = await desk.admin.seen(max(answers, key=lambda answer: int(answer.headers["x-position"])))
    following = (await desk.admin("GET", "/quotations/next-number", headers=seen)).json()["number"]
    assert int(following.partition("-")[2]) == numbers[-1] + 1


@pytest.mark.asyncio(loop_scope="module")
async def test_one_quotation_becomes_an_invoice_by_one_of_twenty(desk: Any) -> None:
    this = await drafting(desk, notes="Two visits")
    await asked(desk, f"/quotations/{this}/issue", {})
    answers = await asyncio.gather(*(desk.admin("POST", f"/quotations/{this}/convert-to-invoice", {}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"QUOTATION_CONVERTED_ALREADY"}
    won = next(answer for answer in answers if answer.status_code == 200)
    seen = await desk.admin.seen(won)
    invoice = (await desk.admin("GET", f"/invoices/{won.json()['invoiceId']}", headers=seen)).json()
    quotation = (await desk.admin("GET", f"/quotations/{this}", headers=seen)).json()
    assert (invoice["status"], invoice["notes"], quotation["status"]) == ("draft", "Two visits", "converted")
    assert [invoice[name] for name in ("subtotal", "tax", "total", "lines")] == [quotation[name] for name in ("subtotal", "tax", "total", "lines")]
    listed = (await desk.admin("GET", f"/invoices?patientId={desk.patient}", headers=seen)).json()["items"]
    assert [one["id"] for one in listed] == [invoice["id"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_it_expires_by_the_calendar_alone_and_can_be_asked_for_by_that(desk: Any) -> None:
    this = await drafting(desk)
    seen = await desk.admin.seen(await asked(desk, f"/quotations/{this}/issue", {"validUntil": str(today_there())}))
    assert (await desk.admin("GET", f"/quotations/{this}", headers=seen)).json()["status"] == "sent"
    with psycopg.connect(desk.database.superuser_url, autocommit=True) as connection:  # a day goes by
        connection.execute("update quotations set valid_until = %s where id = %s", (today_there() - timedelta(1), this))
    assert (await desk.admin("GET", f"/quotations/{this}")).json()["status"] == "expired"
    listed = (await desk.admin("GET", "/quotations?status=expired")).json()["items"]
    assert [one["id"] for one in listed] == [this]
    assert this not in {one["id"] for one in (await desk.admin("GET", "/quotations?status=sent&limit=200")).json()["items"]}


@pytest.mark.asyncio(loop_scope="module")
async def test_the_patients_link_shows_prints_and_answers_until_it_is_taken_back(desk: Any) -> None:
    this = await drafting(desk)
    given_out = (await asked(desk, f"/quotations/{this}/share", status=201)).json()
    token, client = given_out["token"], desk.web.client
    assert (await asked(desk, f"/quotations/{this}/share?days=30", status=201)).json()["token"] == token
    answer = await client.get(public(token))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
    shown = answer.json()
    assert (shown["document"], shown["status"], shown["patientName"], shown["total"]) == ("quotations", "sent", "Ευαγγελία Łącka-Nguyễn", 96_119)
    assert (await client.post(public(token, "/accept"))).json()["status"] == "accepted"
    assert (await client.post(public(token, "/decline"), json={"reason": "Too dear"})).json()["status"] == "declined"
    assert (await client.post(public(token, "/accept"))).json()["status"] == "accepted"
    assert (await client.get(public(token, "/pdf"))).content[:5] == b"%PDF-"
    row = (await asked(desk, f"/quotations/{this}", method="GET")).json()
    assert (row["status"], row["answeredBy"]) == ("accepted", "patient")
    await asked(desk, f"/quotations/{this}/share", method="DELETE", status=204)
    for path, method in (("", "GET"), ("/pdf", "GET"), ("/accept", "POST")):
        failure(await client.request(method, public(token, path)), 410, "DOCUMENT_LINK_OVER")
    other = (await asked(desk, f"/quotations/{this}/share", status=201)).json()["token"]
    assert other != token
    for wrong in (token, other[:-2] + "AA", "x", "A" * 400, "%00", "é"):
        failure(await client.get(public(wrong)), 410, "DOCUMENT_LINK_OVER")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_issued_invoice_keeps_the_names_that_it_was_issued_with(desk: Any) -> None:
    lines = [{"description": "Crown", "unitPrice": 80_000, "taxRate": 2100}, {"description": "Reis für Ærø", "quantity": 3, "unitPrice": 3_333, "taxRate": 900}]
    made = await asked(desk, "/invoices", {"patientId": desk.patient, "lines": lines, "issue": True}, status=201)
    this, seen = made.json()["id"], await desk.admin.seen(made)
    first_ = await desk.admin("GET", f"/invoices/{this}/pdf", headers=seen)
    assert first_.headers["content-type"] == "application/pdf"
    words = PdfReader(io.BytesIO(first_.content)).pages[0].extract_text()
    for said in (made.json()["number"], "Grachten", "Ευαγγελία Łącka-Nguyễn", "Reis für Ærø", "800.00 EUR", "899.99 EUR", "Tax 21 %", "168.00 EUR", "Tax 9 %", "9.00 EUR", "1,076.99 EUR"):
        assert said in words, (said, words)
    renamed = await desk.admin("PUT", f"/patients/{desk.patient}", {"givenName": "Eva", "familyName": "Lacka", "email": "eva@patient.example"})
    assert renamed.status_code == 200, renamed.text
    seen = await desk.admin.seen(renamed)
    assert (await desk.admin("GET", f"/invoices/{this}/pdf", headers=seen)).content == first_.content
    spanish = PdfReader(io.BytesIO((await desk.admin("GET", f"/invoices/{this}/pdf?language=es", headers=seen)).content)).pages[0].extract_text()
    for said in ("Factura", "Descripción", "1.076,99 EUR", "Base imponible", "Vencimiento"):
        assert said in spanish, (said, spanish)
    fresh = await asked(desk, "/invoices", {"patientId": desk.patient, "lines": lines, "issue": True}, status=201)
    seen = await desk.admin.seen(fresh)
    later = await desk.admin("GET", f"/invoices/{fresh.json()['id']}/pdf", headers=seen)
    assert "Eva Lacka" in PdfReader(io.BytesIO(later.content)).pages[0].extract_text()
    link = (await asked(desk, f"/invoices/{this}/share", status=201)).json()["token"]
    assert (await desk.web.client.get(public(link, "/pdf"))).content == first_.content
    failure(await desk.web.client.post(public(link, "/accept")), 410, "DOCUMENT_LINK_OVER")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_invoice_and_a_quotation_go_out_by_letter_with_a_link_that_opens(desk: Any) -> None:
    made = await asked(desk, "/invoices", {"patientId": desk.patient, "lines": [{"description": "Crown", "unitPrice": 80_000}], "issue": True}, status=201)
    quotation = await drafting(desk)
    with MailServer() as mail:
        async with carrying(desk.database, mail, desk.nats):
            await asked(desk, f"/invoices/{made.json()['id']}/send", {"language": "en"})
            number = (await asked(desk, f"/quotations/{quotation}/send", {"language": "es"})).json()["number"]
            wanted = {f"Your invoice {made.json()['number']} from Grachten", f"Su presupuesto {number} de Grachten"}

            async def both() -> bool:
                return wanted <= {str(one["Subject"]) for one in mail.box.taken}

            await until(both)
    for one in (one for one in mail.box.taken if str(one["Subject"]) in wanted):
        link = next(line for line in text(one).splitlines() if "/public-documents/" in line)
        answer = await desk.web.client.get(link[link.index("/api/v1"):])
        assert answer.status_code == 200
        if number in str(one["Subject"]):
            assert answer.content[:5] == b"%PDF-"
        else:  # where it can be paid
            browser = await desk.web.client.get(link[link.index("/api/v1"):], headers={"accept": "text/html"})
            assert (answer.json()["number"], "<html" in browser.text) == (made.json()["number"], True)


@pytest.mark.asyncio(loop_scope="module")
async def test_another_clinic_sees_none_of_it_and_roles_do_what_is_theirs(desk: Any) -> None:
    this = await drafting(desk)
    stranger = await desk.web.person(await desk.web.clinic(), "admin")
    line = {"lines": [{"description": "x", "unitPrice": 1}]}
    for method, path, body in (
        ("GET", "", None), ("PUT", "", line), ("DELETE", "", None), ("POST", "/issue", {}), ("POST", "/send", {}), ("POST", "/share", None), ("DELETE", "/share", None),
        ("POST", "/accept", None), ("POST", "/decline", {}), ("POST", "/reissue", {}), ("POST", "/convert-to-invoice", {}), ("GET", "/pdf", None),
    ):
        failure(await stranger(method, f"/quotations/{this}{path}", body), 404, "NOT_FOUND")
    receptionist = await desk.web.person(desk.clinic, "receptionist")
    for method, path, body in (("PUT", "", line), ("DELETE", "", None), ("POST", "/share", None), ("POST", "/reissue", {})):
        failure(await receptionist(method, f"/quotations/{this}{path}", body), 403, "FORBIDDEN")
    failure(await desk.admin("POST", "/quotations", {"patientId": desk.patient, "lines": []}), 400, "BODY_INVALID")
    failure(await desk.admin("POST", "/quotations", {"patientId": str(uuid4()), **line}), 404, "NOT_FOUND")
    patient = await desk.web.person(desk.clinic, "patient", UUID(desk.patient))
    own = await patient("GET", f"/quotations/{this}", headers=await desk.admin.seen(await asked(desk, f"/quotations/{this}/issue", {})))
    assert own.status_code == 200
    other = await desk.web.person(desk.clinic, "patient", uuid4())
    failure(await other("GET", f"/quotations/{this}"), 404, "NOT_FOUND")
    failure(await other("GET", f"/quotations/{this}/pdf"), 404, "NOT_FOUND")
    assert PROTECTED in str(own.request.url)
