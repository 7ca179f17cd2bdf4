"""What doctors earn: each part of an invoice or of a payment that is a doctor's, and what an employee's come to in a period."""

from collections.abc import Iterable
from typing import Any

from domain.invoices import InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded
from domain.kit import Fact
from projections.kit import installs, projects
from schemas.earnings import EarningKind, EarningRow

MoneyEvent = InvoiceIssued | InvoiceVoided | PaymentRecorded | PaymentRefunded
Key = tuple[int, int]
KINDS: dict[type[Any], tuple[EarningKind, str, int]] = {  # of which kind, on which day, and whether it counts for or against
    InvoiceIssued: ("billed", "issued_on", 1), InvoiceVoided: ("voided", "voided_on", -1), PaymentRecorded: ("collected", "paid_on", 1),
    PaymentRefunded: ("refunded", "refunded_on", -1),
}

installs("""
create or replace view period_earnings with (security_invoker = true) as
select p.clinic_id, p.position, p.id as period_id, e.id as employee_id, s.commission, s.collected
from payroll_periods p join payroll_employees e on e.clinic_id = p.clinic_id and e.staff_id is not null
cross join lateral (
    select 0::bigint as commission, coalesce(sum(l.net) filter (where l.what in ('collected', 'refunded')), 0)::bigint as collected
    from earnings l where l.clinic_id = p.clinic_id and l.doctor_id = e.staff_id and l.day between p.starts_on and p.ends_on
) s;
grant select on period_earnings to anamnesis_gateway;
""")


def parts_of(event: Any) -> list[Any]:
    return event.allocations if isinstance(event, PaymentRecorded | PaymentRefunded) else event.shares


def keys(fact: Fact) -> Iterable[Key]:
    return [(fact.position, n) for n, part in enumerate(parts_of(fact.event)) if part.doctor_id]


@projects(EarningRow, of=MoneyEvent, key=keys, fresh=True)
def earnings(_: EarningRow | None, fact: Fact, key: Key) -> EarningRow:
    event: Any = fact.event
    what, day, sign = KINDS[type(event)]
    part = parts_of(event)[key[1]]
    net = part.amount - part.tax if isinstance(event, PaymentRecorded | PaymentRefunded) else part.net
    return EarningRow(
        event=key[0], part=key[1], day=getattr(event, day), doctor_id=part.doctor_id, procedure_code=part.procedure_code, what=what, invoice_id=fact.id, net=sign * net,
        tax=sign * part.tax, recorded_at=fact.recorded_at)
