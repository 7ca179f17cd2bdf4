"""What may be asked of a card payment, and what the payment service tells us about it."""

from typing import Any
from uuid import UUID

from commands.kit import Command, Creation, Decision, Look
from domain.card_payments import (
    Asked,
    CardPayment,
    CheckoutCode,
    OtherPatientsInvoice,
    Paid,
    RefundCode,
    WhyKept,
    card_payment_of,
)
from domain.invoices import Invoice
from domain.kit import At, Elsewhere, Event, InvoiceId, Positive, Reason


class OpenCheckout(Creation, Asked):
    """Send whoever has the link to an invoice to the payment service's page."""

    state = CardPayment
    permission = "public"

    def stream(self, at: At) -> UUID:
        return card_payment_of(self.invoice_id, self.checkout)

    def decide(self, payment: CardPayment, at: At) -> list[Event]:
        return payment.open(self)


class LapseCheckout(Command):
    """Note that nobody paid on a page while it was open."""

    state = CardPayment
    permission = "house"

    def decide(self, payment: CardPayment, at: At) -> list[Event]:
        return payment.lapse()


class ReceiveCardPayment(Creation):
    """Record what was paid on a page: on the invoice, as far as it can take it."""

    state = CardPayment
    permission = "house"
    invoice_id: InvoiceId
    checkout: CheckoutCode
    paid: Paid

    def stream(self, at: At) -> UUID:
        return card_payment_of(self.invoice_id, self.checkout)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"invoice": await look.require(Invoice, self.invoice_id)}

    def decide(self, payment: CardPayment, at: At, *, invoice: Invoice) -> Decision:
        room, otherwise = invoice.room(self.paid.currency), why_kept(invoice.stage, invoice.currency, self.paid.currency)
        received = payment.receive(self.stream(at), self.invoice_id, self.checkout, self.paid, room, otherwise)
        day = min(max(self.paid.received_on, invoice.issued_on), at.today)  # clocks differ by a moment, and midnight is one
        parts = [invoice.pay(one.payment_id, one.applied, "card", day, at.today) for one in received if one.payment_id]
        return [*received, *on(self.invoice_id, parts)]


class ApplyCardPayment(Command):
    """Put what is left over of a card payment to another invoice of the same patient: all that it can take, or so much."""

    state = CardPayment
    permission = "billing.payments.record"
    invoice_id: InvoiceId
    amount: Positive | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"invoice": await look.require(Invoice, self.invoice_id), **await first_of(look)}

    def decide(self, payment: CardPayment, at: At, *, invoice: Invoice, first: Invoice) -> Decision:
        if invoice.patient_id != first.patient_id:
            raise OtherPatientsInvoice
        applied = payment.apply(at.id, self.invoice_id, self.amount, invoice.currency, invoice.payable(None))
        return [applied, *on(self.invoice_id, [invoice.pay(applied.payment_id, applied.amount, "card", at.today, at.today)])]


class NoteCardReturn(Command):
    """Note what the payment service gave back of a card payment, on the invoice as well."""

    state = CardPayment
    permission = "billing.payments.refund"
    refund: RefundCode
    amount: Positive
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        return await first_of(look)

    def decide(self, payment: CardPayment, at: At, *, first: Invoice) -> Decision:
        if (invoice := payment.invoice_id) is None or (paid := payment.payment_id) is None:
            return [*payment.give_back(self.refund, self.amount, self.reason, left=0, refund_id=at.id)]
        back = first.next_refund(invoice)
        given = payment.give_back(self.refund, self.amount, self.reason, left=first.left_of(paid), refund_id=back)
        parts = [first.refund(back, paid, one.taken, reason=self.reason, method="card", on=at.today, today=at.today) for one in given if one.taken]
        return [*given, *on(invoice, parts)]


async def first_of(look: Look) -> dict[str, Any]:
    """Return the invoice for which a card payment was made."""
    invoice = (await look.require(CardPayment, look.at.id)).invoice_id
    return {"first": await look.load(Invoice, invoice) if invoice else Invoice()}


def why_kept(stage: str, currency: str, paid: str) -> WhyKept:
    """Return why an invoice cannot take all that was paid."""
    if stage != "issued":
        return "invoice-void"
    return "paid-otherwise" if currency == paid else "currency-differs"


def on(invoice: UUID, parts: list[list[Event]]) -> list[Elsewhere]:
    """Return what becomes of an invoice, to be saved with the rest or not at all."""
    return [Elsewhere(state=Invoice, id=invoice, events=events) for events in parts]
