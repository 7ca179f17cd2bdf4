"""Trials, folded from the licences of clinics."""

from datetime import date

from msgspec.structs import replace

from domain.clinics import ClinicDeleted, ClinicLicensed
from domain.kit import Fact
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.trials import TrialInsights, TrialMonth, TrialRow

BASIS = 10_000

MONTHS = """
select month::date as month, sum(started)::int as started, sum(converted)::int as converted, sum(expired)::int as expired from (
    select date_trunc('month', t.started_on) as month, 1 as started, 0 as converted, 0 as expired from trials t
    union all select date_trunc('month', t.converted_on), 0, 1, 0 from trials t where t.converted_on is not null
    union all select date_trunc('month', t.until), 0, 0, 1 from trials t where t.running and t.until < %s
) each group by month order by month
"""
TOTALS = """
select count(*)::int, (count(*) filter (where t.running and (t.until is null or t.until >= %s)))::int, count(t.converted_on)::int,
    (count(*) filter (where t.running and t.until < %s))::int,
    percentile_disc(0.5) within group (order by t.converted_on - t.started_on) filter (where t.converted_on is not null)
from trials t
"""


@projects(TrialRow, of=ClinicLicensed | ClinicDeleted)
def trials(row: TrialRow | None, fact: Fact) -> TrialRow | None:
    """A trial starts with the first licence that is one, and is converted by the first that is none; a later trial of the same clinic goes on with it."""
    on = fact.recorded_at.date()
    match fact.event:
        case ClinicLicensed(trial=True, until=until, plan=plan) if row is None:
            return TrialRow(id=fact.id, started_on=on, until=until, running=True, plan=plan)
        case ClinicLicensed(trial=True, until=until, plan=plan) if row and row.running:
            return replace(row, until=until, plan=plan)
        case ClinicLicensed(trial=False, plan=plan) if row and row.running:
            return replace(row, running=False, converted_on=on, plan=plan)
        case ClinicDeleted() if row and row.running:
            return replace(row, until=min(on, row.until or on))
    return row


async def insights(reader: Reader, today: date) -> TrialInsights:
    """Return what became of all trials; the reader is the platform's."""
    months = await reader.select(TrialMonth, MONTHS, today)
    ((started, running, converted, expired, days),) = (await reader.ask(TOTALS, (today, today))).rows
    over = converted + expired
    return TrialInsights(
        months=months, started=started, running=running, converted=converted, expired=expired,
        conversion_rate=BASIS * converted // over if over else None, median_days=days,
    )
