"""What may be asked of an instalment plan, in the order of its life."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.invoices import doctors_of, issued, series_for
from commands.kit import Command, Creation, Decision, Look
from domain.installments import (
    InstallmentArrangement,
    InstallmentLine,
    InstallmentPlan,
    InstallmentPlanMade,
    InvoiceDividedAlready,
    TermId,
    TermNumber,
    TreatmentPlanId,
    invoice_of,
    number_of,
    plan_from,
    total_of,
)
from domain.invoices import Invoice, InvoiceAlreadyPaid, worked_out
from domain.kit import At, Elsewhere, Event, InvoiceId, Note, PatientId, Reason
from domain.kit.bills import ensure_doctors
from domain.patients import Patient
from domain.series import Series
from domain.staff import Staff
from schemas.installments import InstallmentPlanRow

Charged = Annotated[list[InstallmentLine], Meta(min_length=1, max_length=50)]
Because = Reason | None
Early = Annotated[bool, Meta(description="Whether it may be billed before its day.")]


class CreateInstallmentPlan(Creation, InstallmentArrangement):
    """Let a patient pay in parts, each of which becomes an invoice on its day.

    The terms come to exactly what the lines come to: say each, or a `rhythm` of equal ones.
    """

    state = InstallmentPlan
    permission = "billing.installments.create"
    patient_id: PatientId
    lines: Charged
    treatment_plan_id: TreatmentPlanId | None = None
    notes: Note | None = None

    def stream(self, at: At) -> UUID:
        return plan_from(at.id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id), "doctors": await doctors_of(self.lines, look)}

    def decide(self, plan: InstallmentPlan, at: At, *, patient: Patient, doctors: list[Staff]) -> list[Event]:
        patient.ensure_active()
        ensure_doctors(doctor.role for doctor in doctors)
        total = total_of(self.lines)
        return plan.make(InstallmentPlanMade(
            patient_id=self.patient_id, currency=at.currency, total=total, terms=self.terms_of(total), lines=self.lines, treatment_plan_id=self.treatment_plan_id,
            notes=self.notes), at.today)


class SplitInvoice(Creation, InstallmentArrangement):
    """Let an issued invoice be paid in parts: say when which part of what is due on it is to be paid. No other invoice comes of it.

    One plan at a time divides an invoice. What is paid on the invoice is paid of its oldest terms.
    """

    state = InstallmentPlan
    permission = "billing.installments.create"
    invoice_id: InvoiceId
    notes: Note | None = None

    def stream(self, at: At) -> UUID:
        return plan_from(at.id)

    async def gather(self, look: Look) -> dict[str, Any]:
        plans = [await look.load(InstallmentPlan, row.id) for row in await look.find(InstallmentPlanRow, invoice_id=self.invoice_id)]
        return {"invoice": await look.require(Invoice, self.invoice_id), "divided": any(plan.divides(self.invoice_id) for plan in plans)}

    def decide(self, plan: InstallmentPlan, at: At, *, invoice: Invoice, divided: bool) -> list[Event]:
        invoice.ensure_issued()
        if divided:
            raise InvoiceDividedAlready
        if not invoice.balance:
            raise InvoiceAlreadyPaid
        return plan.make(InstallmentPlanMade(
            patient_id=invoice.patient_id, currency=invoice.currency, total=invoice.balance, terms=self.terms_of(invoice.balance), lines=[], invoice_id=self.invoice_id,
            notes=self.notes), at.today)


class ChangeInstallmentTerms(Command, InstallmentArrangement):
    """Put other terms in the place of those that are not billed yet (of an invoice that is divided: not paid); all of them still come to the total.

    The terms before stay in the plan's history, with the reason.
    """

    state = InstallmentPlan
    permission = "billing.installments.create"
    reason: Because = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await divided(look)

    def decide(self, plan: InstallmentPlan, at: At, *, invoice: Invoice | None) -> list[Event]:
        return plan.change(self, self.reason, at.today, paid_of(plan, invoice))


class PauseInstallmentPlan(Command):
    """Bill nothing until the plan is resumed."""

    state = InstallmentPlan
    permission = "billing.installments.create"
    reason: Because = None

    def decide(self, plan: InstallmentPlan, at: At) -> list[Event]:
        return plan.pause(self.reason, at.today)


class ResumeInstallmentPlan(Command):
    """Go on with a plan; with `postpone` all that is still to come is due later by as many days as it was paused. What is due by then is billed at once."""

    state = InstallmentPlan
    permission = "billing.installments.create"
    postpone: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return await divided(look)

    def decide(self, plan: InstallmentPlan, at: At, *, invoice: Invoice | None) -> list[Event]:
        return plan.resume(at.today, paid_of(plan, invoice), postpone=self.postpone)


class CancelInstallmentPlan(Command):
    """Bill nothing of a plan any more. What was billed stays to be paid, and an invoice that it divided is due as it was."""

    state = InstallmentPlan
    permission = "billing.installments.create"
    reason: Because = None

    def decide(self, plan: InstallmentPlan, at: At) -> list[Event]:
        return plan.cancel(self.reason, at.today)


class GenerateInstallmentInvoice(Creation):
    """Bill a term whose day has come, or with `early` before; a term that is billed already is left alone, unless its invoice was voided: then it is billed again."""

    state = InstallmentPlan
    permission = "billing.installments.generate_invoice"
    term_id: TermId
    early: Early = False

    def stream(self, at: At) -> UUID:
        return plan_from(self.term_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return await billing(look, plan_from(self.term_id), number_of(self.term_id))

    def decide(self, plan: InstallmentPlan, at: At, *, invoice: Invoice, series: Series) -> Decision:
        return billed(plan, plan_from(self.term_id), number_of(self.term_id), at, invoice, series, early=self.early, again=True)


class BillDueTerm(Command):
    """Bill a term whose day has come."""

    state = InstallmentPlan
    permission = "house"
    number: TermNumber

    async def gather(self, look: Look) -> dict[str, Any]:
        return await billing(look, look.at.id, self.number)

    def decide(self, plan: InstallmentPlan, at: At, *, invoice: Invoice, series: Series) -> Decision:
        return billed(plan, at.id, self.number, at, invoice, series, early=False, again=False)


async def divided(look: Look) -> dict[str, Any]:
    """Return the invoice that a plan divides, if it does."""
    plan = await look.require(InstallmentPlan, look.at.id)
    return {"invoice": await look.require(Invoice, plan.invoice_id) if plan.invoice_id else None}


def paid_of(plan: InstallmentPlan, invoice: Invoice | None) -> int:
    """Return how much of a plan over an invoice is paid."""
    return max(0, plan.total - invoice.balance) if invoice else 0


async def billing(look: Look, id_: UUID, number: int) -> dict[str, Any]:
    """Return the last invoice that a term became, or the one to be, and the series of the number that the next one gets."""
    plan = await look.load(InstallmentPlan, id_)
    edition = max(1, len(plan.term(number).invoices))
    last = await look.load(Invoice, invoice_of(id_, number, edition))
    if last.stage == "void":
        await look.load(Invoice, invoice_of(id_, number, edition + 1))
    return {"invoice": last, "series": await series_for(None, look)}


def billed(plan: InstallmentPlan, id_: UUID, number: int, at: At, last: Invoice, series: Series, *, early: bool, again: bool) -> Decision:
    """Bill a term: its invoice is issued with it, under the next number, or nothing happens."""
    term = plan.term(number)
    id_of = invoice_of(id_, number, len(term.invoices) + 1)
    noted = plan.bill(number, id_of, at.today, early=early, voided=again and last.stage == "void")
    if not noted:
        return []
    drafted = Invoice().draft(worked_out(
        plan.patient_id, plan.currency, plan.charges(number), discount=None, due_on=None, notes=None, tax_included=True))
    told = issued(Invoice().evolve(drafted), at, series, None, max(term.due_on, at.today))
    here = [event for event in told if not isinstance(event, Elsewhere)]
    return [*noted, Elsewhere(state=Invoice, id=id_of, events=[drafted, *here]), *(one for one in told if isinstance(one, Elsewhere))]
