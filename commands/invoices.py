"""What may be asked of an invoice, in the order of its life."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from commands.public_documents import addressed, shared
from domain.invoices import Bill, Invoice, PaymentId, worked_out
from domain.kit import At, Elsewhere, Event, InvoiceId, Note, PatientId, PlaceId, Positive, Reason
from domain.kit.bills import Discount, Line, Method, ensure_doctors
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.public_documents import DAYS, LinkDays, PublicDocument, link_to
from domain.series import Series, printed, series_of
from domain.staff import Staff

Lines = Annotated[list[Line], Meta(min_length=1, max_length=200)]


class CreateInvoice(Creation):
    """Bill a patient: make a draft, or with `issue` issue the invoice at once."""

    state = Invoice
    permission = "billing.invoices.create"
    patient_id: PatientId
    lines: Lines
    discount: Discount | None = None
    due_on: date | None = None
    notes: Note | None = None
    issue: bool = False
    issued_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        patient = await look.require(Patient, self.patient_id)
        series = await series_for(self.issued_on, look) if self.issue else Series()
        return {"patient": patient, "doctors": await doctors_of(self.lines, look), "series": series}

    def decide(self, invoice: Invoice, at: At, *, patient: Patient, doctors: list[Staff], series: Series) -> Decision:
        patient.ensure_active()
        ensure_doctors(doctor.role for doctor in doctors)
        drafted = invoice.draft(self.bill(at))
        if not self.issue:
            return [drafted]
        return [drafted, *issued(invoice.evolve(drafted), at, series, self.issued_on, self.due_on)]

    def bill(self, at: At) -> Bill:
        return worked_out(self.patient_id, at.currency, self.lines, discount=self.discount, due_on=self.due_on, notes=self.notes)


class EditInvoice(Command):
    """Replace the content of a draft."""

    state = Invoice
    permission = "billing.invoices.edit"
    lines: Lines
    discount: Discount | None = None
    due_on: date | None = None
    notes: Note | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"doctors": await doctors_of(self.lines, look)}

    def decide(self, invoice: Invoice, at: At, *, doctors: list[Staff]) -> list[Event]:
        ensure_doctors(doctor.role for doctor in doctors)
        bill = worked_out(invoice.patient_id, at.currency, self.lines, discount=self.discount, due_on=self.due_on, notes=self.notes)
        return invoice.edit(bill)


class IssueInvoice(Command):
    """Issue a draft under the next number of its year."""

    state = Invoice
    permission = "billing.invoices.edit"
    issued_on: date | None = None
    due_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"series": await series_for(self.issued_on, look)}

    def decide(self, invoice: Invoice, at: At, *, series: Series) -> Decision:
        return issued(invoice, at, series, self.issued_on, self.due_on)


class RecordPayment(Command):
    """Record money received against an invoice; it goes to the lines in their order."""

    state = Invoice
    permission = "billing.payments.record"
    amount: Positive
    method: Method
    paid_on: date | None = None
    place_id: PlaceId | None = None

    def decide(self, invoice: Invoice, at: At) -> list[Event]:
        return invoice.pay(invoice.next_payment(at.id), self.amount, self.method, self.paid_on or at.today, at.today, self.place_id)


class MarkInvoicePaid(Command):
    """Record the whole balance of an invoice as received."""

    state = Invoice
    permission = "billing.invoices.edit"
    method: Method = "other"
    paid_on: date | None = None
    place_id: PlaceId | None = None

    def decide(self, invoice: Invoice, at: At) -> list[Event]:
        return invoice.settle(invoice.next_payment(at.id), self.method, self.paid_on or at.today, at.today, self.place_id)


class RefundPayment(Command):
    """Give back a payment, or a part of it; the invoice is due again by that much."""

    state = Invoice
    permission = "billing.payments.refund"
    payment_id: PaymentId
    amount: Positive
    reason: Reason
    method: Method | None = None
    refunded_on: date | None = None
    place_id: PlaceId | None = None

    def decide(self, invoice: Invoice, at: At) -> list[Event]:
        return invoice.refund(
            invoice.next_refund(at.id), self.payment_id, self.amount,
            reason=self.reason, method=self.method, on=self.refunded_on or at.today, today=at.today, place_id=self.place_id,
        )


class SendInvoice(Command):
    """Write to the patient, with a link to the invoice, which must be issued; a paid one can be sent as well."""

    state = Invoice
    permission = "billing.invoices.send"
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await addressed(look, look.at.id, (await look.require(Invoice, look.at.id)).patient_id)

    def decide(self, invoice: Invoice, at: At, *, patient: Patient, reachable: bool, link: PublicDocument) -> Decision:
        invoice.ensure_issued()
        patient.ensure_reachable(reachable=reachable)
        return [*invoice.send(link.next_number(at.now), self.language), *shared(link, "invoices", at)]


class ShareInvoice(Creation):
    """Give out a link by which the patient looks at an issued invoice. A link that there is lasts longer."""

    state = PublicDocument
    permission = "billing.invoices.share"
    invoice_id: InvoiceId
    days: LinkDays = DAYS

    def stream(self, at: At) -> UUID:
        return link_to(self.invoice_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"invoice": await look.require(Invoice, self.invoice_id)}

    def decide(self, link: PublicDocument, at: At, *, invoice: Invoice) -> list[Event]:
        invoice.ensure_issued()
        return link.share("invoices", self.invoice_id, self.days, at.now)


class RevokeInvoiceLink(Creation):
    """Take the link to an invoice back."""

    state = PublicDocument
    permission = "billing.invoices.revoke_share"
    invoice_id: InvoiceId

    def stream(self, at: At) -> UUID:
        return link_to(self.invoice_id)

    def decide(self, link: PublicDocument, at: At) -> list[Event]:
        return link.revoke()


class VoidInvoice(Command):
    """Cancel an issued invoice of which nothing is paid; its number stays in the books."""

    state = Invoice
    permission = "billing.invoices.edit"
    reason: Reason

    def decide(self, invoice: Invoice, at: At) -> list[Event]:
        return invoice.void(self.reason, at.today)


class DeleteInvoice(Command):
    """Discard a draft; an issued invoice of which nothing is paid is voided instead."""

    state = Invoice
    permission = "billing.invoices.edit"
    reason: Reason = "Deleted."

    def decide(self, invoice: Invoice, at: At) -> list[Event]:
        return invoice.delete(self.reason, at.today)


async def doctors_of(lines: list[Line], look: Look) -> list[Staff]:
    return [await look.require(Staff, doctor) for doctor in dict.fromkeys(line.doctor_id for line in lines) if doctor]


async def series_for(issued_on: date | None, look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, "invoices", (issued_on or look.at.today).year))


def issued(invoice: Invoice, at: At, series: Series, issued_on: date | None, due_on: date | None) -> Decision:
    """Return the issue of an invoice and, saved with it or not at all, the allotment of its number."""
    on = issued_on or at.today
    allotted = series.allot("invoices", on.year)
    events = invoice.issue(printed(on.year, allotted.number), on, due_on, at.today)
    return [*events, Elsewhere(state=Series, id=series_of(at.clinic, "invoices", on.year), events=[allotted])]
