"""What may be seen of a patient's account: what they owe, what they have, and how it came to that."""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from domain.invoices import PaidBy
from domain.kit import Frozen, InvoiceId, Money, PatientId

What = Literal[
    "invoice", "void", "credit-note", "write-off", "payment", "refund", "reversal", "credit-applied", "credit-gained", "deposit", "deposit-reversal", "credit-returned"]


class PatientBalance(Frozen):
    """What a patient owes on invoices, less what they have as credit. Below zero, the clinic owes them. Amounts are integer minor units of the clinic's currency."""

    patient_id: PatientId
    currency: str
    owed: Money
    overdue: Annotated[Money, Meta(description="The part of `owed` that fell due before today, or before the day that `asOf` means.")]
    credit: Money
    balance: int


class StatementLine(Frozen):
    """Something that changed a patient's account: by `amount`, which raises or lowers what they owe, and `credit`, by which what they have grew or shrank; `balance` is what it came to."""

    date: date
    what: What
    amount: int
    credit: int
    balance: int
    invoice_id: InvoiceId | None = None
    number: Annotated[str | None, Meta(description="The number of the invoice, or of the credit note or write-off.")] = None
    method: PaidBy | None = None
    reason: str | None = None
    recorded_at: datetime
    position: int


class Statement(Frozen):
    """A patient's account from the first day to the last, both included, in the order of the days. What was recorded on one day stands in the order of recording."""

    patient_id: PatientId
    currency: str
    since: Annotated[date | None, Meta(description="The first day; null for all of it.")] = field(name="from")
    until: Annotated[date | None, Meta(description="The last day; null for all of it.")] = field(name="to")
    opening: Annotated[int, Meta(description="The balance before the first day.")]
    closing: Annotated[int, Meta(description="The balance at the end of the last day.")]
    lines: list[StatementLine]

