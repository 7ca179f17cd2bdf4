"""Expenses as rows, what a day came to by each method, and the sums of both."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.credits import CreditReceived, CreditReturned, CreditReversed
from domain.expenses import ExpenseCorrected, ExpenseEvent, ExpenseRecorded, ExpenseStruckOut, Spent
from domain.invoices import PaymentRecorded, PaymentRefunded, PaymentReversed
from domain.kit import PLATFORM, Fact, only
from domain.kit.bills import Method
from projections.kit import installs, projects
from projections.kit.reading import Reader
from schemas.expenses import CategorySum, EndOfDay, ExpenseRow, ExpenseTotals, MethodSum, TillDayRow

installs("""
create or replace view current_expenses with (security_invoker = true) as select * from expenses where not struck_out;
grant select on current_expenses to anamnesis_gateway;
""")

CATEGORIES = """select category, count(*)::bigint as count, sum(amount)::bigint as amount, sum(tax)::bigint as tax
from expenses where clinic_id = %s and not struck_out and spent_on between %s and %s group by category order by amount desc, category"""
SUMS = ", ".join(f"sum({name})::bigint as {name}" for name in ("received", "payments", "refunded", "refunds", "reversed", "reversals", "spent", "expenses"))
TILL = f"""select method, {SUMS}, sum(received - reversed - refunded - spent)::bigint as net
from till_days where clinic_id = %s and day = %s group by method having sum(payments + refunds + reversals + expenses) > 0 order by method"""  # noqa: S608 - our own names
BILLED = """select coalesce(sum(billed), 0)::bigint as billed, coalesce(sum(voided), 0)::bigint as voided, coalesce(sum(credited), 0)::bigint as credited,
    coalesce(sum(written_off), 0)::bigint as written_off, coalesce(sum(invoices), 0)::bigint as invoices
from revenue_days where clinic_id = %s and day = %s"""
Key = tuple[date, Method, UUID]


class Billed(Struct):
    billed: int
    voided: int
    credited: int
    written_off: int
    invoices: int


@projects(ExpenseRow, of=ExpenseEvent)
def expenses(row: ExpenseRow | None, fact: Fact) -> ExpenseRow | None:
    match fact.event:
        case ExpenseRecorded(currency=currency) as event:
            return ExpenseRow(id=fact.id, currency=currency, place_id=event.place_id, recorded_at=fact.recorded_at, version=fact.version, **only(Spent, event))
        case ExpenseCorrected() as event if row:
            return replace(row, version=fact.version, corrections=row.corrections + 1, place_id=event.place_id, **only(Spent, event))
        case ExpenseStruckOut(reason=reason) if row:
            return replace(row, version=fact.version, struck_out=True, strike_reason=reason)
    return row


def till_keys(fact: Fact) -> Iterable[Key]:  # noqa: PLR0911 - one for each kind of event
    event: Any = fact.event
    match event:
        case PaymentRecorded():
            return ((event.paid_on, event.method, event.place_id or PLATFORM),)
        case PaymentRefunded():
            return ((event.refunded_on, event.method, event.place_id or PLATFORM),)
        case CreditReceived():
            return ((event.received_on, event.method, event.place_id or PLATFORM),)
        case CreditReturned():
            return ((event.returned_on, event.method, event.place_id or PLATFORM),)
        case PaymentReversed() | CreditReversed():
            return ((event.reversed_on, event.method, event.place_id or PLATFORM),)
        case ExpenseRecorded():
            return (now_at(event),)
        case ExpenseCorrected():
            return dict.fromkeys([was_at(event), now_at(event)])
    return (was_at(event),)


def now_at(event: ExpenseRecorded | ExpenseCorrected) -> Key:
    return event.spent_on, event.method, event.place_id or PLATFORM


def was_at(event: ExpenseCorrected | ExpenseStruckOut) -> Key:
    return event.was.spent_on, event.was.method, event.was_place_id or PLATFORM


@projects(TillDayRow, of=PaymentRecorded | PaymentRefunded | PaymentReversed | CreditReceived | CreditReturned | CreditReversed | ExpenseEvent, key=till_keys)
def till_days(row: TillDayRow | None, fact: Fact, key: Key) -> TillDayRow:  # noqa: PLR0911 - one for each kind of event
    row = row or TillDayRow(day=key[0], method=key[1], place=key[2])
    match fact.event:
        case PaymentRecorded(amount=amount) | CreditReceived(amount=amount):
            return replace(row, received=row.received + amount, payments=row.payments + 1)
        case PaymentRefunded(amount=amount) | CreditReturned(amount=amount):
            return replace(row, refunded=row.refunded + amount, refunds=row.refunds + 1)
        case PaymentReversed(amount=amount) | CreditReversed(amount=amount):
            return replace(row, reversed=row.reversed + amount, reversals=row.reversals + 1)
        case ExpenseRecorded(amount=amount):
            return replace(row, spent=row.spent + amount, expenses=row.expenses + 1)
        case ExpenseCorrected() as event:
            left, came = int(key == was_at(event)), int(key == now_at(event))
            return replace(row, spent=row.spent - left * event.was.amount + came * event.amount, expenses=row.expenses - left + came)
        case ExpenseStruckOut(was=was):
            return replace(row, spent=row.spent - was.amount, expenses=row.expenses - 1)
    return row


async def totals(reader: Reader, first: date, last: date, currency: str) -> ExpenseTotals:
    """Return what was spent in a period."""
    found = await reader.select(CategorySum, CATEGORIES, reader.clinic, first, last)
    return ExpenseTotals(
        currency=currency, first=first, last=last, count=sum(one.count for one in found), amount=sum(one.amount for one in found),
        tax=sum(one.tax for one in found), categories=found)


async def end_of_day(reader: Reader, day: date, currency: str) -> EndOfDay:
    """Return what a day of the clinic's came to."""
    methods = await reader.select(MethodSum, TILL, reader.clinic, day)
    (billed,) = await reader.select(Billed, BILLED, reader.clinic, day)
    spent = await reader.select(CategorySum, CATEGORIES, reader.clinic, day, day)

    def total(field: str) -> int:
        return sum(getattr(one, field) for one in methods)

    return EndOfDay(
        day=day, currency=currency, methods=methods, received=total("received"), payments=total("payments"), refunded=total("refunded"),
        refunds=total("refunds"), reversed=total("reversed"), reversals=total("reversals"), invoices=billed.invoices, billed=billed.billed, voided=billed.voided,
        credited=billed.credited, written_off=billed.written_off, spent=total("spent"), expenses=total("expenses"),
        categories=spent, net=total("net"))
