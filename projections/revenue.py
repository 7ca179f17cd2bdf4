"""Revenue as sums of the days of doctors, procedures and methods; what is open, by age; and both as they were on any day.

Which rows are read follows from what is asked: the days of doctors if nothing else is, those of procedures or of the till if these are, and single lines, of those days alone, for whatever is left.
"""

import asyncio
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.invoices import PaidBy
from domain.kit.sources import Source
from projections.kit import installs
from projections.kit.reading import Reader
from projections.reports import BUCKETS, STEPS, before, ensure_short, money, outstanding
from projections.staff import named
from schemas.reports import Money
from schemas.revenue import AGES, Ageing, AgeSum, PatientAges, RevenueBy, RevenueGroup, RevenueOverTime, RevenueSummary

installs("""
create or replace view overdue_invoices with (security_invoker = true) as
select d.clinic_id, d.position, d.id, d.number, d.patient_id, d.patient_name, d.currency, d.issued_on, d.due_on, d.total, d.paid, d.refunded, d.credited, d.written_off, d.due, d.days_overdue,
    case when d.days_overdue <= 30 then '0-30' when d.days_overdue <= 60 then '31-60' when d.days_overdue <= 90 then '61-90' else '90+' end as age
from (
    select i.clinic_id, i.position, i.id, i.number, i.patient_id, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, i.currency, i.issued_on, i.due_on, i.total,
        i.paid, i.refunded, i.credited, i.written_off, i.due, ((now() at time zone c.zone)::date - i.due_on)::bigint as days_overdue
    from invoices i join clinics c on c.clinic_id = i.clinic_id and c.id = i.clinic_id
    left join patients p on p.clinic_id = i.clinic_id and p.id = i.patient_id
    where i.status in ('issued', 'partly-paid')
) d where d.days_overdue > 0;
grant select on overdue_invoices to anamnesis_gateway;
""")

FIGURES = ("billed", "voided", "credited", "written_off", "on_account", "tax", "collected", "refunded", "invoices", "payments")
SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in FIGURES)
COLUMNS = "day, doctor_id, {code} as procedure_code, null::text as method, null::text as source, billed, voided, credited, written_off, on_account, tax - voided_tax - credited_tax as tax, collected, refunded, invoices, payments"
SOURCES = {
    "days": f"select clinic_id, {COLUMNS.format(code='null::text')} from revenue_days",  # noqa: S608 - columns of ours
    "procedures": f"select clinic_id, {COLUMNS.format(code='procedure_code')} from procedure_days",  # noqa: S608 - likewise
    "till": """select clinic_id, day, null::uuid as doctor_id, null::text as procedure_code, method, null::text as source, 0 as billed, 0 as voided, 0 as credited, 0 as written_off,
        0 as on_account, 0 as tax, received - reversed as collected, refunded, 0 as invoices, payments - reversals as payments from till_days where payments + refunds + reversals > 0""",
    "lines": """select t.clinic_id, t.day, coalesce(t.doctor_id, '00000000-0000-0000-0000-000000000000'::uuid) as doctor_id, coalesce(t.procedure_code, '') as procedure_code, t.method,
        case when l.survivor_id is null then l.source else s.source end as source, case t.tally when 'billed' then t.amount else 0 end as billed,
        case t.tally when 'voided' then t.amount else 0 end as voided, case t.tally when 'credited' then t.amount else 0 end as credited,
        case t.tally when 'written-off' then t.amount else 0 end as written_off, case t.tally when 'on-account' then t.amount else 0 end as on_account,
        case t.tally when 'billed' then t.tax when 'voided' then -t.tax when 'credited' then -t.tax else 0 end as tax,
        case t.tally when 'collected' then t.amount else 0 end as collected, case t.tally when 'refunded' then t.amount else 0 end as refunded,
        case t.tally when 'billed' then t.counted else 0 end as invoices, case t.tally when 'collected' then t.counted else 0 end as payments
    from tallies t left join lifetimes l on l.clinic_id = t.clinic_id and l.patient_id = t.patient_id
    left join lifetimes s on s.clinic_id = l.clinic_id and s.patient_id = l.survivor_id where t.tally in ('billed', 'voided', 'credited', 'written-off', 'on-account', 'collected', 'refunded')""",
}
OF = """from ({source}) x where clinic_id = %s and day between %s and %s and (%s::uuid is null or doctor_id = %s) and (%s::text is null or procedure_code = %s)
    and (%s::text is null or method = %s) and (%s::text is null or source = %s)"""
IN_TIME = """with buckets as (select greatest(since, %s::date) as since, until from ({buckets}) whole), found as (select day, {sums} {of} group by day)
select since, until, {sums} from buckets left join found on day between since and until group by since, until order by since"""
OF_EACH = "select ({key})::text as key, {sums} {of} group by 1 order by sum(billed - voided - credited - written_off) desc, sum(collected - refunded) desc, 1"
KEYS: dict[str, str] = {"doctor": "doctor_id", "procedure": "procedure_code", "method": "method", "source": "source"}
DUE = "select ({key})::text as key, coalesce(sum(billed - voided - credited - written_off - collected + refunded + on_account), 0)::bigint as due {of} group by 1"

LATE = """select coalesce(sum(due), 0)::bigint as due, count(*) as invoices from invoices where clinic_id = %s and status in ('issued', 'partly-paid') and due_on < %s"""
# What was open on a day is what is open now, less what has happened since: the further back, the more lines are read, and today none.
OPEN = """
with later as (
    select id, sum(case when tally in ('billed', 'refunded', 'on-account') then amount else -amount end) as moved from tallies
    where clinic_id = %s and day > %s and tally in ('billed', 'voided', 'credited', 'written-off', 'collected', 'refunded', 'on-account') and kind = 'invoices' group by id
), due as (
    select i.patient_id, i.due - coalesce(l.moved, 0) as due, %s::date - i.due_on as late
    from invoices i left join later l on l.id = i.id where i.clinic_id = %s and i.issued_on <= %s and i.status in ('issued', 'partly-paid')
    union all
    select i.patient_id, i.due - l.moved, %s::date - i.due_on
    from later l join invoices i on i.clinic_id = %s and i.id = l.id where i.issued_on <= %s and i.status not in ('issued', 'partly-paid')
), aged as (
    select patient_id, due, case when late <= 0 then 'not-due' when late <= 30 then '0-30' when late <= 60 then '31-60' when late <= 90 then '61-90' else '90+' end as age
    from due where due <> 0
)
"""
AGED = OPEN + """
select age, count(*) as invoices, sum(due)::bigint as due from aged group by age"""
OWED = OPEN + """select a.patient_id, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, coalesce(sum(a.due) filter (where age = 'not-due'), 0)::bigint as not_due,
    coalesce(sum(a.due) filter (where age = '0-30'), 0)::bigint as days_0_30, coalesce(sum(a.due) filter (where age = '31-60'), 0)::bigint as days_31_60,
    coalesce(sum(a.due) filter (where age = '61-90'), 0)::bigint as days_61_90, coalesce(sum(a.due) filter (where age = '90+'), 0)::bigint as days_over_90, sum(a.due)::bigint as due
from aged a left join patients p on p.clinic_id = %s and p.id = a.patient_id group by a.patient_id, p.given_name, p.family_name order by due desc, a.patient_id limit %s"""
MOST_PATIENTS = 1_000


class Wish(NamedTuple):
    """Which days, in which parts, and of what alone."""

    since: date
    until: date
    by: RevenueBy
    doctor: UUID | None = None
    procedure: str | None = None
    method: PaidBy | None = None
    source: Source | None = None

    @property
    def rows(self) -> str:
        """Which rows say it."""
        asked = {self.by} | {name for name in KEYS if getattr(self, name) is not None}
        if "source" in asked or ("method" in asked and asked & {"doctor", "procedure"}):
            return "lines"
        return "till" if "method" in asked else "procedures" if "procedure" in asked else "days"

    def given(self, reader: Reader, since: date, until: date) -> list[Any]:
        return [reader.clinic, since, until, *(one for one in (self.doctor, self.procedure, self.method, self.source) for _ in range(2))]


class Sums(Struct):
    billed: int
    voided: int
    credited: int
    written_off: int
    on_account: int
    tax: int
    collected: int
    refunded: int
    invoices: int
    payments: int


class InTime(Sums):
    since: date
    until: date


class Each(Sums):
    key: str | None


class Due(Struct):
    key: str | None
    due: int


class Late(Struct):
    due: int
    invoices: int


def whole(sums: Any) -> dict[str, Any]:
    """Return sums and what follows from them."""
    said = {name: getattr(sums, name) for name in FIGURES if name != "on_account"}
    revenue = said["billed"] - said["voided"] - said["credited"] - said["written_off"]
    return {**said, "revenue": revenue, "received": said["collected"] - said["refunded"]}


def added(groups: list[RevenueGroup]) -> dict[str, int]:
    return {name: sum(getattr(group, name) for group in groups) for name in Money.__struct_fields__}


async def over_time(reader: Reader, wish: Wish, currency: str) -> RevenueOverTime:
    """Return revenue in the parts that were asked for."""
    items, due = await (in_time(reader, wish) if wish.by in STEPS else of_each(reader, wish))
    return RevenueOverTime(**added(items), since=wish.since, until=wish.until, currency=currency, group_by=wish.by, outstanding=due, items=items)


async def in_time(reader: Reader, wish: Wish) -> tuple[list[RevenueGroup], int | None]:
    unit: Any = wish.by
    ensure_short(wish.since, wish.until, unit)
    of = OF.format(source=SOURCES[wish.rows])
    buckets = BUCKETS.format(unit=unit, step=STEPS[unit])
    found = await reader.select(
        InTime, IN_TIME.format(buckets=buckets, sums=SUMS, of=of), wish.since, wish.until, wish.since, wish.until, *wish.given(reader, wish.since, wish.until))
    told = wish.rows in {"days", "procedures"}
    due = sum((await dues(reader, wish, "null::text", wish.since - timedelta(days=1))).values()) if told else 0
    items = []
    for sums in found:
        said = whole(sums)
        due += said["revenue"] - said["received"] + sums.on_account
        items.append(RevenueGroup(**said, since=sums.since, until=sums.until, outstanding=due if told else None))
    return items, due if told else None


async def dues(reader: Reader, wish: Wish, key: str, upto: date) -> dict[Any, int]:
    """Return what was still to be paid at the end of a day, by a key."""
    sql = DUE.format(key=key, of=OF.format(source=SOURCES[wish.rows]))
    return {one.key: one.due for one in await reader.select(Due, sql, *wish.given(reader, date.min, upto))}


async def of_each(reader: Reader, wish: Wish) -> tuple[list[RevenueGroup], int | None]:
    key = KEYS[wish.by]
    found = await reader.select(Each, OF_EACH.format(key=key, sums=SUMS, of=OF.format(source=SOURCES[wish.rows])), *wish.given(reader, wish.since, wish.until))
    told = wish.rows in {"days", "procedures"}
    due = await dues(reader, wish, key, wish.until) if told else {}
    names = await named(reader, (UUID(one.key) for one in found if one.key)) if wish.by == "doctor" else {}
    items = []
    for one in found:
        mine: dict[str, Any] = {key: UUID(one.key) if one.key and wish.by == "doctor" else one.key, "outstanding": due.get(one.key, 0) if told else None}
        if wish.by == "doctor":
            mine["doctor_name"] = names.get(UUID(one.key)) if one.key else None
        items.append(RevenueGroup(**whole(one), **mine))
    return items, sum(due.values()) if told else None


async def summary(reader: Reader, since: date, until: date, today: date, currency: str) -> RevenueSummary:
    """Return what some days came to, beside those before."""
    current, earlier, due, (late,) = await asyncio.gather(
        money(reader, since, until), money(reader, *before(since, until)), outstanding(reader, today), reader.select(Late, LATE, reader.clinic, today))
    return RevenueSummary(
        since=since, until=until, currency=currency, current=current, previous=earlier, growth=share(current.revenue - earlier.revenue, earlier.revenue),
        collection_rate=share(current.received, current.revenue), average_invoice=round(current.billed / current.invoices) if current.invoices else 0,
        outstanding=due, overdue=late.due, overdue_invoices=late.invoices)


def share(part: int, of: int) -> float | None:
    return round(part / of, 4) if of > 0 else None


async def ageing(reader: Reader, on: date, currency: str, *, patients: bool) -> Ageing:
    """Return what was open at the end of a day, by age."""
    asked = [reader.clinic, on, on, reader.clinic, on, on, reader.clinic, on]
    found = {one.age: one for one in await reader.select(AgeSum, AGED, *asked)}
    ages = [found.get(age) or AgeSum(age=age, invoices=0, due=0) for age in AGES]
    due = sum(one.due for one in ages)
    owed = await reader.select(PatientAges, OWED, *asked, reader.clinic, MOST_PATIENTS) if patients else []
    return Ageing(
        day=on, currency=currency, due=due, overdue=due - ages[0].due, invoices=sum(one.invoices for one in ages), ages=ages, patients=owed)
