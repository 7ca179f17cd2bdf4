"""Random years of a clinic's money and visits, told by the rules themselves: late payments, refunds, voids, corrections, merged records; and what an auditor makes of the raw store in plain SQL."""

from collections import Counter
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID

from msgspec.structs import replace

from domain.expenses import Expense, Spent
from domain.invoices import Bill, Invoice
from domain.kit import Event, Fact, only
from domain.kit.bills import Charges, Discount, Line, charged
from domain.patients import PatientReplaced, PatientsMerged
from domain.procedure_costs import ProcedureCost, UnitCost, procedure_cost_of
from tests.chronicle import DAYS, DOCTORS, FIRST, PATIENTS, ZONES, Told, mixed, record, visit
from tests.kit import ACTOR

CODES = ["D1110", "D2740", None]
METHODS = ["cash", "card", "transfer", "insurance", "other"]
CATEGORIES = ["rent", "materials", "laboratory"]
UNITS = [1, 100, 1000]  # of the currency's decimals: 0, 2, 3
LAST = max(DAYS).date() + timedelta(days=400)  # the day on which all of it is told
SMALL = 3


def ledger(rng: Random, clinic: UUID) -> list[Fact]:
    """Return what happened in a clinic, each stream in its own order, the streams mixed."""
    zone, unit, days = rng.choice(ZONES), rng.choice(UNITS), rng.sample(DAYS, 5)
    streams = [record(rng, patient, days) for patient in PATIENTS]
    streams += [visit(rng, UUID(int=1000 + n), days, zone) for n in range(rng.randrange(10))]
    streams += [bill(rng, UUID(int=2000 + n), days, unit) for n in range(rng.randrange(8))]
    streams += [spent(rng, UUID(int=3000 + n), days, unit) for n in range(rng.randrange(SMALL))]
    streams += [costs(rng, clinic, code, days, unit) for code in CODES if code and rng.random() < 0.7]
    first = [stream.pop(0) for stream in streams[: len(PATIENTS)]]
    told = first + mixed(rng, streams)
    if rng.random() < 0.3:
        told += [
            (PATIENTS[0], "patients", PatientsMerged(loser_id=PATIENTS[1], records=[PATIENTS[1]])), (PATIENTS[1], "patients", PatientReplaced(survivor_id=PATIENTS[0], moved=[]))]
    versions, facts, at = Counter[UUID](), [], FIRST
    for position, (stream, kind, event) in enumerate(told, 1):
        versions[stream] += 1
        at += timedelta(seconds=rng.randrange(6000))
        facts.append(Fact(id=stream, kind=kind, version=versions[stream], position=position, clinic=clinic, recorded_at=at, actor=ACTOR, event=event))
    return facts


def some_day(rng: Random, days: list[datetime], after: date = date.min) -> date:
    return max(after, rng.choice(days).date() + timedelta(days=rng.choice([0, 0, 0, 35, 70, 130])))


def bill(rng: Random, stream: UUID, days: list[datetime], unit: int) -> list[Told]:
    """Return an invoice's life as its own rules tell it."""
    lines = [
        Line(description="x", procedure_code=rng.choice(CODES), doctor_id=rng.choice([*DOCTORS, None]), quantity=rng.choice([1, 1, 2, 7]), unit_price=rng.randrange(400) * unit + rng.randrange(unit),
             tax_rate=rng.choice([0, 600, 2100]), discount=rng.choice([None, Discount(percent=1250)])) for _ in range(rng.randrange(1, 4))]
    patient = rng.choice(PATIENTS)
    due_on = rng.choice([None, LAST])
    told: list[Event] = [Invoice().draft(Bill(**only(Charges, charged(patient, "EUR", lines, discount=rng.choice([None, Discount(percent=333)]), notes=None)), due_on=due_on))]

    def go_on(events: list[Event]) -> None:
        told.extend(events)

    def now() -> Invoice:
        return Invoice.replay(told)

    if rng.random() < 0.1:
        return [(stream, "invoices", event) for event in told]
    issued_on = some_day(rng, days)
    go_on(now().issue(str(stream), issued_on, None, LAST))
    for _ in range(rng.randrange(4)):
        if (left := now().balance) > 0 and rng.random() < 0.7:
            paid_on = some_day(rng, days, issued_on)
            go_on(now().pay(now().next_payment(stream), rng.choice([left, rng.randint(1, left)]), rng.choice(METHODS), paid_on, LAST))  # type: ignore[arg-type]
        for payment, got in now().payments.items():
            if got.amount and rng.random() < 0.3:
                amount = rng.choice([got.amount, rng.randint(1, got.amount)])
                go_on(now().refund(
                    now().next_refund(stream), payment, amount, reason="x", method=rng.choice([None, "cash"]), on=some_day(rng, days, got.paid_on), today=LAST))  # type: ignore[arg-type]
    if not any(now().paid) and rng.random() < 0.4:
        go_on([replace(event, voided_on=some_day(rng, days, issued_on)) for event in now().void("x", LAST)])  # type: ignore[type-var,call-arg]
    return [(stream, "invoices", event) for event in told]


def spent(rng: Random, stream: UUID, days: list[datetime], unit: int) -> list[Told]:
    def one() -> Spent:
        amount = rng.randrange(1, 900) * unit
        return Spent(category=rng.choice(CATEGORIES), description="x", amount=amount, tax=rng.randrange(amount), spent_on=some_day(rng, days), method=rng.choice(METHODS))  # type: ignore[arg-type]

    told = Expense().record(one(), "EUR", LAST)
    if rng.random() < 0.5:
        told += Expense.replay(told).correct(one(), LAST)
    if rng.random() < 0.3:
        told += Expense.replay(told).strike_out("x")
    return [(stream, "expenses", event) for event in told]


def costs(rng: Random, clinic: UUID, code: str, days: list[datetime], unit: int) -> list[Told]:
    told: list[Event] = []
    for _ in range(rng.randrange(1, 4)):
        told += ProcedureCost.replay(told).set(code, UnitCost(since=some_day(rng, days), material=rng.randrange(90) * unit, lab=rng.randrange(90) * unit))
    if rng.random() < 0.3 and told:
        told += ProcedureCost.replay(told).drop(code, told[0].since)  # type: ignore[attr-defined]
    return [(procedure_cost_of(clinic, code), "procedure_costs", event) for event in told]


# --- the auditor, who has nothing but the raw events: plain SQL over their JSON

RAW = """
with raw as (
    select topic, stream_kind, originator_id as stream, originator_version as version, convert_from(state, 'UTF8')::jsonb as e from stored_events where clinic_id = %(clinic)s
), parts as (
    select topic, stream, coalesce(e ->> 'issuedOn', e ->> 'voidedOn', e ->> 'paidOn', e ->> 'refundedOn')::date as day, n, part,
        coalesce((part ->> 'total')::bigint, (part ->> 'amount')::bigint) as amount, (part ->> 'tax')::bigint as tax, part ->> 'doctorId' as doctor, part ->> 'procedureCode' as procedure,
        e ->> 'method' as method
    from raw, jsonb_array_elements(coalesce(e -> 'shares', e -> 'allocations')) with ordinality as p(part, n)
    where topic in ('InvoiceIssued', 'InvoiceVoided', 'PaymentRecorded', 'PaymentRefunded')
), worth as (
    select *, case topic when 'InvoiceIssued' then 'billed' when 'InvoiceVoided' then 'voided' when 'PaymentRecorded' then 'collected' else 'refunded' end as what from parts
), spent as (
    select (e ->> 'spentOn')::date as day, (e ->> 'amount')::bigint as amount, (e ->> 'tax')::bigint as tax, e ->> 'method' as method from raw where topic in ('ExpenseRecorded', 'ExpenseCorrected')
    union all
    select (e -> 'was' ->> 'spentOn')::date, -(e -> 'was' ->> 'amount')::bigint, -(e -> 'was' ->> 'tax')::bigint, e -> 'was' ->> 'method' from raw where topic in ('ExpenseCorrected', 'ExpenseStruckOut')
)
"""
MONEY = RAW + """
select coalesce(sum(amount) filter (where what = 'billed'), 0)::bigint, coalesce(sum(amount) filter (where what = 'voided'), 0)::bigint,
    coalesce(sum(case what when 'billed' then tax when 'voided' then -tax end), 0)::bigint, coalesce(sum(amount) filter (where what = 'collected'), 0)::bigint,
    coalesce(sum(amount) filter (where what = 'refunded'), 0)::bigint, count(*) filter (where what = 'billed' and n = 1), count(*) filter (where what = 'collected' and n = 1)
from worth where day between %(since)s and %(until)s and (%(doctor)s::text is null or coalesce(doctor, '00000000-0000-0000-0000-000000000000') = %(doctor)s)
    and (%(procedure)s::text is null or coalesce(procedure, '') = %(procedure)s) and (%(method)s::text is null or method = %(method)s)"""
SPENT = RAW + "select coalesce(sum(amount), 0)::bigint, coalesce(sum(tax), 0)::bigint from spent where day between %(since)s and %(until)s"  # noqa: S608 - no word of anybody else
DUE = RAW + """select coalesce(sum(case when what in ('billed', 'refunded') then amount else -amount end), 0)::bigint from worth where day <= %(until)s"""  # noqa: S608 - likewise
