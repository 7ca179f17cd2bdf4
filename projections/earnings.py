"""What doctors earn: each part of an invoice or of a payment that is a doctor's; what it comes to as a commission, and why; what a doctor's come to on a day.

How it works: a line's commission is the rounded share of all that lies on the same invoice, doctor and procedure up to it, less the rounded share of what was there before. So whatever is paid in however
many parts comes to the share of the whole, and what is given back in full leaves exactly nothing.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from domain.commission_rules import CommissionBasis
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
from projections.kit import installs, projects
from projections.kit.reading import Reader
from schemas.earnings import Commission, CommissionGroup, Commissions, EarningKind, EarningRow

EarningEvent = (
    InvoiceIssued | InvoiceVoided | InvoiceCredited | PaymentRecorded | CreditApplied | PaymentRefunded | PaymentReallocated | PaymentReversed
)
Key = tuple[int, int]

installs("""
create or replace view commission_lines with (security_invoker = true) as
select e.clinic_id, e.position, e.event, e.part, e.day, e.doctor_id, e.procedure_code, e.basis, e.what, e.invoice_id, i.number as invoice_number, i.issued_on, e.net, e.recorded_at,
    r.id as rule_id, r.rate, r.basis is not distinct from e.basis as counted,
    case when r.basis = e.basis then (round((b.net + e.net) * r.rate / 10000.0) - round(b.net * r.rate / 10000.0))::bigint else 0 end as commission
from earnings e
join invoices i on i.clinic_id = e.clinic_id and i.id = e.invoice_id
left join lateral (
    select c.id, c.rate, c.basis from commission_rules c
    where c.clinic_id = e.clinic_id and c.doctor_id = e.doctor_id and (c.procedure_code is null or c.procedure_code = e.procedure_code)
        and c.valid_from <= i.issued_on and (c.valid_to is null or c.valid_to >= i.issued_on)
    order by c.procedure_code nulls last limit 1
) r on true
left join lateral (
    select coalesce(sum(o.net), 0) as net from earnings o
    where o.clinic_id = e.clinic_id and o.invoice_id = e.invoice_id and o.doctor_id = e.doctor_id and o.procedure_code is not distinct from e.procedure_code and o.basis = e.basis
        and (o.event, o.part) < (e.event, e.part)
) b on true;
grant select on commission_lines to anamnesis_gateway;

create or replace view earning_days with (security_invoker = true) as
select clinic_id, max(position) as position, day, doctor_id, sum(commission)::bigint as commission, coalesce(sum(net) filter (where basis = 'collected'), 0)::bigint as collected
from commission_lines group by clinic_id, day, doctor_id;
grant select on earning_days to anamnesis_gateway;
""")

FIGURES = """select doctor_id{group}, coalesce(sum(net) filter (where basis = 'billed'), 0)::bigint as billed,
    coalesce(sum(net) filter (where basis = 'collected'), 0)::bigint as collected, sum(commission)::bigint as commission, count(*) filter (where counted)::bigint as lines
from commission_lines where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s::uuid) group by {by} order by {by}"""
GROUPS: dict[CommissionGroup | None, tuple[str, str]] = {
    None: ("", "doctor_id"), "month": (", date_trunc('month', day)::date as month", "doctor_id, month"),
    "procedure": (", procedure_code", "doctor_id, procedure_code"), "rule": (", rule_id", "doctor_id, rule_id")}


class Part(NamedTuple):
    """A part of an event that may be a doctor's: how it counts, and for how much, without tax."""

    basis: CommissionBasis
    what: EarningKind
    doctor: UUID | None
    procedure: str | None
    net: int


def parts_of(event: Any) -> tuple[date, list[Part]]:  # noqa: PLR0911 - one for each kind of event
    """Return the day of an event, and its parts. What is written off leaves alone what was billed: whether patients pay is not the doctor's risk, where their share is of what is billed."""
    match event:
        case InvoiceIssued(issued_on=day):
            return day, [*billed("billed", 1, event.shares)]
        case InvoiceVoided(voided_on=day):
            return day, [*billed("voided", -1, event.shares)]
        case InvoiceCredited(credited_on=day, cause=cause):
            return day, [*billed("credited", -1, event.shares)] if cause == "credit-note" else []
        case PaymentRecorded(paid_on=day) | CreditApplied(applied_on=day):
            return day, [*collected("collected", 1, event.allocations)]
        case PaymentRefunded(refunded_on=day):
            return day, [*collected("refunded", -1, event.allocations)]
        case PaymentReversed(reversed_on=day):
            return day, [*collected("reversed", -1, event.allocations)]
        case PaymentReallocated(reallocated_on=day):
            return day, [*collected("reallocated", -1, event.taken), *collected("reallocated", 1, event.given)]
    raise TypeError(type(event))


def billed(what: EarningKind, sign: int, shares: Any) -> Iterator[Part]:
    for one in shares:
        yield Part("billed", what, one.doctor_id, one.procedure_code, sign * one.net)


def collected(what: EarningKind, sign: int, allocations: Any) -> Iterator[Part]:
    for one in allocations:
        yield Part("collected", what, one.doctor_id, one.procedure_code, sign * (one.amount - one.tax))


def keys(fact: Fact) -> list[Key]:
    return [(fact.position, n) for n, part in enumerate(parts_of(fact.event)[1]) if part.doctor]


@projects(EarningRow, of=EarningEvent, key=keys, fresh=True)
def earnings(_: EarningRow | None, fact: Fact, key: Key) -> EarningRow:
    day, parts = parts_of(fact.event)
    part = parts[key[1]]
    assert part.doctor
    return EarningRow(
        event=key[0], part=key[1], day=day, doctor_id=part.doctor, procedure_code=part.procedure, basis=part.basis, what=part.what, invoice_id=fact.id, net=part.net,
        recorded_at=fact.recorded_at)


async def commissions(reader: Reader, first: date, last: date, doctor: UUID | None, by: CommissionGroup | None, currency: str) -> Commissions:
    """Return what doctors earned in a period."""
    group, order = GROUPS[by]
    items = await reader.select(Commission, FIGURES.format(group=group, by=order), reader.clinic, first, last, doctor, doctor)
    return Commissions(since=first, until=last, currency=currency, commission=sum(one.commission for one in items), items=items)
