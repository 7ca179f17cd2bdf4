"""Money and visits per day and doctor, from facts alone; the reports are sums of them."""

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
    MissUndone,
    PatientMissed,
)
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
from domain.kit import PLATFORM, Fact
from projections.kit import projects
from schemas.analytics import AppointmentDayRow, RevenueDayRow

AccountEvent = InvoiceCredited | CreditApplied | PaymentReallocated | PaymentReversed | CreditReceived | CreditReturned | CreditReversed
MoneyEvent = InvoiceIssued | PaymentRecorded | PaymentRefunded | InvoiceVoided | AccountEvent
VisitEvent = (
    AppointmentBooked | AppointmentCompleted | AppointmentCancelled | PatientMissed | AppointmentRescheduled | AppointmentRemoved | MissUndone
)
Key = tuple[date, UUID]
USUAL = {InvoiceIssued, PaymentRecorded, PaymentRefunded, InvoiceVoided}


# These functions see every invoice and payment of a rebuild, so they are written for speed: most have one doctor, and comparing UUIDs is slow.


def money_of(event: Any) -> tuple[date, list[Any]]:
    """Return the day an event's money belongs to, and its parts by doctor."""
    kind = type(event)
    if kind is PaymentRecorded:
        return event.paid_on, event.allocations
    if kind is InvoiceIssued:
        return event.issued_on, event.shares
    return (event.refunded_on, event.allocations) if kind is PaymentRefunded else (event.voided_on, event.shares)


def changes(event: Any) -> tuple[date, dict[UUID, dict[str, int]]]:  # noqa: C901 - one for each kind of event
    """Return the day of an event that is not among the usual ones, and what it changes for each doctor."""
    found: dict[UUID, dict[str, int]] = {}

    def count(doctor: UUID | None, **amounts: int) -> None:
        row = found.setdefault(doctor or PLATFORM, {})
        for name, amount in amounts.items():
            row[name] = row.get(name, 0) + amount

    match event:
        case InvoiceCredited(credited_on=day, cause=cause):
            for share in event.shares:
                count(share.doctor_id, **({"credited": share.total, "credited_tax": share.tax} if cause == "credit-note" else {"written_off": share.total}))
        case CreditApplied(applied_on=day, amount=amount):
            count(None, collected=-amount, on_account=-amount)
            for part in event.allocations:
                count(part.doctor_id, collected=part.amount)
        case PaymentReallocated(reallocated_on=day, released=amount):
            for sign, parts in ((-1, event.taken), (1, event.given)):
                for part in parts:
                    count(part.doctor_id, collected=sign * part.amount)
            count(None, collected=amount, on_account=amount)
        case PaymentReversed(reversed_on=day):
            for part in event.allocations:
                count(part.doctor_id, collected=-part.amount)
            count(event.allocations[0].doctor_id, payments=-1)
        case CreditReceived(received_on=day, amount=amount):
            count(None, collected=amount, on_account=amount, payments=1)
        case CreditReversed(reversed_on=day, amount=amount):
            count(None, collected=-amount, on_account=-amount, payments=-1)
        case CreditReturned(returned_on=day, amount=amount):
            count(None, refunded=amount, on_account=-amount)
    return day, found


def doctors(fact: Fact) -> Iterable[Key]:
    if type(fact.event) not in USUAL:
        day, found = changes(fact.event)
        return [(day, doctor) for doctor in found]
    day, parts = money_of(fact.event)
    first = parts[0].doctor_id or PLATFORM
    if len(parts) == 1:
        return ((day, first),)
    return dict.fromkeys((day, part.doctor_id or PLATFORM) for part in parts)


@projects(RevenueDayRow, of=MoneyEvent, key=doctors)
def revenue_days(row: RevenueDayRow | None, fact: Fact, key: Key) -> RevenueDayRow:
    event: Any = fact.event
    kind = type(event)
    row = row or RevenueDayRow(day=key[0], doctor_id=key[1])
    if kind not in USUAL:
        return replace(row, **{name: getattr(row, name) + amount for name, amount in changes(event)[1][key[1]].items()})
    parts = event.allocations if kind is PaymentRecorded or kind is PaymentRefunded else event.shares
    counted = 1  # one of several doctors' counts once, with the first
    if len(parts) > 1:
        counted = int((parts[0].doctor_id or PLATFORM) == key[1])
        parts = [part for part in parts if (part.doctor_id or PLATFORM) == key[1]]
    if kind is PaymentRecorded:
        return replace(row, collected=row.collected + amount_of(parts), payments=row.payments + counted)
    if kind is PaymentRefunded:
        return replace(row, refunded=row.refunded + amount_of(parts))
    total = tax = 0
    for part in parts:
        total += part.total
        tax += part.tax
    if kind is InvoiceIssued:
        return replace(row, billed=row.billed + total, tax=row.tax + tax, invoices=row.invoices + counted)
    return replace(row, voided=row.voided + total, voided_tax=row.voided_tax + tax)


def amount_of(parts: list[Any]) -> int:
    amount = 0
    for part in parts:
        amount += part.amount
    return amount


def visits(fact: Fact) -> Iterable[Key]:
    event: Any = fact.event
    key = (event.on, event.doctor_id)
    if type(event) is AppointmentRescheduled:
        before = (event.was_on, event.was_doctor_id)
        return (key,) if before == key else (before, key)
    return (key,)


@projects(AppointmentDayRow, of=VisitEvent, key=visits)
def appointment_days(row: AppointmentDayRow | None, fact: Fact, key: Key) -> AppointmentDayRow:  # noqa: PLR0911 - one for each kind of event
    row = row or AppointmentDayRow(day=key[0], doctor_id=key[1])
    match fact.event:
        case AppointmentBooked():
            return replace(row, booked=row.booked + 1)
        case AppointmentCompleted():
            return replace(row, completed=row.completed + 1)
        case AppointmentCancelled(late=late):
            return replace(row, cancelled=row.cancelled + 1, late_cancelled=row.late_cancelled + late)
        case PatientMissed():
            return replace(row, no_show=row.no_show + 1)
        case MissUndone():
            return replace(row, no_show=row.no_show - 1)
        case AppointmentRescheduled() as event:
            return moved(row, event, key)
        case AppointmentRemoved(was=was) if was not in {"cancelled", "no-show"}:  # what was missed stays missed, even out of sight
            return replace(row, booked=row.booked - 1)
    return row


def moved(row: AppointmentDayRow, event: AppointmentRescheduled, key: Key) -> AppointmentDayRow:
    left = int(key == (event.was_on, event.was_doctor_id))
    came = int(key == (event.on, event.doctor_id))
    return replace(row, booked=row.booked + came - left, rescheduled=row.rescheduled + left)
