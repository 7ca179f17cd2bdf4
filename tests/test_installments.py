"""Instalment plans: the terms come to the total whatever is changed, each becomes an invoice once, and what divides an invoice doubles nothing."""

import asyncio
import calendar
import sys
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given as chance
from hypothesis import strategies as some
from msgspec.structs import replace

from anamnesis.stack.process import spawn
from commands.installments import (
    BillDueTerm,
    CancelInstallmentPlan,
    ChangeInstallmentTerms,
    CreateInstallmentPlan,
    GenerateInstallmentInvoice,
    PauseInstallmentPlan,
    ResumeInstallmentPlan,
    SplitInvoice,
)
from commands.invoices import CreateInvoice, RecordPayment, VoidInvoice
from commands.kit.receipt import house
from domain.installments import (
    DueTerm,
    InstallmentLine,
    InstallmentPlan,
    InstallmentPlanCancelled,
    InstallmentPlanMade,
    InstallmentPlanNotOpen,
    InstallmentPlanNotPaused,
    InstallmentPlanPaused,
    InstallmentPlanPausedAlready,
    InstallmentPlanResumed,
    InstallmentRhythm,
    InstallmentsOfInvoice,
    InstallmentTerm,
    InstallmentTermBilled,
    InstallmentTermsChanged,
    InvoiceDividedAlready,
    NothingToReschedule,
    TermNotDue,
    TermsDoNotAddUp,
    TermsImpossible,
    TermsUnclear,
    in_rhythm,
    invoice_of,
    number_of,
    plan_from,
    term_of,
)
from domain.invoices import Invoice, InvoiceAlreadyPaid, InvoiceNotIssued, worked_out
from domain.kit import NotFound
from domain.kit.bills import Line
from domain.patients import Patient
from domain.series import Series
from gateway.installments import bill
from projections.kit.rebuild import verify
from tests.clinic import Town, handling, stored
from tests.history import History
from tests.history import until as once
from tests.kit import THIS, given, noon
from tests.served import PROTECTED, failure, served, today_there, until, working

NOOR, DOCTOR = uuid4(), uuid4()
TODAY = noon.today
PLAN = plan_from(THIS)
DAY = timedelta(days=1)
CROWN = InstallmentLine(description="Crown", amount=10_000, doctor_id=DOCTOR, procedure_code="D2740")
WHITE = InstallmentLine(description="Whitening", amount=5_001, tax_rate=2100)


def terms(*told, first=1):
    return [InstallmentTerm(number=n, due_on=TODAY + days * DAY, amount=amount) for n, (days, amount) in enumerate(told, first)]


made = InstallmentPlanMade(patient_id=NOOR, currency="EUR", total=15_001, terms=terms((0, 5_001), (30, 5_000), (60, 5_000)), lines=[CROWN, WHITE])
OF = uuid4()
divides = replace(made, lines=[], invoice_id=OF)
asked = {"patient_id": NOOR, "lines": [CROWN, WHITE]}
there = {"patient": Patient(registered=True), "doctors": []}
told = {"patient_id": NOOR}


def billing(number, *events, last=None, at=noon):
    return given(*events, at=replace(at, id=PLAN)).looking(invoice=last or Invoice(), series=Series())


def invoice(total=15_001, paid=0):
    """An issued invoice of which so much is paid."""
    one = Invoice()
    drafted = one.draft(worked_out(NOOR, "EUR", [Line(description="Crown", unit_price=total)], discount=None, due_on=None, notes=None))
    one = one.evolve(drafted)
    for event in one.issue("2026-000001", TODAY, None, TODAY):
        one = one.evolve(event)
    for event in one.pay(uuid4(), paid, "cash", TODAY, TODAY) if paid else []:
        one = one.evolve(event)
    return one


# --- the rules


def test_equal_terms_on_the_same_day_of_each_month():
    rhythm = InstallmentRhythm(count=4, first_due_on=date(2026, 1, 31))
    found = in_rhythm(rhythm, 1_001)
    assert [term.due_on for term in found] == [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]
    assert [term.amount for term in found] == [251, 250, 250, 250]
    every = replace(rhythm, unit="weeks", interval=2)
    assert [term.due_on for term in in_rhythm(every, 1_001)] == [date(2026, 1, 31) + n * 14 * DAY for n in range(4)]
    leap = replace(rhythm, first_due_on=date(2024, 1, 30), count=2)
    assert [term.due_on for term in in_rhythm(leap, 2)] == [date(2024, 1, 30), date(2024, 2, 29)]


@chance(total=some.integers(1, 10**12), count=some.integers(1, 120), first=some.dates(date(2026, 1, 1), date(2028, 12, 31)), interval=some.integers(1, 12))
def test_a_rhythm_comes_to_the_total_and_keeps_to_its_day_of_the_month(total, count, first, interval):
    found = in_rhythm(InstallmentRhythm(count=count, first_due_on=first, interval=interval), total)
    assert sum(term.amount for term in found) == total
    assert max(term.amount for term in found) - min(term.amount for term in found) <= 1
    for n, term in enumerate(found):
        months = first.year * 12 + first.month - 1 + n * interval
        assert (term.due_on.year, term.due_on.month) == (months // 12, months % 12 + 1)
        assert term.due_on.day == min(first.day, calendar.monthrange(term.due_on.year, term.due_on.month)[1])


def test_a_plan_says_when_how_much_is_due_and_comes_to_what_is_charged():
    wanted = [DueTerm(due_on=TODAY + 60 * DAY, amount=5_000), DueTerm(due_on=TODAY, amount=5_001), DueTerm(due_on=TODAY + 30 * DAY, amount=5_000)]
    given().looking(**there).when(CreateInstallmentPlan(**asked, terms=wanted)).then(made)
    given().looking(**there).when(CreateInstallmentPlan(**asked, terms=wanted[:2])).refused(TermsDoNotAddUp)
    given().looking(**there).when(CreateInstallmentPlan(**asked)).refused(TermsUnclear)
    given().looking(**there).when(CreateInstallmentPlan(**asked, terms=wanted, rhythm=InstallmentRhythm(count=2, first_due_on=TODAY))).refused(TermsUnclear)
    for impossible in (InstallmentRhythm(count=2, first_due_on=TODAY - DAY), InstallmentRhythm(count=2, first_due_on=date(9999, 12, 1)), InstallmentRhythm(count=119, first_due_on=TODAY, interval=12)):
        given().looking(**there).when(CreateInstallmentPlan(**asked, rhythm=impossible)).refused(TermsImpossible)
    twice = [DueTerm(due_on=TODAY, amount=5_001), DueTerm(due_on=TODAY, amount=10_000)]
    given().looking(**there).when(CreateInstallmentPlan(**asked, terms=twice)).refused(TermsImpossible)
    given().looking(**there).when(CreateInstallmentPlan(patient_id=NOOR, lines=[replace(CROWN, amount=1)], rhythm=InstallmentRhythm(count=2, first_due_on=TODAY))).refused(TermsImpossible)


def test_a_term_becomes_an_invoice_of_the_next_units_of_what_is_charged_once():
    first, second = invoice_of(PLAN, 1, 1), invoice_of(PLAN, 2, 1)
    decided = billing(1, made).when(BillDueTerm(number=1)).decide()
    assert decided[0] == InstallmentTermBilled(number=1, invoice_id=first, amount=5_001, billed_on=TODAY, **told)
    drafted, issued = decided[1].events
    assert (decided[1].state, decided[1].id, issued.total, issued.issued_on, issued.due_on) == (Invoice, first, 5_001, TODAY, TODAY)
    assert [(line.description, line.total, line.doctor_id, line.procedure_code) for line in drafted.lines] == [("Crown (1/3)", 5_001, DOCTOR, "D2740")]
    billing(1, made, decided[0], last=invoice()).when(BillDueTerm(number=1)).then()
    billing(1, made, decided[0], last=invoice()).when(GenerateInstallmentInvoice(term_id=term_of(PLAN, 1))).then()
    billing(2, made).when(BillDueTerm(number=2)).refused(TermNotDue)
    early = billing(2, made, decided[0]).when(GenerateInstallmentInvoice(term_id=term_of(PLAN, 2), early=True)).decide()
    assert early[0].invoice_id == second
    assert [(line.description, line.total, line.tax) for line in early[1].events[0].lines] == [("Crown (2/3)", 4_999, 0), ("Whitening (2/3)", 1, 0)]
    assert early[1].events[1].due_on == TODAY + 30 * DAY
    billing(7, made).when(BillDueTerm(number=7)).refused(NotFound)
    billing(1, divides).when(BillDueTerm(number=1)).refused(InstallmentsOfInvoice)


def test_a_term_whose_invoice_was_voided_is_billed_again_by_hand_alone():
    one = billing(1, made).when(BillDueTerm(number=1)).decide()[0]
    void = replace(invoice(), stage="void")
    billing(1, made, one, last=void).when(BillDueTerm(number=1)).then()
    again = billing(1, made, one, last=void).when(GenerateInstallmentInvoice(term_id=term_of(PLAN, 1))).decide()
    assert again[0] == replace(one, invoice_id=invoice_of(PLAN, 1, 2), again=True)
    assert [line.total for line in again[1].events[0].lines] == [5_001]


def test_remaining_terms_are_changed_and_the_others_stay():
    one = billing(1, made).when(BillDueTerm(number=1)).decide()[0]
    others = [DueTerm(due_on=TODAY + 90 * DAY, amount=9_000), DueTerm(due_on=TODAY + 120 * DAY, amount=1_000)]
    open_ = given(made, one).looking(invoice=None)
    open_.when(ChangeInstallmentTerms(terms=others, reason="Lost her job")).then(InstallmentTermsChanged(
        **told, terms=[made.terms[0], *terms((90, 9_000), (120, 1_000), first=4)], changed_on=TODAY, reason="Lost her job"))
    open_.when(ChangeInstallmentTerms(terms=others[:1])).refused(TermsDoNotAddUp)
    whole = [InstallmentTermBilled(number=n, invoice_id=uuid4(), amount=5_000, billed_on=TODAY, **told) for n in (1, 2, 3)]
    given(made, *whole).looking(invoice=None).when(ChangeInstallmentTerms(terms=others)).refused(NothingToReschedule)


def test_of_a_divided_invoice_what_is_paid_stays_and_the_rest_is_changed():
    rest = [DueTerm(due_on=TODAY + 90 * DAY, amount=9_000)]
    given(divides).looking(invoice=invoice(paid=6_001)).when(ChangeInstallmentTerms(terms=rest)).then(InstallmentTermsChanged(
        **told, terms=[made.terms[0], replace(made.terms[1], amount=1_000), *terms((90, 9_000), first=4)], changed_on=TODAY))
    given(divides).looking(invoice=invoice(paid=15_001)).when(ChangeInstallmentTerms(terms=rest)).refused(NothingToReschedule)


def test_an_invoice_is_divided_as_far_as_it_is_due():
    half = SplitInvoice(invoice_id=OF, rhythm=InstallmentRhythm(count=2, first_due_on=TODAY + DAY))
    given().looking(invoice=invoice(paid=5_000), divided=True).when(half).refused(InvoiceDividedAlready)
    given().looking(invoice=invoice(paid=5_000), divided=False).when(half).then(replace(divides, total=10_001, terms=terms((1, 5_001), (32, 5_000))))
    given().looking(invoice=invoice(paid=15_001), divided=False).when(half).refused(InvoiceAlreadyPaid)
    given().looking(invoice=replace(invoice(), stage="draft"), divided=False).when(half).refused(InvoiceNotIssued)
    assert InstallmentPlan.replay([divides]).claims()
    assert not InstallmentPlan.replay([made]).claims()
    assert not InstallmentPlan.replay([divides, InstallmentPlanCancelled(**told, cancelled_on=TODAY)]).claims()


def test_a_plan_rests_and_goes_on_and_ends():
    paused = InstallmentPlanPaused(**told, paused_on=TODAY, reason="Ill")
    given(made).when(PauseInstallmentPlan(reason="Ill")).then(paused)
    given(made, paused).when(PauseInstallmentPlan()).then()
    billing(1, made, paused).when(BillDueTerm(number=1)).refused(InstallmentPlanPausedAlready)
    later = replace(noon, today=TODAY + 10 * DAY)
    given(made, paused, at=later).looking(invoice=None).when(ResumeInstallmentPlan()).then(InstallmentPlanResumed(**told, resumed_on=later.today, terms=made.terms))
    given(made, paused, at=later).looking(invoice=None).when(ResumeInstallmentPlan(postpone=True)).then(
        InstallmentPlanResumed(**told, resumed_on=later.today, terms=terms((10, 5_001), (40, 5_000), (70, 5_000))))
    given(made).looking(invoice=None).when(ResumeInstallmentPlan()).refused(InstallmentPlanNotPaused)
    cancelled = InstallmentPlanCancelled(**told, cancelled_on=TODAY)
    given(made, paused).when(CancelInstallmentPlan()).then(cancelled)
    given(made, cancelled).when(CancelInstallmentPlan()).then()
    billing(1, made, cancelled).when(BillDueTerm(number=1)).refused(InstallmentPlanNotOpen)


@chance(some.data())
def test_whatever_is_billed_early_changed_or_billed_again_all_of_it_is_billed_exactly(data):
    """The terms always come to the total; when all are billed, each line is billed to the unit and no invoice differs from its term."""
    lines = [
        InstallmentLine(description=f"Line {n}", amount=data.draw(some.integers(1, 500)), tax_rate=data.draw(some.sampled_from([0, 900, 2100])))
        for n in range(data.draw(some.integers(1, 4)))]
    total = sum(line.amount for line in lines)
    rhythm = InstallmentRhythm(count=data.draw(some.integers(1, min(total, 8))), first_due_on=TODAY)
    (begun,) = given().looking(**there).when(CreateInstallmentPlan(patient_id=NOOR, lines=lines, rhythm=rhythm)).decide()
    events, billed = [begun], {}
    for _ in range(40):
        plan = InstallmentPlan.replay(events)
        assert sum(term.amount for term in plan.terms) == total
        waiting = [term.number for term in plan.terms if not term.invoices]
        if not waiting:
            break
        if data.draw(some.booleans()):
            number = data.draw(some.sampled_from(waiting))
            noted, elsewhere, _ = billing(number, *events).when(GenerateInstallmentInvoice(term_id=term_of(PLAN, number), early=True)).decide()
            billed[number] = elsewhere.events[0]
            assert billed[number].total == sum(line.total for line in billed[number].lines) == plan.term(number).amount
            events.append(noted)
        else:
            left = sum(plan.term(number).amount for number in waiting)
            other = InstallmentRhythm(count=data.draw(some.integers(1, min(left, 4))), first_due_on=TODAY + DAY)
            events += given(*events).looking(invoice=None).when(ChangeInstallmentTerms(rhythm=other)).decide()
    else:
        return
    sums = {line.description: 0 for line in lines}
    for one in billed.values():
        for line in one.lines:
            sums[line.description.rpartition(" ")[0]] += line.total
    assert sums == {line.description: line.amount for line in lines}


def test_a_terms_id_tells_its_plan_and_its_number():
    plan = plan_from(uuid4())
    assert (plan_from(term_of(plan, 513)), number_of(term_of(plan, 513))) == (plan, 513)
    assert plan_from(plan) == plan


def test_a_plan_follows_its_patient():
    other = uuid4()
    (moved,) = InstallmentPlan.replay([made]).reassign(NOOR, other, noon.now)
    plan = InstallmentPlan.replay([made, moved])
    assert (plan.patient_id, plan.keeper(other), plan.told) == (other, NOOR, {"patient_id": other, "record_id": NOOR})
    assert plan.reassign(NOOR, other, noon.now) == []


# --- many at once


@pytest.fixture
def database(module_database):
    return module_database


async def test_however_many_bill_a_term_there_is_one_invoice_and_no_gap(database):
    """The house, the desk and the superadmin's call at the same moment, in three processes; terms of one day in any order."""
    async with handling(database) as handler, handling(database) as second, handling(database) as third:
        town = await Town.open(handler)
        today = town.now.date()
        wanted = CreateInstallmentPlan(
            patient_id=town.patient, lines=[InstallmentLine(description="Crown", amount=1_000, doctor_id=town.doctor)], rhythm=InstallmentRhythm(count=3, first_due_on=today, unit="weeks"))
        plans = [(await town(wanted)).id for _ in range(3)]
        later = town.now + timedelta(days=8)

        async def one(n, plan, number):
            whose = (handler, second, third)[n % 3]
            if n % 2:
                command, by, id_ = GenerateInstallmentInvoice(term_id=term_of(plan, number)), town.admin, None
            else:
                command, by, id_ = BillDueTerm(number=number), house(town.id, town.id), plan
            return await whose.handle(command, by, id=id_, now=later)

        done = await asyncio.gather(*(one(n, plan, number) for n in range(6) for plan in plans for number in (1, 2)), return_exceptions=True)
    assert [type(other) for other in done if isinstance(other, Exception)] == []
    mine = [event for event in stored(database) if event.clinic == town.id]
    billed = [event for event in mine if event.topic == "InstallmentTermBilled"]
    issued = [event for event in mine if event.topic == "InvoiceIssued"]
    assert len(billed) == len(issued) == 6
    assert {event.stream for event in issued} == {invoice_of(plan, number, 1) for plan in plans for number in (1, 2)}
    assert len([event for event in mine if event.topic == "NumberAllotted"]) == 6


async def test_an_invoice_is_divided_once_and_paid_meanwhile_it_is_divided_as_it_is_by_then(database):
    async with handling(database) as handler, handling(database) as other:
        town = await Town.open(handler)
        whole = await town.invoice(9_000)
        half = SplitInvoice(invoice_id=whole, rhythm=InstallmentRhythm(count=2, first_due_on=town.now.date()))
        done = await asyncio.gather(*(one.handle(half, town.admin, now=town.now) for one in (handler, other) * 5), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["NameTaken"] * 9 + ["Receipt"]


async def test_each_term_becomes_one_invoice_whatever_becomes_of_the_workers_and_their_clocks(module_database, make_nats, tmp_path):
    """Four of them, whose clocks jump forth and back; one after the other is killed in the middle of it."""
    nats = make_nats()
    clock, children = tmp_path / "clock", []

    def show(*moments):
        (tmp_path / "next").write_text(" ".join(moment.isoformat() for moment in moments))
        (tmp_path / "next").rename(clock)

    def count(topic):
        return sum(event.topic == topic and event.clinic == town.id for event in stored(module_database))

    def more_than(number):
        async def so():
            return count("InstallmentTermBilled") >= number

        return so

    try:
        async with handling(module_database) as handler, working(module_database, nats):
            town = await Town.open(handler, datetime.now(UTC))
            wanted = CreateInstallmentPlan(
                patient_id=town.patient, lines=[InstallmentLine(description="Crown", amount=10_000)],
                rhythm=InstallmentRhythm(count=4, first_due_on=town.now.date() + 2 * DAY, unit="weeks"))
            plans = [(await town(wanted)).id for _ in range(10)]
            show(town.now)
            settings = module_database.settings("gateway", nats).environment()
            children += [
                spawn([sys.executable, "-m", "tests.tending", clock, "installments"], env=settings, log=tmp_path / "log") for _ in range(4)]
            for phase in (1, 2, 3):
                show(town.now, town.now + (7 * phase - 4) * DAY, town.now - 30 * DAY)
                await until(more_than(10 * phase - 7), 30)
                children[phase].kill()
                await until(more_than(10 * phase), 30)
    finally:
        for child in children:
            child.kill()
            child.wait()
    invoices = [event for event in stored(module_database) if event.clinic == town.id and event.topic == "InvoiceIssued"]
    assert {event.stream for event in invoices} == {invoice_of(plan, number, 1) for plan in plans for number in (1, 2, 3)}
    assert len(invoices) == count("InstallmentTermBilled") == count("NumberAllotted") == 30


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(module_database, make_nats):
    nats_server = make_nats()
    async with served(module_database, nats_server) as web, working(module_database, nats_server):
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        noor = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
        yield SimpleNamespace(web=web, clinic=clinic, admin=admin, noor=noor)


async def fresh(town, answer):
    """The plan as it stands, once its rows know of that answer."""
    seen = await town.admin("GET", f"/installments/{answer.json()['id']}", headers=await town.admin.seen(answer))
    assert seen.status_code == 200, seen.text
    return seen.json()


def lines(amount=10_000, **other):
    return [{"description": "Crown", "amount": amount, **other}]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_plan_is_made_billed_paid_and_seen(town):
    today = today_there()
    treatment = str(uuid4())
    made_ = await town.admin("POST", "/installments", {
        "patientId": town.noor, "treatmentPlanId": treatment, "lines": lines(), "rhythm": {"count": 3, "firstDueOn": today.isoformat()}, "notes": "Pays on the first"})
    assert made_.status_code == 201, made_.text
    plan = await fresh(town, made_)
    assert [(term["status"], term["paid"], term["open"]) for term in plan["terms"]] == [("due", 0, 3334), ("planned", 0, 3333), ("planned", 0, 3333)]
    assert (plan["status"], plan["open"], plan["billed"], plan["nextDueOn"], plan["notes"]) == ("active", 10_000, 0, today.isoformat(), "Pays on the first")
    first, second, _ = (term["id"] for term in plan["terms"])
    failure(await town.admin("POST", f"/installments/{second}/generate-invoice", {}), 409, "TERM_NOT_DUE")
    generated = await town.admin("POST", f"/installments/{first}/generate-invoice", {})
    assert generated.status_code == 200, generated.text
    invoice_ = generated.json()["terms"][0]["invoiceId"]
    again = await town.admin("POST", f"/installments/{first}/generate-invoice", {})
    assert (again.status_code, again.json()["terms"][0]["invoiceId"]) == (200, invoice_)
    early = await town.admin("POST", f"/installments/{second}/generate-invoice", {"early": True})
    assert early.status_code == 200
    paid = await town.admin("POST", f"/invoices/{invoice_}/payments", {"amount": 1_000, "method": "cash"})
    assert paid.status_code == 200, paid.text
    seen = (await town.admin("GET", f"/installments/{plan['id']}", headers=await town.admin.seen(paid))).json()
    assert [(term["status"], term["paid"], term["open"]) for term in seen["terms"]] == [("partly-paid", 1_000, 2_334), ("due", 0, 3_333), ("planned", 0, 3_333)]
    assert (seen["billed"], seen["paid"], seen["open"], seen["overdue"]) == (6_667, 1_000, 9_000, False)
    listed = (await town.admin("GET", f"/installments/by-treatment-plan/{treatment}")).json()
    assert [one["id"] for one in listed["items"]] == [plan["id"]]
    assert (await town.admin("GET", f"/installments/by-treatment-plan/{uuid4()}")).json()["items"] == []
    page = (await town.admin("GET", "/installments", params={"treatmentPlanId": treatment, "status": "active", "overdue": "false"})).json()
    assert [one["id"] for one in page["items"]] == [plan["id"]]
    assert (await town.admin("GET", "/installments", params={"treatmentPlanId": treatment, "overdue": "true"})).json()["items"] == []
    sheet = await town.admin("GET", "/installments", params={"treatmentPlanId": treatment, "format": "csv"})
    assert sheet.text.count("\r\n") == 2


@pytest.mark.asyncio(loop_scope="module")
async def test_a_repeated_request_is_one_plan_and_nobody_elses_term_is_there(town):
    ask = {"patientId": town.noor, "lines": lines(), "rhythm": {"count": 1, "firstDueOn": today_there().isoformat()}}
    first, again = [await town.admin("POST", "/installments", ask, headers={"idempotency-key": "twice"}) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"] == str(plan_from(UUID(first.json()["id"])))
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["location"].endswith(first.json()["id"])
    far = await town.web.person(await town.web.clinic(), "admin")
    term = first.json()["terms"][0]["id"]
    for id_ in (term, first.json()["id"], str(uuid4())):
        failure(await far("POST", f"/installments/{id_}/generate-invoice", {}), 404, "NOT_FOUND")
        failure(await town.admin("POST", f"/installments/{term_of(plan_from(UUID(id_)), 99)}/generate-invoice", {}), 404, "NOT_FOUND")
    billed = await town.admin("POST", f"/installments/{term}/generate-invoice", {})
    voided = await town.admin("POST", f"/invoices/{billed.json()['terms'][0]['invoiceId']}/void", {"reason": "A slip"})
    assert voided.status_code == 200, voided.text
    anew = await town.admin("POST", f"/installments/{term}/generate-invoice", {})
    assert anew.json()["terms"][0]["invoiceId"] not in {None, billed.json()["terms"][0]["invoiceId"]}
    assert (await fresh(town, anew))["terms"][0]["status"] == "due"


@pytest.mark.asyncio(loop_scope="module")
async def test_of_a_divided_invoice_payments_pay_the_oldest_terms_and_nothing_is_billed_twice(town):
    today = today_there()
    whole = await town.admin("POST", "/invoices", {"patientId": town.noor, "lines": [{"description": "Crown", "unitPrice": 9_000}], "issue": True})
    id_ = whole.json()["id"]
    made_ = await town.admin("POST", f"/invoices/{id_}/installments", {"terms": [{"dueOn": today.isoformat(), "amount": 4_000}, {"dueOn": (today + DAY).isoformat(), "amount": 5_000}]})
    assert made_.status_code == 201, made_.text
    term = (await fresh(town, made_))["terms"][0]["id"]
    failure(await town.admin("POST", f"/invoices/{id_}/installments", {"rhythm": {"count": 2, "firstDueOn": today.isoformat()}}), 409, "INVOICE_DIVIDED_ALREADY")
    failure(await town.admin("POST", f"/installments/{term}/generate-invoice", {}), 409, "INSTALLMENTS_OF_INVOICE")
    await town.admin("POST", f"/invoices/{id_}/payments", {"amount": 6_000, "method": "card"})

    async def stands():
        plan = (await town.admin("GET", f"/installments/{made_.json()['id']}")).json()
        return plan, [(one["status"], one["paid"], one["open"]) for one in plan["terms"]]

    async def paid():
        return (await stands())[1] == [("paid", 4_000, 0), ("partly-paid", 2_000, 3_000)]

    await until(paid)
    await town.admin("POST", f"/invoices/{id_}/mark-paid", {})

    async def completed():
        return (await stands())[0]["status"] == "completed"

    await until(completed)
    assert (await bill(town.web.services, datetime.now(UTC) + timedelta(days=90), town.clinic)).failed == 0
    count = (await town.admin("GET", "/invoices", params={"patientId": town.noor, "number": whole.json()["number"]})).json()["items"]
    assert len(count) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_due_is_billed_by_itself_once_and_what_rests_is_not(town):
    today = today_there()
    ask = {"patientId": town.noor, "lines": lines(999), "rhythm": {"count": 3, "firstDueOn": today.isoformat(), "unit": "weeks"}}
    running, resting = [await town.admin("POST", "/installments", ask) for _ in range(2)]
    resting = await town.admin("POST", f"/installments/{resting.json()['id']}/pause", {"reason": "Abroad"})
    await fresh(town, resting)
    week = datetime.now(UTC) + timedelta(days=8)
    done = await asyncio.gather(*(bill(town.web.services, week, town.clinic) for _ in range(4)))
    assert [one.failed for one in done] == [0] * 4
    assert sum(one.generated for one in done) >= 2

    async def billed():
        return [bool(term["invoiceId"]) for term in (await fresh(town, running))["terms"]] == [True, True, False]

    await until(billed)
    assert [term["invoiceId"] for term in (await fresh(town, resting))["terms"]] == [None] * 3
    assert (await bill(town.web.services, week, town.clinic)).found == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_to_be_paid_by_a_day_that_is_over_is_overdue(town):
    """Of a plan over charges and of one over an invoice alike; what is paid counts, and what is void does not."""
    before = datetime.now(UTC) - 40 * DAY
    here = Town(town.web.services.handler, town.clinic, before)
    here.patient = UUID(town.noor)
    today = today_there()
    rhythm = InstallmentRhythm(count=3, first_due_on=today - 30 * DAY, unit="weeks", interval=2)
    plan = (await here(CreateInstallmentPlan(patient_id=here.patient, lines=[InstallmentLine(description="Crown", amount=300)], rhythm=rhythm))).id
    whole = (await here(CreateInvoice(patient_id=here.patient, lines=[Line(description="Crown", unit_price=300)], issue=True))).id
    parted = (await here(SplitInvoice(invoice_id=whole, rhythm=rhythm))).id
    await here(RecordPayment(amount=150, method="cash"), whole)
    first = await here(BillDueTerm(number=1), plan, who=house(town.clinic, town.clinic), now=before + 10 * DAY + timedelta(hours=2))
    await here(VoidInvoice(reason="No"), invoice_of(plan, 1, 1), now=before + 11 * DAY)
    second = await here(BillDueTerm(number=2), plan, who=house(town.clinic, town.clinic), now=before + 25 * DAY)
    assert first.position < second.position

    async def stands(id_):
        answer = await town.admin("GET", f"/installments/{id_}", headers={"x-position": str(second.position)})
        one = answer.json()
        return [term["status"] for term in one["terms"]], one["overdue"], one["overdueAmount"], one["paid"], one["open"]

    assert await stands(plan) == (["void", "overdue", "due"], True, 100, 0, 200)
    assert await stands(parted) == (["paid", "overdue", "overdue"], True, 150, 150, 150)
    listed = (await town.admin("GET", "/installments", params={"overdue": "true", "sort": "-overdueAmount"})).json()["items"]
    assert [one["id"] for one in listed] == [str(parted), str(plan)]
    second = await here(PauseInstallmentPlan(reason="Ill"), parted, now=datetime.now(UTC))
    assert await stands(parted) == (["paid", "partly-paid", "due"], False, 0, 150, 150)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_superadmin_bills_all_that_is_due_or_one_clinics(town):
    boss = await town.web.person(UUID(int=0), "superadmin")
    failure(await town.admin("POST", "/installments/cron/generate-due-invoices"), 403, "FORBIDDEN")
    made_ = await town.admin("POST", "/installments", {"patientId": town.noor, "lines": lines(), "rhythm": {"count": 1, "firstDueOn": today_there().isoformat()}})
    await fresh(town, made_)
    done = await town.web.client.post(f"{PROTECTED}/installments/cron/generate-due-invoices", params={"clinicId": str(town.clinic)}, headers=boss.headers)
    assert done.status_code == 200, done.text
    assert done.json()["generated"] >= 1
    failure(await town.web.client.post(f"{PROTECTED}/installments/cron/generate-due-invoices", params={"clinicId": str(uuid4())}, headers=boss.headers), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_sees_their_own_plans_and_follows_a_merge(town):
    ada = (await town.admin("POST", "/patients", {"givenName": "Ada", "familyName": "Smit"})).json()["id"]
    twin = (await town.admin("POST", "/patients", {"givenName": "Ada", "familyName": "Smit"})).json()["id"]
    me = await town.web.person(town.clinic, "patient", UUID(ada))
    made_ = await town.admin("POST", "/installments", {"patientId": twin, "lines": lines(), "rhythm": {"count": 2, "firstDueOn": today_there().isoformat()}, "notes": "Asked for it"})
    plan = await fresh(town, made_)
    failure(await me("GET", f"/installments/{plan['id']}"), 404, "NOT_FOUND")
    merged = await town.admin("POST", f"/patients/{ada}/merge", {"loserId": twin})
    assert merged.status_code == 200, merged.text
    seen = await me("GET", f"/installments/{plan['id']}", headers=await town.admin.seen(merged))
    assert (seen.status_code, seen.json()["patientId"], seen.json()["notes"]) == (200, ada, "Asked for it")
    failure(await me("POST", f"/installments/{plan['id']}/pause", {}), 403, "FORBIDDEN")
    changed = await town.admin("PUT", f"/installments/{plan['id']}/terms", {"rhythm": {"count": 4, "firstDueOn": today_there().isoformat()}, "reason": "Less each"})
    assert changed.status_code == 200, changed.text
    now = await fresh(town, changed)
    assert [term["number"] for term in now["terms"]] == [3, 4, 5, 6]
    assert [[term["number"] for term in one["terms"]] for one in now["history"]] == [[1, 2]]
    assert now["reason"] == "Less each"
    ended = await town.admin("DELETE", f"/installments/{plan['id']}")
    assert (await fresh(town, ended))["status"] == "cancelled"
    assert {term["status"] for term in (await fresh(town, ended))["terms"]} == {"cancelled"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rebuild_makes_the_same_of_all_that(town, module_database):
    made_ = await town.admin("POST", "/installments", {"patientId": town.noor, "lines": lines(), "rhythm": {"count": 1, "firstDueOn": today_there().isoformat()}})
    await fresh(town, made_)
    await once(History(module_database.url("owner")).level, "level")
    (outcome,) = (await asyncio.to_thread(verify, module_database.url("owner"), ["installments"], kek=module_database.settings("projector").kek)).outcomes
    assert outcome.differing == 0
    assert outcome.rows
