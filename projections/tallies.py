"""What single events add to the figures; the days' figures are sums of just this, so every figure can say why.

Each money or visit event leaves a line for each of its parts. Sums by day, doctor, procedure and method have rows of their own, folded from the same events: whoever asks for a figure reads those,
and whoever asks why reads lines, only of the days in question. Nothing here is worked out a second time: amounts are those that the events carry.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientMissed,
)
from domain.expenses import ExpenseCorrected, ExpenseRecorded, ExpenseStruckOut
from domain.invoices import InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded
from domain.kit import PLATFORM, Fact
from domain.patients import PatientRegistered
from projections.analytics import money_of
from projections.kit import projects
from schemas.tallies import ProcedureDayRow, TallyRow

MoneyEvent = InvoiceIssued | PaymentRecorded | PaymentRefunded | InvoiceVoided
SpendEvent = ExpenseRecorded | ExpenseCorrected | ExpenseStruckOut
VisitEvent = AppointmentBooked | AppointmentCompleted | AppointmentCancelled | PatientMissed | AppointmentRescheduled | AppointmentRemoved
TalliedEvent = MoneyEvent | SpendEvent | VisitEvent | PatientRegistered
Key = tuple[Any, ...]

MONEY: dict[Any, Any] = {InvoiceIssued: "billed", InvoiceVoided: "voided", PaymentRecorded: "collected", PaymentRefunded: "refunded"}
VISITS: dict[Any, Any] = {AppointmentBooked: "booked", AppointmentCompleted: "completed", AppointmentCancelled: "cancelled", PatientMissed: "no-show"}
OVER = {"cancelled", "no-show"}  # what was missed stays missed, even out of sight


# These functions see every event of a rebuild that has a figure, so they ask for the class, the frequent ones first, and make only the line that is wanted.


def lines(fact: Fact) -> Iterable[Key]:
    """Return a key for each line that an event leaves."""
    event: Any = fact.event
    kind, seq = type(event), fact.position
    if kind in MONEY:
        return [(seq, no) for no in range(len(money_of(event)[1]))]
    if kind is AppointmentRescheduled:
        return [(seq, 0), (seq, 1), (seq, 2)]
    if kind is AppointmentRemoved:
        return () if event.was in OVER else ((seq, 0),)
    if kind is AppointmentCancelled and event.late:
        return [(seq, 0), (seq, 1)]
    return [(seq, 0), (seq, 1)] if kind is ExpenseCorrected else ((seq, 0),)


@projects(TallyRow, of=TalliedEvent, key=lines, fresh=True)
def tallies(_: TallyRow | None, fact: Fact, key: Key) -> TallyRow:
    event: Any = fact.event
    kind, no = type(event), key[1]
    if kind in MONEY:
        return TallyRow(**common(fact, no), **of_money(event, kind, no))
    if kind in (ExpenseRecorded, ExpenseCorrected, ExpenseStruckOut):
        return TallyRow(**common(fact, no), **of_expense(event, kind, no))
    if kind is PatientRegistered:
        return TallyRow(**common(fact, no), day=event.registered_on, tally="registered", amount=1, patient_id=fact.id)
    return TallyRow(**common(fact, no), patient_id=event.patient_id, **of_visit(event, kind, no))


def common(fact: Fact, no: int) -> dict[str, Any]:
    return {"seq": fact.position, "no": no, "kind": fact.kind, "id": fact.id, "event": type(fact.event).__name__, "recorded_at": fact.recorded_at}


def of_money(event: Any, kind: type, no: int) -> dict[str, Any]:
    day, parts = money_of(event)
    part = parts[no]
    paid = kind is PaymentRecorded or kind is PaymentRefunded
    return {
        "day": day, "tally": MONEY[kind], "amount": part.amount if paid else part.total, "tax": part.tax, "units": 0 if paid else units_of(part),
        "patient_id": event.record_id or event.patient_id, "doctor_id": part.doctor_id, "procedure_code": part.procedure_code, "method": event.method if paid else None}


def units_of(share: Any) -> int:
    """Return how many of a procedure a share is about; earlier releases did not say, and it was one at least."""
    return int(getattr(share, "units", None) or 1)


def of_expense(event: Any, kind: type, no: int) -> dict[str, Any]:
    """Return what an expense adds; a correction takes back what was said, and says anew."""
    back = kind is ExpenseStruckOut or (kind is ExpenseCorrected and no == 0)
    spent, sign = (event.was, -1) if back else (event, 1)
    return {"day": spent.spent_on, "tally": "spent", "amount": sign * spent.amount, "tax": sign * spent.tax, "method": spent.method, "category": spent.category}


def of_visit(event: Any, kind: type, no: int) -> dict[str, Any]:
    if kind is AppointmentRescheduled:
        before = {"day": event.was_on, "doctor_id": event.was_doctor_id}
        after = {"day": event.on, "doctor_id": event.doctor_id}
        return ({**before, "tally": "booked", "amount": -1}, {**before, "tally": "rescheduled", "amount": 1}, {**after, "tally": "booked", "amount": 1})[no]
    here = {"day": event.on, "doctor_id": event.doctor_id}
    if kind is AppointmentRemoved:
        return {**here, "tally": "booked", "amount": -1}
    return {**here, "tally": "late-cancelled" if no else VISITS[kind], "amount": 1}


# --- sums by procedure


def procedures(fact: Fact) -> Iterable[Key]:
    day, parts = money_of(fact.event)
    if len(parts) == 1:
        return ((day, parts[0].procedure_code or "", parts[0].doctor_id or PLATFORM),)
    return dict.fromkeys((day, part.procedure_code or "", part.doctor_id or PLATFORM) for part in parts)


@projects(ProcedureDayRow, of=MoneyEvent, key=procedures)
def procedure_days(row: ProcedureDayRow | None, fact: Fact, key: tuple[date, str, UUID]) -> ProcedureDayRow:
    event: Any = fact.event
    kind = type(event)
    row = row or ProcedureDayRow(day=key[0], procedure_code=key[1], doctor_id=key[2])
    parts = money_of(event)[1]
    counted = int((parts[0].procedure_code or "", parts[0].doctor_id or PLATFORM) == key[1:])  # one of several counts once, with the first
    parts = [part for part in parts if (part.procedure_code or "", part.doctor_id or PLATFORM) == key[1:]]
    if kind is PaymentRecorded:
        return replace(row, collected=row.collected + sum(part.amount for part in parts), payments=row.payments + counted)
    if kind is PaymentRefunded:
        return replace(row, refunded=row.refunded + sum(part.amount for part in parts))
    total, tax, units = sum(part.total for part in parts), sum(part.tax for part in parts), sum(units_of(part) for part in parts)
    if kind is InvoiceIssued:
        return replace(row, billed=row.billed + total, tax=row.tax + tax, invoices=row.invoices + counted, units=row.units + units)
    return replace(row, voided=row.voided + total, voided_tax=row.voided_tax + tax, voided_units=row.voided_units + units)
