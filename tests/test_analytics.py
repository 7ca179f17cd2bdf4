"""What days come to: money and visits per day and doctor, and the reports made of them."""

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientMissed,
)
from domain.expenses import ExpenseRecorded, ExpenseStruckOut, Spent
from domain.invoices import Allocation, DoctorShare, InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded
from domain.kit import PLATFORM, only
from domain.patients import PatientArchived, PatientRegistered
from projections.analytics import appointment_days, doctors, revenue_days, visits
from projections.reports import PeriodImpossible, before, financial_statement, financial_summary, period, stats
from schemas.analytics import AppointmentDayRow, RevenueDayRow
from tests.kit import CLINIC, facts, noon
from tests.remembering import reading, remember

ANNE, BEN, NOOR = UUID(int=11), UUID(int=12), UUID(int=101)
MON, TUE, WED = date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)
LAST_YEAR = date(2025, 12, 31)


def issue(on, *shares):
    total, tax = sum(s.total for s in shares), sum(s.tax for s in shares)
    return InvoiceIssued(
        number="2026-000001", issued_on=on, due_on=on, patient_id=NOOR, subtotal=total - tax, tax=tax, total=total, shares=list(shares)
    )


def share(doctor, total, tax=0, procedure=None):
    return DoctorShare(doctor_id=doctor, procedure_code=procedure, net=total - tax, tax=tax, total=total)


def part(doctor, amount, line=1):
    return Allocation(line=line, doctor_id=doctor, amount=amount, tax=0)


def pay(on, *parts):
    return PaymentRecorded(
        payment_id=UUID(int=1), patient_id=NOOR, amount=sum(p.amount for p in parts), method="card", paid_on=on, allocations=list(parts)
    )


def refund(on, *parts):
    return PaymentRefunded(
        payment_id=UUID(int=1), refund_id=UUID(int=2), patient_id=NOOR, amount=sum(p.amount for p in parts), method="card", reason="x",
        refunded_on=on, allocations=list(parts),
    )


def void(on, *shares):
    return InvoiceVoided(reason="x", voided_on=on, shares=list(shares))


def visit(on=MON, doctor=ANNE):
    return {"patient_id": NOOR, "doctor_id": doctor, "on": on}


def arranged(on, doctor):
    return visit(on, doctor) | {"type": "check-up", "start_local": f"{on}T09:00", "zone": "UTC", "starts_at": noon.now, "ends_at": noon.now}


def book(on=MON, doctor=ANNE):
    return AppointmentBooked(**arranged(on, doctor))


def move(was_on, was_doctor, on, doctor):
    return AppointmentRescheduled(**arranged(on, doctor), was_on=was_on, was_doctor_id=was_doctor)


def cancel(on=MON, doctor=ANNE, *, late=False):
    return AppointmentCancelled(**visit(on, doctor), by="patient", late=late)


def told(function, keys, *events):
    """Fold events into rows, and show what is not zero of each."""
    rows = {}
    for fact in facts(*events):
        for key in keys(fact):
            rows[key] = function(rows.get(key), fact, key)
    return {key: {n: v for n, v in asdict(row).items() if n not in {"day", "doctor_id"} and v} for key, row in rows.items()}


def revenue(*events):
    return told(revenue_days, doctors, *events)


def appointments(*events):
    return told(appointment_days, visits, *events)


def test_an_invoice_counts_on_the_day_of_issue_and_its_money_on_the_day_of_the_money():
    assert revenue(issue(MON, share(ANNE, 121_00, 21_00)), pay(TUE, part(ANNE, 100_00)), refund(WED, part(ANNE, 30_00))) == {
        (MON, ANNE): {"billed": 121_00, "tax": 21_00, "invoices": 1},
        (TUE, ANNE): {"collected": 100_00, "payments": 1},
        (WED, ANNE): {"refunded": 30_00},
    }


def test_each_doctor_has_their_share_and_a_document_counts_once():
    both = issue(MON, share(ANNE, 80_00, procedure="A"), share(BEN, 20_00), share(ANNE, 10_00, procedure="B"))
    assert revenue(both, pay(MON, part(BEN, 20_00), part(ANNE, 5_00))) == {
        (MON, ANNE): {"billed": 90_00, "invoices": 1, "collected": 5_00},
        (MON, BEN): {"billed": 20_00, "collected": 20_00, "payments": 1},
    }


def test_what_no_doctor_earned_stands_under_no_doctor():
    assert revenue(issue(MON, share(None, 5_00), share(ANNE, 1_00))) == {
        (MON, PLATFORM): {"billed": 5_00, "invoices": 1}, (MON, ANNE): {"billed": 1_00},
    }


def test_a_voided_invoice_is_taken_back_on_the_day_of_the_voiding():
    shares = share(ANNE, 121_00, 21_00), share(BEN, 9_00)
    rows = revenue(issue(MON, *shares), void(WED, *shares))
    assert rows[WED, ANNE] == {"voided": 121_00, "voided_tax": 21_00}
    assert rows[WED, BEN] == {"voided": 9_00}
    assert rows[MON, ANNE]["billed"] == 121_00


def test_an_appointment_counts_as_booked_on_its_day_whatever_becomes_of_it():
    assert appointments(book(), AppointmentCompleted(**visit()), book(), cancel(), book(), cancel(late=True), book(), PatientMissed(**visit()), book()) == {
        (MON, ANNE): {"booked": 5, "completed": 1, "cancelled": 2, "late_cancelled": 1, "no_show": 1},
    }


def test_a_rescheduled_appointment_leaves_the_old_day_and_is_booked_on_the_new_one():
    assert appointments(book(), move(MON, ANNE, TUE, ANNE)) == {(MON, ANNE): {"rescheduled": 1}, (TUE, ANNE): {"booked": 1}}
    assert appointments(book(), move(MON, ANNE, MON, BEN)) == {(MON, ANNE): {"rescheduled": 1}, (MON, BEN): {"booked": 1}}
    assert appointments(book(), move(MON, ANNE, MON, ANNE)) == {(MON, ANNE): {"booked": 1, "rescheduled": 1}}


def test_a_removed_appointment_was_a_mistake_unless_it_had_come_to_an_end():
    assert appointments(book(), AppointmentRemoved(**visit(), was="confirmed")) == {(MON, ANNE): {}}
    assert appointments(book(), cancel(), AppointmentRemoved(**visit(), was="cancelled")) == {(MON, ANNE): {"booked": 1, "cancelled": 1}}


doctors_ = st.sampled_from([None, ANNE, BEN])
days = st.sampled_from([MON, TUE, WED])
shares_ = st.lists(st.builds(share, doctors_, st.integers(0, 100), st.just(0)), min_size=1, max_size=4)
parts_ = st.lists(st.builds(part, doctors_, st.integers(1, 100)), min_size=1, max_size=4)
money = st.lists(
    st.builds(lambda d, s: issue(d, *s), days, shares_) | st.builds(lambda d, p: pay(d, *p), days, parts_)
    | st.builds(lambda d, p: refund(d, *p), days, parts_) | st.builds(lambda d, s: void(d, *s), days, shares_),
    max_size=10,
)


@forall(money)
def test_the_sum_of_doctors_and_days_is_the_clinics_figure(events):
    sums = Counter()
    for figures in revenue(*events).values():
        sums.update(figures)
    assert sums == Counter({
        "billed": sum(e.total for e in events if isinstance(e, InvoiceIssued)),
        "collected": sum(e.amount for e in events if isinstance(e, PaymentRecorded)),
        "refunded": sum(e.amount for e in events if isinstance(e, PaymentRefunded)),
        "voided": sum(s.total for e in events if isinstance(e, InvoiceVoided) for s in e.shares),
        "invoices": sum(isinstance(e, InvoiceIssued) for e in events),
        "payments": sum(isinstance(e, PaymentRecorded) for e in events),
    })


@forall(st.lists(st.tuples(days, st.sampled_from([ANNE, BEN]), st.sampled_from(["stay", "move", "cancel", "complete", "miss", "remove"])), max_size=12))
def test_appointments_of_a_day_are_those_that_ended_and_those_that_stand(lives):
    events, standing = [], Counter()
    for n, (on, doctor, fate) in enumerate(lives):
        events.append(book(on, doctor))
        if fate == "move":
            there = MON + timedelta(days=n % 3)
            events.append(move(on, doctor, there, BEN))
            on, doctor = there, BEN  # noqa: PLW2901 - that is where it stands now
        elif fate != "stay":
            made = {"cancel": cancel, "complete": lambda *v: AppointmentCompleted(**visit(*v)), "miss": lambda *v: PatientMissed(**visit(*v)),
                    "remove": lambda *v: AppointmentRemoved(**visit(*v), was="booked")}
            events.append(made[fate](on, doctor))
        standing[on, doctor] += fate in {"stay", "move"}
    for key, row in appointments(*events).items():
        ended = row.get("completed", 0) + row.get("cancelled", 0) + row.get("no_show", 0)
        assert row.get("booked", 0) == ended + standing[key]


# --- on a real database


@pytest.fixture(scope="module")
def books(module_database):
    shares = share(ANNE, 121_00, 21_00), share(BEN, 50_00)
    voided = facts(issue(MON, share(ANNE, 7_00)), void(TUE, share(ANNE, 7_00)), id=UUID(int=302), first=21)
    bill = facts(issue(MON, *shares), pay(TUE, part(ANNE, 100_00)), refund(WED, part(ANNE, 30_00)), id=UUID(int=301), first=11)
    old = facts(issue(LAST_YEAR, share(None, 9_00)), id=UUID(int=303), first=31)
    elsewhere = [replace(fact, clinic=UUID(int=8)) for fact in facts(issue(MON, share(ANNE, 1000_00)), book(), id=UUID(int=304), first=41)]
    diary = facts(
        book(), book(), book(TUE), AppointmentCompleted(**visit()), cancel(late=True), move(TUE, ANNE, WED, BEN), book(WED, BEN), PatientMissed(**visit(WED, BEN)),
        id=UUID(int=305), first=51,
    )
    people = [
        *facts(PatientRegistered(registered_on=LAST_YEAR), id=UUID(int=401), kind="patients", first=71),
        *facts(PatientRegistered(registered_on=MON), id=UUID(int=402), kind="patients", first=72),
        *facts(PatientRegistered(registered_on=TUE), PatientArchived(), id=UUID(int=403), kind="patients", first=73),
    ]
    spent = [
        *facts(paid_for(MON, 40_00, 4_00), id=UUID(int=501), kind="expenses", first=81), *facts(paid_for(LAST_YEAR, 5_00, 0), id=UUID(int=502), kind="expenses", first=82),
        *facts(paid_for(TUE, 999_00, 0), ExpenseStruckOut(was=spend(TUE, 999_00, 0), reason="x"), id=UUID(int=503), kind="expenses", first=83),
    ]
    remember(module_database, *bill, *voided, *old, *elsewhere, *diary, *people, *spent)
    return module_database


def spend(on, amount, tax):
    return Spent(category="rent", description="x", amount=amount, tax=tax, spent_on=on, method="transfer")


def paid_for(on, amount, tax):
    return ExpenseRecorded(**only(Spent, spend(on, amount, tax)), currency="EUR")


async def test_a_statement_is_profit_and_loss_with_the_time_before_beside_it(books):
    async with reading(books, CLINIC) as reader:
        made = await financial_statement(reader, MON, WED, "day", "EUR")
        year = await financial_statement(reader, date(2025, 12, 1), date(2026, 1, 31), "month", "EUR")
    assert (made.billed, made.voided, made.tax, made.net_revenue) == (178_00, 7_00, 21_00, 150_00)
    assert (made.spent, made.spent_tax, made.net_spent, made.result, made.margin) == (40_00, 4_00, 36_00, 114_00, 0.76)
    assert (made.received, made.cash_result) == (70_00, 30_00)
    assert [(one.category, one.count, one.amount) for one in made.categories] == [("rent", 1, 40_00)]
    assert [(part.since, part.until, part.billed, part.spent, part.received) for part in made.periods] == [
        (MON, MON, 178_00, 40_00, 0), (TUE, TUE, 0, 0, 100_00), (WED, WED, 0, 0, -30_00)]
    assert (made.previous.since, made.previous.until, made.previous.billed) == (date(2026, 1, 2), date(2026, 1, 4), 0)
    assert [(part.since, part.until, part.result) for part in year.periods] == [
        (date(2025, 12, 1), date(2025, 12, 31), 4_00), (date(2026, 1, 1), date(2026, 1, 31), 114_00)]


@forall(since=st.dates(date(2024, 1, 1), date(2026, 1, 1)), length=st.integers(0, 800), unit=st.sampled_from(["day", "week", "month", "quarter", "year"]))
def test_the_time_before_ends_where_the_time_begins(since, length, unit):
    until = since + timedelta(days=length)
    first, last = before(since, until)
    assert last == since - timedelta(days=1)
    whole_months = since.day == 1 and (until + timedelta(days=1)).day == 1
    assert first.day == 1 if whole_months else (last - first) == (until - since)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@forall(since=st.dates(date(2025, 12, 25), WED), length=st.integers(0, 400), unit=st.sampled_from(["day", "week", "month", "quarter", "year"]))
async def test_the_parts_of_a_statement_cover_it_and_sum_to_it(books, since, length, unit):
    until = since + timedelta(days=length)
    async with reading(books, CLINIC) as reader:
        made = await financial_statement(reader, since, until, unit, "EUR")
        whole = await financial_summary(reader, since, until, None, "EUR")
    assert (made.periods[0].since, made.periods[-1].until) == (since, until)
    assert all(after.since == part.until + timedelta(days=1) for part, after in pairwise(made.periods))
    for name in ("billed", "voided", "tax", "collected", "refunded", "received"):
        assert getattr(made, name) == getattr(whole, name) == sum(getattr(part, name) for part in made.periods)
    assert (made.net_revenue, made.result) == (whole.revenue - whole.tax, sum(part.result for part in made.periods))


async def summary(books, by=None, since=MON, until=WED):
    async with reading(books, CLINIC) as reader:
        return await financial_summary(reader, since, until, by, "EUR")


async def test_a_financial_summary_adds_up(books):
    made = await summary(books)
    assert (made.billed, made.voided, made.revenue, made.tax) == (178_00, 7_00, 171_00, 21_00)
    assert (made.collected, made.refunded, made.received) == (100_00, 30_00, 70_00)
    assert (made.invoices, made.payments, made.currency, made.groups) == (2, 1, "EUR", [])


async def test_outstanding_is_what_was_due_at_the_end_of_the_last_day(books):
    assert (await summary(books)).outstanding == 9_00 + 171_00 - 100_00 + 30_00
    assert (await summary(books, until=MON)).outstanding == 9_00 + 178_00
    assert (await summary(books, since=LAST_YEAR, until=LAST_YEAR)).outstanding == 9_00


@pytest.mark.parametrize(("by", "expected"), [
    ("day", {LAST_YEAR: 9_00, MON: 178_00, TUE: -7_00, WED: 0}),
    ("month", {date(2025, 12, 1): 9_00, date(2026, 1, 1): 171_00}),
    ("doctor", {ANNE: 121_00, BEN: 50_00, PLATFORM: 9_00}),
])
async def test_a_financial_summary_by(books, by, expected):
    made = await summary(books, by, since=LAST_YEAR)
    assert {group.day or group.month or group.doctor_id: group.revenue for group in made.groups} == expected
    for name in ("billed", "voided", "revenue", "tax", "collected", "refunded", "received", "invoices", "payments"):
        assert sum(getattr(group, name) for group in made.groups) == getattr(made, name)


async def test_a_stretch_without_anything_is_all_zero(books):
    made = await summary(books, "doctor", since=date(2024, 1, 1), until=date(2024, 1, 31))
    assert (made.revenue, made.outstanding, made.groups) == (0, 0, [])
    async with reading(books, CLINIC) as reader:
        assert (await stats(reader, date(2024, 1, 1), date(2024, 1, 31), revenue=False)).appointments.no_show_rate == 0


async def test_statistics_count_visits_and_people(books):
    async with reading(books, CLINIC) as reader:
        made = await stats(reader, MON, WED, revenue=False)
    seen = made.appointments
    assert (seen.booked, seen.completed, seen.cancelled, seen.late_cancelled, seen.no_show, seen.rescheduled, seen.upcoming) == (4, 1, 1, 1, 1, 1, 1)
    assert (seen.completion_rate, seen.cancellation_rate, seen.no_show_rate, seen.rescheduled_rate) == (0.25, 0.25, 0.25, 0.25)
    assert (made.new_patients, made.patients, made.revenue) == (2, 2, None)


async def test_statistics_show_money_only_to_those_who_may_see_it(books):
    async with reading(books, CLINIC) as reader:
        made = await stats(reader, MON, WED, revenue=True)
    assert made.revenue.revenue == 171_00


async def test_days_read_back_as_they_were_written(books):
    async with reading(books, CLINIC) as reader:
        (money_,) = await reader.find(RevenueDayRow, day=TUE, doctor_id=ANNE)
        (seen,) = await reader.find(AppointmentDayRow, day=WED, doctor_id=BEN)
    assert money_ == RevenueDayRow(day=TUE, doctor_id=ANNE, collected=100_00, voided=7_00, payments=1)
    assert seen == AppointmentDayRow(day=WED, doctor_id=BEN, booked=2, no_show=1)


def test_a_report_is_of_this_month_unless_it_says_otherwise():
    assert period(None, None, date(2026, 1, 15)) == (date(2026, 1, 1), date(2026, 1, 15))
    assert period(None, date(2025, 5, 9), date(2026, 1, 15)) == (date(2025, 5, 1), date(2025, 5, 9))
    assert period(date(2026, 1, 20), None, date(2026, 1, 15)) == (date(2026, 1, 20), date(2026, 1, 20))
    for since, until in [(TUE, MON), (date(1899, 12, 31), MON), (MON, date(9999, 12, 31))]:
        with pytest.raises(PeriodImpossible):
            period(since, until, MON)
