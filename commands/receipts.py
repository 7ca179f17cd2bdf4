"""What may be asked of a receipt."""

from typing import Any
from uuid import UUID

from commands.kit import Command, Creation, Decision, Look
from commands.public_documents import addressed, shared
from domain.invoices import Invoice, PaidByCredit, PaymentId, PaymentWasReversed
from domain.kit import At, Elsewhere, Event, InvoiceId, ReceiptId
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.public_documents import DAYS, LinkDays, PublicDocument, link_to
from domain.receipts import SERIES, Receipt, ReceiptIssued, receipt_of
from domain.series import Series, printed, series_of


class IssueReceipt(Creation):
    """Say under the next number of the year that a payment was received: all of it, though a part may have been given back since. Once a payment."""

    state = Receipt
    permission = "billing.receipts.create"
    invoice_id: InvoiceId
    payment_id: PaymentId

    def stream(self, at: At) -> UUID:
        return receipt_of(self.payment_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        series = await look.load(Series, series_of(look.at.clinic, SERIES, look.at.today.year))
        return {"invoice": await look.require(Invoice, self.invoice_id), "series": series}

    def decide(self, receipt: Receipt, at: At, *, invoice: Invoice, series: Series) -> Decision:
        payment = invoice.payment(self.payment_id)
        if payment.reversed:
            raise PaymentWasReversed
        if payment.credit:
            raise PaidByCredit
        allotted = series.allot(SERIES, at.today.year)
        issued = receipt.issue(ReceiptIssued(
            number=printed(at.today.year, allotted.number), issued_on=at.today, patient_id=invoice.patient_id, invoice_id=self.invoice_id,
            invoice_number=invoice.number, payment_id=self.payment_id, amount=payment.received, currency=invoice.currency, method=payment.method,
            paid_on=payment.paid_on))
        return [*issued, Elsewhere(state=Series, id=series_of(at.clinic, SERIES, at.today.year), events=[allotted])]


class SendReceipt(Command):
    """Write to the patient, with a link to the receipt."""

    state = Receipt
    permission = "billing.receipts.send"
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await addressed(look, look.at.id, (await look.require(Receipt, look.at.id)).patient_id)

    def decide(self, receipt: Receipt, at: At, *, patient: Patient, reachable: bool, link: PublicDocument) -> Decision:
        receipt.ensure_there()
        patient.ensure_reachable(reachable=reachable)
        return [*receipt.send(link.next_number(at.now), self.language), *shared(link, "receipts", at)]


class ShareReceipt(Creation):
    """Give out a link by which the patient looks at a receipt. A link that there is lasts longer."""

    state = PublicDocument
    permission = "billing.receipts.share"
    receipt_id: ReceiptId
    days: LinkDays = DAYS

    def stream(self, at: At) -> UUID:
        return link_to(self.receipt_id)

    def decide(self, link: PublicDocument, at: At) -> list[Event]:
        return link.share("receipts", self.receipt_id, self.days, at.now)


class RevokeReceiptLink(Creation):
    """Take the link to a receipt back."""

    state = PublicDocument
    permission = "billing.receipts.share"
    receipt_id: ReceiptId

    def stream(self, at: At) -> UUID:
        return link_to(self.receipt_id)

    def decide(self, link: PublicDocument, at: At) -> list[Event]:
        return link.revoke()
