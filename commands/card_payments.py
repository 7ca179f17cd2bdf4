"""What may be asked of a card payment, and what the payment service tells us about it."""

from typing import Any
from uuid import UUID

from commands.invoices import credits_of
from commands.kit import Command, Creation, Decision, Look
from domain.card_payments import Asked, CardPayment, CheckoutCode, Paid, RefundCode, WhyNot, card_payment_of
from domain.credits import Credit, credit_of, taken_from, there
from domain.invoices import Invoice
from domain.kit import At, Elsewhere, Event, InvoiceId, NotFound, Positive, Reason


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
        invoice = await look.require(Invoice, self.invoice_id)
        return {"invoice": invoice, "credit": await look.load(Credit, credit_of(invoice.patient_id))}

    def decide(self, payment: CardPayment, at: At, *, invoice: Invoice, credit: Credit) -> Decision:
        paid, day = self.paid, min(max(self.paid.received_on, invoice.issued_on), at.today)  # clocks differ by a moment, and midnight is one
        fits = invoice.currency == paid.currency and (not credit.balance or credit.currency == paid.currency)
        otherwise: WhyNot = "currency-differs" if not fits else "paid-otherwise" if invoice.stage == "issued" else "invoice-void"
        found: Decision = []
        for one in payment.receive(self.stream(at), self.invoice_id, self.checkout, paid, invoice.room(paid.currency), otherwise):
            found.append(one)
            if one.payment_id is not None:
                found.append(Elsewhere(state=Invoice, id=self.invoice_id, events=invoice.pay(one.payment_id, one.applied, "card", day, at.today)))
            if one.credited:
                account, why = credit_of(invoice.patient_id), f"{invoice.number}: paid by card beyond what was due"
                events = credit.receive(account, invoice.patient_id, one.credited, paid.currency, "card", day, at.today, why)
                found.append(Elsewhere(state=Credit, id=account, events=events))
        return found


class NoteCardReturn(Command):
    """Note what the payment service gave back of a card payment: on the invoice as well, and on the patient's credit."""

    state = CardPayment
    permission = "billing.payments.refund"
    refund: RefundCode
    amount: Positive
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        of = (await look.require(CardPayment, look.at.id)).invoice_id
        invoice = await look.load(Invoice, of) if of else Invoice()
        return {"invoice": invoice, "credits": await credits_of(invoice.patient_id, look) if of else {}}

    def decide(self, payment: CardPayment, at: At, *, invoice: Invoice, credits: dict[UUID, Credit]) -> Decision:  # noqa: A002 - it is what they are
        whose, of, paid = invoice.patient_id, payment.invoice_id, payment.payment_id
        if of is None:
            raise NotFound
        back = invoice.next_refund(of)
        found: Decision = []
        for one in payment.give_back(
            self.refund, self.amount, self.reason, credit=there(credits, whose, payment.currency), left=invoice.left_of(paid), refund_id=back):
            found.append(one)
            for id_, part in (taken_from(credits, whose, one.credited, payment.currency) if one.credited else {}).items():
                given = credits[id_].give_back(id_, part, method="card", reason=self.reason, on=at.today, today=at.today)
                found.append(Elsewhere(state=Credit, id=id_, events=[given]))
            if one.taken and paid is not None:
                events = invoice.refund(back, paid, one.taken, reason=self.reason, method="card", on=at.today, today=at.today)
                found.append(Elsewhere(state=Invoice, id=of, events=events))
        return found
