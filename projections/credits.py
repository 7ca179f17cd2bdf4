"""How what happens to a patient's credit becomes its row, and those of the deposits."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from domain.credits import (
    CreditEvent,
    CreditGained,
    CreditReassigned,
    CreditReceived,
    CreditReturned,
    CreditReversed,
    CreditUsed,
)
from domain.kit import Fact
from projections.kit import projects
from schemas.credits import CreditRow, DepositRow


@projects(CreditRow, of=CreditEvent)
def credits(row: CreditRow | None, fact: Fact) -> CreditRow | None:  # noqa: A001, PLR0911 - it is what they are; one for each kind of event
    event: Any = fact.event
    if row is None and isinstance(event, CreditReceived | CreditGained):
        row = CreditRow(id=fact.id, patient_id=event.patient_id, currency=event.currency, version=fact.version)
    if row is None:
        return None
    row = replace(row, version=fact.version)
    match event:
        case CreditReceived(amount=amount):
            return replace(row, balance=row.balance + amount, received=row.received + amount, currency=event.currency)
        case CreditReversed(amount=amount):
            return replace(row, balance=row.balance - amount, received=row.received - amount)
        case CreditGained(amount=amount):
            return replace(row, balance=row.balance + amount, gained=row.gained + amount, currency=event.currency)
        case CreditUsed(amount=amount):
            return replace(row, balance=row.balance - amount, used=row.used + amount)
        case CreditReturned(amount=amount):
            return replace(row, balance=row.balance - amount, returned=row.returned + amount)
        case CreditReassigned(patient_id=patient):
            return replace(row, patient_id=patient)
    return row


def of_deposit(fact: Fact) -> Iterable[tuple[Any, ...]]:
    event: Any = fact.event
    return [(deposit,) for deposit in event.deposits] if isinstance(event, CreditReassigned) else [(event.deposit_id,)]


@projects(DepositRow, of=CreditReceived | CreditReversed | CreditReassigned, key=of_deposit)
def deposits(row: DepositRow | None, fact: Fact, key: tuple[Any, ...]) -> DepositRow | None:
    match fact.event:
        case CreditReceived() as e:
            return DepositRow(
                id=key[0], patient_id=e.patient_id, amount=e.amount, currency=e.currency, method=e.method, received_on=e.received_on, purpose=e.purpose,
                appointment_id=e.appointment_id, recorded_at=fact.recorded_at)
        case CreditReversed(reason=reason) if row:
            return replace(row, reversed=True, reverse_reason=reason)
        case CreditReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row
