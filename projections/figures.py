"""Figures as sums over visits, lifetimes and the days of doctors; each of these is folded from facts alone."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.kit import Invalid
from domain.kit.sources import Source
from projections.kit.reading import Reader
from schemas.figures import (
    Bucket,
    Cohort,
    CohortCell,
    Cohorting,
    CohortLine,
    Growth,
    LifetimeValue,
    Performance,
    SourceFigures,
    Value,
    ValueGroup,
)

MOST = 3_700  # days or months in one answer: ten years of days

PERFORMANCE = """
with seen as (
    select doctor_id, {day} as bucket, count(*) as booked, count(*) filter (where status = 'completed') as completed,
        count(*) filter (where status = 'cancelled') as cancelled, count(*) filter (where late_cancelled and status = 'cancelled') as late_cancelled,
        count(*) filter (where status = 'no-show') as no_show, sum(minutes) as booked_minutes,
        sum(minutes) filter (where status = 'completed') as completed_minutes, sum(chair_seconds) filter (where status = 'completed') as chair_seconds,
        sum(wait_seconds) filter (where status = 'completed') as wait_seconds, count(*) filter (where status = 'completed' and late) as late_starts,
        count(chair_seconds) filter (where status = 'completed') as measured, count(distinct patient_id) filter (where status = 'completed') as patients
    from visits where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s) and (%s::uuid is null or doctor_id = %s)
    group by 1, 2
), fresh as (
    select first_doctor_id as doctor_id, {first_visit} as bucket, count(*) as new_patients
    from patient_lifetimes where clinic_id = %s and first_visit between %s and %s and (%s::uuid is null or first_doctor_id = %s) and (%s::uuid is null or first_doctor_id = %s)
    group by 1, 2
), money as (
    select doctor_id, {day} as bucket, sum(billed) as billed, sum(voided) as voided, sum(credited + written_off) as credited, sum(collected) as collected, sum(refunded) as refunded
    from revenue_days where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s) and (%s::uuid is null or doctor_id = %s)
    group by 1, 2
)
select doctor_id, {shown} coalesce(booked, 0) as booked, coalesce(completed, 0) as completed, coalesce(cancelled, 0) as cancelled,
    coalesce(late_cancelled, 0) as late_cancelled, coalesce(no_show, 0) as no_show,
    coalesce(round(cancelled::numeric / booked, 4), 0)::float8 as cancellation_rate, coalesce(round(no_show::numeric / booked, 4), 0)::float8 as no_show_rate,
    coalesce(booked_minutes, 0)::bigint as booked_minutes, coalesce(completed_minutes, 0)::bigint as completed_minutes,
    coalesce(round(chair_seconds / 60.0), 0)::bigint as chair_minutes, coalesce(round(wait_seconds / 60.0), 0)::bigint as wait_minutes,
    coalesce(late_starts, 0) as late_starts, coalesce(measured, 0) as measured, coalesce(patients, 0) as patients, coalesce(new_patients, 0) as new_patients,
    coalesce(billed, 0)::bigint as billed, coalesce(voided, 0)::bigint as voided, coalesce(credited, 0)::bigint as credited, coalesce(collected, 0)::bigint as collected,
    coalesce(refunded, 0)::bigint as refunded
from seen full join fresh using (doctor_id, bucket) full join money using (doctor_id, bucket)
order by bucket, doctor_id
"""
WHOLE = "date '0001-01-01'"  # one bucket for all; a join wants it equal, hence not null
PERFORMANCES = {
    None: PERFORMANCE.format(day=WHOLE, first_visit=WHOLE, shown=""),
    "day": PERFORMANCE.format(day="day", first_visit="first_visit", shown="bucket as day,"),
    "month": PERFORMANCE.format(day="date_trunc('month', day)::date", first_visit="date_trunc('month', first_visit)::date", shown="bucket as month,"),
}

GROWTH = """
with days as (
    select %s::uuid as clinic, %s::date as since, %s::date as until, %s::text as source
), buckets as (
    select made::date as bucket from days, generate_series(date_trunc('{unit}', since::timestamp), until::timestamp, interval '1 {unit}') made
), news as (
    select date_trunc('{unit}', registered_on)::date as bucket, count(*) as registered
    from patient_lifetimes, days where clinic_id = clinic and registered_on between since and until and (days.source is null or patient_lifetimes.source = days.source) group by 1
), firsts as (
    select date_trunc('{unit}', first_visit)::date as bucket, count(*) as first_visits
    from patient_lifetimes, days where clinic_id = clinic and first_visit between since and until and (days.source is null or patient_lifetimes.source = days.source) group by 1
), seen as (
    select date_trunc('{unit}', v.day)::date as bucket, count(*) as visits, count(distinct v.patient_id) as active
    from days join visits v on v.clinic_id = clinic and v.day between since and until and v.status = 'completed'
    join patient_lifetimes l on l.clinic_id = v.clinic_id and l.patient_id = v.patient_id and (days.source is null or l.source = days.source) group by 1
), before as (
    select count(*) as registered from patient_lifetimes, days where clinic_id = clinic and registered_on < since and (days.source is null or patient_lifetimes.source = days.source)
)
select bucket as {unit}, coalesce(news.registered, 0) as new_patients,
    (before.registered + sum(coalesce(news.registered, 0)) over (order by bucket))::bigint as total, coalesce(visits, 0) as visits,
    coalesce(active, 0) as active, coalesce(first_visits, 0) as first_visits, coalesce(active, 0) - coalesce(first_visits, 0) as returning
from buckets cross join before left join news using (bucket) left join firsts using (bucket) left join seen using (bucket) order by bucket
"""
GROWTHS = {unit: GROWTH.format(unit=unit) for unit in ("day", "month")}

VALUE = """count(registered_on) as patients, count(registered_on) filter (where visits > 0) as came, coalesce(sum(visits), 0)::bigint as visits,
    coalesce(sum(billed), 0)::bigint as billed, coalesce(sum(voided), 0)::bigint as voided, coalesce(sum(credited), 0)::bigint as credited,
    coalesce(sum(collected), 0)::bigint as collected, coalesce(sum(refunded), 0)::bigint as refunded, coalesce(sum(received), 0)::bigint as received,
    coalesce(round(sum(received)::numeric / nullif(count(registered_on), 0)), 0)::bigint as average_received,
    coalesce(round(sum(visits)::numeric / nullif(count(registered_on), 0), 2), 0)::float8 as average_visits
from patient_lifetimes where clinic_id = %s and (%s::date is null or first_visit >= %s) and (%s::date is null or first_visit <= %s) and (%s::text is null or source = %s)"""
VALUES = {
    None: f"select {VALUE}",
    "month": f"select date_trunc('month', first_visit)::date as month, {VALUE} group by 1 order by 1 nulls last",
    "source": f"select source, {VALUE} group by 1 order by received desc, source nulls last",
}

COHORTS = """
with firsts as (
    select patient_id, date_trunc('month', first_visit)::date as month from patient_lifetimes
    where clinic_id = %s and first_visit between %s and %s and (%s::uuid is null or first_doctor_id = %s) and (%s::uuid is null or first_doctor_id = %s)
        and (%s::text is null or source = %s)
), sizes as (
    select month, count(*) as patients from firsts group by month
), cells as (
    select f.month, 12 * (extract(year from v.day) - extract(year from f.month)) + extract(month from v.day) - extract(month from f.month) as since,
        count(distinct f.patient_id) as seen
    from firsts f join visits v on v.clinic_id = %s and v.patient_id = f.patient_id and v.status = 'completed' group by 1, 2
)
select month, patients, since::int as since, seen, round(seen::numeric / patients, 4)::float8 as share
from sizes join cells using (month) order by month, since
"""

SOURCES = """
select source, count(registered_on) as patients, round(count(registered_on)::numeric / nullif(sum(count(registered_on)) over (), 0), 4)::float8 as share,
    count(*) filter (where visits > 0) as came, coalesce(sum(visits), 0)::bigint as visits, coalesce(sum(billed), 0)::bigint as billed,
    coalesce(sum(voided), 0)::bigint as voided, coalesce(sum(credited), 0)::bigint as credited, coalesce(sum(received), 0)::bigint as received,
    round(sum(received)::numeric / count(registered_on))::bigint as average_received
from patient_lifetimes where clinic_id = %s and registered_on is not null and (%s::date is null or registered_on >= %s) and (%s::date is null or registered_on <= %s)
    and (%s::text is null or source = %s)
group by source order by patients desc, source nulls last
"""


class PeriodTooLong(Invalid):
    """That is more than ten years of days in one answer. Ask for fewer, or for months."""


def ensure_short(since: date, until: date, unit: Bucket | None) -> None:
    """Refuse what nobody could look at."""
    if unit == "day" and (until - since).days >= MOST:
        raise PeriodTooLong(**{"from": since.isoformat(), "to": until.isoformat()})


async def performance(
    reader: Reader, since: date, until: date, by: Bucket | None, doctor: UUID | None, own: UUID | None, *, money: bool,
) -> list[Performance]:
    """Return what doctors did in those days; `own` is the one beside whom the reader may see nobody."""
    ensure_short(since, until, by)
    whose = [reader.clinic, since, until, doctor, doctor, own, own]
    found = await reader.select(Performance, PERFORMANCES[by], *whose, *whose, *whose)
    return found if money else [replace(one, billed=None, voided=None, credited=None, collected=None, refunded=None) for one in found if one.booked or one.new_patients]


async def growth(reader: Reader, since: date, until: date, by: Bucket, source: Source | None) -> list[Growth]:
    """Return how the number of patients grew."""
    ensure_short(since, until, by)
    return await reader.select(Growth, GROWTHS[by], reader.clinic, since, until, source)


async def value(reader: Reader, since: date | None, until: date | None, by: Cohorting | None, source: Source | None, currency: str) -> LifetimeValue:
    """Return what patients came to so far; the days are those of the first visit."""
    asked = [reader.clinic, since, since, until, until, source, source]
    (total,) = await reader.select(Value, VALUES[None], *asked)
    groups = await reader.select(ValueGroup, VALUES[by], *asked) if by else []
    return LifetimeValue(**{name: getattr(total, name) for name in Value.__struct_fields__}, currency=currency, groups=groups)


async def cohorts(
    reader: Reader, since: date, until: date, doctor: UUID | None, own: UUID | None, source: Source | None, today: date,
) -> list[Cohort]:
    """Return the cohorts of those months, each up to this month."""
    asked = [reader.clinic, since, until, doctor, doctor, own, own, source, source, reader.clinic]
    lines = await reader.select(CohortLine, COHORTS, *asked)
    return [cohort(month, list(cells), today) for month, cells in groupby(lines, attrgetter("month"))]


def cohort(month: date, lines: Sequence[CohortLine], today: date) -> Cohort:
    """Return a cohort with a cell for each month, also for those in which nobody came."""
    seen = {line.since: line for line in lines}
    last = max(*seen, 12 * (today.year - month.year) + today.month - month.month)
    cells = [CohortCell(since=n, patients=seen[n].seen, share=seen[n].share) if n in seen else CohortCell(since=n, patients=0, share=0.0) for n in range(last + 1)]
    return Cohort(month=month, patients=lines[0].patients, months=cells)


def lines_of(found: Sequence[Cohort]) -> Iterator[Struct]:
    """Return cohorts as the lines of a sheet."""
    return (
        CohortLine(month=one.month, patients=one.patients, since=cell.since, seen=cell.patients, share=cell.share) for one in found for cell in one.months
    )


async def sources(reader: Reader, since: date | None, until: date | None, source: Source | None, *, money: bool) -> list[SourceFigures]:
    """Return where the patients come from who were registered on those days."""
    found = await reader.select(SourceFigures, SOURCES, reader.clinic, since, since, until, until, source, source)
    return found if money else [replace(one, billed=None, voided=None, credited=None, received=None, average_received=None) for one in found]
