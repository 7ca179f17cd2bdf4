"""Every figure three ways: the read models, their making anew, and plain SQL over the raw events; and each can say why it is what it is."""

import csv
import io
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4, uuid5

import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec import Struct

from commands.appointments import ChangeAppointmentStatus
from commands.expenses import RecordExpense
from commands.invoices import CreateInvoice, RecordPayment, VoidInvoice
from commands.patients import ChangePatient
from commands.procedure_costs import DropProcedureCost, SetProcedureCost
from domain.kit import PLATFORM
from domain.kit.bills import Line
from domain.kit.codec import encode
from domain.kit.money import in_words
from domain.procedure_costs import (
    LATEST,
    ProcedureCost,
    ProcedureCostDropped,
    ProcedureCostImpossible,
    ProcedureCostSet,
    UnitCost,
)
from gateway.kit.plots import MOST, Plot, PlotTooWide, Series, drawn, scale
from projections.figures import growth
from projections.kit import PROJECTIONS, tables
from projections.kit.reading import CursorInvalid, Reading
from projections.kit.rows import Change, mapper_of
from projections.procedure_costs import profitability
from projections.reports import financial_statement, financial_summary, outstanding
from projections.revenue import Wish, ageing, over_time
from projections.revenue import summary as compared
from projections.trends import trends
from projections.why import FIGURES, Asked, WhyTooBroad, why
from tests.chronicle import DAYS, DOCTORS, PATIENTS, SOURCES
from tests.clinic import Town
from tests.kit import given, noon
from tests.ledger import CODES, DUE, LAST, METHODS, MONEY, SPENT, ledger
from tests.served import failure, served, today_there, working

TABLES = (
    "tallies", "revenue_days", "procedure_days", "till_days", "appointment_days", "visits", "lifetimes", "invoices", "patients", "expenses", "procedure_costs")
STORED = """insert into stored_events (originator_id, originator_version, topic, state, notification_id, clinic_id, stream_kind, event_id, actor, recorded_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
MON = date(2026, 1, 5)
KEY = b"k" * 32


# --- what a procedure costs


def cost(since: date = MON, material: int = 5_00, lab: int = 1_00) -> UnitCost:
    return UnitCost(since=since, material=material, lab=lab)


def told(event: type[Any], one: UnitCost) -> Any:
    return event(procedure_code="D2740", since=one.since, material=one.material, lab=one.lab)


def test_what_a_procedure_costs_is_said_from_a_day_on_said_again_and_taken_back():
    given().when(SetProcedureCost(procedure_code="D2740", material=5_00, lab=1_00)).then(told(ProcedureCostSet, cost(noon.today)))
    given(told(ProcedureCostSet, cost())).when(SetProcedureCost(procedure_code="D2740", material=5_00, lab=1_00, since=MON)).then()
    given(told(ProcedureCostSet, cost())).when(DropProcedureCost(procedure_code="D2740", since=MON)).then(told(ProcedureCostDropped, cost()))
    given().when(DropProcedureCost(procedure_code="D2740", since=MON)).then()
    given().when(SetProcedureCost(procedure_code="D2740", material=-1)).refused(ProcedureCostImpossible)
    given().when(SetProcedureCost(procedure_code="D2740", material=1, since=LATEST + timedelta(days=1))).refused(ProcedureCostImpossible)


@forall(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 5))))
def test_of_each_day_the_last_word_holds(steps):
    events, expected = [], {}
    for sets, n, amount in steps:
        since, state = MON + timedelta(days=n), ProcedureCost.replay(events)
        if sets:
            events += state.set("D2740", cost(since, amount))
            expected[since] = cost(since, amount)
        elif since in expected:
            events += state.drop("D2740", since)
            del expected[since]
    assert {one.since: one for one in ProcedureCost.replay(events).costs} == expected


# --- random years, on a real database


@pytest.fixture(scope="module")
def told_of(module_database):
    """Store a history in a clinic of its own, and write the rows it makes; say what an auditor finds in the raw store."""
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        tables.install(owner)
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner, psycopg.connect(module_database.url("projector"), autocommit=True) as projector:
        upto = 0

        def write(history):
            nonlocal upto
            with owner.cursor() as cursor:
                cursor.executemany(STORED, [
                    (uuid5(fact.clinic, str(fact.id)), fact.version, type(fact.event).__name__,
                     encode(fact.event, event_id=uuid5(fact.clinic, f"{fact.id}/{fact.version}"), person=fact.id, key=KEY), upto + fact.position, fact.clinic, fact.kind,
                     uuid5(fact.clinic, f"{fact.id}/{fact.version}"), fact.actor, fact.recorded_at) for fact in history])
            upto += len(history)
            for name in TABLES:
                changes = [Change(key, row, 1) for key, row in rows_of(name, history).items() if row is not None]
                mapper = mapper_of(PROJECTIONS[name].row)
                if changes:
                    projector.execute(mapper.upsert_sql(name), mapper.encoded(changes))

        def audited(sql: str, **asked: Any) -> Any:
            return owner.execute(sql, {"doctor": None, "procedure": None, "method": None, **asked}).fetchone()

        yield write, audited


def rows_of(name: str, history: Any) -> dict[Any, Any]:
    projection, rows = PROJECTIONS[name], dict[Any, Any]()
    for fact in history:
        if type(fact.event).__name__ in projection.topics:
            for key in projection.keys(fact):
                rows[fact.clinic, *key] = projection.next(rows.get((fact.clinic, *key)), fact, key)
    return rows


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reading(module_database, told_of):
    source = Reading(module_database.url("gateway"))
    await source.open()
    yield source
    await source.close()


ends = st.sampled_from([on.date() + timedelta(days=n) for on in DAYS for n in (0, 1, 40)] + [LAST])
spans = st.tuples(ends, ends).map(sorted)
slow = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = ("billed", "voided", "tax", "collected", "refunded", "invoices", "payments")


def of_money(one: Any) -> tuple[int, ...]:
    return tuple(getattr(one, name) for name in NAMES)


@pytest.mark.asyncio(loop_scope="module")
@slow
@forall(seed=st.integers(0, 2**32), span=spans, unit=st.sampled_from(["day", "week", "month", "quarter", "year"]))
async def test_money_is_what_an_auditor_finds_in_the_raw_events(told_of, reading, seed, span, unit):
    (write, audited), (since, until), clinic = told_of, span, uuid4()
    write(ledger(Random(seed), clinic))
    reader, days = await reading.of(clinic), {"clinic": clinic, "since": since, "until": until}
    raw = audited(MONEY, **days)
    (due,), spent = audited(DUE, **days), audited(SPENT, **days)
    summary = await financial_summary(reader, since, until, "doctor", "EUR")
    assert (of_money(summary), summary.outstanding) == (raw, due)
    statement = await financial_statement(reader, since, until, unit, "EUR")
    assert (statement.spent, statement.spent_tax) == spent
    assert tuple(getattr(statement, name) for name in NAMES[:5]) == raw[:5]
    assert (await compared(reader, since, until, until, "EUR")).current.revenue == raw[0] - raw[1]

    timed = await over_time(reader, Wish(since, until, unit), "EUR")
    assert (of_money(timed), timed.outstanding) == (raw, due)
    for part in timed.items:
        assert of_money(part) == audited(MONEY, **{**days, "since": part.since, "until": part.until})
        assert part.outstanding == audited(DUE, **{**days, "until": part.until})[0]
    for by, keys in (("doctor", [*map(str, DOCTORS), str(PLATFORM)]), ("procedure", [code or "" for code in CODES]), ("method", METHODS)):
        each = await over_time(reader, Wish(since, until, by), "EUR")
        found = {str(getattr(one, {"doctor": "doctor_id", "procedure": "procedure_code"}.get(by, by))): of_money(one) for one in each.items}
        expected = {key: audited(MONEY, **days, **{by: key}) for key in keys}
        if by == "method":  # of methods nothing is billed
            assert of_money(each) == (0, 0, 0, *raw[3:5], 0, raw[6])
        else:
            assert of_money(each)[:5] == raw[:5]
            assert (each.outstanding, sum(one.outstanding for one in each.items)) == (due, due) or any(key not in found for key in keys)
        assert {key: one[:5] for key, one in found.items() if any(one)} == {key: one[:5] for key, one in expected.items() if any(one[:5]) or any(found.get(key, ()))}
    alone = Wish(since, until, unit, doctor=DOCTORS[0], procedure="D2740", method="card")
    assert of_money(await over_time(reader, alone, "EUR"))[3:5] == audited(MONEY, **days, doctor=str(DOCTORS[0]), procedure="D2740", method="card")[3:5]
    by_source = await over_time(reader, Wish(since, until, "source"), "EUR")
    assert of_money(by_source) == raw
    assert (by_source.outstanding, {one.source for one in by_source.items} <= {*SOURCES}) == (None, True)


@pytest.mark.asyncio(loop_scope="module")
@slow
@forall(seed=st.integers(0, 2**32), on=ends)
async def test_what_was_open_on_any_day_is_what_an_auditor_finds_by_age(told_of, reading, seed, on):
    (write, audited), clinic = told_of, uuid4()
    history = ledger(Random(seed), clinic)
    write(history)
    reader = await reading.of(clinic)
    made = await ageing(reader, on, "EUR", patients=True)
    assert made.due == audited(DUE, clinic=clinic, until=on)[0] == await outstanding(reader, on) == sum(one.due for one in made.ages) == sum(one.due for one in made.patients)
    owed, due_on = defaultdict(int), {}
    for fact in history:  # by hand, invoice by invoice
        event = fact.event
        match type(event).__name__:
            case "InvoiceIssued" if event.issued_on <= on:
                owed[fact.id] += event.total
                due_on[fact.id] = event.due_on
            case "PaymentRecorded" if event.paid_on <= on:
                owed[fact.id] -= event.amount
            case "PaymentRefunded" if event.refunded_on <= on:
                owed[fact.id] += event.amount
            case "InvoiceVoided" if event.voided_on <= on:
                owed[fact.id] -= sum(share.total for share in event.shares)
    ages = defaultdict(list)
    for invoice, due in owed.items():
        late = (on - due_on[invoice]).days
        if due:
            ages["not-due" if late <= 0 else "0-30" if late <= 30 else "31-60" if late <= 60 else "61-90" if late <= 90 else "90+"].append(due)
    assert {one.age: (one.invoices, one.due) for one in made.ages if one.invoices} == {age: (len(dues), sum(dues)) for age, dues in ages.items()}
    assert made.overdue == made.due - sum(ages["not-due"])


@pytest.mark.asyncio(loop_scope="module")
@slow
@forall(seed=st.integers(0, 2**32), span=spans, doctor=st.sampled_from([None, *DOCTORS]))
async def test_the_sum_of_the_lines_behind_a_figure_is_the_figure(told_of, reading, seed, span, doctor):
    (write, _), (since, until), clinic = told_of, span, uuid4()
    history = ledger(Random(seed), clinic)
    write(history)
    reader = await reading.of(clinic)
    happened = {fact.position: fact for fact in history}
    for figure, number in (await numbers(reader, since, until, doctor)).items():
        assert await explained(reader, Asked(figure, since, until, doctor=doctor), happened) == number, figure
    for by, field in (("procedure", "procedure_code"), ("method", "method"), ("source", "source")):
        for one in (await over_time(reader, Wish(since, until, by, doctor=doctor), "EUR")).items:
            for figure in ("revenue", "received", "tax", "payments") if getattr(one, field) is not None else ():
                asked = Asked(figure, since, until, doctor=doctor, **{by: getattr(one, field)})
                number = getattr(one, figure)
                assert await explained(reader, asked, happened) == number, asked
    for patient in PATIENTS:  # a life's worth, of all records of somebody
        life = await reader.select(Life, "select received, billed from patient_lifetimes where clinic_id = %s and patient_id = %s", clinic, patient)
        for one in life:
            assert await explained(reader, Asked("received", date(1900, 1, 1), LAST, patient=patient), happened) == one.received


class Life(Struct):
    received: int
    billed: int


async def numbers(reader: Any, since: date, until: date, doctor: UUID | None) -> Mapping[Any, int]:
    """Return each figure as its own report has it; of a doctor, those that a doctor has."""
    unit = (await over_time(reader, Wish(since, until, "year", doctor=doctor), "EUR"))
    money = {name: getattr(unit, name) for name in ("billed", "voided", "revenue", "tax", "collected", "refunded", "received", "outstanding", "invoices", "payments")}
    profit = await profitability(reader, since, until, doctor, None, "EUR")
    visits = (await trends(reader, since, until, "month", None, doctor, None)).total
    found = {
        **money, "net-revenue": profit.net_revenue, "procedure-cost": profit.cost, "procedure-profit": profit.profit, "units": sum(one.units for one in profit.items),
        **{name.replace("_", "-"): getattr(visits, name) for name in ("booked", "upcoming", "completed", "cancelled", "late_cancelled", "no_show", "rescheduled")},
    }
    if doctor is None:
        statement = await financial_statement(reader, since, until, "month", "EUR")
        found |= {name: getattr(statement, name.replace("-", "_")) for name in ("spent", "spent-tax", "net-spent", "result", "cash-result", "net-revenue")}
        found["new-patients"] = sum(one.new_patients for one in await growth(reader, since, until, "month", None))
        assert found.keys() == FIGURES.keys()
    return found


async def explained(reader: Any, asked: Asked, happened: Mapping[int, Any]) -> int:
    """Return the sum of all lines behind a figure, page by page, and see that each is an event that happened, in order and once."""
    seen, cursor, whole = [], None, None
    while True:
        page = await why(reader, asked, "EUR", 4, cursor)
        assert whole in {None, page.amount}
        whole, seen = page.amount, seen + page.items
        if (cursor := page.next) is None:
            break
    assert len({(line.position, line.no) for line in seen}) == len(seen)
    assert page.lines in {None, len(seen)}
    assert seen == sorted(seen, key=lambda line: (line.day, line.position, line.no), reverse=True)
    for line in seen:
        fact = happened[line.position]
        assert (line.event, line.id, line.kind) == (type(fact.event).__name__, fact.id, fact.kind)
        assert line.day <= asked.until
    assert sum(line.amount for line in seen) == whole
    return whole


@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_explained_so_is_refused(told_of, reading):
    reader = await reading.of(uuid4())
    for narrow in ({"procedure": "D2740"}, {"method": "card"}, {"source": "search"}):
        with pytest.raises(WhyTooBroad):
            await why(reader, Asked("outstanding", MON, MON, **narrow), "EUR", 10, None)
    for cursor in ("x", "bm90aGluZw", "é"):
        with pytest.raises(CursorInvalid):
            await why(reader, Asked("billed", MON, MON), "EUR", 10, cursor)
    assert (await why(reader, Asked("billed", MON, MON), "EUR", 10, None)).amount == 0


@pytest.mark.asyncio(loop_scope="module")
@slow
@forall(seed=st.integers(0, 2**32), span=spans, doctor=st.sampled_from([None, *DOCTORS]))
async def test_trends_of_appointments_are_parts_of_one_whole(told_of, reading, seed, span, doctor):
    (write, _), (since, until), clinic = told_of, span, uuid4()
    history = ledger(Random(seed), clinic)
    write(history)
    reader = await reading.of(clinic)
    whole = (await trends(reader, since, until, "status", None, doctor, None)).total
    for by in ("day", "week", "month", "quarter", "year", "weekday", "hour", "lead-time", "doctor"):
        made = await trends(reader, since, until, by, None, doctor, None)
        assert made.total == whole
        for name in ("booked", "upcoming", "completed", "cancelled", "late_cancelled", "no_show"):
            assert sum(getattr(one, name) for one in made.items) == getattr(whole, name), (by, name)
    rows = [row for row in rows_of("visits", history).values() if row and since <= row.day <= until and doctor in {None, row.doctor_id}]
    for fate, count in (("completed", whole.completed), ("cancelled", whole.cancelled), ("no-show", whole.no_show), ("upcoming", whole.upcoming)):
        made = await trends(reader, since, until, "hour", fate, doctor, None)
        assert (sum(one.count for one in made.items), made.count) == (count, count)
    assert {one.hour: one.count for one in (await trends(reader, since, until, "hour", None, doctor, None)).items} == {
        hour: sum(row.hour == hour for row in rows) for hour in {row.hour for row in rows}}
    assert {one.weekday: one.count for one in (await trends(reader, since, until, "weekday", None, doctor, None)).items if one.count} == {
        n: sum(row.day.isoweekday() == n for row in rows) for n in {row.day.isoweekday() for row in rows}}
    leads = {one.lead_time: one.count for one in (await trends(reader, since, until, "lead-time", None, doctor, None)).items}
    assert leads.get("same-day", 0) == sum(row.lead_days == 0 for row in rows)
    assert leads.get("8-14", 0) == sum(8 <= row.lead_days <= 14 for row in rows)


@pytest.mark.asyncio(loop_scope="module")
@slow
@forall(seed=st.integers(0, 2**32), span=spans)
async def test_a_procedure_earns_what_was_billed_less_what_one_cost_on_its_day(told_of, reading, seed, span):
    (write, _), (since, until), clinic = told_of, span, uuid4()
    history = ledger(Random(seed), clinic)
    write(history)
    costs = defaultdict(dict)
    for fact in history:
        match type(fact.event).__name__:
            case "ProcedureCostSet":
                costs[fact.event.procedure_code][fact.event.since] = fact.event.material + fact.event.lab
            case "ProcedureCostDropped":
                del costs[fact.event.procedure_code][fact.event.since]
    expected = defaultdict(lambda: [0, 0])
    for fact in history:
        on = getattr(fact.event, "issued_on", getattr(fact.event, "voided_on", None))
        if on is None or not since <= on <= until:
            continue
        sign = 1 if hasattr(fact.event, "issued_on") else -1
        for share in fact.event.shares:
            known = [amount for day, amount in sorted(costs[share.procedure_code].items()) if day <= on]
            sums = expected[share.procedure_code or ""]
            sums[0] += sign * share.net
            sums[1] += sign * (getattr(share, "units", None) or 1) * (known[-1] if known else 0)
    made = await profitability(await reading.of(clinic), since, until, None, None, "EUR")
    assert {one.procedure_code: [one.net_revenue, one.cost] for one in made.items if one.net_revenue or one.cost} == {
        code: sums for code, sums in expected.items() if any(sums)}
    assert all(one.profit == one.net_revenue - one.material - one.lab for one in made.items)
    assert made.profit == made.net_revenue - made.cost


# --- pictures


amounts = st.integers(-10**13, 10**13)


@forall(st.lists(st.tuples(st.text(max_size=8), amounts, amounts), max_size=50), st.text(max_size=20))
def test_a_picture_is_well_formed_and_says_what_it_shows(lines, title):
    lines = [(label.translate(dict.fromkeys(range(32))), a, b) for label, a, b in lines]
    title = title.translate(dict.fromkeys([*range(32), 65534, 65535, *range(55296, 57344)]))
    lines = [(label.translate(dict.fromkeys([65534, 65535, *range(55296, 57344)])), a, b) for label, a, b in lines]
    plot = Plot(title, [label for label, _, _ in lines], [Series("A<b>", [a for _, a, _ in lines]), Series("B", [b for _, _, b in lines])], lambda n: in_words(n, "KWD"))
    root = ET.fromstring(drawn(plot))  # noqa: S314 - our own
    svg = "{http://www.w3.org/2000/svg}"
    assert (root.attrib["role"], root.attrib["aria-labelledby"]) == ("img", "title description")
    assert (root.find(f"{svg}title").text or "") == title
    bars = [bar for group in root.findall(f"{svg}g") for bar in group.findall(f"{svg}rect")]
    assert len(bars) == 2 * len(lines)
    assert all(float(bar.attrib["height"]) >= 0 and bar.find(f"{svg}title").text for bar in bars)
    if lines:
        assert in_words(sum(a for _, a, _ in lines), "KWD") in root.find(f"{svg}desc").text


@forall(st.lists(amounts, max_size=20))
def test_a_scale_has_zero_on_it_and_holds_all(values):
    low, high, step = scale(values)
    assert low <= min([0, *values]) <= 0 <= max([0, *values]) <= high
    assert (low % step, high % step, str(step).rstrip("0") in {"1", "2", "5"}) == (0, 0, True)
    assert (high - low) // step <= 8


def test_a_picture_that_nobody_could_read_is_refused():
    with pytest.raises(PlotTooWide):
        drawn(Plot("x", ["x"] * (MOST + 1), [Series("x", [1] * (MOST + 1))]))


# --- over HTTP


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clinic(module_database, told_of, make_nats):
    """A clinic in January: a crown of 121.00 paid in part, one voided, a visit seen and one cancelled late, rent, and what a crown costs."""
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        town = await Town.open(web.services.handler)
        await town(ChangePatient(given_name="Noor", family_name="Bakker", source="search"), id=town.patient)
        line = Line(description="Crown", procedure_code="D2740", doctor_id=town.doctor, quantity=2, unit_price=50_00, tax_rate=2100)
        town.owed = (await town(CreateInvoice(patient_id=town.patient, lines=[line], issue=True, due_on=town.now.date()))).id
        await town(RecordPayment(amount=21_00, method="cash"), id=town.owed)
        await town(VoidInvoice(reason="Twice"), id=await town.invoice(7_00))
        await town(RecordExpense(category="rent", description="Rent", amount=30_00, spent_on=town.now.date()))
        await town(SetProcedureCost(procedure_code="D2740", material=10_00, lab=5_00))
        visit = (await town(town.visit())).id
        await town(ChangeAppointmentStatus(status="cancelled", reason="Ill"), id=visit)
        town.web, town.boss = web, await web.person(town.id, "admin")
        town.last = await town(town.visit(town.at(60)))
        yield town


MONTH = {"from": "2026-01-01", "to": "2026-01-31"}


async def asked(town: Town, path: str, somebody: Any = None, **query: Any) -> Any:
    answer = await (somebody or town.boss)("GET", path, params=query, headers={"x-position": str(town.last.position)})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.asyncio(loop_scope="module")
async def test_revenue_over_time_and_by_what_earned_it(clinic):
    made = (await asked(clinic, "/analytics/revenue-over-time", **MONTH)).json()
    (month,) = made["items"]
    assert (month["from"], month["to"], month["billed"], month["voided"], month["collected"], month["outstanding"]) == ("2026-01-01", "2026-01-31", 128_00, 7_00, 21_00, 100_00)
    assert (made["currency"], made["groupBy"], made["revenue"], made["outstanding"]) == ("EUR", "month", 121_00, 100_00)
    (doctor,) = (await asked(clinic, "/analytics/revenue-over-time", groupBy="doctor", **MONTH)).json()["items"]
    assert (doctor["doctorId"], doctor["doctorName"], doctor["revenue"]) == (str(clinic.doctor), "Dr Sam Visser", 121_00)
    crown = (await asked(clinic, "/analytics/revenue-over-time", groupBy="week", procedureCode="D2740", **MONTH)).json()
    assert (crown["billed"], len(crown["items"]), crown["items"][0]["from"], crown["items"][1]["from"]) == (121_00, 5, "2026-01-01", "2026-01-05")
    by_source = (await asked(clinic, "/analytics/revenue-over-time", groupBy="source", **MONTH)).json()["items"]
    assert {one["source"]: one["received"] for one in by_source} == {"search": 21_00}
    by_method = (await asked(clinic, "/analytics/revenue-over-time", groupBy="method", **MONTH)).json()["items"]
    assert {one["method"]: one["received"] for one in by_method} == {"cash": 21_00}


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_overdue_and_how_old_it_is(clinic):
    (late,) = (await asked(clinic, "/analytics/overdue")).json()["items"]
    days = (today_there() - clinic.now.date()).days
    assert (late["id"], late["patientName"], late["due"], late["daysOverdue"], late["age"]) == (str(clinic.owed), "Noor Bakker", 100_00, days, "90+")
    assert (await asked(clinic, "/analytics/overdue", age="0-30")).json()["items"] == []
    now = (await asked(clinic, "/analytics/ageing", patients="true")).json()
    assert (now["due"], now["overdue"], now["ages"][-1], now["patients"][0]["daysOver90"]) == (100_00, 100_00, {"age": "90+", "invoices": 1, "due": 100_00}, 100_00)
    for on, age in ((0, "not-due"), (1, "0-30"), (30, "0-30"), (31, "31-60"), (60, "31-60"), (61, "61-90"), (90, "61-90"), (91, "90+")):
        then = (await asked(clinic, "/analytics/ageing", on=(clinic.now.date() + timedelta(days=on)).isoformat())).json()
        assert [one["age"] for one in then["ages"] if one["due"]] == [age], on
    told_ = (await asked(clinic, "/analytics/revenue-summary", **MONTH)).json()
    assert (told_["current"]["revenue"], told_["previous"]["revenue"], told_["growth"], told_["outstanding"], told_["overdue"], told_["overdueInvoices"]) == (
        121_00, 0, None, 100_00, 100_00, 1)
    assert (told_["collectionRate"], told_["averageInvoice"]) == (0.1736, 64_00)
    noor = await clinic.web.person(clinic.id, "patient", clinic.patient)
    assert len((await asked(clinic, "/analytics/overdue", noor)).json()["items"]) == 1
    other = await clinic.web.person(clinic.id, "patient", await clinic.register("Smit"))
    assert (await asked(clinic, "/analytics/overdue", other)).json()["items"] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_procedures_profit_is_what_is_left(clinic):
    made = (await asked(clinic, "/analytics/procedure-profitability", **MONTH)).json()
    crown = {one["procedureCode"]: one for one in made["items"]}["D2740"]
    assert (crown["netRevenue"], crown["units"], crown["cost"], crown["profit"], crown["known"]) == (100_00, clinic_units := crown["units"], clinic_units * 15_00, 100_00 - clinic_units * 15_00, True)
    put = await clinic.boss("PUT", "/analytics/procedure-costs/D2740", {"material": 11_00, "since": "2026-02-01"})
    assert put.status_code == 200, put.text
    seen = await clinic.boss.seen(put)
    listed = (await clinic.boss("GET", "/analytics/procedure-costs", headers=seen)).json()["items"]
    assert [(one["since"], one["material"], one["lab"]) for one in listed] == [("2026-01-05", 10_00, 5_00), ("2026-02-01", 11_00, 0)]
    gone = await clinic.boss("DELETE", "/analytics/procedure-costs/D2740", params={"since": "2026-02-01"})
    assert gone.status_code == 200, gone.text
    assert [one["since"] for one in (await clinic.boss("GET", "/analytics/procedure-costs", headers=await clinic.boss.seen(gone))).json()["items"]] == ["2026-01-05"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_figure_says_why_to_whoever_may_see_it(clinic):
    made = (await asked(clinic, "/analytics/why", figure="outstanding", to="2026-01-31")).json()
    assert [(line["event"], line["amount"], line["number"]) for line in made["items"]] == [
        ("InvoiceVoided", -7_00, "2026-000002"), ("InvoiceIssued", 7_00, "2026-000002"), ("PaymentRecorded", -21_00, "2026-000001"), ("InvoiceIssued", 121_00, "2026-000001")]
    assert (made["amount"], made["lines"], made["from"]) == (100_00, None, None)
    history = (await clinic.boss("GET", "/audit-logs", params={"entityId": str(clinic.owed)})).json()["items"]
    assert {line["seq"] for line in history} >= {line["position"] for line in made["items"] if line["id"] == str(clinic.owed)}
    life = (await asked(clinic, "/analytics/why", figure="received", patientId=str(clinic.patient))).json()
    assert (life["amount"], life["from"], len(life["items"])) == (21_00, "1900-01-01", 1)
    visits = (await asked(clinic, "/analytics/why", figure="upcoming", **MONTH)).json()
    assert (visits["amount"], [line["event"] for line in visits["items"]]) == (1, ["AppointmentBooked", "AppointmentCancelled", "AppointmentBooked"])
    desk, doctor = await clinic.web.person(clinic.id, "receptionist"), await clinic.web.person(clinic.id, "doctor", clinic.doctor)
    failure(await desk("GET", "/analytics/why", params={"figure": "billed"}), 403, "FORBIDDEN")
    assert (await asked(clinic, "/analytics/why", desk, figure="booked", **MONTH)).json()["amount"] == 2
    assert (await asked(clinic, "/analytics/why", doctor, figure="billed", doctorId=str(clinic.doctor), **MONTH)).json()["amount"] == 128_00
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "love"}), 400, "QUERY_INVALID")
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "billed", "patientId": str(uuid4())}), 404, "NOT_FOUND")
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "outstanding", "method": "cash"}), 400, "WHY_TOO_BROAD")
    sheet = (await asked(clinic, "/analytics/why", figure="outstanding", to="2026-01-31", limit=1, format="csv")).text
    assert sum(int(line["amount"]) for line in csv.DictReader(io.StringIO(sheet, newline=""))) == 100_00


DRAWN = [
    ("/analytics/revenue-over-time", {"groupBy": by}) for by in ("day", "month", "quarter", "year", "doctor", "procedure", "method", "source")] + [
    ("/analytics/appointment-trends", {"groupBy": by}) for by in ("week", "weekday", "hour", "lead-time", "status", "doctor")] + [
    ("/analytics/appointment-trends", {"status": "completed"}), ("/analytics/procedure-profitability", {}), ("/analytics/ageing", {}), ("/analytics/ageing", {"patients": "true"}),
    ("/analytics/doctor-performance", {}), ("/analytics/patient-growth", {}), ("/analytics/patient-ltv/summary", {}), ("/analytics/patient-ltv/summary", {"groupBy": "source"}),
    ("/analytics/cohort", {}), ("/analytics/referral-sources", {}), ("/reports/financial-statement", {}), ("/reports/financial-summary", {}), ("/reports/financial-summary", {"groupBy": "doctor"}),
    ("/analytics/financial-summary", {}), ("/stats/revenue", {"groupBy": "month"})]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "query"), DRAWN)
async def test_every_figure_is_there_as_a_sheet_and_as_a_picture(clinic, path, query):
    days = {} if path in {"/analytics/ageing", "/analytics/patient-ltv/summary", "/analytics/cohort"} else MONTH
    told_ = await asked(clinic, path, **query, **days)
    sheet = await asked(clinic, path, **query, **days, format="csv")
    lines = list(csv.DictReader(io.StringIO(sheet.text, newline="")))
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    items = next((told_.json()[name] for name in ("periods", "patients", "ages", "items", "groups") if isinstance(told_.json().get(name), list)), None)
    if items and "months" not in items[0]:
        assert len(lines) == len(items)
    picture = await asked(clinic, path, **query, **days, format="svg")
    root = ET.fromstring(picture.text)  # noqa: S314 - our own
    assert (picture.headers["content-type"].partition(";")[0], root.attrib["role"], picture.headers["x-content-type-options"]) == ("image/svg+xml", "img", "nosniff")
    spanish = await clinic.boss("GET", path, params={**query, **days, "format": "svg"}, headers={"accept-language": "es"})
    words = {t.text for r in (root, ET.fromstring(spanish.text)) for t in r.findall("{http://www.w3.org/2000/svg}title")}  # noqa: S314 - likewise
    assert len(words) == 2
    failure(await clinic.boss("GET", path, params={**query, "format": "pdf"}), 400, "QUERY_INVALID")


@pytest.mark.asyncio(loop_scope="module")
async def test_lists_are_there_as_sheets(clinic):
    for path in ("overdue", "procedure-costs", "patient-ltv", "visits", "revenue", "appointments"):
        assert (await asked(clinic, f"/analytics/{path}", format="csv")).headers["content-type"] == "text/csv; charset=utf-8"


@pytest.mark.asyncio(loop_scope="module")
async def test_too_many_days_are_refused_and_so_are_too_many_bars(clinic):
    years = {"from": "2010-01-01", "to": "2026-01-01", "groupBy": "day"}
    for path in ("/analytics/revenue-over-time", "/analytics/appointment-trends", "/reports/financial-statement"):
        failure(await clinic.boss("GET", path, params=years), 400, "PERIOD_TOO_LONG")
        failure(await clinic.boss("GET", path, params={**years, "from": "2024-01-01", "format": "svg"}), 400, "PLOT_TOO_WIDE")
        failure(await clinic.boss("GET", path, params={"from": "2026-02-01", "to": "2026-01-01"}), 400, "PERIOD_IMPOSSIBLE")
    failure(await clinic.boss("GET", "/analytics/revenue-over-time", params={"doctorId": str(uuid4())}), 404, "NOT_FOUND")
