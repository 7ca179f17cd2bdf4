"""What may be seen of a card payment, and of the page on which it is made."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta

from domain.card_payments import WhyKept
from domain.kit import Frozen, InvoiceId, Money
from schemas.kit import Row

CardStatus = Literal["open", "lapsed", "applied", "unapplied"]
"""A page is open or has lapsed; what was paid is with its invoice, or some of it is left over: put it to another invoice, or give it back."""


class CardPaymentRow(Row):
    """A payment by card through the link to an invoice: `kept` is what is left over, because the invoice had been paid otherwise by then, was void, or is in another currency."""

    table: ClassVar[str] = "card_payments"
    permission: ClassVar[str] = "billing.payments.record"
    id: UUID
    invoice_id: InvoiceId
    status: CardStatus
    amount: Money
    currency: str
    until: datetime | None = None
    received_on: date | None = None
    applied: Money = 0
    kept: Money = 0
    because: WhyKept | None = None
    returned: Money = 0
    payment_ids: list[UUID]
    checkout: str
    charge: str | None = None
    changed_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("invoice_id, changed_at, id", "status, changed_at, id", "changed_at, id")


class CheckoutLink(Frozen):
    """Where the patient pays: an address of the payment service's, good until then."""

    url: str
    amount: Money
    currency: str
    amount_in_words: Annotated[str, Meta(description="As it is written in the clinic's language.", examples=["1,250.00 EUR"])]
    expires_at: datetime
