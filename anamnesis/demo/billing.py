"""What a visit costs, and how it is paid: at once, later, in parts, hardly ever not at all; and sometimes given back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from anamnesis.demo.house import DAY, MINUTE, Doctor, House, Intention, Patient
from anamnesis.demo.places import Kind
from commands.invoices import (
    CreateInvoice,
    DeleteInvoice,
    EditInvoice,
    IssueInvoice,
    MarkInvoicePaid,
    RecordPayment,
    RefundPayment,
    VoidInvoice,
)
from domain.invoices import Invoice, worked_out
from domain.kit.bills import Discount, Line

WHY_BACK = ("Paid twice", "Insurance paid as well", "Goodwill", "Treatment not finished")
WHY_VOID = ("Wrong patient", "Wrong procedure code", "Insurer is billed directly")
PRODUCT = "paste"


def bill(house: House, patient: Patient, doctor: Doctor, kind: Kind) -> Intention:
    """Make the bill of a visit."""
    style = house.decks.billing.deal()
    if style == "none":
        return
    lines, discount = content(house, doctor, kind)
    invoice = house.id()
    made = CreateInvoice(patient_id=patient.id, lines=lines, discount=discount)
    if style in ("at once", "void"):
        create(house, made, invoice)
    else:
        house.ask(made, house.desk(), invoice)
        yield house.now + house.rng.randrange(4, 200) * MINUTE
        if style == "discarded":
            house.ask(DeleteInvoice(), house.desk(), invoice, last=True)
            return
        if style == "edited draft":
            lines = [*lines, line_of(house, PRODUCT, None)]
            house.ask(EditInvoice(lines=lines, discount=discount), house.desk(), invoice)
            yield house.now + 2 * MINUTE
        issue(house, IssueInvoice(), invoice)
    if style == "void":
        yield house.now + house.rng.randrange(3, 60) * MINUTE
        house.ask(VoidInvoice(reason=house.rng.choice(WHY_VOID)), house.desk(), invoice, last=True)
        invoice = house.id()
        create(house, made, invoice)
    yield from paid(house, invoice, total(house, patient, lines, discount))


def create(house: House, made: CreateInvoice, invoice: UUID) -> None:
    """Make and issue at once."""
    issue(house, CreateInvoice(patient_id=made.patient_id, lines=made.lines, discount=made.discount, issue=True), invoice)


def issue(house: House, command: CreateInvoice | IssueInvoice, invoice: UUID) -> None:
    """Issue; the first of a year opens the year's series."""
    year = house.calendar.dates[house.today].year
    house.ask(command, house.desk(), invoice, alone=year not in house.issued_in)
    house.issued_in.add(year)


def content(house: House, doctor: Doctor, kind: Kind) -> tuple[list[Line], Discount | None]:
    """Return what is charged for a visit, and what is taken off."""
    key = (doctor.id, kind.name)
    if (lines := house.charged.get(key)) is None:
        lines = house.charged[key] = [line_of(house, name, doctor) for name in kind.charged]
    if house.decks.product.deal():
        lines = [*lines, line_of(house, PRODUCT, None, house.rng.randrange(1, 4))]
    match house.decks.discount.deal():
        case "percent":
            return lines, Discount(percent=house.rng.choice((500, 1000, 1500)))
        case "amount":
            return lines, Discount(amount=house.rng.choice((500, 750, 999)))
        case "line":
            first, *rest = lines
            off = Line(
                description=first.description, procedure_code=first.procedure_code, doctor_id=first.doctor_id, unit_price=first.unit_price,
                tax_rate=first.tax_rate, discount=Discount(percent=3333))
            return [off, *rest], None
    return lines, None


def line_of(house: House, name: str, doctor: Doctor | None, quantity: int = 1) -> Line:
    """Return a line of the price list."""
    of = house.place.prices[name]
    return Line(
        description=of.text, procedure_code=of.code, doctor_id=doctor.id if doctor else None, quantity=quantity, unit_price=of.price,
        tax_rate=of.tax)


def total(house: House, patient: Patient, lines: list[Line], discount: Discount | None) -> int:
    """Return what is to be paid."""
    return worked_out(patient.id, house.place.currency, lines, discount=discount, due_on=None, notes=None).total


def paid(house: House, invoice: UUID, amount: int) -> Intention:
    """Pay a bill in one of the ways people pay."""
    manner = house.decks.paying.deal()
    method = house.decks.method.deal()
    first = amount
    if manner == "never":
        return
    if manner in ("at once", "marked"):
        yield house.now + house.rng.randrange(1, 6) * MINUTE
    elif manner == "later":
        yield house.between(house.now + DAY, house.now + 40 * DAY)
        method = "transfer"
    refund = house.decks.refunded.deal()
    last = refund == "no"
    if manner == "marked":
        house.ask(MarkInvoicePaid(method=method), house.desk(), invoice, last=last)  # type: ignore[arg-type]
    elif manner == "parts":
        first = yield from in_parts(house, invoice, amount, method, last=last)
    else:
        pay(house, invoice, amount, method, last=last, earlier=manner == "later")
    if not last:
        yield house.between(house.now + DAY, house.now + 20 * DAY)
        yield from given_back(house, invoice, first, whole=refund == "whole")


def pay(house: House, invoice: UUID, amount: int, method: Any, *, last: bool = False, earlier: bool = False) -> None:
    """Record a payment; a transfer may have come in the day before."""
    today = house.calendar.dates[house.today]
    on = today - timedelta(days=1) if earlier and house.rng.random() < 0.3 else None
    house.ask(RecordPayment(amount=amount, method=method, paid_on=on), house.desk(), invoice, last=last)


def in_parts(house: House, invoice: UUID, amount: int, method: str, *, last: bool) -> Any:
    """Pay a part now, and the rest month by month; return the first part."""
    parts = house.rng.choice((2, 2, 3, 4))
    first = part = amount // parts
    yield house.now + 3 * MINUTE
    for number in range(1, parts):
        pay(house, invoice, part, method)
        amount -= part
        yield house.between(house.now + 25 * DAY, house.now + 35 * DAY)
        if number == parts - 1 and house.rng.random() < 0.2:
            return first
    pay(house, invoice, amount, method, last=last)
    return first


def given_back(house: House, invoice: UUID, amount: int, *, whole: bool) -> Intention:
    """Give back the first payment, or some of it; after an error it is paid once more."""
    back = amount if whole else max(1, amount // 3)
    asked = RefundPayment(payment_id=Invoice().next_payment(invoice), amount=back, reason=house.rng.choice(WHY_BACK))
    again = house.rng.random() < 0.3
    house.ask(asked, house.desk(), invoice, last=not again)
    if again:
        yield house.between(house.now + DAY, house.now + 15 * DAY)
        pay(house, invoice, back, "card", last=True)
