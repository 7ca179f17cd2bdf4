"""What may be seen of instalment plans."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import field

from domain.installments import (
    DueTerm,
    InstallmentLine,
    InstallmentStage,
    InstallmentStanding,
    InstallmentTerm,
    TermId,
    TermStanding,
    TreatmentPlanId,
)
from domain.kit import Frozen, InvoiceId, Money, PatientId, Personal
from schemas.kit import Row
from schemas.kit.row import Computed, computed


class AgreedTerm(DueTerm):
    """A term, and the invoice that it became."""

    id: TermId
    number: int
    invoice_id: InvoiceId | None = None
    billed_on: date | None = None


class TermsBefore(Frozen):
    """What the terms were before they were changed."""

    changed_on: date
    changed_by: UUID
    terms: list[InstallmentTerm]


class InstallmentPlanRow(Row):
    """A plan by which a patient pays in parts: of charges, of which each term becomes an invoice on its day, or of one invoice that there is."""

    table: ClassVar[str] = "installments"
    permission: ClassVar[str] = "billing.installments.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    status: InstallmentStage
    patient_id: PatientId
    invoice_id: InvoiceId | None = None  # that it divides
    treatment_plan_id: TreatmentPlanId | None = None
    currency: str
    total: Money
    lines: list[InstallmentLine]
    terms: list[AgreedTerm]
    history: list[TermsBefore] = field(default_factory=list)
    notes: Annotated[str | None, Personal("patient_id")] = None
    reason: Annotated[str | None, Personal("patient_id")] = None  # why it was paused, changed or cancelled, whichever was last
    paused_on: date | None = None
    cancelled_on: date | None = None
    created_at: datetime
    version: int

    hidden: ClassVar[dict[str, Computed]] = {"unbilled_on": computed("date", lambda row: unbilled(row))}  # noqa: PLW0108 - it is below
    indexes: ClassVar[tuple[str, ...]] = ("created_at, id", "patient_id, created_at, id", "treatment_plan_id", "invoice_id", "status, created_at, id", "unbilled_on")


def unbilled(row: InstallmentPlanRow) -> date | None:
    """Return the day of the first term that is to become an invoice."""
    waiting = row.status == "active" and row.invoice_id is None
    return min((term.due_on for term in row.terms if term.invoice_id is None), default=None) if waiting else None


class TermEntry(AgreedTerm):
    """A term, and how it stands today: what is paid of it and what is still open.

    `planned` until its day comes, `due` from then on if it waits to be billed (the plan is paused) or is to be paid today, `overdue` once the day has passed by which it was to be paid.
    """

    status: TermStanding
    paid: Money
    open: Money


class InstallmentEntry(InstallmentPlanRow):
    """A plan as it stands today. `paid` and `open` are of the whole plan; `overdueAmount` is what should have been paid before today.

    What is paid of an invoice that is divided is paid of the oldest terms.
    """

    table: ClassVar[str] = "installment_entries"
    status: InstallmentStanding  # type: ignore[assignment]  # as the invoices and the calendar have it
    terms: list[TermEntry]  # type: ignore[assignment]
    billed: Money
    paid: Money
    open: Money
    overdue: bool
    overdue_amount: Money
    next_due_on: date | None


class TreatmentInstallments(Frozen):
    """The instalment plans of a treatment plan, the latest first."""

    treatment_plan_id: TreatmentPlanId
    items: list[InstallmentEntry]


class DueInvoices(Frozen):
    """How many terms were due, and what became of them: billed just now, billed by somebody else at the same moment, or in the way of which something was."""

    found: int
    generated: int
    already: int
    failed: int
