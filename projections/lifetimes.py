"""What each patient has been to the clinic, from facts alone; whoever was forgotten goes on to count, under no name.

There is a line for each record, and merging records changes no sum in it: a line only says which record stands for it. So the records can be parted again, and whoever reads counts together
(`patient_lifetimes`). What happens to a thing while it is another record's says under which it was begun.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.appointments import AppointmentCompleted
from domain.credits import CreditReceived, CreditReturned, CreditReversed
from domain.erasures import PersonErased
from domain.invoices import InvoiceCredited, InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded, PaymentReversed
from domain.kit import PLATFORM, Fact
from domain.patients import PatientChanged, PatientRegistered, PatientsMerged, PatientSourceSet, PatientsUnmerged
from projections.kit import installs, projects
from schemas.lifetimes import LifetimeRow

LifeEvent = (
    PatientRegistered | PatientChanged | AppointmentCompleted | InvoiceIssued | InvoiceVoided | PaymentRecorded | PaymentRefunded | PersonErased
    | InvoiceCredited | PaymentReversed | CreditReceived | CreditReturned | CreditReversed | PatientSourceSet | PatientsMerged | PatientsUnmerged
)
Key = tuple[UUID]


def whose(fact: Fact) -> Iterable[Key]:
    """Whose life it is; what names nobody stands under the id 0."""
    event: Any = fact.event
    kind = type(event)
    if kind is PatientRegistered or kind is PatientChanged or kind is PatientSourceSet:
        return ((fact.id,),)
    if kind is PersonErased:
        return [(person,) for person in event.persons] if event.kind == "patients" else ()
    if kind is PatientsMerged or kind is PatientsUnmerged:
        return [(record,) for record in (fact.id, *event.records)]
    return ((event.record_id or event.patient_id or PLATFORM,),)


@projects(LifetimeRow, of=LifeEvent, key=whose)
def lifetimes(row: LifetimeRow | None, fact: Fact, key: Key) -> LifetimeRow:  # noqa: C901, PLR0911 - one for each kind of event
    event: Any = fact.event
    kind = type(event)
    row = row or LifetimeRow(patient_id=key[0], nameless=key[0] == PLATFORM)
    if kind is PaymentRecorded or kind is CreditReceived:
        return replace(row, payments=row.payments + 1, collected=row.collected + event.amount, received=row.received + event.amount)
    if kind is InvoiceIssued:
        return replace(row, invoices=row.invoices + 1, billed=row.billed + event.total)
    if kind is AppointmentCompleted:
        return seen(row, event)
    if kind is PatientRegistered:
        return replace(row, registered_on=event.registered_on, source=event.source)
    if kind is PatientChanged or kind is PatientSourceSet:
        return row if row.source == event.source else replace(row, source=event.source)
    if kind is PaymentReversed or kind is CreditReversed:
        return replace(row, payments=row.payments - 1, collected=row.collected - event.amount, received=row.received - event.amount)
    if kind is InvoiceCredited:
        return replace(row, credited=row.credited + event.total)
    if kind is PaymentRefunded or kind is CreditReturned:
        return replace(row, refunded=row.refunded + event.amount, received=row.received - event.amount)
    if kind is InvoiceVoided:
        return replace(row, voided=row.voided + sum(share.total for share in event.shares))
    if kind is PatientsMerged:
        return replace(row, survivor_id=fact.id)
    if kind is PatientsUnmerged:
        return row if key[0] == fact.id else replace(row, survivor_id=event.loser_id if len(event.records) > 1 else None)
    return replace(row, nameless=True)


# most records stand alone, so these are read as they are, by whatever index serves; of two first visits on one day that of the record which stands for the other counts
installs("""
create or replace view patient_lifetimes with (security_invoker = true) as
select clinic_id, position, patient_id, registered_on, source, visits, first_visit, first_doctor_id, last_visit, invoices, billed, voided, credited, payments, collected,
    refunded, received, nameless
from lifetimes where survivor_id is null
union all
select clinic_id, max(position), survivor_id, max(registered_on) filter (where patient_id = survivor_id), max(source) filter (where patient_id = survivor_id),
    sum(visits)::bigint, min(first_visit), (array_agg(first_doctor_id order by first_visit, patient_id <> survivor_id, patient_id) filter (where first_visit is not null))[1],
    max(last_visit), sum(invoices)::bigint, sum(billed)::bigint, sum(voided)::bigint, sum(credited)::bigint, sum(payments)::bigint, sum(collected)::bigint, sum(refunded)::bigint,
    sum(received)::bigint, bool_or(nameless)
from lifetimes where survivor_id is not null group by clinic_id, survivor_id;
grant select on patient_lifetimes to anamnesis_gateway;
""")


def seen(row: LifetimeRow, event: AppointmentCompleted) -> LifetimeRow:
    """Count a visit; visits may be noted out of order."""
    on = event.on
    if row.first_visit is None or row.last_visit is None or on < row.first_visit:
        last = on if row.last_visit is None else row.last_visit
        return replace(row, visits=row.visits + 1, first_visit=on, first_doctor_id=event.doctor_id, last_visit=last)
    return replace(row, visits=row.visits + 1, last_visit=max(row.last_visit, on))
