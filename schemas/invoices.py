"""What may be seen of an invoice, of its payments and of the numbers given out."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import field

from domain.invoices import Cause, CreditedLine, PaidBy, RefundId, Status
from domain.kit import Frozen, InvoiceId, Money, PatientId, Personal, Reason
from domain.kit.bills import BilledLine, Discount, Method, TaxIncluded
from schemas.kit import Row


class InvoiceRow(Row):
    """An invoice as the front desk sees it: `due` is what is still to be paid, the total less what was credited, written off and paid, and with what was refunded.

    `paid` is what lies on it, before refunds; what became the patient's credit does not.
    """

    table: ClassVar[str] = "invoices"
    permission: ClassVar[str] = "billing.invoices.view"
    detail: ClassVar[str] = "billing.invoices.view_detail"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    number: str | None = None
    status: Status
    patient_id: PatientId
    currency: str
    subtotal: Money
    tax: Money
    total: Money
    paid: Money = 0
    refunded: Money = 0
    credited: Money = 0
    written_off: Money = 0
    due: Money = 0
    issued_on: date | None = None
    due_on: date | None = None
    lines: list[BilledLine]
    discount: Discount | None = None
    tax_included: TaxIncluded = False
    notes: Annotated[str | None, Personal("patient_id")] = None
    void_reason: str | None = None
    created_at: datetime
    version: int
    issued_at: datetime | None = None
    sent_at: datetime | None = None  # when the patient was last written to

    indexes: ClassVar[tuple[str, ...]] = ("created_at, id", "patient_id, created_at, id", "status, created_at, id", "number")


class Refund(Frozen):
    """Money given back."""

    id: RefundId
    amount: Money
    method: Method
    reason: Reason
    refunded_on: date
    place_id: UUID | None = None


class PaymentRow(Row):
    """A payment, what was given back of it, and what of it became the patient's credit. One by `credit` was paid out of that; one that was `reversed` never was."""

    table: ClassVar[str] = "payments"
    permission: ClassVar[str] = "billing.payments.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    invoice_id: InvoiceId
    patient_id: PatientId
    amount: Money
    refunded: Money = 0
    released: Money = 0
    reversed: bool = False
    reverse_reason: str | None = None
    method: PaidBy
    paid_on: date
    refunds: list[Refund] = field(default_factory=list)
    recorded_at: datetime
    place_id: UUID | None = None  # in whose till it is; none: the clinic's own

    indexes: ClassVar[tuple[str, ...]] = ("invoice_id, recorded_at, id",)


class CreditNoteRow(Row):
    """A credit note, or what was written off: by how much less is owed on an invoice, and why."""

    table: ClassVar[str] = "credit_notes"
    permission: ClassVar[str] = "billing.invoices.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    number: str
    cause: Cause
    invoice_id: InvoiceId
    invoice_number: str
    patient_id: PatientId
    currency: str
    net: Money
    tax: Money
    total: Money
    lines: list[CreditedLine]
    reason: str
    credited_on: date
    recorded_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("credited_on, id", "patient_id, credited_on, id", "invoice_id", "number")


class NextNumber(Frozen):
    """The number that the next invoice issued today would get; another may take it first."""

    number: str


class Payments(Frozen):
    """The payments of an invoice, the first one first."""

    items: list[PaymentRow]
