"""Trends of appointments, as sums of the days; by hour and by time ahead, which no day has, as counts of the visits of the days in question."""

from datetime import date
from typing import Any
from uuid import UUID

from msgspec.structs import asdict

from projections.kit.reading import Reader
from projections.reports import BUCKETS, STEPS, Counts, ensure_short, visits
from projections.staff import named
from schemas.reports import Visits
from schemas.trends import LEADS, AppointmentTrends, Fate, Trend, TrendBy

SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in Counts.__struct_fields__)
DAYS = "from appointment_days where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s) and (%s::uuid is null or doctor_id = %s)"
COUNTED = """count(*) as booked, count(*) filter (where status = 'completed') as completed, count(*) filter (where status = 'cancelled') as cancelled,
    count(*) filter (where status = 'cancelled' and late_cancelled) as late_cancelled, count(*) filter (where status = 'no-show') as no_show, count(*) filter (where moves > 0) as rescheduled
from visits where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s) and (%s::uuid is null or doctor_id = %s)"""
LEAD = "(case when lead_days = 0 then 0 when lead_days <= 7 then 1 when lead_days <= 14 then 2 when lead_days <= 30 then 3 when lead_days <= 90 then 4 else 5 end)"
EACH = {
    "weekday": f"select extract(isodow from day)::int::text as key, {SUMS} {DAYS} group by 1 order by 1",  # noqa: S608 - columns of ours
    "doctor": f"select doctor_id::text as key, {SUMS} {DAYS} group by 1 order by booked desc, 1",
    "status": f"select '' as key, {SUMS} {DAYS}",
    "hour": f"select hour::text as key, {COUNTED} group by hour order by hour",
    "lead-time": f"select {LEAD}::text as key, {COUNTED} group by 1 order by 1",
}  # a key is text whatever it is
IN_TIME = """with buckets as (select greatest(since, %s::date) as since, until from ({buckets}) whole), found as (select day, {sums} {days} group by day)
select since, until, {sums} from buckets left join found on day between since and until group by since, until order by since"""
FATES: tuple[Fate, ...] = ("upcoming", "completed", "cancelled", "no-show")


class Part(Counts):
    key: str


class Stretch(Counts):
    since: date
    until: date


async def trends(reader: Reader, since: date, until: date, by: TrendBy, fate: Fate | None, doctor: UUID | None, own: UUID | None) -> AppointmentTrends:
    """Return the appointments of those days, in parts; `own` is the doctor beside whom the reader may see nobody."""
    whose = [reader.clinic, since, until, doctor, doctor, own, own]
    (counts,) = await reader.select(Counts, f"select {SUMS} {DAYS}", *whose)
    total = visits(counts)
    items = await stretches(reader, since, until, by, fate, whose) if by in STEPS else await parts(reader, by, fate, whose, total)
    return AppointmentTrends(since=since, until=until, group_by=by, count=counted(total, fate), total=total, items=items)


async def stretches(reader: Reader, since: date, until: date, by: Any, fate: Fate | None, whose: list[Any]) -> list[Trend]:
    ensure_short(since, until, by)
    sql = IN_TIME.format(buckets=BUCKETS.format(unit=by, step=STEPS[by]), sums=SUMS, days=DAYS)
    found = await reader.select(Stretch, sql, since, until, since, until, *whose)
    return [trend(visits(one), fate, since=one.since, until=one.until) for one in found]


async def parts(reader: Reader, by: TrendBy, fate: Fate | None, whose: list[Any], total: Visits) -> list[Trend]:
    if by == "status":
        return [trend(total, one, status=one) for one in FATES if fate in {None, one}]  # each counts itself
    found = await reader.select(Part, EACH[by], *whose)
    if by == "doctor":
        names = await named(reader, (UUID(one.key) for one in found))
        return [trend(visits(one), fate, doctor_id=UUID(one.key), doctor_name=names.get(UUID(one.key))) for one in found]
    if by == "lead-time":
        return [trend(visits(one), fate, lead_time=LEADS[int(one.key)]) for one in found]
    return [trend(visits(one), fate, **{by: int(one.key)}) for one in found]


def trend(told: Visits, fate: Fate | None, **key: Any) -> Trend:
    return Trend(**asdict(told), **key, count=counted(told, fate))


def counted(told: Visits, fate: Fate | None) -> int:
    """Return how many there are of a status, or of all."""
    return int(getattr(told, fate.replace("-", "_"))) if fate else told.booked
