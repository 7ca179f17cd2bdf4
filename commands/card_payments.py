"""What may be asked of a card payment, and what the payment service tells us about it."""

from typing import Any
from uuid import UUID

from commands.invoices import credits_of
from commands.kit import Command, Creation, Decision, Look
from domain.appointments import Appointment
from domain.card_payments import Asked, CardPayment, CheckoutCode, Paid, RefundCode, What, WhyNot, card_payment_of
from domain.credits import Credit, credit_of, taken_from, there
from domain.invoices import Invoice
from domain.kit import At, Elsewhere, Event, Positive, Reason


class OpenCheckout(Creation, Asked):
    """Send whoever has the link to an invoice to the payment service's page."""

    state = CardPayment
    permission = "public"

    def stream(self, at: At) -> UUID:
        return card_payment_of(self.of, self.checkout)

    def decide(self, payment: CardPayment, at: At) -> list[Event]:
        return payment.open(self)


class LapseCheckout(Command):
    """Note that nobody paid on a page while it was open."""

    state = CardPayment
    permission = "house"

    def decide(self, payment: CardPayment, at: At) -> list[Event]:
        return payment.lapse()


class ReceiveCardPayment(Creation, What):
    """Record what was paid on a page: on the invoice, as far as it can take it; what is beyond that, or a deposit, is the patient's credit."""

    state = CardPayment
    permission = "house"
    checkout: CheckoutCode
    paid: Paid

    def stream(self, at: At) -> UUID:
        return card_payment_of(self.of, self.checkout)

    async def gather(self, look: Look) -> dict[str, Any]:
        invoice = await look.require(Invoice, self.invoice_id) if self.invoice_id else Invoice()
        visit = await look.require(Appointment, self.of) if self.invoice_id is None else Appointment()
        whose = invoice.patient_id if self.invoice_id else visit.arranged.patient_id if visit.arranged else None
        return {"invoice": invoice, "whose": whose, "credit": await look.load(Credit, credit_of(whose)) if whose else Credit()}

    def decide(self, payment: CardPayment, at: At, *, invoice: Invoice, whose: UUID | None, credit: Credit) -> Decision:
        paid, day = self.paid, min(max(self.paid.received_on, invoice.issued_on), at.today)  # clocks differ by a moment, and midnight is one
        found: Decision = []
        for one in payment.receive(self.stream(at), self, self.checkout, paid, invoice.room(paid.currency), self.otherwise(at, invoice, whose, credit)):
            found.append(one)
            if one.payment_id is not None and self.invoice_id is not None:
                found.append(Elsewhere(state=Invoice, id=self.invoice_id, events=invoice.pay(one.payment_id, one.applied, "card", day, at.today)))
            if one.credited and whose is not None:
                why = f"{invoice.number}: paid by card beyond what was due" if self.invoice_id else None
                events = credit.receive(credit_of(whose), whose, one.credited, paid.currency, "card", day, at.today, why, self.appointment_id)
                found.append(Elsewhere(state=Credit, id=credit_of(whose), events=events))
        return found

    def otherwise(self, at: At, invoice: Invoice, whose: UUID | None, credit: Credit) -> WhyNot | None:
        """Return why the invoice would not take all of it, or nobody's credit."""
        currency = self.paid.currency
        if whose is None:
            return "visit-gone"
        if currency != (invoice.currency or at.currency) or (credit.balance and credit.currency != currency):
            return "currency-differs"
        if self.invoice_id is None:
            return None
        return "paid-otherwise" if invoice.stage == "issued" else "invoice-void"


class NoteCardReturn(Command):
    """Note what the payment service gave back of a card payment: on the invoice as well, and on the patient's credit."""

    state = CardPayment
    permission = "billing.payments.refund"
    refund: RefundCode
    amount: Positive
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        what = (await look.require(CardPayment, look.at.id)).what
        invoice = await look.load(Invoice, what.invoice_id) if what.invoice_id else Invoice()
        visit = await look.load(Appointment, what.appointment_id) if what.appointment_id else Appointment()
        whose = invoice.patient_id if what.invoice_id else visit.arranged.patient_id if visit.arranged else None
        return {"invoice": invoice, "whose": whose, "credits": await credits_of(whose, look) if whose else {}}

    def decide(self, payment: CardPayment, at: At, *, invoice: Invoice, whose: UUID | None, credits: dict[UUID, Credit]) -> Decision:  # noqa: A002 - it is what they are
        of, paid, back = payment.what.invoice_id, payment.payment_id, invoice.next_refund(payment.what.of)
        left = there(credits, whose, payment.currency) if whose else 0
        found: Decision = []
        for one in payment.give_back(self.refund, self.amount, self.reason, credit=left, left=invoice.left_of(paid), refund_id=back):
            found.append(one)
            for id_, part in (taken_from(credits, whose, one.credited, payment.currency) if one.credited and whose else {}).items():
                given = credits[id_].give_back(id_, part, method="card", reason=self.reason, on=at.today, today=at.today)
                found.append(Elsewhere(state=Credit, id=id_, events=[given]))
            if one.taken and paid is not None and of is not None:
                events = invoice.refund(back, paid, one.taken, reason=self.reason, method="card", on=at.today, today=at.today)
                found.append(Elsewhere(state=Invoice, id=of, events=events))
        return found
