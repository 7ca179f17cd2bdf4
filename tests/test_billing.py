"""All that clinics pay, in one row each, and a log of what happened to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.clinics import ClinicChanged, ClinicDeactivated, ClinicLicensed, ClinicOpened
from domain.kit import PLATFORM
from domain.subscription_invoices import SubscriptionInvoiceIssued, SubscriptionInvoicePaid, SubscriptionInvoiceVoided
from domain.subscriptions import SubscriptionPaymentFailed
from projections.billing import billing_log, clinic_billing
from schemas.billing import ClinicBillingRow, Owed
from tests.kit import CLINIC, facts, noon
from tests.served import failure, served, working

opened = ClinicOpened(name="Grachten", zone="UTC", currency="EUR", plan="Pro")


def issued(amount: int, currency: str = "EUR") -> SubscriptionInvoiceIssued:
    return SubscriptionInvoiceIssued(number="1", issued_on=noon.today, due_on=noon.today, total=amount, currency=currency)


def folded(*events: Any, ids: Any = None) -> ClinicBillingRow:
    row = None
    for n, event in enumerate(events):
        (fact,) = facts(event, **({"id": ids[n]} if ids else {}))
        row = clinic_billing(row, fact, (CLINIC,))
    assert row is not None
    return row


def test_a_clinics_row_has_licence_subscription_and_what_it_owes():
    failed = SubscriptionPaymentFailed(code="sub_1", bill="in_1", amount=1, currency="EUR", failed_at=noon.now, attempt=1)
    row = folded(opened, ClinicChanged(name="Kanal"), ClinicLicensed(plan="Pro+", users=5, trial=True), failed, ClinicDeactivated(reason="x"))
    assert (row.name, row.plan, row.users, row.trial, row.payment_failed_at, row.active) == ("Kanal", "Pro+", 5, True, noon.now, False)


def test_what_is_owed_is_told_by_currency_until_it_is_paid_or_voided():
    from uuid import UUID  # noqa: PLC0415

    one, two, three = (UUID(int=n) for n in (1, 2, 3))
    bills = [(issued(100), one), (issued(50), two), (issued(7, "USD"), three)]
    owing = folded(*(event for event, _ in bills), ids=[id_ for _, id_ in bills])
    assert owing.owed == [Owed(currency="EUR", amount=150), Owed(currency="USD", amount=7)]
    paid = SubscriptionInvoicePaid(amount=100, currency="EUR", method="card", paid_on=noon.today)
    void = SubscriptionInvoiceVoided(reason="x", voided_on=noon.today)
    left = folded(*(event for event, _ in bills), paid, void, ids=[*(id_ for _, id_ in bills), one, three])
    assert left.owed == [Owed(currency="EUR", amount=50)]


def test_the_log_has_a_line_for_each_event_with_its_money():
    (fact,) = facts(issued(100), first=5)
    line = billing_log(None, fact, (5,))
    assert (line.seq, line.clinic, line.action, line.amount, line.currency) == (5, CLINIC, "SubscriptionInvoiceIssued", 100, "EUR")


async def test_the_platform_sees_all_clinics_page_by_page_and_a_clinic_its_own_overview(database: Any, nats_server: Any) -> None:
    async with served(database, nats_server) as web, working(database, nats_server):
        root = await web.person(PLATFORM, "superadmin")
        clinics = [await web.clinic("Pro") for _ in range(3)]
        items = [{"description": "Pro", "unitPrice": 9_900}]
        for clinic in clinics:
            answer = await root("POST", "/billing/invoices", {"clinicId": str(clinic), "currency": "EUR", "items": items, "issue": True})
        seen, found = await root.seen(answer), []
        page = (await root("GET", "/billing/clinics?limit=2", headers=seen)).json()
        found += [row["clinic"] for row in page["items"]]
        found += [row["clinic"] for row in (await root("GET", f"/billing/clinics?limit=2&cursor={page['next']}", headers=seen)).json()["items"]]
        assert sorted(found) == sorted(map(str, clinics))
        (line,) = (await root("GET", f"/admin/billing/logs?clinic={clinics[0]}&action=SubscriptionInvoiceIssued", headers=seen)).json()["items"]
        assert (line["amount"], line["currency"], line["actor"]) == (9_900, "EUR", str(root.id))
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert (await root("GET", f"/admin/billing/logs?recordedAtFrom={tomorrow}", headers=seen)).json()["items"] == []
        admin = await web.person(clinics[0], "admin")
        overview = (await admin("GET", "/billing/overview", headers=seen)).json()
        assert (overview["plan"], overview["status"], overview["owed"], overview["users"]) == (
            "Pro", "none", [{"currency": "EUR", "amount": 9_900}], {"used": 0, "limit": None})
        assert (await root("GET", f"/billing/overview?clinicId={clinics[1]}", headers=seen)).json()["plan"] == "Pro"
        failure(await root("GET", "/billing/overview"), 400, "CLINIC_UNNAMED")
        failure(await admin("GET", f"/billing/overview?clinicId={clinics[1]}"), 404, "NOT_FOUND")
        failure(await admin("GET", "/billing/clinics"), 403, "FORBIDDEN")
        failure(await admin("GET", "/admin/billing/logs"), 403, "FORBIDDEN")
        failure(await (await web.person(clinics[0], "patient"))("GET", "/billing/overview"), 403, "FORBIDDEN")
