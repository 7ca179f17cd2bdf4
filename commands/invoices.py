"""What may be asked of an invoice, in the order of its life."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from commands.public_documents import addressed, shared
from domain.credits import Credit, CreditTooSmall, credit_of, taken_from, there
from domain.invoices import (
    CREDITS,
    Bill,
    Cause,
    Invoice,
    InvoiceAlreadyPaid,
    LineAmount,
    PaymentId,
    PaymentReallocated,
    worked_out,
)
from domain.kit import At, Elsewhere, Event, InvoiceId, Note, PatientId, PlaceId, Positive, Reason
from domain.kit.bills import Discount, Line, Method, TaxIncluded, ensure_doctors
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.public_documents import DAYS, LinkDays, PublicDocument, link_to
from domain.series import Series, printed, series_of
from domain.staff import Staff

Lines = Annotated[list[Line], Meta(min_length=1, max_length=200)]
Allocations = Annotated[list[LineAmount], Meta(max_length=200, description="How much is for which line; the lines that are not named get nothing.")]
Excess = Literal["refuse", "credit"]
"""What becomes of money beyond what is owed."""


class CreateInvoice(Creation):
    """Bill a patient: make a draft, or with `issue` issue the invoice at once."""

    state = Invoice
    permission = "billing.invoices.create"
    patient_id: PatientId
    lines: Lines
    discount: Discount | None = None
    tax_included: TaxIncluded = False
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
        return worked_out(
            self.patient_id, at.currency, self.lines, discount=self.discount, due_on=self.due_on, notes=self.notes, tax_included=self.tax_included)


class EditInvoice(Command):
    """Replace the content of a draft."""

    state = Invoice
    permission = "billing.invoices.edit"
    lines: Lines
    discount: Discount | None = None
    tax_included: TaxIncluded = False
    due_on: date | None = None
    notes: Note | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"doctors": await doctors_of(self.lines, look)}

    def decide(self, invoice: Invoice, at: At, *, doctors: list[Staff]) -> list[Event]:
        ensure_doctors(doctor.role for doctor in doctors)
        bill = worked_out(
            invoice.patient_id, at.currency, self.lines, discount=self.discount, due_on=self.due_on, notes=self.notes, tax_included=self.tax_included)
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
    """Record money received against an invoice; it goes to the lines in their order, or as `allocations` say. What is beyond the balance is refused, or becomes the patient's credit."""

    state = Invoice
    permission = "billing.payments.record"
    amount: Positive
    method: Method
    paid_on: date | None = None
    allocations: Allocations | None = None
    excess: Excess = "refuse"
    place_id: PlaceId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        if self.excess == "refuse":
            return {"credit": None}
        return {"credit": await look.load(Credit, credit_of((await look.require(Invoice, look.at.id)).patient_id))}

    def decide(self, invoice: Invoice, at: At, *, credit: Credit | None = None) -> Decision:
        on, amount = self.paid_on or at.today, self.amount
        if credit is not None:
            invoice.ensure_issued()
            if not invoice.balance:
                raise InvoiceAlreadyPaid
            amount = min(amount, invoice.balance)
        events: Decision = [*invoice.pay(invoice.next_payment(at.id), amount, self.method, on, at.today, self.allocations, self.place_id)]
        if credit is not None and self.amount > amount:
            account = credit_of(invoice.patient_id)
            received = credit.receive(account, invoice.patient_id, self.amount - amount, invoice.currency, self.method, on, at.today, place=self.place_id)
            events.append(Elsewhere(state=Credit, id=account, events=received))
        return events


class ApplyCredit(Command):
    """Pay an invoice out of the patient's credit: an amount, or as much as is due and there."""

    state = Invoice
    permission = "billing.payments.record"
    amount: Positive | None = None
    applied_on: date | None = None
    allocations: Allocations | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"credits": await credits_of((await look.require(Invoice, look.at.id)).patient_id, look)}

    def decide(self, invoice: Invoice, at: At, *, credits: dict[UUID, Credit]) -> Decision:  # noqa: A002 - it is what they are
        invoice.ensure_issued()
        payment, on = invoice.next_payment(at.id), self.applied_on or at.today
        amount = self.amount
        if amount is None:
            amount = min(invoice.balance, there(credits, invoice.patient_id, invoice.currency))
            if not invoice.balance:
                raise InvoiceAlreadyPaid
            if not amount:
                raise CreditTooSmall(there=0)
        applied = invoice.apply(payment, amount, on, at.today, self.allocations)
        parts = taken_from(credits, invoice.patient_id, amount, invoice.currency)
        return [*applied, *(Elsewhere(state=Credit, id=id_, events=[credits[id_].use(part, at.id, payment, on)]) for id_, part in parts.items())]


class ReallocatePayment(Command):
    """Put a payment on other lines of its invoice; what is put on none becomes the patient's credit, to be used on another invoice or returned."""

    state = Invoice
    permission = "billing.payments.refund"
    payment_id: PaymentId
    allocations: Allocations
    reallocated_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"credit": await look.load(Credit, credit_of((await look.require(Invoice, look.at.id)).patient_id))}

    def decide(self, invoice: Invoice, at: At, *, credit: Credit) -> Decision:
        return [*(events := invoice.reallocate(self.payment_id, self.allocations, self.reallocated_on or at.today, at.today)), *gained(invoice, events, credit, at)]


class ReversePayment(Command):
    """Have a payment not have been that was recorded by mistake; no money goes back. Nothing of it may have been refunded or become credit."""

    state = Invoice
    permission = "billing.payments.refund"
    payment_id: PaymentId
    reason: Reason
    reversed_on: date | None = None

    def decide(self, invoice: Invoice, at: At) -> list[Event]:
        return invoice.reverse(self.payment_id, self.reason, self.reversed_on or at.today, at.today)


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


class CreditInvoice(Command):
    """Credit an issued invoice, in whole, by an amount, or line by line, under the next number of the credit notes of its year.

    An amount is taken off what is due first, in proportion. What was paid beyond what is owed then becomes the patient's credit.
    """

    state = Invoice
    permission = "billing.invoices.credit"
    reason: Reason
    amount: Positive | None = None
    lines: Allocations | None = None
    credited_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await to_credit("credit-note", self.credited_on, look)

    def decide(self, invoice: Invoice, at: At, *, series: Series, credit: Credit) -> Decision:
        return credited(invoice, at, series, credit, "credit-note", self.amount, self.lines, self.credited_on, self.reason)


class WriteOffInvoice(Command):
    """Give up what is due on an issued invoice, or a part of it, and say why: nobody asks for it any more. It has a number of its own, and can never be more than is due."""

    state = Invoice
    permission = "billing.invoices.write_off"
    reason: Reason
    amount: Positive | None = None
    lines: Allocations | None = None
    written_off_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await to_credit("write-off", self.written_off_on, look)

    def decide(self, invoice: Invoice, at: At, *, series: Series, credit: Credit) -> Decision:
        return credited(invoice, at, series, credit, "write-off", self.amount, self.lines, self.written_off_on, self.reason)


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


async def doctors_of(lines: Iterable[Any], look: Look) -> list[Staff]:
    return [await look.require(Staff, doctor) for doctor in dict.fromkeys(line.doctor_id for line in lines) if doctor]


async def series_for(issued_on: date | None, look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, "invoices", (issued_on or look.at.today).year))


def issued(invoice: Invoice, at: At, series: Series, issued_on: date | None, due_on: date | None) -> Decision:
    """Return the issue of an invoice and, saved with it or not at all, the allotment of its number."""
    on = issued_on or at.today
    allotted = series.allot("invoices", on.year)
    events = invoice.issue(printed(on.year, allotted.number), on, due_on, at.today)
    return [*events, Elsewhere(state=Series, id=series_of(at.clinic, "invoices", on.year), events=[allotted])]


async def credits_of(patient: UUID, look: Look) -> dict[UUID, Credit]:
    """Return the credits of all records of a patient's, their own first."""
    records = (await look.load(Patient, patient)).records
    return {(id_ := credit_of(record)): await look.load(Credit, id_) for record in (patient, *records)}


async def to_credit(cause: Cause, on: date | None, look: Look) -> dict[str, Any]:
    """Return what a credit note or a write-off rests on beside the invoice."""
    patient = (await look.require(Invoice, look.at.id)).patient_id
    return {"series": await credit_series(cause, on, look), "credit": await look.load(Credit, credit_of(patient))}


async def credit_series(cause: Cause, on: date | None, look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, CREDITS[cause], (on or look.at.today).year))


def credited(
    invoice: Invoice, at: At, series: Series, credit: Credit, cause: Cause, amount: int | None, lines: list[LineAmount] | None, on: date | None, reason: str,
) -> Decision:
    """Return a credit note or write-off and, saved with it or not at all, its number and the credit it sets free."""
    on = on or at.today
    allotted = series.allot(CREDITS[cause], on.year)
    events = invoice.credit(
        invoice.next_credit_note(at.id), printed(on.year, allotted.number), amount, lines, cause=cause, reason=reason, on=on, today=at.today)
    number = Elsewhere(state=Series, id=series_of(at.clinic, CREDITS[cause], on.year), events=[allotted])
    return [*events, number, *gained(invoice, events, credit, at)]


def gained(invoice: Invoice, events: list[Event], credit: Credit, at: At) -> list[Elsewhere]:
    """Return how what an invoice sets free becomes its patient's credit."""
    account = credit_of(invoice.patient_id)
    freed: list[Event] = []
    for event in events:
        if isinstance(event, PaymentReallocated) and event.released:
            one = credit.gain(invoice.patient_id, at.id, event.payment_id, event.released, invoice.currency, event.reallocated_on)
            credit = credit.evolve(one)
            freed.append(one)
    return [Elsewhere(state=Credit, id=account, events=freed)] if freed else []
