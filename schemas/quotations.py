"""What may be seen of a quotation."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import Frozen, InvoiceId, Money, PatientId, Personal
from domain.kit.bills import BilledLine, Discount, TaxIncluded
from domain.quotations import Answerer, Standing
from schemas.kit import Row


class QuotationRow(Row):
    """A quotation. It has no number while it is a draft, and says until which day it can be accepted."""

    table: ClassVar[str] = "quotations"
    permission: ClassVar[str] = "billing.quotations.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    number: str | None = None
    status: Standing  # `expired` by the calendar alone, which a row does not know
    patient_id: PatientId
    currency: str
    subtotal: Money
    tax: Money
    total: Money
    issued_on: date | None = None
    valid_until: date | None = None
    lines: list[BilledLine]
    discount: Discount | None = None
    tax_included: TaxIncluded = False
    notes: Annotated[str | None, Personal("patient_id")] = None
    sent_at: datetime | None = None  # when the patient was last written to
    answered_on: date | None = None
    answered_by: Answerer | None = None
    decline_reason: Annotated[str | None, Personal("patient_id")] = None
    invoice_id: InvoiceId | None = None  # what it became
    withdraw_reason: str | None = None
    issued_at: datetime | None = None
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("created_at, id", "patient_id, created_at, id", "status, created_at, id", "number")


class QuotationEntry(QuotationRow):
    """A quotation as it stands today: one that was sent and is no longer valid has the status `expired`."""

    table: ClassVar[str] = "quotation_entries"


class NextQuotationNumber(Frozen):
    """The number that the next quotation issued today would get; another may take it first."""

    number: str
