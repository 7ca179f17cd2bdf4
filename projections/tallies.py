"""What single events add to the figures; the days' figures are sums of just this, so every figure can say why.

Each money or visit event leaves a line for each of its parts. Sums by day, doctor, procedure and method have rows of their own, folded from the same events: whoever asks for a figure reads those,
and whoever asks why reads lines, only of the days in question. Nothing here is worked out a second time: amounts are those that the events carry.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple, get_args
from uuid import UUID

from msgspec.structs import replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentRemoved,
    AppointmentRescheduled,
    MissUndone,
    PatientMissed,
)
from domain.credits import CreditReceived, CreditReversed
from domain.expenses import ExpenseCorrected, ExpenseRecorded, ExpenseStruckOut
from domain.invoices import (
    Allocation,
    CreditApplied,
    InvoiceCredited,
    InvoiceIssued,
    InvoiceVoided,
    PaidBy,
    PaymentReallocated,
    PaymentRecorded,
    PaymentRefunded,
    PaymentReversed,
)
from domain.kit import PLATFORM, Fact
from domain.patients import PatientRegistered
from projections.analytics import MoneyEvent
from projections.kit import projects
from schemas.tallies import ProcedureDayRow, Tally, TallyRow

SpendEvent = ExpenseRecorded | ExpenseCorrected | ExpenseStruckOut
VisitEvent = AppointmentBooked | AppointmentCompleted | AppointmentCancelled | PatientMissed | AppointmentRescheduled | AppointmentRemoved | MissUndone
TalliedEvent = MoneyEvent | SpendEvent | VisitEvent | PatientRegistered
Key = tuple[Any, ...]

VISITS: dict[Any, Any] = {AppointmentBooked: "booked", AppointmentCompleted: "completed", AppointmentCancelled: "cancelled", PatientMissed: "no-show"}
OVER = {"cancelled", "no-show"}  # what was missed stays missed, even out of sight


class Part(NamedTuple):
    """What a money event adds to one count, of one doctor and procedure."""

    tally: Tally
    amount: int
    doctor: UUID | None = None
    procedure: str | None = None
    tax: int = 0
    units: int = 0
    counted: int = 0
    method: PaidBy | None = None


def parts_of(event: Any) -> tuple[date, list[Part]]:  # noqa: C901, PLR0911 - one for each kind of event
    """Return the day of a money event, and all that it adds, part by part."""
    match event:
        case InvoiceIssued(issued_on=day):
            return day, [Part("billed", s.total, s.doctor_id, s.procedure_code, s.tax, s.units, int(n == 0)) for n, s in enumerate(event.shares)]
        case PaymentRecorded(paid_on=day, method=method):
            return day, allocated("collected", event.allocations, method, 1, 1)
        case InvoiceVoided(voided_on=day):
            return day, [Part("voided", s.total, s.doctor_id, s.procedure_code, s.tax, s.units) for s in event.shares]
        case PaymentRefunded(refunded_on=day, method=method):
            return day, allocated("refunded", event.allocations, method)
        case InvoiceCredited(credited_on=day, cause="credit-note"):
            return day, [Part("credited", s.total, s.doctor_id, s.procedure_code, s.tax) for s in event.shares]
        case InvoiceCredited(credited_on=day):  # the tax of what is written off is owed all the same
            return day, [Part("written-off", s.total, s.doctor_id, s.procedure_code) for s in event.shares]
        case CreditApplied(applied_on=day, amount=amount):
            return day, [*allocated("collected", event.allocations, "credit"), Part("collected", -amount, method="credit"), Part("on-account", -amount)]
        case PaymentReallocated(reallocated_on=day, released=amount):
            moved = [*allocated("collected", event.taken, "credit", -1), *allocated("collected", event.given, "credit")]
            return day, [*moved, Part("collected", amount, method="credit"), Part("on-account", amount)] if amount else moved
        case PaymentReversed(reversed_on=day, method=method):
            return day, allocated("collected", event.allocations, method, -1, -1)
        case CreditReceived(received_on=day, amount=amount, method=method):
            return day, [Part("collected", amount, counted=1, method=method), Part("on-account", amount)]
        case CreditReversed(reversed_on=day, amount=amount, method=method):
            return day, [Part("collected", -amount, counted=-1, method=method), Part("on-account", -amount)]
    return event.returned_on, [Part("refunded", event.amount, method=event.method), Part("on-account", -event.amount)]


def allocated(tally: Tally, parts: Iterable[Allocation], method: PaidBy, sign: int = 1, counted: int = 0) -> list[Part]:
    return [Part(tally, sign * a.amount, a.doctor_id, a.procedure_code, sign * a.tax, 0, counted * (n == 0), method) for n, a in enumerate(parts)]


MONEY = frozenset(get_args(MoneyEvent))


# These functions see every event of a rebuild that has a figure, so they ask for the class, the frequent ones first.


def lines(fact: Fact) -> Iterable[Key]:
    """Return a key for each line that an event leaves."""
    event: Any = fact.event
    kind, seq = type(event), fact.position
    if kind in MONEY:
        return [(seq, no) for no in range(len(parts_of(event)[1]))]
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
        day, parts = parts_of(event)
        part = parts[no]
        return TallyRow(
            **common(fact, no), day=day, tally=part.tally, amount=part.amount, tax=part.tax, units=part.units, counted=part.counted,
            number=getattr(event, "number", None), patient_id=event.record_id or event.patient_id, doctor_id=part.doctor, procedure_code=part.procedure, method=part.method)
    if kind in (ExpenseRecorded, ExpenseCorrected, ExpenseStruckOut):
        return TallyRow(**common(fact, no), **of_expense(event, kind, no))
    if kind is PatientRegistered:
        return TallyRow(**common(fact, no), day=event.registered_on, tally="registered", amount=1, patient_id=fact.id)
    return TallyRow(**common(fact, no), patient_id=event.patient_id, **of_visit(event, kind, no))


def common(fact: Fact, no: int) -> dict[str, Any]:
    return {"seq": fact.position, "no": no, "kind": fact.kind, "id": fact.id, "event": type(fact.event).__name__, "recorded_at": fact.recorded_at}


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
    if kind is MissUndone:
        return {**here, "tally": "no-show", "amount": -1}
    return {**here, "tally": "late-cancelled" if no else VISITS[kind], "amount": 1}


# --- sums by procedure


def procedures(fact: Fact) -> Iterable[Key]:
    day, parts = parts_of(fact.event)
    return dict.fromkeys((day, part.procedure or "", part.doctor or PLATFORM) for part in parts)


COLUMN: dict[Tally, str] = {"written-off": "written_off", "on-account": "on_account"}
TAXED: dict[Tally, str] = {"billed": "tax", "voided": "voided_tax", "credited": "credited_tax"}
UNITS: dict[Tally, str] = {"billed": "units", "voided": "voided_units"}
DOCUMENTS: dict[Tally, str] = {"billed": "invoices", "collected": "payments"}


@projects(ProcedureDayRow, of=MoneyEvent, key=procedures)
def procedure_days(row: ProcedureDayRow | None, fact: Fact, key: tuple[date, str, UUID]) -> ProcedureDayRow:
    row = row or ProcedureDayRow(day=key[0], procedure_code=key[1], doctor_id=key[2])
    sums: dict[str, int] = {}
    for part in parts_of(fact.event)[1]:
        if (part.procedure or "", part.doctor or PLATFORM) == key[1:]:
            tally = part.tally
            for column, amount in ((COLUMN.get(tally, tally), part.amount), (TAXED.get(tally), part.tax), (UNITS.get(tally), part.units), (DOCUMENTS.get(tally), part.counted)):
                if column and amount:
                    sums[column] = sums.get(column, 0) + amount
    return replace(row, **{column: getattr(row, column) + amount for column, amount in sums.items()})
