"""Subscription invoices: what a clinic owes the platform for its software; the platform's own books, numbered without a gap for each clinic."""

from base64 import b32encode
from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import sha256
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, Money, Note, NotFound, Reason, Ref, Refused, State, Text, only
from domain.kit.letters import letter
from domain.kit.money import BASIS, percent
from domain.kit.prices import CurrencyCode

SERIES = "subscription-invoices"
DIGITS = 8  # of a clinic's own part of its numbers: a trillion of them, so that no two clinics share one
TERM = timedelta(days=14)
LARGEST = 10**13  # exact in every JSON reader
EARLIEST = date(2000, 1, 1)
LATEST = date(9000, 1, 1)

SubscriptionInvoiceId = Annotated[UUID, Ref("subscription_invoices")]
TaxRate = Annotated[int, Meta(ge=0, le=BASIS, description="Basis points: 2100 is 21 %.")]
UnitPrice = Annotated[int, Meta(ge=0, le=10**11, description="Integer minor units of the invoice's currency, without tax.")]
Units = Annotated[int, Meta(ge=1, le=10_000)]
Settlement = Literal["card", "transfer", "direct-debit", "other"]
Reference = Annotated[str, Meta(max_length=100, description="What the payment is called elsewhere: a bank's line, a receipt.")]
InvoiceStage = Literal["draft", "issued", "paid", "void"]


class InvoiceItem(Frozen):
    """What is charged: the price is without tax."""

    description: Text
    quantity: Units = 1
    unit_price: UnitPrice
    tax_rate: TaxRate = 0


class ChargedItem(InvoiceItem):
    """An item worked out; its tax is rounded once."""

    net: Money
    tax: Money
    total: Money


class SubscriptionBill(Frozen):
    """What a subscription invoice says: results, with the recipe they came from."""

    currency: CurrencyCode
    items: list[ChargedItem]
    subtotal: Money
    tax: Money
    total: Money
    period_from: date | None = None
    period_to: date | None = None
    notes: Note | None = None


class SubscriptionInvoiceDrafted(Event, SubscriptionBill):
    drafted_on: date


class SubscriptionInvoiceIssued(Event):
    number: str
    issued_on: date
    due_on: date
    total: Money
    currency: CurrencyCode


class SubscriptionInvoiceSent(Event):
    """It was asked to be sent; the letter follows, and says this."""

    sent_on: date
    number: str | None = None
    total: Money = 0
    currency: CurrencyCode | None = None
    due_on: date | None = None
    paid: bool = False


class SubscriptionInvoicePaid(Event):
    amount: Money
    currency: CurrencyCode
    method: Settlement
    reference: Reference | None = None
    paid_on: date


class SubscriptionInvoiceVoided(Event):
    reason: Reason
    voided_on: date


class SubscriptionInvoiceDiscarded(Event): ...


SubscriptionInvoiceEvent = (
    SubscriptionInvoiceDrafted | SubscriptionInvoiceIssued | SubscriptionInvoiceSent | SubscriptionInvoicePaid | SubscriptionInvoiceVoided
    | SubscriptionInvoiceDiscarded
)


INVOICE = letter(
    "billing.invoice", "An invoice of the platform for a clinic's software.", {"number": "K7QX2MZA-2026-0001", "total": "240.79 EUR", "due": "2026-03-16"},
    en=("Invoice {{number}}", """
Dear {{name}},

Your invoice {{number}} comes to {{total}} and is due on {{due}}. You can see, print and pay it here: {{url}}/billing
"""),
    es=("Factura {{number}}", """
Hola, {{name}}:

Su factura {{number}} asciende a {{total}} y vence el {{due}}. Puede verla, imprimirla y pagarla aquí: {{url}}/billing
"""),
)
RECEIPT = letter(
    "billing.receipt", "A paid invoice of the platform, as a receipt.", {"number": "K7QX2MZA-2026-0001", "total": "240.79 EUR"},
    en=("Receipt for invoice {{number}}", """
Dear {{name}},

Thank you: your invoice {{number}} over {{total}} is paid. You can see and print it here: {{url}}/billing
"""),
    es=("Recibo de la factura {{number}}", """
Hola, {{name}}:

Gracias: su factura {{number}} por {{total}} está pagada. Puede verla e imprimirla aquí: {{url}}/billing
"""),
)


class ItemsMissing(Invalid):
    """A subscription invoice needs at least one item."""


class BillTooLarge(Invalid):
    """The total is larger than can be counted exactly."""


class ItemOutOfRange(Invalid):
    """A quantity is at least one; a price cannot be negative; a rate lies between 0 and 100 %."""


class PeriodBackwards(Invalid):
    """A period ends on or after the day on which it begins; give both days or neither."""


class DayOutOfRange(Invalid):
    """An invoice is issued today or earlier and falls due later, is paid after it was issued, and nothing is done in another age."""


class SubscriptionInvoiceNotDraft(Refused):
    """Only a draft can be issued or discarded; void an invoice that was issued and make a new one."""


class SubscriptionInvoiceNotIssued(Refused):
    """Only an issued invoice of which nothing is paid can be paid, sent or voided."""


class SubscriptionInvoice(State):
    """One invoice of the platform to a clinic."""

    kind: ClassVar[str] = "subscription_invoices"
    stage: Literal["none", "draft", "issued", "paid", "void", "discarded"] = "none"
    currency: str = "EUR"
    total: Money = 0
    issued_on: date = EARLIEST
    number: str | None = None
    due_on: date | None = None

    def evolve(self, event: SubscriptionInvoiceEvent) -> Self:
        match event:
            case SubscriptionInvoiceDrafted(currency=currency, total=total):
                return replace(self, stage="draft", currency=currency, total=total)
            case SubscriptionInvoiceIssued(issued_on=on, number=number, due_on=due):
                return replace(self, stage="issued", issued_on=on, number=number, due_on=due)
            case SubscriptionInvoicePaid():
                return replace(self, stage="paid")
            case SubscriptionInvoiceVoided():
                return replace(self, stage="void")
            case SubscriptionInvoiceDiscarded():
                return replace(self, stage="discarded")
            case SubscriptionInvoiceSent():
                return self

    def draft(self, bill: SubscriptionBill, today: date) -> SubscriptionInvoiceDrafted:
        return SubscriptionInvoiceDrafted(**only(SubscriptionBill, bill), drafted_on=today)

    def issue(self, number: str, on: date, due_on: date | None, today: date) -> SubscriptionInvoiceIssued:
        self.ensure_draft()
        ensure_day(on, EARLIEST, today)
        due = due_on or on + TERM
        ensure_day(due, on, LATEST)
        return SubscriptionInvoiceIssued(number=number, issued_on=on, due_on=due, total=self.total, currency=self.currency)

    def send(self, today: date) -> list[Event]:
        """Send it, again if need be; a paid one goes out as a receipt."""
        self.ensure_there()
        if self.stage not in {"issued", "paid"}:
            raise SubscriptionInvoiceNotIssued
        paid = self.stage == "paid"
        return [SubscriptionInvoiceSent(sent_on=today, number=self.number, total=self.total, currency=self.currency, due_on=self.due_on, paid=paid)]

    def settle(self, method: Settlement, reference: str | None, on: date, today: date) -> list[Event]:
        self.ensure_issued()
        ensure_day(on, self.issued_on, today)
        return [SubscriptionInvoicePaid(amount=self.total, currency=self.currency, method=method, reference=reference, paid_on=on)]

    def void(self, reason: str, today: date) -> list[Event]:
        self.ensure_issued()
        return [SubscriptionInvoiceVoided(reason=reason, voided_on=today)]

    def discard(self) -> list[Event]:
        self.ensure_draft()
        return [SubscriptionInvoiceDiscarded()]

    def ensure_draft(self) -> None:
        self.ensure_there()
        if self.stage != "draft":
            raise SubscriptionInvoiceNotDraft

    def ensure_issued(self) -> None:
        self.ensure_there()
        if self.stage != "issued":
            raise SubscriptionInvoiceNotIssued

    def ensure_there(self) -> None:
        if self.stage in {"none", "discarded"}:
            raise NotFound


def charged(currency: str, items: Sequence[InvoiceItem], *, period: tuple[date | None, date | None], notes: str | None) -> SubscriptionBill:
    """Return the bill of these items: tax rounded once for each, sums that are exactly the sums."""
    if not items:
        raise ItemsMissing
    worked = [charged_item(item) for item in items]
    subtotal, tax = sum(item.net for item in worked), sum(item.tax for item in worked)
    if subtotal + tax > LARGEST:
        raise BillTooLarge
    first, last = period
    if (first is None) is not (last is None) or (first and last and last < first):
        raise PeriodBackwards
    return SubscriptionBill(
        currency=currency, items=worked, subtotal=subtotal, tax=tax, total=subtotal + tax, period_from=first, period_to=last, notes=notes)


def charged_item(item: InvoiceItem) -> ChargedItem:
    if item.quantity < 1 or item.unit_price < 0 or not 0 <= item.tax_rate <= BASIS:
        raise ItemOutOfRange(description=item.description)
    net = item.quantity * item.unit_price
    tax = percent(net, item.tax_rate)
    return ChargedItem(**only(InvoiceItem, item), net=net, tax=tax, total=net + tax)


def ensure_day(on: date, first: date, last: date) -> None:
    if not first <= on <= last:
        raise DayOutOfRange(day=on.isoformat(), first=first.isoformat(), last=last.isoformat())


def numbered(clinic: UUID, year: int, number: int) -> str:
    """Return a number as it stands on paper: the clinic's own part, the year, and the place in the clinic's series."""
    own = b32encode(sha256(clinic.bytes).digest()).decode()[:DIGITS]
    return f"{own}-{year:04}-{number:04}"
