"""What each patient has been to the clinic, from facts alone; whoever was forgotten goes on to count, under no name."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.appointments import AppointmentCompleted
from domain.erasures import PersonErased
from domain.invoices import InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded
from domain.kit import PLATFORM, Fact
from domain.patients import PatientChanged, PatientRegistered
from projections.kit import projects
from schemas.lifetimes import LifetimeRow

LifeEvent = (
    PatientRegistered | PatientChanged | AppointmentCompleted | InvoiceIssued | InvoiceVoided | PaymentRecorded | PaymentRefunded | PersonErased
)
Key = tuple[UUID]


def whose(fact: Fact) -> Iterable[Key]:
    """Whose life it is; what names nobody stands under the id 0."""
    event: Any = fact.event
    kind = type(event)
    if kind is PatientRegistered or kind is PatientChanged:
        return ((fact.id,),)
    if kind is PersonErased:
        return ((event.person_id,),) if event.kind == "patients" else ()
    return ((event.patient_id or PLATFORM,),)


@projects(LifetimeRow, of=LifeEvent, key=whose)
def lifetimes(row: LifetimeRow | None, fact: Fact, key: Key) -> LifetimeRow:  # noqa: PLR0911 - one for each kind of event
    event: Any = fact.event
    kind = type(event)
    row = row or LifetimeRow(patient_id=key[0], nameless=key[0] == PLATFORM)
    if kind is PaymentRecorded:
        return replace(row, payments=row.payments + 1, collected=row.collected + event.amount, received=row.received + event.amount)
    if kind is InvoiceIssued:
        return replace(row, invoices=row.invoices + 1, billed=row.billed + event.total)
    if kind is AppointmentCompleted:
        return seen(row, event)
    if kind is PatientRegistered:
        return replace(row, registered_on=event.registered_on, source=event.source)
    if kind is PatientChanged:
        return row if row.source == event.source else replace(row, source=event.source)
    if kind is PaymentRefunded:
        return replace(row, refunded=row.refunded + event.amount, received=row.received - event.amount)
    if kind is InvoiceVoided:
        return replace(row, voided=row.voided + sum(share.total for share in event.shares))
    return replace(row, nameless=True)


def seen(row: LifetimeRow, event: AppointmentCompleted) -> LifetimeRow:
    """Count a visit; visits may be noted out of order."""
    on = event.on
    if row.first_visit is None or row.last_visit is None or on < row.first_visit:
        last = on if row.last_visit is None else row.last_visit
        return replace(row, visits=row.visits + 1, first_visit=on, first_doctor_id=event.doctor_id, last_visit=last)
    return replace(row, visits=row.visits + 1, last_visit=max(row.last_visit, on))
