"""Every figure three ways: the read models, their making anew, and plain SQL over the raw events; and each can say why it is what it is."""

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec import Struct

from commands.procedure_costs import DropProcedureCost, SetProcedureCost
from domain.kit import PLATFORM
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
from tests.books import CODES, DUE, LAST, METHODS, MONEY, SPENT, ledger
from tests.chronicle import DAYS, DOCTORS, PATIENTS, SOURCES
from tests.kit import given, noon

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
NAMES = ("billed", "voided", "credited", "written_off", "tax", "collected", "refunded", "invoices", "payments")


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
    assert tuple(getattr(statement, name) for name in NAMES[:7]) == raw[:7]
    assert (await compared(reader, since, until, until, "EUR")).current.revenue == raw[0] - raw[1] - raw[2] - raw[3]

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
            assert of_money(each) == (0, 0, 0, 0, 0, *raw[5:7], 0, raw[8])
        else:
            assert of_money(each) == raw
            assert (each.outstanding, sum(one.outstanding for one in each.items)) == (due, due) or any(key not in found for key in keys)
        assert {key: one[:7] for key, one in found.items() if any(one)} == {key: one[:7] for key, one in expected.items() if any(one[:7]) or any(found.get(key, ()))}
    alone = Wish(since, until, unit, doctor=DOCTORS[0], procedure="D2740", method="card")
    assert of_money(await over_time(reader, alone, "EUR"))[5:7] == audited(MONEY, **days, doctor=str(DOCTORS[0]), procedure="D2740", method="card")[5:7]
    by_source = await over_time(reader, Wish(since, until, "source"), "EUR")
    assert of_money(by_source) == raw
    assert (by_source.outstanding, {one.source for one in by_source.items} <= {*SOURCES}) == (None, True)


@pytest.mark.asyncio(loop_scope="module")
@slow
@forall(seed=st.integers(0, 2**32), on=ends)
async def test_what_was_open_on_any_day_is_what_an_auditor_finds_by_age(told_of, reading, seed, on):  # noqa: C901 - one for each kind of event
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
            case "InvoiceCredited" if event.credited_on <= on:
                owed[fact.id] -= event.total
            case "CreditApplied" if event.applied_on <= on:
                owed[fact.id] -= event.amount
            case "PaymentReallocated" if event.reallocated_on <= on:
                owed[fact.id] += event.released
            case "PaymentReversed" if event.reversed_on <= on:
                owed[fact.id] += event.amount
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
    mine, other = DOCTORS
    for figure in ("booked", "upcoming", "no-show"):  # whoever sees themselves alone is told of nobody else
        asked = Asked(figure, since, until, doctor=doctor, own=mine)
        assert await explained(reader, asked, happened) == (0 if doctor == other else await explained(reader, asked._replace(doctor=mine, own=None), happened))
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
    money = {name: getattr(unit, name) for name in ("billed", "voided", "credited", "revenue", "tax", "collected", "refunded", "received", "outstanding", "invoices", "payments")}
    profit = await profitability(reader, since, until, doctor, None, "EUR")
    visits = (await trends(reader, since, until, "month", None, doctor, None)).total
    found = {
        **money, "written-off": unit.written_off, "net-revenue": profit.net_revenue, "procedure-cost": profit.cost, "procedure-profit": profit.profit, "units": sum(one.units for one in profit.items),
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
@slow
@forall(seed=st.integers(0, 2**32), share=st.floats(0, 1))
async def test_a_figure_as_of_a_moment_is_what_was_told_by_then(told_of, reading, seed, share):
    (write, audited), clinic, then = told_of, uuid4(), uuid4()
    history = ledger(Random(seed), clinic)
    upto = round(share * len(history))
    write(history)
    write([msgspec.structs.replace(fact, clinic=then) for fact in history[:upto]])
    reader, before = await reading.of(clinic), await reading.of(then)
    for figure in ("billed", "revenue", "received", "outstanding", "booked", "spent", "payments"):
        asked = Asked(figure, date(1900, 1, 1), LAST)
        was = await why(before, asked, "EUR", 500, None)
        now = await why(reader, asked._replace(upto=upto), "EUR", 500, None)
        assert (now.amount, [(line.position, line.no, line.amount) for line in now.items]) == (was.amount, [(line.position, line.no, line.amount) for line in was.items])
    assert (await why(reader, Asked("outstanding", LAST, LAST, upto=upto), "EUR", 1, None)).amount == audited(DUE, clinic=then, until=LAST)[0]


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
        on = getattr(fact.event, "issued_on", getattr(fact.event, "voided_on", getattr(fact.event, "credited_on", None)))
        if on is None or not since <= on <= until:
            continue
        if (cause := getattr(fact.event, "cause", None)) is not None:  # done all the same
            for share in fact.event.shares:
                expected[share.procedure_code or ""][0] -= share.net if cause == "credit-note" else share.total
            continue
        sign = 1 if hasattr(fact.event, "issued_on") else -1
        for share in fact.event.shares:
            known = [amount for day, amount in sorted(costs[share.procedure_code].items()) if day <= on]
            sums = expected[share.procedure_code or ""]
            sums[0] += sign * share.net
            sums[1] += sign * share.units * (known[-1] if known else 0)
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

