"""What may be asked about fees for visits that did not take place."""

from typing import Any
from uuid import UUID

from msgspec.structs import replace

from commands.invoices import credit_series, credited, credits_of, issued, series_for
from commands.kit import Command, Creation, Decision, Look
from domain.appointments import Appointment
from domain.credits import Credit, credit_of, taken_from, there
from domain.invoices import Invoice, worked_out
from domain.kit import AppointmentId, At, Elsewhere, Event, Reason
from domain.kit.bills import Line
from domain.patients import Patient
from domain.series import Series
from domain.visit_fees import (
    FeeCause,
    FeeRule,
    FeeRules,
    FeeSettings,
    VisitFee,
    VisitFeeCharged,
    VisitFeeSpared,
    due,
    fee_invoice_of,
    fee_settings_of,
    visit_fee_of,
)
from schemas.credits import DepositRow
from schemas.visit_fees import VisitEndingRow


class ChangeFeeSettings(FeeRules, Creation):
    """Say whether and what is charged for visits that are missed, or cancelled late. It counts for what is missed from now on."""

    state = FeeSettings
    permission = "settings.appointment_types.manage"

    def stream(self, at: At) -> UUID:
        return fee_settings_of(at.clinic)

    def decide(self, settings: FeeSettings, at: At) -> list[Event]:
        return settings.change(self)


class ChargeVisitFee(Creation):
    """Charge for a visit that was missed or cancelled late, once it is time; or note why not."""

    state = VisitFee
    permission = "house"
    appointment_id: AppointmentId

    def stream(self, at: At) -> UUID:
        return visit_fee_of(self.appointment_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        visit = await look.require(Appointment, self.appointment_id)
        whose = visit.arranged.patient_id if visit.arranged else None
        id_ = fee_invoice_of(self.appointment_id, (await look.load(VisitFee, visit_fee_of(self.appointment_id))).charges + 1)
        deposits = await look.find(DepositRow, appointment_id=self.appointment_id, reversed=False)
        return {
            "visit": visit, "ending": await look.folded(Appointment, self.appointment_id, VisitEndingRow),
            "settings": await look.load(FeeSettings, fee_settings_of(look.at.clinic)), "patient": await look.load(Patient, whose) if whose else Patient(),
            "invoice": await look.load(Invoice, id_), "series": await series_for(None, look),
            "credits": await credits_of(whose, look) if whose else {}, "deposited": sum(one.amount for one in deposits if one.currency == look.at.currency)}

    def decide(
        self, fee: VisitFee, at: At, *, visit: Appointment, ending: VisitEndingRow | None, settings: FeeSettings, patient: Patient, invoice: Invoice, series: Series,
        credits: dict[UUID, Credit], deposited: int,  # noqa: A002 - it is what they are
    ) -> Decision:
        if fee.status not in {"none", "withdrawn"} or ending is None or visit.arranged is None or not settings.rules.enabled or not due(ending.ended_at, settings.rules, at.now):
            return []
        priced = settings.price(ending.cause, visit.arranged.type_id, visit.arranged.starts_at - ending.ended_at, deposited)
        if not isinstance(priced, tuple):
            return [VisitFeeSpared(appointment_id=self.appointment_id, cause=ending.cause, why=priced)]
        if patient.archived or patient.merged_into is not None:
            return [VisitFeeSpared(appointment_id=self.appointment_id, cause=ending.cause, why="inactive")]
        whose, id_ = visit.arranged.patient_id, fee_invoice_of(self.appointment_id, fee.charges + 1)
        parts = self.billed(invoice, replace(at, id=id_), series, settings, ending.cause, whose, *priced)
        bill = Invoice.replay(event for event in parts if isinstance(event, Event))
        paid = self.paid(bill, id_, at, whose, credits, deposited) if settings.rules.issue and settings.rules.use_deposit else []
        used = bill.balance - Invoice.replay([*(event for event in parts if isinstance(event, Event)), *(e for e in paid if isinstance(e, Event))]).balance
        charged = VisitFeeCharged(
            appointment_id=self.appointment_id, cause=ending.cause, invoice_id=id_, amount=bill.total, currency=at.currency, from_deposit=used)
        return [charged, *elsewhere(id_, [*parts, *paid])]

    def billed(self, invoice: Invoice, at: At, series: Series, settings: FeeSettings, cause: FeeCause, patient: UUID, rule: FeeRule, price: int) -> Decision:
        """Return the invoice, drafted or issued."""
        line = Line(description=settings.text(cause), unit_price=price, tax_rate=rule.tax_rate)
        drafted = invoice.draft(worked_out(patient, at.currency, [line], discount=None, due_on=None, notes=None, tax_included=True))
        return [drafted, *(issued(invoice.evolve(drafted), at, series, None, None) if settings.rules.issue else [])]

    def paid(self, bill: Invoice, id_: UUID, at: At, patient: UUID, credits: dict[UUID, Credit], deposited: int) -> Decision:  # noqa: A002 - it is what they are
        """Return how what was paid beforehand for the visit pays for it."""
        amount = min(deposited, bill.balance, there(credits, patient, at.currency))
        if not amount:
            return []
        payment = bill.next_payment(id_)
        parts = taken_from(credits, patient, amount, at.currency)
        return [
            *bill.apply(payment, amount, at.today, at.today),
            *(Elsewhere(state=Credit, id=where, events=[credits[where].use(part, id_, payment, at.today)]) for where, part in parts.items())]


class WaiveVisitFee(Command):
    """Forgive a fee: its draft is discarded, its invoice voided, or credited as far as it was paid, which makes that the patient's credit."""

    state = VisitFee
    permission = "billing.invoices.edit"
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        return await charged_with(look, (await look.require(VisitFee, look.at.id)).invoice_id)

    def decide(self, fee: VisitFee, at: At, *, invoice: Invoice, series: Series, credit: Credit) -> Decision:
        return [*fee.waive(self.reason), *undone(fee, at, self.reason, invoice, series, credit)]


class WithdrawVisitFee(Creation):
    """Take a fee back whose visit was struck out, or not missed after all."""

    state = VisitFee
    permission = "house"
    appointment_id: AppointmentId

    def stream(self, at: At) -> UUID:
        return visit_fee_of(self.appointment_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        found = await charged_with(look, (await look.load(VisitFee, visit_fee_of(self.appointment_id))).invoice_id)
        return {"ending": await look.folded(Appointment, self.appointment_id, VisitEndingRow), **found}

    def decide(self, fee: VisitFee, at: At, *, ending: VisitEndingRow | None, invoice: Invoice, series: Series, credit: Credit) -> Decision:
        if ending is not None or not (withdrawn := fee.withdraw()):
            return []
        return [*withdrawn, *undone(fee, at, "The visit was struck out, or not missed after all.", invoice, series, credit)]


async def charged_with(look: Look, invoice: UUID | None) -> dict[str, Any]:
    """Return the invoice of a fee, and what its credit note would rest on."""
    bill = await look.load(Invoice, invoice) if invoice else Invoice()
    return {"invoice": bill, "series": await credit_series("credit-note", None, look), "credit": await look.load(Credit, credit_of(bill.patient_id))}


def undone(fee: VisitFee, at: At, reason: str, invoice: Invoice, series: Series, credit: Credit) -> list[Elsewhere]:
    """Return how the invoice of a fee is undone, if nobody has done so before."""
    if fee.invoice_id is None or invoice.stage not in {"draft", "issued"}:
        return []
    if invoice.stage == "draft":
        return elsewhere(fee.invoice_id, [*invoice.discard()])
    if not any(invoice.paid):
        return elsewhere(fee.invoice_id, [*invoice.void(reason, at.today)])
    return elsewhere(fee.invoice_id, credited(invoice, replace(at, id=fee.invoice_id), series, credit, "credit-note", None, None, None, reason))


def elsewhere(invoice: UUID, parts: Decision) -> list[Elsewhere]:
    """Return what becomes of an invoice, and of others with it."""
    own: list[Event] = [one for one in parts if not isinstance(one, Elsewhere)]
    return [*([Elsewhere(state=Invoice, id=invoice, events=own)] if own else []), *(one for one in parts if isinstance(one, Elsewhere))]
