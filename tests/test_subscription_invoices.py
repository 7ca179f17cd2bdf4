"""The platform's invoices to clinics: sums that are exact, numbers without a gap, drafts that nobody wanted."""

import asyncio
import io
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from pypdf import PdfReader

from commands.subscription_invoices import (
    CreateSubscriptionInvoice,
    DiscardSubscriptionInvoice,
    IssueSubscriptionInvoice,
    MarkSubscriptionInvoicePaid,
    SendSubscriptionInvoice,
    VoidSubscriptionInvoice,
)
from domain.kit import PLATFORM, Elsewhere, NotFound
from domain.series import NumberAllotted, Series, series_of
from domain.subscription_invoices import (
    DIGITS,
    SERIES,
    BillTooLarge,
    ChargedItem,
    DayOutOfRange,
    InvoiceItem,
    ItemsMissing,
    PeriodBackwards,
    SubscriptionInvoiceDiscarded,
    SubscriptionInvoiceDrafted,
    SubscriptionInvoiceIssued,
    SubscriptionInvoiceNotDraft,
    SubscriptionInvoiceNotIssued,
    SubscriptionInvoicePaid,
    SubscriptionInvoiceVoided,
    charged,
    numbered,
)
from tests.kit import CLINIC, given, noon
from tests.served import failure, served, working

item = InvoiceItem(description="Pro+", quantity=3, unit_price=3_333, tax_rate=2100)
worked = ChargedItem(description="Pro+", quantity=3, unit_price=3_333, tax_rate=2100, net=9_999, tax=2_100, total=12_099)
drafted = SubscriptionInvoiceDrafted(currency="EUR", items=[worked], subtotal=9_999, tax=2_100, total=12_099, drafted_on=noon.today)
NUMBER = numbered(CLINIC, 2026, 1)
issued = SubscriptionInvoiceIssued(number=NUMBER, issued_on=noon.today, due_on=date(2026, 1, 19), total=12_099, currency="EUR")
paid = SubscriptionInvoicePaid(amount=12_099, currency="EUR", method="transfer", paid_on=noon.today)
first = Elsewhere(state=Series, id=series_of(CLINIC, SERIES, 2026), events=[NumberAllotted(series=SERIES, year=2026, number=1)])


def wanted(**more: Any) -> CreateSubscriptionInvoice:
    return CreateSubscriptionInvoice(clinic_id=CLINIC, currency="EUR", items=[item], **more)


def numbering(*events: Any) -> Any:
    return given(*events).looking(series=Series())


def test_a_draft_has_its_tax_rounded_once_and_no_number():
    numbering().when(wanted()).then(drafted)


def test_issuing_takes_the_next_number_or_nothing():
    numbering().when(wanted(issue=True)).then(drafted, issued, first)
    numbering(drafted).when(IssueSubscriptionInvoice()).then(issued, first)
    numbering(drafted, issued).when(IssueSubscriptionInvoice()).refused(SubscriptionInvoiceNotDraft)
    numbering(drafted).when(IssueSubscriptionInvoice(issued_on=date(2026, 1, 6))).refused(DayOutOfRange)
    numbering(drafted).when(IssueSubscriptionInvoice(due_on=date(2026, 1, 4))).refused(DayOutOfRange)


def test_sending_issues_a_draft_first_and_a_paid_one_goes_out_as_a_receipt():
    *before, sent = numbering(drafted).when(SendSubscriptionInvoice()).decide()
    assert before == [issued, first]
    numbering(drafted, issued, paid).when(SendSubscriptionInvoice()).then(replace(sent, paid=True))
    numbering(drafted, issued, SubscriptionInvoiceVoided(reason="x", voided_on=noon.today)).when(SendSubscriptionInvoice()).refused(SubscriptionInvoiceNotIssued)


def test_it_is_paid_or_voided_once():
    given(drafted, issued).when(MarkSubscriptionInvoicePaid()).then(paid)
    given(drafted, issued, paid).when(MarkSubscriptionInvoicePaid()).refused(SubscriptionInvoiceNotIssued)
    given(drafted).when(MarkSubscriptionInvoicePaid()).refused(SubscriptionInvoiceNotIssued)
    given(drafted, issued).when(MarkSubscriptionInvoicePaid(paid_on=date(2026, 1, 4))).refused(DayOutOfRange)
    given(drafted, issued).when(VoidSubscriptionInvoice(reason="Twice")).then(SubscriptionInvoiceVoided(reason="Twice", voided_on=noon.today))
    given(drafted, issued, paid).when(VoidSubscriptionInvoice(reason="Twice")).refused(SubscriptionInvoiceNotIssued)


def test_a_draft_can_be_discarded_and_is_then_not_there():
    given(drafted).when(DiscardSubscriptionInvoice()).then(SubscriptionInvoiceDiscarded())
    given(drafted, issued).when(DiscardSubscriptionInvoice()).refused(SubscriptionInvoiceNotDraft)
    given(drafted, SubscriptionInvoiceDiscarded()).when(DiscardSubscriptionInvoice()).refused(NotFound)


@pytest.mark.parametrize(("items", "period", "why"), [
    ([], (None, None), ItemsMissing), ([item], (noon.today, None), PeriodBackwards), ([item], (noon.today, noon.today - timedelta(1)), PeriodBackwards),
    ([InvoiceItem(description="x", quantity=10_000, unit_price=10**11)], (None, None), BillTooLarge),
])
def test_a_bill_that_cannot_be(items, period, why):
    with pytest.raises(why):
        charged("EUR", items, period=period, notes=None)


def test_a_number_begins_with_the_clinics_own_part():
    own, year, number = NUMBER.split("-")
    assert (len(own), year, number) == (DIGITS, "2026", "0001")
    assert numbered(PLATFORM, 2026, 1).partition("-")[0] != own


@pytest.fixture
async def desk(database: Any, nats_server: Any) -> Any:
    async with served(database, nats_server, seller="Anamnesis BV\nAmsterdam") as web, working(database, nats_server):
        clinic = await web.clinic()
        yield SimpleNamespace(web=web, clinic=clinic, admin=await web.person(clinic, "admin"), root=await web.person(PLATFORM, "superadmin"))


def bill(clinic: Any, **more: Any) -> dict[str, Any]:
    return {"clinicId": str(clinic), "currency": "EUR", "items": [{"description": "Pro+", "unitPrice": 19_900, "taxRate": 2100}], **more}


async def test_many_invoices_at_once_are_numbered_without_a_gap(desk: Any) -> None:
    """Some are issued as they are made, some are drafts that are then sent, all at the same time."""
    drafts = await asyncio.gather(*(desk.root("POST", "/billing/invoices", bill(desk.clinic)) for _ in range(10)))
    answers = await asyncio.gather(
        *(desk.root("POST", "/billing/invoices", bill(desk.clinic, issue=True)) for _ in range(15)),
        *(desk.root("POST", f"/billing/invoices/{draft.json()['id']}/send") for draft in drafts),
    )
    assert {answer.status_code for answer in answers} == {200, 201}
    numbers = sorted(answer.json()["number"] for answer in answers)
    year = datetime.now(UTC).year
    assert numbers == [numbered(desk.clinic, year, n) for n in range(1, 26)]
    seen = await desk.admin.seen(max(answers, key=lambda answer: int(answer.headers["x-position"])))
    assert (await desk.admin("GET", "/billing/invoices/next-number", headers=seen)).json()["number"] == numbered(desk.clinic, year, 26)


async def test_one_invoice_is_paid_by_one_of_twenty(desk: Any) -> None:
    invoice = (await desk.root("POST", "/billing/invoices", bill(desk.clinic, issue=True))).json()["id"]
    answers = await asyncio.gather(*(desk.root("POST", f"/billing/invoices/{invoice}/mark-paid", {}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"SUBSCRIPTION_INVOICE_NOT_ISSUED"}


async def test_a_clinic_sees_its_own_invoices_and_the_platform_all(desk: Any) -> None:
    other = await desk.web.clinic()
    mine = (await desk.root("POST", "/billing/invoices", bill(desk.clinic, issue=True))).json()["id"]
    made = await desk.root("POST", "/billing/invoices", bill(other, issue=True))
    theirs, seen = made.json()["id"], await desk.root.seen(made)
    listed = (await desk.admin("GET", "/billing/invoices", headers=seen)).json()["items"]
    assert [row["id"] for row in listed] == [mine]
    assert {row["id"] for row in (await desk.root("GET", "/billing/invoices", headers=seen)).json()["items"]} == {mine, theirs}
    assert [row["id"] for row in (await desk.root("GET", f"/billing/invoices?clinic={other}", headers=seen)).json()["items"]] == [theirs]
    for method, path, body in (
        ("GET", f"/billing/invoices/{theirs}", None), ("GET", f"/billing/invoices/{theirs}/pdf", None), ("POST", f"/billing/invoices/{theirs}/portal", {}),
    ):
        failure(await desk.admin(method, path, body, headers=seen), 404, "NOT_FOUND")
    failure(await desk.admin("GET", f"/billing/invoices?clinic={other}"), 404, "NOT_FOUND")


async def test_only_the_platform_writes_its_books(desk: Any) -> None:
    made = await desk.root("POST", "/billing/invoices", bill(desk.clinic))
    invoice, seen = made.json()["id"], await desk.root.seen(made)
    for role in ("admin", "doctor", "receptionist", "patient"):
        person = await desk.web.person(desk.clinic, role)
        for method, path, body in (
            ("POST", "", bill(desk.clinic)), ("POST", f"/{invoice}/issue", {}), ("POST", f"/{invoice}/send", None), ("POST", f"/{invoice}/mark-paid", {}),
            ("POST", f"/{invoice}/void", {"reason": "x"}), ("DELETE", f"/{invoice}", None),
        ):
            failure(await person(method, f"/billing/invoices{path}", body), 403, "FORBIDDEN")
        if role == "patient":
            failure(await person("GET", "/billing/invoices", headers=seen), 403, "FORBIDDEN")
    failure(await desk.root("POST", "/billing/invoices", bill(PLATFORM)), 404, "NOT_FOUND")
    failure(await desk.root("POST", "/billing/invoices", {**bill(desk.clinic), "items": []}), 400, "BODY_INVALID")


async def test_the_paper_says_what_the_invoice_says_and_is_the_same_each_time(desk: Any) -> None:
    made = await desk.root("POST", "/billing/invoices", bill(desk.clinic, issue=True, notes="With thanks", periodFrom="2026-01-01", periodTo="2026-01-31"))
    seen = await desk.root.seen(made)
    first_, second = [await desk.admin("GET", f"/billing/invoices/{made.json()['id']}/pdf", headers=seen) for _ in range(2)]
    assert first_.headers["content-type"] == "application/pdf"
    assert first_.content == second.content
    words = PdfReader(io.BytesIO(first_.content)).pages[0].extract_text()
    for said in (made.json()["number"], "Anamnesis BV", "Grachten", "199.00 EUR", "240.79 EUR", "21 %", "1 January 2026 to 31 January 2026", "With thanks"):
        assert said in words


async def test_a_clean_up_discards_exactly_what_its_report_says(desk: Any, database: Any) -> None:
    other = await desk.web.clinic()
    drafts = [(await desk.root("POST", "/billing/invoices", bill(clinic))).json()["id"] for clinic in (desk.clinic, desk.clinic, other)]
    last = await desk.root("POST", "/billing/invoices", bill(desk.clinic, issue=True))
    seen = await desk.root.seen(last)
    assert (await desk.root("GET", "/admin/cleanup/invoices/report", headers=seen)).json()["drafts"] == 0  # they are of today
    aged(database, drafts, 31)
    report = (await desk.root("GET", "/admin/cleanup/invoices/report")).json()
    assert (report["drafts"], {(one["clinic"], one["drafts"]) for one in report["clinics"]}) == (3, {(str(desk.clinic), 2), (str(other), 1)})
    issued = await desk.root("POST", f"/billing/invoices/{drafts[0]}/issue", {})  # somebody wants it after all
    await desk.root("GET", "/admin/cleanup/invoices/report", headers=await desk.root.seen(issued))
    aged(database, drafts[:1], 31, status="draft")  # and the read model has not heard of it
    done = await desk.root("POST", "/admin/cleanup/invoices", {})
    assert done.json() == {"found": 3, "discarded": 2, "skipped": 1}
    failure(await desk.admin("GET", "/admin/cleanup/invoices/report"), 403, "FORBIDDEN")
    failure(await desk.root("POST", f"/billing/invoices/{drafts[1]}/issue", {}), 404, "NOT_FOUND")


def aged(database: Any, drafts: list[str], days: int, status: str | None = None) -> None:
    """Make rows as old as they would be; `status` what they would say to somebody who has not heard the latest."""
    on = datetime.now(UTC).date() - timedelta(days=days)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("update subscription_invoices set drafted_on = %s, status = coalesce(%s, status) where id = any(%s::uuid[])", (on, status, drafts))
