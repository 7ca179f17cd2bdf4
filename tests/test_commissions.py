"""Commissions: by the rule of the day of issue, in the period in which it happened, to the unit, and each figure says why."""

import asyncio
import csv
import io
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given as chance
from hypothesis import strategies as some
from msgspec.structs import replace

from commands.commission_rules import ChangeCommissionRule, MakeCommissionRule, RemoveCommissionRule
from commands.invoices import CreateInvoice, CreditInvoice, RecordPayment, RefundPayment, VoidInvoice
from commands.payroll import AddPayrollEmployee, DraftPayrollRun, OpenPayrollPeriod, VoidPayrollRun
from domain.commission_rules import (
    CommissionRule,
    CommissionRuleChanged,
    CommissionRuleImpossible,
    CommissionRuleMade,
    CommissionRuleRemoved,
    CommissionRulesOverlap,
    CommissionTerms,
    claim_of,
)
from domain.invoices import Allocation, PaymentReallocated, PaymentReversed
from domain.kit import only
from domain.kit.bills import Line, NotADoctor
from domain.kit.money import percent
from domain.staff import Staff
from projections.earnings import earnings, keys, parts_of
from projections.kit.rebuild import verify
from tests.clinic import Town, handling
from tests.history import History
from tests.history import until as once
from tests.kit import facts, given, noon
from tests.served import failure, served, today_there, working

SAM = uuid4()
DAY = timedelta(days=1)
terms = CommissionTerms(doctor_id=SAM, basis="collected", rate=4_000, valid_from=date(2026, 1, 1))
asked = only(CommissionTerms, terms)
made = CommissionRuleMade(**asked)
there = {"doctor": Staff(active=True, role="doctor"), "overlaps": False}


# --- the rules


def test_a_rule_holds_for_a_doctor_from_a_day_on():
    given().looking(**there).when(MakeCommissionRule(**asked)).then(made)
    given().looking(**{**there, "doctor": Staff(active=True)}).when(MakeCommissionRule(**asked)).refused(NotADoctor)
    given().looking(**{**there, "overlaps": True}).when(MakeCommissionRule(**asked)).refused(CommissionRulesOverlap)
    for wrong in ({"valid_to": date(2025, 12, 31)}, {"valid_to": date.max}, {"valid_from": date.max}):
        given().looking(**there).when(MakeCommissionRule(**{**asked, **wrong})).refused(CommissionRuleImpossible)
    ended = replace(terms, valid_to=date(2026, 6, 30))
    given(made).looking(**there).when(ChangeCommissionRule(**only(CommissionTerms, ended))).then(CommissionRuleChanged(**only(CommissionTerms, ended)))
    given(made).looking(**there).when(ChangeCommissionRule(**asked)).then()
    given(made).when(RemoveCommissionRule(reason="A slip")).then(CommissionRuleRemoved(reason="A slip"))
    assert not CommissionRule.replay([made, CommissionRuleRemoved(reason="A slip")]).claims()


@chance(some.data())
def test_two_rules_are_in_each_others_way_just_where_they_share_a_day(data):
    days = some.dates(date(2026, 1, 1), date(2026, 1, 20))
    codes = some.sampled_from([None, "D1", "D2"])
    first, second = (
        replace(terms, valid_from=(since := data.draw(days)), valid_to=data.draw(some.none() | some.dates(since, date(2026, 1, 25))), procedure_code=data.draw(codes))
        for _ in range(2))
    one, two = claim_of(first), claim_of(second)
    shared = first.procedure_code == second.procedure_code and max(first.valid_from, second.valid_from) <= min(first.valid_to or date.max, second.valid_to or date.max)
    assert (one.id == two.id and one.start < two.end and two.start < one.end) is shared


def test_what_is_moved_or_reversed_counts_on_the_day_on_which_it_was():
    """A payment that goes to another doctor's line, and one that never was; what is nobody's makes no row."""
    bo = uuid4()
    mine = Allocation(line=1, doctor_id=SAM, procedure_code="D1", amount=121, tax=21)
    common = {"payment_id": uuid4(), "patient_id": uuid4()}
    shifted = PaymentReallocated(
        **common, reallocated_on=noon.today, taken=[mine], given=[replace(mine, line=2, doctor_id=bo), replace(mine, line=3, doctor_id=None)], released=0)
    undone = PaymentReversed(
        **common, amount=121, method="cash", paid_on=noon.today - 9 * DAY, reversed_on=noon.today, reason="A slip", allocations=[mine])
    rows = [earnings(None, fact, key) for fact in facts(shifted, undone) for key in keys(fact)]
    assert [(row.what, row.doctor_id, row.net, row.day, row.event, row.part) for row in rows] == [
        ("reallocated", SAM, -100, noon.today, 1, 0), ("reallocated", bo, 100, noon.today, 1, 1), ("reversed", SAM, -100, noon.today, 2, 0)]
    assert len(parts_of(shifted)[1]) == 3


# --- many at once


async def test_of_many_rules_for_the_same_days_one_is_made(module_database):
    async with handling(module_database) as handler, handling(module_database) as other:
        town = await Town.open(handler)
        wanted = [MakeCommissionRule(**{**asked, "doctor_id": town.doctor, "rate": 100 * (n + 1)}) for n in range(10)]
        done = await asyncio.gather(*((handler, other)[n % 2].handle(one, town.admin, now=town.now) for n, one in enumerate(wanted)), return_exceptions=True)
        names = [type(one).__name__ for one in done]
        assert names.count("Receipt") == 1
        assert set(names) <= {"Receipt", "CommissionRulesOverlap", "TimeTaken"}
        (rule,) = [one.id for one in done if not isinstance(one, Exception)]
        ended = {**asked, "doctor_id": town.doctor, "valid_to": date(2026, 1, 31)}
        await town(ChangeCommissionRule(**ended), rule)
        await town(MakeCommissionRule(**{**asked, "doctor_id": town.doctor, "valid_from": date(2026, 2, 1)}))
        await town(MakeCommissionRule(**{**asked, "doctor_id": town.doctor, "procedure_code": "D1"}))


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(module_database, make_nats):
    nats_server = make_nats()
    async with served(module_database, nats_server) as web, working(module_database, nats_server):
        yield web


class Clinic(Town):
    """A clinic with an admin on the web, whose days are told by how long ago they were."""

    @classmethod
    async def new(cls, web):
        clinic = await web.clinic()
        here = cls(web.services.handler, clinic)
        here.web, here.boss, here.today = web, await web.person(clinic, "admin"), today_there()
        here.now = datetime.now(UTC)
        here.doctor, here.patient = await here.hire(), await here.register()
        return here

    async def ago(self, days, command, id=None):  # noqa: A002
        receipt = await self(command, id, now=datetime.now(UTC) - days * DAY)
        self.seen = {"x-position": str(receipt.position)}
        return receipt

    async def bill(self, days, *nets, doctor=None, code=None, tax=0):
        lines = [Line(description="Crown", unit_price=net, doctor_id=doctor or self.doctor, procedure_code=code, tax_rate=tax) for net in nets]
        return (await self.ago(days, CreateInvoice(patient_id=self.patient, lines=lines, issue=True))).id

    async def rule(self, **other):
        return (await self(MakeCommissionRule(**{**asked, "doctor_id": self.doctor, "valid_from": self.today - 300 * DAY, **other}))).id

    async def figures(self, since=0, until=0, **query):
        answer = await self.boss("GET", "/commissions", params={
            "from": (self.today - since * DAY).isoformat(), "to": (self.today - until * DAY).isoformat(), **query}, headers=self.seen)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def lines(self, **query):
        answer = await self.boss("GET", "/commissions/lines", params={"sort": "event", "limit": "200", **query}, headers=self.seen)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def pay(self, days, invoice, amount):
        receipt = await self.ago(days, RecordPayment(amount=amount, method="cash"), invoice)
        return receipt.row


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_collected_is_shared_by_the_rule_of_the_day_of_issue_whenever_it_comes(web):
    here = await Clinic.new(web)
    old = await here.rule(valid_to=here.today - 31 * DAY)
    await here.rule(valid_from=here.today - 30 * DAY, rate=5_000)
    await here.rule(procedure_code="D9", rate=1_000)
    first, second, special = await here.bill(40, 10_000, tax=2_100), await here.bill(20, 10_000), await here.bill(20, 1_000, code="D9")
    await here.pay(10, first, 12_100)
    await here.pay(10, second, 5_000)
    await here.pay(5, special, 1_000)
    assert [(one["doctorId"], one["billed"], one["collected"], one["commission"]) for one in await here.figures(10, 10)] == [
        (str(here.doctor), 0, 15_000, 4_000 + 2_500)]
    (whole,) = await here.figures(50)
    assert (whole["billed"], whole["collected"], whole["commission"], whole["lines"]) == (21_000, 16_000, 6_600, 3)
    assert {one["procedureCode"]: one["commission"] for one in await here.figures(50, groupBy="procedure")} == {None: 6_500, "D9": 100}
    assert sum(one["commission"] for one in await here.figures(50, groupBy="month")) == 6_600
    assert sorted(one["commission"] for one in await here.figures(50, groupBy="rule")) == [100, 2_500, 4_000]
    counted = await here.lines(counted="true")
    assert [(line["invoiceId"], line["net"], line["rate"], line["commission"], line["what"]) for line in counted] == [
        (str(first), 10_000, 4_000, 4_000, "collected"), (str(second), 5_000, 5_000, 2_500, "collected"), (str(special), 1_000, 1_000, 100, "collected")]
    assert (counted[0]["ruleId"], counted[0]["issuedOn"]) == (str(old), (here.today - 40 * DAY).isoformat())
    assert len(await here.lines(counted="false")) == 3
    assert [line["commission"] for line in await here.lines(ruleId=str(old), counted="true", invoiceId=str(first))] == [4_000]
    sheet = await here.boss("GET", "/commissions/lines", params={"format": "csv", "counted": "true"})
    assert [line["commission"] for line in csv.DictReader(io.StringIO(sheet.text))] == ["100", "2500", "4000"]
    sheet = await here.boss("GET", "/commissions", params={"format": "csv", "from": (here.today - 50 * DAY).isoformat()})
    assert [line["commission"] for line in csv.DictReader(io.StringIO(sheet.text))] == ["6600"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_given_back_voided_or_credited_counts_on_its_own_day_and_leaves_exactly_nothing(web):
    here = await Clinic.new(web)
    await here.rule(rate=3_333)
    bo = await here.hire("Dr Bo Smit")
    await here.rule(doctor_id=bo, basis="billed", rate=3_333)
    paid = await here.bill(30, 1_001)
    for amount in (334, 333, 334):
        await here.pay(20, paid, amount)
    payments = (await here.boss("GET", f"/invoices/{paid}/payments", headers=here.seen)).json()["items"]
    assert sum(one["commission"] for one in await here.figures(20, 20)) == percent(1_001, 3_333)
    for payment in payments:
        for amount in (1, 101, payment["amount"] - 102):
            await here.ago(3, RefundPayment(payment_id=UUID(payment["id"]), amount=amount, reason="Unhappy"), paid)
    assert [one["commission"] for one in await here.figures(3, 3)] == [-percent(1_001, 3_333)]
    assert [one["commission"] for one in await here.figures(90, doctorId=str(here.doctor))] == [0]
    voided, credited, lost = [await here.bill(30, 1_001, doctor=bo) for _ in range(3)]
    await here.ago(9, VoidInvoice(reason="No"), voided)
    await here.ago(8, CreditInvoice(amount=500, reason="Half of it"), credited)
    await here.ago(7, CreditInvoice(reason="The rest"), credited)
    assert sum(one["commission"] for one in await here.figures(30, 30)) == 3 * percent(1_001, 3_333)
    assert [one["commission"] for one in await here.figures(9, 9)] == [-percent(1_001, 3_333)]
    assert sum(one["commission"] for one in await here.figures(8, 7)) == -percent(1_001, 3_333)
    assert [one["commission"] for one in await here.figures(30, doctorId=str(bo))] == [percent(1_001, 3_333)]
    assert {line["what"] for line in await here.lines(doctorId=str(bo))} == {"billed", "voided", "credited"}
    assert [line["invoiceId"] for line in await here.lines(doctorId=str(bo), what="billed")][-1] == str(lost)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_doctor_sees_their_own_alone(web):
    here = await Clinic.new(web)
    bo = await here.hire("Dr Bo Smit")
    await here.rule(basis="billed")
    theirs = await here.rule(doctor_id=bo, basis="billed")
    await here.bill(3, 1_000)
    await here.bill(3, 2_000, doctor=bo)
    me = await web.person(here.id, "doctor", here.doctor)
    await me("GET", "/commissions", headers=here.seen)
    since = {"from": (here.today - 5 * DAY).isoformat()}
    mine = (await me("GET", "/commissions", params=since)).json()
    assert [(one["doctorId"], one["commission"]) for one in mine["items"]] == [(str(here.doctor), 400)]
    assert mine["commission"] == 400
    failure(await me("GET", "/commissions", params={**since, "doctorId": str(bo)}), 404, "NOT_FOUND")
    assert {one["doctorId"] for one in (await me("GET", "/commissions/lines")).json()["items"]} == {str(here.doctor)}
    assert (await me("GET", "/commissions/lines", params={"doctorId": str(bo)})).json()["items"] == []
    assert {one["doctorId"] for one in (await me("GET", "/commission-rules")).json()["items"]} == {str(here.doctor)}
    failure(await me("GET", f"/commission-rules/{theirs}"), 404, "NOT_FOUND")
    failure(await me("POST", "/commission-rules", {}), 403, "FORBIDDEN")
    desk = await web.person(here.id, "receptionist")
    for path in ("commissions", "commissions/lines", "commission-rules"):
        failure(await desk("GET", f"/{path}"), 403, "FORBIDDEN")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_payroll_run_takes_commissions_once_and_what_came_late_with_the_next(web):
    """Also where the rate is set right afterwards, and where a run is voided and made again."""
    here = await Clinic.new(web)
    rule = await here.rule(basis="billed", rate=1_000)
    sam = (await here(AddPayrollEmployee(name="Sam", staff_id=here.doctor, salary_kind="monthly", salary=300_000, starts_on=date(2020, 1, 1)))).id
    first = (await here(OpenPayrollPeriod(starts_on=here.today - 60 * DAY, ends_on=here.today - 31 * DAY))).id
    second = (await here(OpenPayrollPeriod(starts_on=here.today - 30 * DAY, ends_on=here.today - DAY))).id
    await here.bill(40, 10_000)
    await here.ago(0, ChangeCommissionRule(**{**asked, "doctor_id": here.doctor, "basis": "billed", "rate": 1_000, "valid_from": here.today - 300 * DAY}), rule)

    async def commission(run):
        row = (await here.boss("GET", f"/payroll/runs/{run.id}", headers={"x-position": str(run.position)})).json()
        (slip,) = row["slips"]
        return [(line["kind"], line["amount"]) for line in slip["lines"] if "commission" in line["kind"]]

    async def run(period):
        await here.figures(90)  # once the rows know of what was billed
        return await here.ago(0, DraftPayrollRun(period_id=period, employees=[sam], approve=True))

    await here.bill(40, 1)
    one = await run(first)
    assert await commission(one) == [("commission", 1_000)]
    await here.bill(45, 5_000)  # late
    await here.bill(10, 2_000)
    two = await run(second)
    assert await commission(two) == [("commission", 200), ("late-commission", 500)]
    await here.ago(0, VoidPayrollRun(reason="No"), one.id)
    again = await run(first)
    assert await commission(again) == [("commission", 1_500), ("late-commission", -500)]
    voided = await here.bill(40, 3_000)
    await here.ago(0, VoidInvoice(reason="No"), voided)  # of today, in no period yet
    third = (await here(OpenPayrollPeriod(starts_on=here.today, ends_on=here.today))).id
    three = await run(third)
    assert await commission(three) == [("commission", -300), ("late-commission", 300)]


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_paid_a_percentage_gets_it_of_what_was_collected_without_tax(web):
    here = await Clinic.new(web)
    sam = (await here(AddPayrollEmployee(name="Sam", staff_id=here.doctor, salary_kind="percentage", percentage=5_000, starts_on=date(2020, 1, 1)))).id
    month = (await here(OpenPayrollPeriod(starts_on=here.today - 20 * DAY, ends_on=here.today))).id
    await here.pay(5, await here.bill(10, 10_000, tax=2_100), 6_050)
    await here.figures(30)
    run = await here(DraftPayrollRun(period_id=month, employees=[sam]))
    assert run.row.net == 2_500


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rebuild_makes_the_same_of_all_that(web, module_database):
    names = ["commission_rules", "earnings", "payroll_employees", "payroll_periods", "payroll_runs"]
    here = await Clinic.new(web)
    await here.bill(0, 1_000)
    await here.figures()
    await once(History(module_database.url("owner")).level, "level")
    report = await asyncio.to_thread(verify, module_database.url("owner"), names, kek=module_database.settings("projector").kek)
    assert [(one.name, one.differing) for one in report.outcomes] == [(name, 0) for name in names]
    assert {one.name: one.rows for one in report.outcomes if not one.rows} == {}
