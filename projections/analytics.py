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
    PatientMissed,
)
from domain.invoices import InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded
from domain.kit import PLATFORM, Fact
from projections.kit import projects
from schemas.analytics import AppointmentDayRow, RevenueDayRow

MoneyEvent = InvoiceIssued | PaymentRecorded | PaymentRefunded | InvoiceVoided
VisitEvent = (
    AppointmentBooked | AppointmentCompleted | AppointmentCancelled | PatientMissed | AppointmentRescheduled | AppointmentRemoved
)
Key = tuple[date, UUID]


# These functions see every invoice and payment of a rebuild, so they are written for speed: most have one doctor, and comparing UUIDs is slow.


def money_of(event: Any) -> tuple[date, list[Any]]:
    """Return the day an event's money belongs to, and its parts by doctor."""
    kind = type(event)
    if kind is PaymentRecorded:
        return event.paid_on, event.allocations
    if kind is InvoiceIssued:
        return event.issued_on, event.shares
    return (event.refunded_on, event.allocations) if kind is PaymentRefunded else (event.voided_on, event.shares)


def doctors(fact: Fact) -> Iterable[Key]:
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
        case AppointmentRescheduled() as event:
            return moved(row, event, key)
        case AppointmentRemoved(was=was) if was not in {"cancelled", "no-show"}:  # what was missed stays missed, even out of sight
            return replace(row, booked=row.booked - 1)
    return row


def moved(row: AppointmentDayRow, event: AppointmentRescheduled, key: Key) -> AppointmentDayRow:
    left = int(key == (event.was_on, event.was_doctor_id))
    came = int(key == (event.on, event.doctor_id))
    return replace(row, booked=row.booked + came - left, rescheduled=row.rescheduled + left)
