"""What may be asked of a subscription invoice, in the order of its life."""

from datetime import date
from typing import Annotated, Any

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.kit import At, ClinicId, Elsewhere, Event, Note, Reason
from domain.kit.prices import CurrencyCode
from domain.series import Series, series_of
from domain.subscription_invoices import (
    SERIES,
    InvoiceItem,
    Reference,
    Settlement,
    SubscriptionInvoice,
    SubscriptionInvoiceIssued,
    charged,
    numbered,
)

InvoiceItems = Annotated[list[InvoiceItem], Meta(min_length=1, max_length=100)]


class CreateSubscriptionInvoice(Creation):
    """Bill a clinic for its software: a draft, or with `issue` an invoice at once."""

    state = SubscriptionInvoice
    permission = "superadmin"
    clinic_id: ClinicId
    currency: CurrencyCode
    items: InvoiceItems
    period_from: date | None = None
    period_to: date | None = None
    notes: Note | None = None
    issue: bool = False
    issued_on: date | None = None
    due_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"series": await series_for(self.issued_on, look) if self.issue else Series()}

    def decide(self, invoice: SubscriptionInvoice, at: At, *, series: Series) -> Decision:
        bill = charged(self.currency, self.items, period=(self.period_from, self.period_to), notes=self.notes)
        drafted = invoice.draft(bill, at.today)
        if not self.issue:
            return [drafted]
        return [drafted, *issued(invoice.evolve(drafted), at, series, self.issued_on, self.due_on)]


class IssueSubscriptionInvoice(Command):
    """Issue a draft under the next number of its clinic."""

    state = SubscriptionInvoice
    permission = "superadmin"
    issued_on: date | None = None
    due_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"series": await series_for(self.issued_on, look)}

    def decide(self, invoice: SubscriptionInvoice, at: At, *, series: Series) -> Decision:
        return [*issued(invoice, at, series, self.issued_on, self.due_on)]


class SendSubscriptionInvoice(Command):
    """Mail an invoice to the clinic; a draft is issued first, and one that is paid goes out as a receipt."""

    state = SubscriptionInvoice
    permission = "superadmin"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"series": await series_for(None, look)}

    def decide(self, invoice: SubscriptionInvoice, at: At, *, series: Series) -> Decision:
        if invoice.stage != "draft":
            return [*invoice.send(at.today)]
        first, *rest = issued(invoice, at, series, None, None)
        return [first, *rest, *invoice.evolve(first).send(at.today)]


class MarkSubscriptionInvoicePaid(Command):
    """Note that an invoice has been paid in full."""

    state = SubscriptionInvoice
    permission = "superadmin"
    method: Settlement = "transfer"
    reference: Reference | None = None
    paid_on: date | None = None

    def decide(self, invoice: SubscriptionInvoice, at: At) -> list[Event]:
        return invoice.settle(self.method, self.reference, self.paid_on or at.today, at.today)


class VoidSubscriptionInvoice(Command):
    """Cancel an invoice that is not paid; its number stays in the books."""

    state = SubscriptionInvoice
    permission = "superadmin"
    reason: Reason

    def decide(self, invoice: SubscriptionInvoice, at: At) -> list[Event]:
        return invoice.void(self.reason, at.today)


class DiscardSubscriptionInvoice(Command):
    """Discard a draft."""

    state = SubscriptionInvoice
    permission = "superadmin"

    def decide(self, invoice: SubscriptionInvoice, at: At) -> list[Event]:
        return invoice.discard()


async def series_for(issued_on: date | None, look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, SERIES, (issued_on or look.at.today).year))


def issued(
    invoice: SubscriptionInvoice, at: At, series: Series, issued_on: date | None, due_on: date | None,
) -> tuple[SubscriptionInvoiceIssued, Elsewhere]:
    """Return the issue of an invoice and, saved with it or not at all, the allotment of its number."""
    on = issued_on or at.today
    allotted = series.allot(SERIES, on.year)
    issue = invoice.issue(numbered(at.clinic, on.year, allotted.number), on, due_on, at.today)
    return issue, Elsewhere(state=Series, id=series_of(at.clinic, SERIES, on.year), events=[allotted])
