"""Reports as sums over the days of the clinic and its doctors."""

from datetime import date

from msgspec import Struct

from domain.kit import Invalid
from projections.kit.reading import Reader
from schemas.reports import FinancialSummary, Grouping, Money, MoneyGroup, Stats, Visits

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


class PeriodImpossible(Invalid):
    """The first day cannot come after the last, and both lie between the years 1900 and 2200."""


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


async def financial_summary(reader: Reader, since: date, until: date, by: Grouping | None, currency: str) -> FinancialSummary:
    """Return what was billed and received in those days, and what was outstanding at their end."""
    total = await money(reader, since, until)
    (outstanding,) = await reader.select(Amount, OUTSTANDING, reader.clinic, until)
    groups = await reader.select(MoneyGroup, GROUPS[by], reader.clinic, since, until) if by else []
    return FinancialSummary(
        **{name: getattr(total, name) for name in Money.__struct_fields__}, since=since, until=until, currency=currency,
        outstanding=outstanding.amount, groups=groups,
    )


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
