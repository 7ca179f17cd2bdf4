"""What procedures cost, and what they earn: sums of the days' figures, less what one of them cost on its day."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from domain.kit import Fact
from domain.procedure_costs import ProcedureCostDropped, ProcedureCostEvent
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.procedure_costs import ProcedureCostRow, ProcedureFigures, ProcedureProfitability

PROFITABILITY = """
with sold as (
    select procedure_code, day, sum(units - voided_units) as units, sum(billed) as billed, sum(voided) as voided, sum(credited) as credited, sum(written_off) as written_off,
        sum(tax - voided_tax - credited_tax) as tax, sum(collected - refunded) as received
    from procedure_days where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s) and (%s::text is null or procedure_code = %s)
    group by procedure_code, day
), cost as (
    select procedure_code, since, lead(since) over (partition by procedure_code order by since) as until, material, lab from procedure_costs where clinic_id = %s
), summed as (
    select s.procedure_code, coalesce(sum(units), 0)::bigint as units, coalesce(sum(billed), 0)::bigint as billed, coalesce(sum(voided), 0)::bigint as voided,
        coalesce(sum(credited), 0)::bigint as credited, coalesce(sum(written_off), 0)::bigint as written_off,
        coalesce(sum(tax), 0)::bigint as tax, coalesce(sum(billed - voided - credited - written_off - tax), 0)::bigint as net_revenue, coalesce(sum(received), 0)::bigint as received,
        coalesce(sum(units * material), 0)::bigint as material, coalesce(sum(units * lab), 0)::bigint as lab, coalesce(bool_or(material is not null), false) as known
    from sold s left join cost c on c.procedure_code = s.procedure_code and s.day >= c.since and (c.until is null or s.day < c.until) group by s.procedure_code
)
select *, material + lab as cost, net_revenue - material - lab as profit,
    round((net_revenue - material - lab)::numeric / nullif(net_revenue, 0), 4)::float8 as margin
from summed order by profit desc, procedure_code
"""
Key = tuple[str, date]


def costs(fact: Fact) -> Iterable[Key]:
    event: Any = fact.event
    return ((event.procedure_code, event.since),)


@projects(ProcedureCostRow, of=ProcedureCostEvent, key=costs)
def procedure_costs(_: ProcedureCostRow | None, fact: Fact, key: Key) -> ProcedureCostRow | None:
    event: Any = fact.event
    if isinstance(event, ProcedureCostDropped):
        return None
    return ProcedureCostRow(procedure_code=key[0], since=key[1], material=event.material, lab=event.lab)


async def profitability(reader: Reader, since: date, until: date, doctor: UUID | None, code: str | None, currency: str) -> ProcedureProfitability:
    """Return what procedures came to in those days."""
    found = await reader.select(ProcedureFigures, PROFITABILITY, reader.clinic, since, until, doctor, doctor, code, code, reader.clinic)
    return ProcedureProfitability(
        since=since, until=until, currency=currency, net_revenue=sum(one.net_revenue for one in found), cost=sum(one.cost for one in found),
        profit=sum(one.profit for one in found), items=found)
