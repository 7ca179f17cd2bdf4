"""The deposits that visits are booked with, beside what was paid of them."""

from uuid import UUID

from projections.kit import installs
from projections.kit.reading import Reader
from schemas.booking_deposits import DepositStanding

installs("""
create or replace view booking_deposits with (security_invoker = true) as
    select a.clinic_id, a.position, a.id, a.patient_id, a.type_id, a.starts_at, a.status as visit, a.deposit as asked, p.paid, greatest(a.deposit - p.paid, 0) as due,
        case when p.paid >= a.deposit then 'paid' when p.paid > 0 then 'part-paid' else 'unpaid' end as status
    from appointments a
    cross join lateral (
        select coalesce(sum(d.amount), 0)::bigint as paid from deposits d where d.clinic_id = a.clinic_id and d.appointment_id = a.id and not d.reversed) p
    where a.deposit > 0 or p.paid > 0;
grant select on booking_deposits to anamnesis_gateway;
""")

PAID = "select coalesce(sum(amount), 0)::bigint as paid from deposits where clinic_id = %s and appointment_id = %s and not reversed"


async def paid_for(reader: Reader, appointment: UUID) -> int:
    """Return what was paid beforehand for a visit."""
    (found,) = await reader.select(DepositStanding, PAID, reader.clinic, appointment)
    return found.paid
