"""The letter with which an invoice of the platform goes to a clinic."""

from domain.kit import Fact
from domain.kit.money import in_words
from domain.subscription_invoices import INVOICE, RECEIPT, SubscriptionInvoiceSent
from workers.kit.policies import Letter, To, answers


@answers
def when_SubscriptionInvoiceSent(fact: Fact, event: SubscriptionInvoiceSent) -> Letter:
    values = {"number": event.number or "", "total": in_words(event.total, event.currency or "EUR"), "due": str(event.due_on or "")}
    return Letter(RECEIPT if event.paid else INVOICE, To("clinics", fact.clinic), values)
