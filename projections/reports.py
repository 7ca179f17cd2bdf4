"""Reports as sums over the days of the clinic and its doctors."""

from datetime import date, timedelta

from msgspec import Struct
from msgspec.structs import asdict

from domain.kit import Invalid
from projections.expenses import CATEGORIES
from projections.kit.reading import Reader
from schemas.expenses import CategorySum
from schemas.reports import FinancialStatement, FinancialSummary, Grouping, Money, MoneyGroup, Result, Stats, Unit, Visits

EARLIEST, LATEST = 1900, 2200
MONEY = """coalesce(sum(billed), 0)::bigint as billed, coalesce(sum(voided), 0)::bigint as voided,
    coalesce(sum(credited), 0)::bigint as credited, coalesce(sum(written_off), 0)::bigint as written_off,
    coalesce(sum(billed - voided - credited - written_off), 0)::bigint as revenue, coalesce(sum(tax - voided_tax - credited_tax), 0)::bigint as tax,
    coalesce(sum(collected), 0)::bigint as collected, coalesce(sum(refunded), 0)::bigint as refunded,
    coalesce(sum(collected - refunded), 0)::bigint as received, coalesce(sum(invoices), 0)::bigint as invoices,
    coalesce(sum(payments), 0)::bigint as payments
from revenue_days where clinic_id = %s and day between %s and %s"""
TOTALS = f"select {MONEY}"
GROUPS = {
    "day": f"select day, {MONEY} group by day order by day",
    "month": f"select date_trunc('month', day)::date as month, {MONEY} group by month order by month",
    "doctor": f"select doctor_id, {MONEY} group by doctor_id order by revenue desc, doctor_id",
}
OUTSTANDING = """select coalesce(sum(billed - voided - credited - written_off - collected + refunded + on_account), 0)::bigint as amount
from revenue_days where clinic_id = %s and day <= %s"""
VISITS = """select coalesce(sum(booked), 0)::bigint as booked, coalesce(sum(completed), 0)::bigint as completed,
    coalesce(sum(cancelled), 0)::bigint as cancelled, coalesce(sum(late_cancelled), 0)::bigint as late_cancelled,
    coalesce(sum(no_show), 0)::bigint as no_show, coalesce(sum(rescheduled), 0)::bigint as rescheduled
from appointment_days where clinic_id = %s and day between %s and %s"""
PATIENTS = """select count(*) filter (where not archived) as patients, count(*) filter (where registered_on between %s and %s) as new_patients
from patients where clinic_id = %s and registered_on <= %s and merged_into is null"""
BUCKETS = """select made::date as since, least((made + interval '{step}')::date - 1, %s::date) as until
from generate_series(date_trunc('{unit}', %s::date::timestamp), %s::date::timestamp, interval '{step}') made"""
RESULTS = """
with buckets as (
    select greatest(since, %s::date) as since, until from ({buckets}) whole
), earned as (
    select since, sum(billed) as billed, sum(voided) as voided, sum(credited) as credited, sum(written_off) as written_off, sum(tax - voided_tax - credited_tax) as tax, sum(collected) as collected, sum(refunded) as refunded
    from buckets join revenue_days on clinic_id = %s and day between since and until group by since
), paid as (
    select since, sum(amount) as spent, sum(expenses.tax) as spent_tax
    from buckets join expenses on clinic_id = %s and not struck_out and spent_on between since and until group by since
)
select since, until, coalesce(billed, 0)::bigint as billed, coalesce(voided, 0)::bigint as voided, coalesce(credited, 0)::bigint as credited,
    coalesce(written_off, 0)::bigint as written_off, coalesce(tax, 0)::bigint as tax, coalesce(collected, 0)::bigint as collected, coalesce(refunded, 0)::bigint as refunded, coalesce(spent, 0)::bigint as spent, coalesce(spent_tax, 0)::bigint as spent_tax
from buckets left join earned using (since) left join paid using (since) order by since
"""
STEPS: dict[Unit, str] = {"day": "1 day", "week": "1 week", "month": "1 month", "quarter": "3 months", "year": "1 year"}
RESULTS_BY = {unit: RESULTS.format(buckets=BUCKETS.format(unit=unit, step=step)) for unit, step in STEPS.items()}
MOST = 3_700  # parts of the time in one answer: ten years of days


class PeriodImpossible(Invalid):
    """The first day cannot come after the last, and both lie between the years 1900 and 2200."""


class PeriodTooLong(Invalid):
    """That is more than ten years of days in one answer. Ask for fewer, or for months."""


class Sums(Struct):
    since: date
    until: date
    billed: int
    voided: int
    credited: int
    written_off: int
    tax: int
    collected: int
    refunded: int
    spent: int
    spent_tax: int


class Amount(Struct):
    amount: int


class Counts(Struct):
    booked: int
    completed: int
    cancelled: int
    late_cancelled: int
    no_show: int
    rescheduled: int


class Heads(Struct):
    patients: int
    new_patients: int


def period(since: date | None, until: date | None, today: date) -> tuple[date, date]:
    """Return the days asked for; if not said otherwise, those of this month so far."""
    until = until or max(today, since or today)
    since = since or until.replace(day=1)
    if since > until or not (since.year >= EARLIEST and until.year <= LATEST):
        raise PeriodImpossible(**{"from": since.isoformat(), "to": until.isoformat()})
    return since, until


def ensure_short(since: date, until: date, unit: Unit | None) -> None:
    """Refuse what nobody could look at."""
    if unit == "day" and (until - since).days >= MOST:
        raise PeriodTooLong(**{"from": since.isoformat(), "to": until.isoformat()})


def before(since: date, until: date) -> tuple[date, date]:
    """Return as many days right before; of whole months as many months, so that March is compared with February."""
    if since.day == 1 and (until + timedelta(days=1)).day == 1:
        months = 12 * since.year + since.month - 1
        back = months - (12 * until.year + until.month - months)
        return date(back // 12, back % 12 + 1, 1), since - timedelta(days=1)
    length = until - since + timedelta(days=1)
    return since - length, since - timedelta(days=1)


async def financial_statement(reader: Reader, since: date, until: date, unit: Unit, currency: str) -> FinancialStatement:
    """Return profit and loss of those days, part by part, and of as many right before."""
    ensure_short(since, until, unit)
    categories = await reader.select(CategorySum, CATEGORIES, reader.clinic, since, until)
    parts = await results(reader, since, until, unit)
    whole = summed_up(since, until, parts)
    first, last = before(since, until)
    return FinancialStatement(
        **asdict(whole), currency=currency, margin=round(whole.result / whole.net_revenue, 4) if whole.net_revenue else None, categories=categories,
        previous=summed_up(first, last, await results(reader, first, last, "year")), periods=parts)


async def results(reader: Reader, since: date, until: date, unit: Unit) -> list[Result]:
    found = await reader.select(Sums, RESULTS_BY[unit], since, until, since, until, reader.clinic, reader.clinic)
    return [result(sums) for sums in found]


def result(s: Sums) -> Result:
    net, net_spent, received = s.billed - s.voided - s.credited - s.written_off - s.tax, s.spent - s.spent_tax, s.collected - s.refunded
    return Result(
        **asdict(s), net_revenue=net, net_spent=net_spent, result=net - net_spent, received=received, cash_result=received - s.spent)


def summed_up(since: date, until: date, parts: list[Result]) -> Result:
    """Return the whole of its parts."""
    return result(Sums(since, until, *(sum(getattr(part, name) for part in parts) for name in Sums.__struct_fields__[2:])))


async def financial_summary(reader: Reader, since: date, until: date, by: Grouping | None, currency: str) -> FinancialSummary:
    """Return what was billed and received in those days, and what was outstanding at their end."""
    total = await money(reader, since, until)
    groups = await reader.select(MoneyGroup, GROUPS[by], reader.clinic, since, until) if by else []
    return FinancialSummary(
        **{name: getattr(total, name) for name in Money.__struct_fields__}, since=since, until=until, currency=currency,
        outstanding=await outstanding(reader, until), groups=groups,
    )


async def outstanding(reader: Reader, until: date) -> int:
    """Return what was still to be paid at the end of a day."""
    (found,) = await reader.select(Amount, OUTSTANDING, reader.clinic, until)
    return found.amount


async def money(reader: Reader, since: date, until: date) -> Money:
    (total,) = await reader.select(Money, TOTALS, reader.clinic, since, until)
    return total


async def stats(reader: Reader, since: date, until: date, *, revenue: bool) -> Stats:
    """Return how the clinic did in those days."""
    (counts,) = await reader.select(Counts, VISITS, reader.clinic, since, until)
    (heads,) = await reader.select(Heads, PATIENTS, since, until, reader.clinic, until)
    return Stats(
        since=since, until=until, appointments=visits(counts), new_patients=heads.new_patients, patients=heads.patients,
        revenue=await money(reader, since, until) if revenue else None,
    )


def visits(n: Counts) -> Visits:
    def share(part: int) -> float:
        return round(part / n.booked, 4) if n.booked else 0.0

    return Visits(
        booked=n.booked, upcoming=n.booked - n.completed - n.cancelled - n.no_show, completed=n.completed, cancelled=n.cancelled,
        late_cancelled=n.late_cancelled, no_show=n.no_show, rescheduled=n.rescheduled, completion_rate=share(n.completed),
        cancellation_rate=share(n.cancelled), no_show_rate=share(n.no_show), rescheduled_rate=share(n.rescheduled),
    )
