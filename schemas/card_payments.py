"""What may be seen of a card payment, and of the page on which it is made."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta

from domain.card_payments import WhyNot
from domain.kit import AppointmentId, Frozen, InvoiceId, Money
from schemas.kit import Row

CardStatus = Literal["open", "lapsed", "applied", "credited", "unapplied"]
"""A page is open or has lapsed; what was paid is with its invoice, some of it has become the patient's credit, or could be neither: that is to be given back."""


class CardPaymentRow(Row):
    """A payment by card through the link to an invoice, or to a visit for which a deposit is asked; that is the patient's credit. What the invoice could not take, because it had been paid otherwise by then or was void, was `credited` to the patient; what is in another currency is `kept`."""

    table: ClassVar[str] = "card_payments"
    permission: ClassVar[str] = "billing.payments.record"
    id: UUID
    invoice_id: InvoiceId | None = None
    appointment_id: AppointmentId | None = None
    status: CardStatus
    amount: Money
    currency: str
    until: datetime | None = None
    received_on: date | None = None
    applied: Money = 0
    credited: Money = 0
    kept: Money = 0
    because: WhyNot | None = None
    returned: Money = 0
    payment_id: UUID | None = None
    checkout: str
    charge: str | None = None
    changed_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("invoice_id, changed_at, id", "appointment_id, changed_at, id", "status, changed_at, id", "changed_at, id")


class CheckoutLink(Frozen):
    """Where the patient pays: an address of the payment service's, good until then."""

    url: str
    amount: Money
    currency: str
    amount_in_words: Annotated[str, Meta(description="As it is written in the clinic's language.", examples=["1,250.00 EUR"])]
    expires_at: datetime
