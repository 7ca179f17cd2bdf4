"""Bills: lines with prices, discounts and tax, worked out to the last unit; what an invoice and a quotation have in common.

How it works: everything is whole minor units. A line is quantity times price, less its own discount; a discount on the whole is spread over the lines by largest remainder, so the
parts sum to it; then the tax of each line is rounded once, half away from zero. Totals are the sums of the lines, never worked out a second time. Where prices include tax, price, discounts and
what is left of them are with it, and the tax is what is in that, rounded once; net is the rest. So a line costs what its price says, to the unit, whatever the rate.

What may go wrong: a rate or amount that a schema would refuse may come from elsewhere, so each is refused here again.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from domain.kit.model import Frozen, Invalid, Money, Note, PatientId, Personal, StaffId, Text, only
from domain.kit.money import BASIS, percent, rounded, shares

Rate = Annotated[int, Meta(ge=0, le=BASIS, description="Basis points: 2100 is 21 %.")]
Price = Annotated[int, Meta(ge=0, le=10**12, description="Integer minor units of the clinic's currency, without tax unless the document's prices include it.")]
TaxIncluded = Annotated[bool, Meta(description="Whether prices, discounts and reductions of the lines are with the tax that is in them.")]
Quantity = Annotated[int, Meta(ge=1, le=10_000)]
Method = Literal["cash", "card", "transfer", "insurance", "other"]
"""How money changes hands."""
ProcedureCode = Annotated[str, Meta(min_length=1, max_length=40, examples=["D2740"])]

LARGEST = 10**13  # exact in every JSON reader, and a bigint holds the sum of 900,000 of them
EARLIEST = date(1900, 1, 1)  # a slip of the keyboard opens no series of the year 26


class Discount(Frozen):
    """Either a percentage (in basis points) or an amount."""

    percent: Rate | None = None
    amount: Money | None = None


class Line(Frozen):
    """What is charged: the price is without tax, unless the prices of the document include it."""

    description: Text
    procedure_code: ProcedureCode | None = None
    doctor_id: StaffId | None = None
    quantity: Quantity = 1
    unit_price: Price
    discount: Discount | None = None
    tax_rate: Rate = 0


class BilledLine(Line):
    """A line worked out: what its discounts come to, and its tax, rounded once."""

    no: int
    reduction: Money
    net: Money
    tax: Money
    total: Money


class Charges(Frozen):
    """What a patient is charged, or would be: results, with the recipe they came from."""

    patient_id: PatientId
    currency: str
    lines: list[BilledLine]
    discount: Discount | None = None
    tax_included: TaxIncluded = False
    subtotal: Money
    tax: Money
    total: Money
    notes: Annotated[Note | None, Personal("patient_id")] = None


class InvoiceEmpty(Invalid):
    """A bill needs at least one line."""


class DiscountUnclear(Invalid):
    """A discount is either a percentage or an amount."""


class DiscountTooLarge(Invalid):
    """A discount cannot exceed what it is given on."""


class InvoiceTooLarge(Invalid):
    """The total is larger than can be counted exactly."""


class LineOutOfRange(Invalid):
    """A quantity is at least one; a price cannot be negative; a rate lies between 0 and 100 %."""


class AmountNotPositive(Invalid):
    """An amount must be above zero."""


class DateInFuture(Invalid):
    """What has been done cannot lie in the future."""


class DateTooEarly(Invalid):
    """Nothing can be paid before it is issued, refunded before it is paid, or issued in another age."""


class NotADoctor(Invalid):
    """A line can only name a member of staff who treats patients."""


def charged(patient: UUID, currency: str, lines: Sequence[Line], *, discount: Discount | None, notes: str | None, tax_included: bool = False) -> Charges:
    """Return what these lines come to: discounts spread to the cent, tax rounded once a line, sums that are exactly the sums."""
    if not lines:
        raise InvoiceEmpty
    own = [reduction(line.discount, gross(line)) for line in lines]
    nets = [gross(line) - off for line, off in zip(lines, own, strict=True)]
    spread = shares(reduction(discount, sum(nets)), nets)
    billed = [billed_line(no, line, off + extra, tax_included=tax_included) for no, (line, off, extra) in enumerate(zip(lines, own, spread, strict=True), 1)]
    subtotal, tax = sum(line.net for line in billed), sum(line.tax for line in billed)
    if subtotal + tax > LARGEST:
        raise InvoiceTooLarge
    return Charges(
        patient_id=patient, currency=currency, lines=billed, discount=discount, tax_included=tax_included, subtotal=subtotal, tax=tax, total=subtotal + tax,
        notes=notes)


def gross(line: Line) -> int:
    if line.quantity < 1 or line.unit_price < 0 or not 0 <= line.tax_rate <= BASIS:
        raise LineOutOfRange(description=line.description)
    return line.quantity * line.unit_price


def reduction(discount: Discount | None, amount: int) -> int:
    match discount:
        case None:
            return 0
        case Discount(percent=int(rate), amount=None) if 0 <= rate <= BASIS:
            return percent(amount, rate)
        case Discount(percent=None, amount=int(off)) if 0 <= off <= amount:
            return off
        case Discount(percent=None, amount=int()) | Discount(percent=int(), amount=None):
            raise DiscountTooLarge(on=amount)
    raise DiscountUnclear


def billed_line(no: int, line: Line, off: int, *, tax_included: bool) -> BilledLine:
    price = gross(line) - off
    tax = rounded(price * line.tax_rate, BASIS + line.tax_rate) if tax_included else percent(price, line.tax_rate)
    net = price - tax if tax_included else price
    return BilledLine(**only(Line, line), no=no, reduction=off, net=net, tax=tax, total=net + tax)


def ensure_doctors(roles: Iterable[str]) -> None:
    """Refuse lines for people who treat nobody; one who has left may still have earned."""
    if "receptionist" in roles:
        raise NotADoctor


def ensure_positive(amount: int) -> None:
    if amount <= 0:
        raise AmountNotPositive(amount=amount)


def ensure_past(on: date, today: date, earliest: date) -> None:
    if on > today:
        raise DateInFuture(date=on.isoformat())
    if on < earliest:
        raise DateTooEarly(date=on.isoformat(), earliest=earliest.isoformat())
