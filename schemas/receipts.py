"""What may be seen of a receipt."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import InvoiceId, Money, PatientId
from domain.kit.bills import Method
from schemas.kit import Row


class ReceiptRow(Row):
    """A receipt: what was received when, for which invoice; as it was issued."""

    table: ClassVar[str] = "receipts"
    permission: ClassVar[str] = "billing.receipts.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    number: str
    patient_id: PatientId
    invoice_id: InvoiceId
    invoice_number: str
    payment_id: UUID
    amount: Money
    currency: str
    method: Method
    paid_on: date
    issued_on: date
    issued_at: datetime
    sent_at: datetime | None = None  # when the patient was last written to

    indexes: ClassVar[tuple[str, ...]] = ("issued_at, id", "patient_id, issued_at, id", "invoice_id", "number")


class ReceiptEntry(ReceiptRow):
    """A receipt, with what has been given back of its payment since; `reversed` if that had been recorded by mistake."""

    table: ClassVar[str] = "receipt_entries"
    refunded: Money
    reversed: bool
