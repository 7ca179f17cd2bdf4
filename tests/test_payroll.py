"""Payroll: nobody is paid twice for a period, what was approved stays as it was, and what comes late is paid once, in whatever order."""

import asyncio
import csv
import io
from calendar import monthrange
from datetime import date, timedelta
from fractions import Fraction
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given as chance
from hypothesis import strategies as some
from msgspec.structs import replace

from commands.payroll import (
    AddPayrollEmployee,
    ApprovePayrollRun,
    ChangePayrollEmployee,
    ChangePayrollRun,
    DraftPayrollRun,
    OpenPayrollPeriod,
    Payee,
    PayEntry,
    PayPayrollRun,
    RemovePayrollPeriod,
    VoidPayrollRun,
    days_of,
    earnings,
)
from domain.kit import Elsewhere, only
from domain.kit.bills import DateInFuture
from domain.payroll import (
    DeductionsTooLarge,
    Earned,
    Employment,
    EmploymentImpossible,
    HoursMissing,
    NobodyToPay,
    NotEmployedThen,
    NotThatPeriodsRun,
    OnPayrollAlready,
    Paid,
    Particulars,
    PayEntryTwice,
    PayItem,
    PayLine,
    PayrollEmployee,
    PayrollEmployeeAdded,
    PayrollPeriod,
    PayrollPeriodGivenBack,
    PayrollPeriodImpossible,
    PayrollPeriodInUse,
    PayrollPeriodOpened,
    PayrollPeriodRemoved,
    PayrollPeriodTaken,
    PayrollRun,
    PayrollRunApproved,
    PayrollRunDrafted,
    PayrollRunFrozen,
    PayrollRunNotApproved,
    PayrollRunPaid,
    PayrollRunVoid,
    PayrollRunVoided,
    Payslip,
    PeriodReleased,
    PeriodSettled,
    PeriodSettledAlready,
    SalaryUnclear,
    Span,
    monthly,
    slip_of,
)
from domain.series import NumberAllotted, Series, series_of
from tests.clinic import Town, handling, stored
from tests.kit import CLINIC, THIS, given, noon
from tests.served import failure, served, today_there, working

SAM, BO, JANUARY = (UUID(int=n) for n in (501, 502, 601))
MONTH = Span(starts_on=date(2026, 1, 1), ends_on=date(2026, 1, 31))
employment = Employment(name="Sam Visser", salary_kind="monthly", salary=300_000, starts_on=date(2025, 3, 1))
hired = PayrollEmployeeAdded(**only(Employment, employment))
opened = PayrollPeriodOpened(**only(Span, MONTH))
period = PayrollPeriod.replay([opened])


def payee(id_=SAM, events=(hired,), paid=None):
    return Payee(
        id=id_, employee=PayrollEmployee.replay(events), paid=paid or Paid(id=id_, salary_kind="monthly", salary=300_000), earned={})


def drafting(*people, **other):
    return given().looking(**{"period": period, "people": list(people), "corrected": None, "series": Series(), **other})


def slip(*lines, id_=SAM, kind="monthly", minutes=None):
    gross = sum(line.amount for line in lines if line.kind != "deduction")
    off = -sum(line.amount for line in lines if line.kind == "deduction")
    return Payslip(employee_id=id_, salary_kind=kind, minutes=minutes, lines=list(lines), gross=gross, deductions=off, net=gross - off)


SALARY = PayLine(kind="base", description="2026-01-01 - 2026-01-31", amount=300_000)
drafted = PayrollRunDrafted(**only(Span, MONTH), period_id=JANUARY, currency="EUR", slips=[slip(SALARY)])
taken = Elsewhere(state=PayrollPeriod, id=JANUARY, events=[PayrollPeriodTaken(run_id=THIS)])
settled = PeriodSettled(**only(Span, MONTH), period_id=JANUARY, run_id=THIS, commission=0, basis=0)
approved = PayrollRunApproved(number="2026-000001", approved_on=noon.today)
ask = DraftPayrollRun(period_id=JANUARY)


# --- the rules


def test_somebody_is_paid_in_one_way():
    given().looking(twice=False).when(AddPayrollEmployee(**only(Employment, employment))).then(hired)
    given().looking(twice=True).when(AddPayrollEmployee(**only(Employment, employment))).refused(OnPayrollAlready)
    for wrong in (
        replace(employment, salary=None), replace(employment, percentage=10), replace(employment, salary_kind="percentage"),
        replace(employment, salary_kind="percentage", salary=None, percentage=10),
    ):
        given().looking(twice=False).when(AddPayrollEmployee(**only(Employment, wrong))).refused(SalaryUnclear)
    given(hired).looking(twice=False).when(ChangePayrollEmployee(**only(Employment, replace(employment, ends_on=date(2025, 2, 28))))).refused(EmploymentImpossible)
    assert PayrollEmployee.replay([replace(hired, staff_id=BO)]).claims()


def test_a_period_has_an_end_and_no_day_of_another():
    given().looking(taken=False).when(OpenPayrollPeriod(**only(Span, MONTH))).then(opened)
    for wrong in ({"ends_on": date(2025, 12, 31)}, {"ends_on": date(2027, 1, 2)}, {"pays_on": date(2025, 12, 1)}):
        given().looking(taken=False).when(OpenPayrollPeriod(**{**only(Span, MONTH), **wrong})).refused(PayrollPeriodImpossible)
    given(opened).when(RemovePayrollPeriod()).then(PayrollPeriodRemoved())
    given(opened, taken.events[0]).when(RemovePayrollPeriod()).refused(PayrollPeriodInUse)
    given(opened, taken.events[0], PayrollPeriodGivenBack(run_id=THIS)).when(RemovePayrollPeriod()).then(PayrollPeriodRemoved())


def test_a_run_is_drafted_from_whoever_is_employed_and_not_paid_yet():
    left = payee(BO, [replace(hired, ends_on=date(2025, 12, 31))])
    elsewhere = payee(BO, [hired, replace(settled, run_id=BO)])
    says = Elsewhere(state=PayrollEmployee, id=SAM, events=[settled])
    drafting(payee(), left).when(ask).then(drafted, taken, says)
    drafting(payee(), elsewhere).when(ask).then(drafted, taken, says)
    drafting(left).when(ask).refused(NobodyToPay)
    drafting(left).when(replace(ask, employees=[BO])).refused(NotEmployedThen)
    drafting(elsewhere).when(replace(ask, employees=[BO])).refused(PeriodSettledAlready)
    allotted = Elsewhere(state=Series, id=series_of(CLINIC, "payroll", 2026), events=[NumberAllotted(series="payroll", year=2026, number=1)])
    drafting(payee()).when(replace(ask, approve=True)).then(drafted, taken, says, approved, allotted)
    voided = PayrollRun.replay([drafted, PayrollRunVoided(reason="No", voided_on=noon.today)])
    drafting(payee(), corrected=voided).when(replace(ask, corrects_id=BO)).then(replace(drafted, corrects_id=BO), taken, says)
    drafting(payee(), corrected=PayrollRun.replay([drafted])).when(replace(ask, corrects_id=BO)).refused(NotThatPeriodsRun)


def test_hours_bonuses_and_deductions_make_a_slip():
    hourly = payee(paid=Paid(id=SAM, salary_kind="hourly", salary=2_050))
    entry = PayEntry(employee_id=SAM, minutes=95, bonuses=[PayItem(description="Weekend", amount=500)], deductions=[PayItem(description="Advance", amount=1_000)])
    lines = [
        PayLine(kind="base", description="1:35", amount=3_246), PayLine(kind="bonus", description="Weekend", amount=500),
        PayLine(kind="deduction", description="Advance", amount=-1_000)]
    first, *_ = drafting(hourly).when(replace(ask, entries=[entry])).decide()
    assert first.slips == [slip(*lines, kind="hourly", minutes=95)]
    assert (first.slips[0].gross, first.slips[0].deductions, first.slips[0].net) == (3_746, 1_000, 2_746)
    drafting(hourly).when(replace(ask, entries=[entry, entry])).refused(PayEntryTwice)
    drafting(hourly).when(replace(ask, entries=[replace(entry, employee_id=BO)])).refused(PayEntryTwice)
    drafting(hourly).when(replace(ask, entries=[replace(entry, minutes=None)])).refused(DeductionsTooLarge)
    drafting(hourly).when(replace(ask, approve=True)).refused(HoursMissing)


def test_what_was_approved_stays_as_it_was():
    given(drafted).looking(series=Series()).when(ApprovePayrollRun()).then(
        approved, Elsewhere(state=Series, id=series_of(CLINIC, "payroll", 2026), events=[NumberAllotted(series="payroll", year=2026, number=1)]))
    given(drafted, approved).looking(series=Series()).when(ApprovePayrollRun()).then()
    given(drafted, approved).looking(period=period, people=[payee(events=[hired, settled])]).when(ChangePayrollRun()).refused(PayrollRunFrozen)
    given(drafted).when(PayPayrollRun()).refused(PayrollRunNotApproved)
    given(drafted, approved).when(PayPayrollRun()).then(PayrollRunPaid(paid_on=noon.today))
    given(drafted, approved).when(PayPayrollRun(paid_on=noon.today + timedelta(days=1))).refused(DateInFuture)
    given(drafted, approved, PayrollRunPaid(paid_on=noon.today)).when(PayPayrollRun()).then()


def test_a_draft_is_worked_out_anew_and_lets_go_whoever_is_not_in_it_any_more():
    mine, other = payee(events=[hired, settled]), payee(BO, [hired])
    given(drafted).looking(period=period, people=[mine]).when(ChangePayrollRun()).then()
    first, *rest = given(drafted).looking(period=period, people=[mine, other]).when(ChangePayrollRun(employees=[BO])).decide()
    assert [one.employee_id for one in first.slips] == [BO]
    assert rest == [
        Elsewhere(state=PayrollEmployee, id=BO, events=[settled]), Elsewhere(state=PayrollEmployee, id=SAM, events=[PeriodReleased(period_id=JANUARY, run_id=THIS)])]


def test_a_run_that_is_voided_gives_the_period_back():
    voided = PayrollRunVoided(reason="Wrong hours", voided_on=noon.today)
    there = {"employees": {SAM: PayrollEmployee.replay([hired, settled])}, "period": PayrollPeriod.replay([opened, taken.events[0]])}
    given(drafted, approved).looking(**there).when(VoidPayrollRun(reason="Wrong hours")).then(
        voided, Elsewhere(state=PayrollPeriod, id=JANUARY, events=[PayrollPeriodGivenBack(run_id=THIS)]),
        Elsewhere(state=PayrollEmployee, id=SAM, events=[PeriodReleased(period_id=JANUARY, run_id=THIS)]))
    given(drafted, voided).looking(**there).when(VoidPayrollRun(reason="Again")).then()
    given(drafted, voided).looking(series=Series()).when(ApprovePayrollRun()).refused(PayrollRunVoid)


@chance(salary=some.integers(1, 10**9), start=some.dates(date(2024, 1, 1), date(2028, 1, 1)), days=some.integers(0, 364), cut=some.integers(0, 364))
def test_a_months_salary_is_the_salary_and_parts_of_it_come_to_the_whole(salary, start, days, cut):
    last = start + timedelta(days=days)
    whole = sum(Fraction(salary, monthrange(one.year, one.month)[1]) for one in (start + timedelta(days=n) for n in range(days + 1)))
    assert abs(monthly(salary, Span(starts_on=start, ends_on=last)) - whole) <= Fraction(1, 2)
    first = start.replace(day=1)
    assert monthly(salary, Span(starts_on=first, ends_on=first.replace(day=monthrange(first.year, first.month)[1]))) == salary
    if cut < days:
        middle = start + timedelta(days=cut)
        parts = [Span(starts_on=start, ends_on=middle), Span(starts_on=middle + timedelta(days=1), ends_on=last)]
        assert abs(sum(monthly(salary, part) for part in parts) - whole) <= 1


@chance(some.data())
def test_whatever_comes_late_or_goes_back_is_paid_once_in_whatever_order_periods_are_run(data):
    """Runs over periods in any order, voided and made again, while earnings of any period come and go: in the end all is paid that was earned, and nobody ever owes."""
    periods = {UUID(int=700 + n): Span(starts_on=MONTH.starts_on + n * timedelta(days=7), ends_on=MONTH.starts_on + timedelta(days=7 * n + 6)) for n in range(4)}
    earned = {MONTH.starts_on + timedelta(days=n): 0 for n in range(28)}
    events, runs, pay = [hired], {}, {}
    who = Paid(id=SAM, salary_kind="monthly", salary=data.draw(some.integers(0, 50)))
    for n in range(data.draw(some.integers(1, 12))):
        earned[data.draw(some.sampled_from(sorted(earned)))] += data.draw(some.integers(-100, 200))
        employee = PayrollEmployee.replay(events)
        which = data.draw(some.sampled_from(sorted(periods)))
        if which in runs:
            events += employee.release(runs.pop(which))
            pay.pop(which)
            continue
        run = UUID(int=900 + n)
        one = Payee(id=SAM, employee=employee, paid=who, earned={day: Earned(commission=amount) for day, amount in earned.items()})
        now, due = earnings(one, periods[which], run, commissions=True)
        assert now.commission == sum(earned[day] for day in days_of(periods[which]))
        made, settles = slip_of(who, MONTH, Particulars(), now, due)
        assert made.net >= 0
        events += employee.settle(run, which, periods[which], settles)
        runs[which], pay[which] = run, made.net - who.salary
    employee = PayrollEmployee.replay(events)
    assert sum(pay.values()) == sum(how.commission for how in employee.settled.values())
    one = Payee(id=SAM, employee=employee, paid=who, earned={day: Earned(commission=amount) for day, amount in earned.items()})
    first = min(periods)
    _, due = earnings(one, periods[first], THIS, commissions=True)
    covered = {day for which in {*employee.settled, first} for day in days_of(periods[which])}
    assert due.commission + sum(pay.values()) == sum(earned[day] for day in covered)


def test_a_percentage_is_of_what_was_collected_and_more_given_back_than_taken_waits():
    who = Paid(id=SAM, salary_kind="percentage", percentage=4_000)
    made, settles = slip_of(who, MONTH, Particulars(), Earned(basis=10_001), Earned(basis=10_001))
    assert (made.lines[0].amount, made.lines[0].description, settles.basis) == (4_000, "40 %", 10_001)
    made, settles = slip_of(who, MONTH, Particulars(), Earned(basis=-500), Earned(basis=-500))
    assert (made.net, settles.basis) == (0, 0)


# --- many at once


async def test_of_many_runs_for_one_period_each_employee_is_in_one(module_database):
    async with handling(module_database) as handler, handling(module_database) as other:
        town = await Town.open(handler)
        people = [(await town(AddPayrollEmployee(**only(Employment, employment)))).id for _ in range(3)]
        january = (await town(OpenPayrollPeriod(**only(Span, MONTH)))).id
        asked = [DraftPayrollRun(period_id=january, employees=[people[n % 3], people[(n + 1) % 3]], approve=True) for n in range(12)]
        done = await asyncio.gather(*((handler, other)[n % 2].handle(one, town.admin, now=town.now) for n, one in enumerate(asked)), return_exceptions=True)
        names = [type(one).__name__ for one in done]
        assert set(names) == {"Receipt", "PeriodSettledAlready"}
        assert names.count("Receipt") == 1, "any two share somebody"
        paid = next(asked[n].employees for n, one in enumerate(done) if not isinstance(one, Exception))
        (left,) = {*people} - {*paid}
        last = await town(DraftPayrollRun(period_id=january, employees=[left], approve=True))
        again = await asyncio.gather(*(one.handle(VoidPayrollRun(reason="No"), town.admin, id=last.id, now=town.now) for one in (handler, other) * 3))
        assert len({one.version for one in again}) == 1
        await town(DraftPayrollRun(period_id=january, employees=[left], approve=True))
    mine = [event for event in stored(module_database) if event.clinic == town.id]
    assert [event.topic for event in mine].count("NumberAllotted") == [event.topic for event in mine].count("PayrollRunApproved") == 3


async def test_no_two_periods_share_a_day_whoever_is_faster(module_database):
    async with handling(module_database) as handler, handling(module_database) as other:
        town = await Town.open(handler)
        far = await Town.open(handler)
        wanted = [OpenPayrollPeriod(starts_on=date(2026, 1, 1) + timedelta(days=n), ends_on=date(2026, 1, 31) + timedelta(days=n)) for n in range(10)]
        done = await asyncio.gather(*((handler, other)[n % 2].handle(one, town.admin, now=town.now) for n, one in enumerate(wanted)), return_exceptions=True)
        names = [type(one).__name__ for one in done]
        assert names.count("Receipt") == 1
        assert set(names) <= {"Receipt", "PayrollPeriodOverlaps", "TimeTaken"}
        await far(wanted[0])
        (made,) = [one.id for one in done if not isinstance(one, Exception)]
        await town(RemovePayrollPeriod(), made)
        await town(wanted[0])
        await town(OpenPayrollPeriod(starts_on=date(2026, 2, 1), ends_on=date(2026, 2, 28)))


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(module_database, make_nats):
    nats_server = make_nats()
    async with served(module_database, nats_server) as web, working(module_database, nats_server):
        clinic = await web.clinic()
        yield SimpleNamespace(web=web, clinic=clinic, admin=await web.person(clinic, "admin"))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_month_is_paid_and_corrected_and_goes_out_as_a_sheet(town):
    admin, first = town.admin, (today_there().replace(day=1) - timedelta(days=1)).replace(day=1)
    last = today_there().replace(day=1) - timedelta(days=1)
    sam = await admin("POST", "/payroll/employees", {
        "name": "=Sam Visser", "salaryKind": "monthly", "salary": 300_000, "startsOn": "2020-01-01", "bankAccount": "NL91 ABNA 0417 1643 00", "taxNumber": "123456782"})
    assert sam.status_code == 201, sam.text
    bo = await admin("POST", "/payroll/employees", {"name": "Bo Smit", "salaryKind": "hourly", "salary": 2_500, "startsOn": "2020-01-01"})
    doctor = (await admin("POST", "/staff/create", {"name": "Dr Ida Vos", "email": "ida@clinic.example", "role": "doctor"})).json()["id"]
    ida = {"name": "Ida Vos", "salaryKind": "percentage", "percentage": 4_000, "startsOn": today_there().isoformat(), "staffId": doctor}
    there_ = await admin("POST", "/payroll/employees", ida)
    assert there_.status_code == 201, there_.text
    await admin("GET", "/payroll/employees", headers=await admin.seen(there_))
    failure(await admin("POST", "/payroll/employees", ida), 409, "ON_PAYROLL_ALREADY")
    month = await admin("POST", "/payroll/periods", {"name": "Last month", "startsOn": first.isoformat(), "endsOn": last.isoformat()})
    failure(await admin("POST", "/payroll/periods", {"startsOn": last.isoformat(), "endsOn": last.isoformat()}), 409, "PAYROLL_PERIOD_OVERLAPS")
    hours = [{"employeeId": bo.json()["id"], "minutes": 600, "bonuses": [{"description": "Weekend", "amount": 1_000}]}]
    ask_ = {"periodId": month.json()["id"], "entries": hours}
    drafted_ = await admin("POST", "/payroll/runs", ask_, headers=await admin.seen(month))
    assert drafted_.status_code == 201, drafted_.text
    run = drafted_.json()
    assert (run["status"], run["employees"], run["net"], run["number"]) == ("draft", 2, 326_000, None)
    failure(await admin("POST", "/payroll/runs", ask_), 409, "NOBODY_TO_PAY")
    failure(await admin("DELETE", f"/payroll/periods/{month.json()['id']}"), 409, "PAYROLL_PERIOD_IN_USE")
    changed = await admin("PUT", f"/payroll/runs/{run['id']}", {"entries": [{**hours[0], "minutes": 660}]})
    assert (changed.status_code, changed.json()["net"]) == (200, 328_500)
    approved_ = await admin("POST", f"/payroll/runs/{run['id']}/approve")
    assert (approved_.status_code, approved_.json()["status"]) == (200, "approved")
    failure(await admin("PUT", f"/payroll/runs/{run['id']}", {}), 409, "PAYROLL_RUN_FROZEN")
    raised = await admin("PUT", f"/payroll/employees/{sam.json()['id']}", {"name": "Sam Visser", "salaryKind": "monthly", "salary": 310_000, "startsOn": "2020-01-01"})
    assert (raised.status_code, raised.json()["bankAccount"]) == (200, None)
    assert (await admin("GET", f"/payroll/runs/{run['id']}", headers=await admin.seen(raised))).json()["net"] == 328_500
    voided = await admin("POST", f"/payroll/runs/{run['id']}/void", {"reason": "Wrong salary"})
    assert voided.status_code == 200, voided.text
    again = await admin("POST", "/payroll/runs", {**ask_, "approve": True, "correctsId": run["id"]})
    assert (again.status_code, again.json()["net"], again.json()["status"]) == (201, 336_000, "approved"), again.text
    paid = await admin("POST", f"/payroll/runs/{again.json()['id']}/pay", {})
    assert paid.status_code == 200
    sheet = await admin("GET", "/payroll/slips", params={"runId": again.json()["id"], "format": "csv", "sort": "name"}, headers=await admin.seen(paid))
    lines = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [(line["name"], line["base"], line["bonuses"], line["net"], line["status"]) for line in lines] == [
        ("Bo Smit", "25000", "1000", "26000", "paid"), ("Sam Visser", "310000", "0", "310000", "paid")]
    listed = (await admin("GET", "/payroll/runs", params={"periodId": month.json()["id"], "sort": "-createdAt"})).json()["items"]
    assert [(one["status"], one["number"][-1], one["correctsId"]) for one in listed] == [("paid", "2", run["id"]), ("void", "1", None)]
    assert len((await admin("GET", "/payroll/periods")).json()["items"]) == 1
    assert {one["name"] for one in (await admin("GET", "/payroll/employees")).json()["items"]} == {"Sam Visser", "Bo Smit", "Ida Vos"}


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_but_the_admin_sees_or_does_any_of_it(town):
    for role in ("doctor", "receptionist", "patient"):
        subject = None if role != "patient" else UUID((await town.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"])
        person = await town.web.person(town.clinic, role, subject)
        for path in ("employees", "periods", "runs", "slips"):
            failure(await person("GET", f"/payroll/{path}"), 403, "FORBIDDEN")
        failure(await person("POST", "/payroll/periods", {"startsOn": "2020-01-01", "endsOn": "2020-01-31"}), 403, "FORBIDDEN")
    failure(await town.admin("GET", f"/payroll/runs/{uuid4()}"), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_has_left_can_be_forgotten_and_the_books_stay(town):
    admin = town.admin
    eva = {"name": "Eva Jansen", "salaryKind": "monthly", "salary": 100_000, "startsOn": "2019-01-01", "notes": "Part time"}
    made = (await admin("POST", "/payroll/employees", eva)).json()["id"]
    month = (await admin("POST", "/payroll/periods", {"startsOn": "2019-01-01", "endsOn": "2019-01-31"})).json()["id"]
    run = (await admin("POST", "/payroll/runs", {"periodId": month, "employees": [made], "approve": True})).json()["id"]
    ask_ = {"kind": "payroll_employees", "personId": made, "reason": "They asked"}
    failure(await admin("POST", "/privacy/erasures", ask_), 409, "PERSON_STILL_ACTIVE")
    left = await admin("PUT", f"/payroll/employees/{made}", {**eva, "endsOn": "2019-12-31"})
    assert left.status_code == 200
    erased = await admin("POST", "/privacy/erasures", ask_)
    assert erased.is_success, erased.text
    seen = (await admin("GET", "/payroll/slips", params={"runId": run}, headers=await admin.seen(left))).json()["items"]
    assert [(one["net"], one["name"]) for one in seen] == [(100_000, None)]
    row = (await admin("GET", f"/payroll/employees/{made}")).json()
    assert [row[name] for name in ("name", "salary", "notes")] == [None] * 3
