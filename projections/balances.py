"""A patient's account: one number, and the history behind it.

How it works: what is owed is the sum of what is due on the patient's invoices, what they have the sum of their credit; both stand in rows that one transaction moves together. As it was at a
position, and in a statement, it is the sum of what the events of those very invoices and credits changed. What an invoice sets free, or is paid with, its own event says, and the credit's in the
same save is not counted a second time: so the number holds between the two as well.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.credits import CreditReceived, CreditReturned, CreditReversed
from domain.invoices import (
    CreditApplied,
    InvoiceCredited,
    InvoiceIssued,
    InvoiceVoided,
    PaymentReallocated,
    PaymentRecorded,
    PaymentRefunded,
    PaymentReversed,
)
from domain.kit import Fact
from projections.kit import PROJECTIONS
from projections.kit.keys import KeyRing
from projections.kit.past import facts_of, past, pasts
from projections.kit.reading import Reader
from projections.relations import standing
from projections.trails import of_patient
from schemas.balances import PatientBalance, Statement, StatementLine, What

MOST = 2000  # invoices of a patient; whoever has more has hardly one account
OWED = """
select (select coalesce(sum(due), 0)::bigint from invoices where clinic_id = %s and patient_id = %s) as owed,
    (select coalesce(sum(due), 0)::bigint from invoices where clinic_id = %s and patient_id = %s and due_on < %s and due > 0) as overdue,
    (select coalesce(sum(balance), 0)::bigint from credits where clinic_id = %s and patient_id = %s) as credit
"""


class Sums(Struct):
    owed: int
    overdue: int
    credit: int


class Change(NamedTuple):
    """What an event changes on an account."""

    date: date
    what: What
    amount: int = 0
    credit: int = 0
    number: str | None = None
    method: Any = None
    reason: str | None = None


async def balance_of(reader: Reader, patient: UUID, currency: str, today: date) -> PatientBalance | None:
    """Return what a patient owes and has; None if there is no such patient."""
    if (row := await standing(reader, patient)) is None:
        return None
    (sums,) = await reader.select(Sums, OWED, reader.clinic, row.id, reader.clinic, row.id, today, reader.clinic, row.id)
    return told(row.id, currency, sums)


async def balance_then(reader: Reader, keys: KeyRing, patient: UUID, currency: str, upto: int, today: date) -> PatientBalance | None:
    """Return the same as it was at a position."""
    if (whose := await standing_then(reader, keys, patient, upto)) is None:
        return None
    bills, found = await history(reader, keys, whose, upto)
    overdue = sum(row.due for row in bills.values() if row.due_on is not None and row.due_on < today)
    owed, credit = sum(row.due for row in bills.values()), sum(change.credit for change, _ in found)
    return told(whose, currency, Sums(owed=owed, overdue=overdue, credit=credit))


def told(patient: UUID, currency: str, sums: Sums) -> PatientBalance:
    return PatientBalance(
        patient_id=patient, currency=currency, owed=sums.owed, overdue=sums.overdue, credit=sums.credit, balance=sums.owed - sums.credit)


async def statement_of(
    reader: Reader, keys: KeyRing, patient: UUID, currency: str, since: date | None, until: date | None, upto: int,
) -> Statement | None:
    """Return a patient's account between two days, as it was known at a position; None if there is no such patient."""
    if (whose := await standing_then(reader, keys, patient, upto)) is None:
        return None
    bills, found = await history(reader, keys, whose, upto)
    found.sort(key=lambda one: (one[0].date, one[1].position))
    balance, opening, lines = 0, 0, []
    for change, fact in found:
        if until is not None and change.date > until:
            break
        balance += change.amount
        if since is not None and change.date < since:
            opening = balance
            continue
        bill = bills.get(fact.id)
        lines.append(StatementLine(
            date=change.date, what=change.what, amount=change.amount, credit=change.credit, balance=balance, invoice_id=fact.id if bill else None,
            number=change.number or (bill.number if bill else None), method=change.method, reason=change.reason, recorded_at=fact.recorded_at,
            position=fact.position))
    return Statement(patient_id=whose, currency=currency, since=since, until=until, opening=opening, closing=balance, lines=lines)


def changes(event: Any) -> Iterator[Change]:  # noqa: C901 - one for each kind of event
    """Yield what an event of an invoice or of credit changes on its patient's account; what either says of the other is said once."""
    match event:
        case InvoiceIssued(issued_on=on, total=total):
            yield Change(on, "invoice", total)
        case InvoiceVoided(voided_on=on):
            yield Change(on, "void", -sum(share.total for share in event.shares), reason=event.reason)
        case InvoiceCredited(credited_on=on, total=total):
            yield Change(on, event.cause, -total, number=event.number, reason=event.reason)
        case PaymentRecorded(paid_on=on, amount=amount):
            yield Change(on, "payment", -amount, method=event.method)
        case PaymentRefunded(refunded_on=on, amount=amount):
            yield Change(on, "refund", amount, method=event.method, reason=event.reason)
        case PaymentReversed(reversed_on=on, amount=amount):
            yield Change(on, "reversal", amount, method=event.method, reason=event.reason)
        case CreditApplied(applied_on=on, amount=amount):
            yield Change(on, "credit-applied", credit=-amount, method="credit")
        case PaymentReallocated(reallocated_on=on, released=amount) if amount:
            yield Change(on, "credit-gained", credit=amount)
        case CreditReceived(received_on=on, amount=amount):
            yield Change(on, "deposit", -amount, amount, method=event.method, reason=event.purpose)
        case CreditReversed(reversed_on=on, amount=amount):
            yield Change(on, "deposit-reversal", amount, -amount, method=event.method, reason=event.reason)
        case CreditReturned(returned_on=on, amount=amount):
            yield Change(on, "credit-returned", amount, -amount, method=event.method, reason=event.reason)


async def history(reader: Reader, keys: KeyRing, patient: UUID, upto: int) -> tuple[dict[UUID, Any], list[tuple[Change, Fact]]]:
    """Return a patient's invoices as they were at a position, and all that had changed the account by then."""
    bills = await theirs(reader, keys, "invoices", patient, upto)
    streams = [*bills, *await theirs(reader, keys, "credits", patient, upto)]
    found: list[tuple[Change, Fact]] = []
    async for fact in facts_of(reader, keys, streams, upto, personal=False):
        found += [(change, fact) for change in changes(fact.event)]
    return bills, found


async def theirs(reader: Reader, keys: KeyRing, kind: str, patient: UUID, upto: int) -> dict[UUID, Any]:
    """Return the rows of one kind that were a patient's at a position."""
    streams = await of_patient(reader, kind, patient, upto, MOST)
    found = await pasts(reader, keys, PROJECTIONS[kind], streams, upto)
    rows: dict[UUID, Any] = {id_: one.row for id_, one in found.items()}
    return {id_: row for id_, row in rows.items() if row.patient_id == patient}


async def standing_then(reader: Reader, keys: KeyRing, patient: UUID, upto: int) -> UUID | None:
    """Return the record that stood for a patient at a position."""
    found: Any = await past(reader, keys, PROJECTIONS["patients"], patient, upto)
    while found is not None and found.row.merged_into is not None:
        patient = found.row.merged_into
        found = await past(reader, keys, PROJECTIONS["patients"], patient, upto)
    return patient if found is not None else None


