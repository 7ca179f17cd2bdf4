"""Random years of a clinic's money and visits, told by the rules themselves: late payments, refunds, voids, corrections, merged records; and what an auditor makes of the raw store in plain SQL."""

from collections import Counter
from contextlib import suppress
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID

from msgspec.structs import replace

from domain.credits import Credit, credit_of
from domain.expenses import Expense, Spent
from domain.invoices import Bill, Invoice
from domain.kit import Event, Fact, Refused, only
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
    streams += [deposit(rng, patient, days, unit) for patient in PATIENTS if rng.random() < 0.4]
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

    if rng.random() < 0.9:
        issued_on = some_day(rng, days)
        told += Invoice.replay(told).issue(str(stream), issued_on, None, LAST)
        for _ in range(rng.randrange(8)):
            with suppress(Refused, ValueError, IndexError):  # what cannot be done is not done
                told += rng.choice(STEPS)(Invoice.replay(told), rng, stream, some_day(rng, days, issued_on))
    return [(stream, "invoices", event) for event in told]


# what can become of an invoice, each on a day of its own


def pay(now: Invoice, rng: Random, stream: UUID, on: date) -> list[Event]:
    left = now.balance
    return now.pay(now.next_payment(stream), rng.choice([left, rng.randint(1, left)]), rng.choice(METHODS), on, LAST)  # type: ignore[arg-type]


def refund(now: Invoice, rng: Random, stream: UUID, on: date) -> list[Event]:
    payment = one_of(now, rng)
    amount = rng.randint(1, now.payments[payment].amount)
    return now.refund(now.next_refund(stream), payment, amount, reason="x", method=rng.choice([None, "cash"]), on=max(on, now.payments[payment].paid_on), today=LAST)  # type: ignore[arg-type]


def void(now: Invoice, _: Random, __: UUID, on: date) -> list[Event]:
    return [replace(event, voided_on=on) for event in now.void("x", LAST)]  # type: ignore[type-var,call-arg]


def credit(now: Invoice, rng: Random, stream: UUID, on: date) -> list[Event]:
    cause = rng.choice(["credit-note", "write-off"])
    note, room = now.next_credit_note(stream), now.balance if cause == "write-off" else now.total - sum(now.credited)
    return now.credit(note, str(note), rng.choice([None, rng.randint(1, room)]), None, cause=cause, reason="x", on=on, today=LAST)  # type: ignore[arg-type]


def use(now: Invoice, rng: Random, stream: UUID, on: date) -> list[Event]:
    return now.apply(now.next_payment(stream), rng.randint(1, now.balance), on, LAST)


def free(now: Invoice, rng: Random, _: UUID, on: date) -> list[Event]:
    payment = one_of(now, rng)
    return now.reallocate(payment, [], max(on, now.payments[payment].paid_on), LAST)


def reverse(now: Invoice, rng: Random, _: UUID, on: date) -> list[Event]:
    payment = one_of(now, rng)
    return now.reverse(payment, "x", max(on, now.payments[payment].paid_on), LAST)


def one_of(now: Invoice, rng: Random) -> UUID:
    return rng.choice([*now.payments])


STEPS = [pay, pay, pay, refund, void, credit, credit, use, free, reverse]


def deposit(rng: Random, patient: UUID, days: list[datetime], unit: int) -> list[Told]:
    """Return what a patient pays without an invoice, and has back."""
    whose, told = credit_of(patient), list[Event]()
    for _ in range(rng.randrange(3)):
        told += Credit.replay(told).receive(whose, patient, rng.randrange(1, 400) * unit, "EUR", rng.choice(METHODS), some_day(rng, days), LAST)  # type: ignore[arg-type]
    state = Credit.replay(told)
    if state.balance and rng.random() < 0.4:
        told.append(state.give_back(whose, rng.randint(1, state.balance), method="cash", reason="x", on=some_day(rng, days, state.since), today=LAST))
    elif state.deposits and rng.random() < 0.4:
        told += state.reverse(next(iter(state.deposits)), "x", LAST, LAST)
    return [(whose, "credits", event) for event in told]


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
    select topic, stream_kind, n, part, part ->> 'doctorId' as doctor, part ->> 'procedureCode' as procedure, sign, e,
        coalesce(e ->> 'issuedOn', e ->> 'voidedOn', e ->> 'creditedOn', e ->> 'appliedOn', e ->> 'reallocatedOn', e ->> 'reversedOn', e ->> 'paidOn', e ->> 'refundedOn')::date as day
    from raw, lateral (
        select n, part, 1 as sign from jsonb_array_elements(coalesce(e -> 'shares', e -> 'allocations', e -> 'given')) with ordinality as p(part, n)
        union all select n, part, -1 from jsonb_array_elements(e -> 'taken') with ordinality as p(part, n)
    ) each
    where topic in ('InvoiceIssued', 'InvoiceVoided', 'InvoiceCredited', 'PaymentRecorded', 'PaymentRefunded', 'CreditApplied', 'PaymentReallocated', 'PaymentReversed')
), worth as (
    select day, doctor, procedure, topic, n,
        case topic when 'InvoiceIssued' then 'billed' when 'InvoiceVoided' then 'voided' when 'PaymentRefunded' then 'refunded'
            when 'InvoiceCredited' then case e ->> 'cause' when 'credit-note' then 'credited' else 'written-off' end else 'collected' end as what,
        sign * case topic when 'PaymentReversed' then -1 else 1 end * coalesce((part ->> 'total')::bigint, (part ->> 'amount')::bigint) as amount, (part ->> 'tax')::bigint as tax,
        case when topic in ('CreditApplied', 'PaymentReallocated') then 'credit' else e ->> 'method' end as method
    from parts
    union all  -- what a patient has with the clinic is nobody's
    select coalesce(e ->> 'receivedOn', e ->> 'returnedOn', e ->> 'reversedOn', e ->> 'appliedOn', e ->> 'reallocatedOn')::date, null, null, topic, 1,
        case topic when 'CreditReturned' then 'refunded' else 'collected' end,
        case when topic in ('CreditReversed', 'CreditApplied') then -1 else 1 end * coalesce((e ->> 'released')::bigint, (e ->> 'amount')::bigint), 0, coalesce(e ->> 'method', 'credit')
    from raw where topic in ('CreditReceived', 'CreditReturned', 'CreditReversed', 'CreditApplied') or (topic = 'PaymentReallocated' and e ->> 'released' <> '0')
    union all
    select coalesce(e ->> 'receivedOn', e ->> 'returnedOn', e ->> 'reversedOn', e ->> 'appliedOn', e ->> 'reallocatedOn')::date, null, null, topic, 2, 'on-account',
        case when topic in ('CreditReversed', 'CreditApplied', 'CreditReturned') then -1 else 1 end * coalesce((e ->> 'released')::bigint, (e ->> 'amount')::bigint), 0, null
    from raw where topic in ('CreditReceived', 'CreditReturned', 'CreditReversed', 'CreditApplied') or (topic = 'PaymentReallocated' and e ->> 'released' <> '0')
), spent as (
    select (e ->> 'spentOn')::date as day, (e ->> 'amount')::bigint as amount, (e ->> 'tax')::bigint as tax, e ->> 'method' as method from raw where topic in ('ExpenseRecorded', 'ExpenseCorrected')
    union all
    select (e -> 'was' ->> 'spentOn')::date, -(e -> 'was' ->> 'amount')::bigint, -(e -> 'was' ->> 'tax')::bigint, e -> 'was' ->> 'method' from raw where topic in ('ExpenseCorrected', 'ExpenseStruckOut')
)
"""
MONEY = RAW + """
select coalesce(sum(amount) filter (where what = 'billed'), 0)::bigint, coalesce(sum(amount) filter (where what = 'voided'), 0)::bigint,
    coalesce(sum(amount) filter (where what = 'credited'), 0)::bigint, coalesce(sum(amount) filter (where what = 'written-off'), 0)::bigint,
    coalesce(sum(case when what = 'billed' then tax when what in ('voided', 'credited') then -tax end), 0)::bigint, coalesce(sum(amount) filter (where what = 'collected'), 0)::bigint,
    coalesce(sum(amount) filter (where what = 'refunded'), 0)::bigint, count(*) filter (where what = 'billed' and n = 1),
    count(*) filter (where topic in ('PaymentRecorded', 'CreditReceived') and n = 1) - count(*) filter (where topic in ('PaymentReversed', 'CreditReversed') and n = 1)
from worth where day between %(since)s and %(until)s and (%(doctor)s::text is null or coalesce(doctor, '00000000-0000-0000-0000-000000000000') = %(doctor)s)
    and (%(procedure)s::text is null or coalesce(procedure, '') = %(procedure)s) and (%(method)s::text is null or method = %(method)s)"""
SPENT = RAW + "select coalesce(sum(amount), 0)::bigint, coalesce(sum(tax), 0)::bigint from spent where day between %(since)s and %(until)s"  # noqa: S608 - no word of anybody else
DUE = RAW + """select coalesce(sum(case when what in ('billed', 'refunded', 'on-account') then amount else -amount end), 0)::bigint from worth where day <= %(until)s"""  # noqa: S608 - likewise
