"""What may be seen of an invoice, of its payments and of the numbers given out."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import field

from domain.invoices import RefundId, Status
from domain.kit import Frozen, InvoiceId, Money, PatientId, Personal, Reason
from domain.kit.bills import BilledLine, Discount, Method
from schemas.kit import Row


class InvoiceRow(Row):
    """An invoice as the front desk sees it: `due` is what is still to be paid."""

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
    due: Money = 0
    issued_on: date | None = None
    due_on: date | None = None
    lines: list[BilledLine]
    discount: Discount | None = None
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
    """A payment, and what was given back of it."""

    table: ClassVar[str] = "payments"
    permission: ClassVar[str] = "billing.payments.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    invoice_id: InvoiceId
    patient_id: PatientId
    amount: Money
    refunded: Money = 0
    method: Method
    paid_on: date
    refunds: list[Refund] = field(default_factory=list)
    recorded_at: datetime
    place_id: UUID | None = None  # in whose till it is; none: the clinic's own

    indexes: ClassVar[tuple[str, ...]] = ("invoice_id, recorded_at, id",)


class NextNumber(Frozen):
    """The number that the next invoice issued today would get; another may take it first."""

    number: str


class Payments(Frozen):
    """The payments of an invoice, the first one first."""

    items: list[PaymentRow]
