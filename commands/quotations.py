"""What may be asked of a quotation, in the order of its life."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from commands.invoices import Lines, doctors_of
from commands.kit import Command, Creation, Decision, Look
from commands.public_documents import addressed, shared
from domain.invoices import Bill, Invoice
from domain.kit import At, Elsewhere, Event, Frozen, Note, PatientId, QuotationId, Reason, only
from domain.kit.bills import Charges, Discount, TaxIncluded, charged, ensure_doctors
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.public_documents import DAYS, LinkDays, PublicDocument, link_to
from domain.quotations import SERIES, Offer, Quotation, invoice_of
from domain.series import Series, printed, series_of
from domain.staff import Staff

ValidUntil = Annotated[date | None, Meta(description="The last day on which it can be accepted; thirty days from its issue unless said.")]


class Offered(Frozen):
    """What is offered."""

    lines: Lines
    discount: Discount | None = None
    tax_included: TaxIncluded = False
    valid_until: ValidUntil = None
    notes: Note | None = None

    def offer(self, patient: UUID, at: At) -> Offer:
        charges = charged(patient, at.currency, self.lines, discount=self.discount, notes=self.notes, tax_included=self.tax_included)
        return Offer(**only(Charges, charges), valid_until=self.valid_until)


class CreateQuotation(Creation, Offered):
    """Draft a quotation for a patient; it gets its number when it is issued, sent or shared."""

    state = Quotation
    permission = "billing.quotations.create"
    patient_id: PatientId

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id), "doctors": await doctors_of(self.lines, look)}

    def decide(self, quotation: Quotation, at: At, *, patient: Patient, doctors: list[Staff]) -> list[Event]:
        patient.ensure_active()
        ensure_doctors(doctor.role for doctor in doctors)
        return quotation.draft(self.offer(self.patient_id, at), at.today)


class EditQuotation(Command, Offered):
    """Replace the content of a draft."""

    state = Quotation
    permission = "billing.quotations.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"doctors": await doctors_of(self.lines, look)}

    def decide(self, quotation: Quotation, at: At, *, doctors: list[Staff]) -> list[Event]:
        ensure_doctors(doctor.role for doctor in doctors)
        return quotation.edit(self.offer(quotation.patient_id, at), at.today)


class IssueQuotation(Command):
    """Give a draft the next number of its year, to be printed and handed over; nobody is written to."""

    state = Quotation
    permission = "billing.quotations.send"
    issued_on: date | None = None
    valid_until: ValidUntil = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"series": await series_for(self.issued_on, look)}

    def decide(self, quotation: Quotation, at: At, *, series: Series) -> Decision:
        events, allotment = numbered(quotation, at, series, self.issued_on, self.valid_until)
        return [*events, *allotment]


class SendQuotation(Command):
    """Write to the patient, with a link to the quotation; a draft is issued first."""

    state = Quotation
    permission = "billing.quotations.send"
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        quotation = await look.require(Quotation, look.at.id)
        return {**await addressed(look, look.at.id, quotation.patient_id), "series": await series_for(None, look)}

    def decide(self, quotation: Quotation, at: At, *, patient: Patient, reachable: bool, series: Series, link: PublicDocument) -> Decision:
        patient.ensure_reachable(reachable=reachable)
        shown, own, allotment = out(quotation, at, series)
        sent = shown.send(link.next_number(at.now), self.language, at.today)
        return [*own, *sent, *allotment, *shared(link, "quotations", at)]


class ShareQuotation(Creation):
    """Give out a link by which the patient looks at a quotation and answers to it; a draft is issued first. A link that there is lasts longer."""

    state = PublicDocument
    permission = "billing.quotations.share"
    quotation_id: QuotationId
    days: LinkDays = DAYS

    def stream(self, at: At) -> UUID:
        return link_to(self.quotation_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"quotation": await look.require(Quotation, self.quotation_id), "series": await series_for(None, look)}

    def decide(self, link: PublicDocument, at: At, *, quotation: Quotation, series: Series) -> Decision:
        shown, own, allotment = out(quotation, at, series)
        shown.ensure_shown(at.today)
        issue = [Elsewhere(state=Quotation, id=self.quotation_id, events=own)] if own else []
        return [*link.share("quotations", self.quotation_id, self.days, at.now), *issue, *allotment]


class RevokeQuotationLink(Creation):
    """Take the link to a quotation back."""

    state = PublicDocument
    permission = "billing.quotations.share"
    quotation_id: QuotationId

    def stream(self, at: At) -> UUID:
        return link_to(self.quotation_id)

    def decide(self, link: PublicDocument, at: At) -> list[Event]:
        return link.revoke()


class AcceptQuotation(Command):
    """Note that the patient has agreed to a quotation."""

    state = Quotation
    permission = "billing.quotations.create"

    def decide(self, quotation: Quotation, at: At) -> list[Event]:
        return quotation.accept("clinic", at.today)


class DeclineQuotation(Command):
    """Note that the patient has declined a quotation; while it is valid they may accept it after all."""

    state = Quotation
    permission = "billing.quotations.create"
    reason: Reason | None = None

    def decide(self, quotation: Quotation, at: At) -> list[Event]:
        return quotation.decline("clinic", self.reason, at.today)


class AnswerQuotation(Command):
    """Accept or decline a quotation as its patient, by a link to it."""

    state = Quotation
    permission = "public"
    accept: bool
    reason: Reason | None = None
    number: int

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"link": await look.load(PublicDocument, link_to(look.at.id))}

    def decide(self, quotation: Quotation, at: At, *, link: PublicDocument) -> list[Event]:
        link.ensure_open(self.number, at.now)
        return quotation.accept("patient", at.today) if self.accept else quotation.decline("patient", self.reason, at.today)


class ReissueQuotation(Command):
    """Make a quotation that has expired or was declined valid again, as it stood and under its number."""

    state = Quotation
    permission = "billing.quotations.reissue"
    valid_until: ValidUntil = None

    def decide(self, quotation: Quotation, at: At) -> list[Event]:
        return quotation.reissue(self.valid_until, at.today)


class ConvertQuotation(Command):
    """Make a quotation an invoice's draft with the same lines, discounts and taxes, once; both are stored or neither is."""

    state = Quotation
    permission = "billing.invoices.create"
    due_on: date | None = None
    notes: Note | UnsetType | None = UNSET

    async def gather(self, look: Look) -> dict[str, Any]:
        quotation = await look.require(Quotation, look.at.id)
        patient = await look.require(Patient, quotation.patient_id)
        notes = getattr(await look.row(Quotation, look.at.id), "notes", None) if self.notes is UNSET else self.notes
        return {"patient": patient, "notes": notes, "invoice": await look.load(Invoice, invoice_of(look.at.id))}

    def decide(self, quotation: Quotation, at: At, *, patient: Patient, notes: str | None, invoice: Invoice) -> Decision:
        converted = quotation.convert(invoice_of(at.id), at.today)
        patient.ensure_active()
        tax = sum(line.tax for line in quotation.lines)
        bill = Bill(
            patient_id=quotation.patient_id, currency=quotation.currency, lines=list(quotation.lines), discount=quotation.discount,
            tax_included=quotation.tax_included, subtotal=quotation.total - tax, tax=tax, total=quotation.total, due_on=self.due_on, notes=notes)
        return [*converted, Elsewhere(state=Invoice, id=invoice_of(at.id), events=[invoice.draft(bill)])]


class WithdrawQuotation(Command):
    """Take a quotation back; it stays in the books, with the reason."""

    state = Quotation
    permission = "billing.quotations.delete"
    reason: Reason = "Deleted."

    def decide(self, quotation: Quotation, at: At) -> list[Event]:
        return quotation.withdraw(self.reason, at.today)


async def series_for(issued_on: date | None, look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, SERIES, (issued_on or look.at.today).year))


def numbered(quotation: Quotation, at: At, series: Series, issued_on: date | None, valid_until: date | None) -> tuple[list[Any], list[Elsewhere]]:
    """Return the issue of a quotation and, to be saved with it or not at all, the allotment of its number."""
    on = issued_on or at.today
    allotted = series.allot(SERIES, on.year)
    events = quotation.issue(printed(on.year, allotted.number), on, valid_until, at.today)
    return events, [Elsewhere(state=Series, id=series_of(at.clinic, SERIES, on.year), events=[allotted])]


def out(quotation: Quotation, at: At, series: Series) -> tuple[Quotation, list[Any], list[Elsewhere]]:
    """Return a quotation as it can be shown, and what makes it so: a draft is issued."""
    if quotation.stage != "draft":
        return quotation, [], []
    events, allotment = numbered(quotation, at, series, None, None)
    for event in events:
        quotation = quotation.evolve(event)
    return quotation, events, allotment
