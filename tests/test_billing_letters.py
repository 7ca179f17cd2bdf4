"""What a clinic is told by letter about its bills, its requests and its commission: at its own address, through a real mail server."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from commands.clinics import OpenClinic
from commands.referral_payouts import DecideReferralPayout, ReferClinic, RequestReferralPayout, SendReferralPayoutForm
from commands.subscription_invoices import CreateSubscriptionInvoice, MarkSubscriptionInvoicePaid, SendSubscriptionInvoice
from commands.subscriptions import HearStripe
from commands.upgrades import DecideUpgradeRequest, RequestUpgrade
from domain.subscription_invoices import InvoiceItem, numbered
from domain.subscriptions import Charge, Told
from tests.clinic import Town, handling, who
from tests.mail import MailServer, Outbox, carrying, text
from tests.served import until

NOW = datetime.now(UTC)
owing = Told(
    code="sub_1", standing="past_due", began_at=NOW, period_ends_at=NOW, plan="Pro+", price=19_900, currency="EUR", interval="month")
failed = Charge(bill="in_1", amount=19_900, currency="EUR", charged_at=NOW, paid=False)


async def test_a_clinic_is_told_what_it_owes_and_what_was_decided(database: Any) -> None:
    outbox = Outbox(database)
    with MailServer() as server:
        async with handling(database) as handler, carrying(database, server):
            town = Town(handler, uuid4(), NOW)
            root = who(town.id, "superadmin")
            opening = OpenClinic(name="Grachten", zone="UTC", currency="EUR", email="office@grachten.example")
            await handler.handle(opening, root, id=town.id)
            invoice = (await town(CreateSubscriptionInvoice(clinic_id=town.id, currency="EUR", items=[InvoiceItem(description="Pro", unit_price=9_900)]), who=root)).id
            await town(SendSubscriptionInvoice(), invoice, who=root)
            await town(MarkSubscriptionInvoicePaid(), invoice, who=root)
            await town(SendSubscriptionInvoice(), invoice, who=root)
            await town(HearStripe(told=owing, asked_at=NOW, charge=failed), who=root)
            for decision, reason in (("approved", None), ("rejected", "Let us talk first")):
                request = (await town(RequestUpgrade(plan="Pro+"))).id
                await town(DecideUpgradeRequest(decision=decision, reason=reason), request, who=root)
                referral = (await town(ReferClinic(clinic_name="Dental"))).id
                payout = (await town(RequestReferralPayout(referrals=[referral], amount=25_000))).id
                await town(SendReferralPayoutForm(), payout, who=root)
                await town(DecideReferralPayout(decision=decision, reason=reason), payout, who=root)
            await until(lambda: all_sent(outbox, 9), 20)
    letters = {message["Subject"]: text(message) for message in server.box.taken}
    number = numbered(town.id, NOW.year, 1)
    assert {message["To"] for message in server.box.taken} == {"Grachten <office@grachten.example>"}
    wanted = {
        f"Invoice {number}": "99.00 EUR", f"Receipt for invoice {number}": "is paid", "Your payment did not go through": "199.00 EUR",
        "Your upgrade is approved": "plan Pro+", "Your request for an upgrade": "Let us talk first", "Your referral commission is approved": "250.00 EUR",
    }
    assert all(words in letters[subject] for subject, words in wanted.items())
    commission = [text(message) for message in server.box.taken if message["Subject"] == "Your referral commission"]
    assert sorted("IBAN" in words for words in commission) == [False, True, True]


async def all_sent(outbox: Outbox, count: int) -> bool:
    return outbox.states() == ["sent"] * count
