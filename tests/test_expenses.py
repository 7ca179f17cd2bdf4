"""Expenses: what was spent, corrected and struck out; and what a day came to, which is what the other figures say, and what somebody counts by hand."""

import json
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.expenses import CorrectExpense, RecordExpense, StrikeOutExpense
from domain.expenses import (
    Expense,
    ExpenseCorrected,
    ExpenseImpossible,
    ExpenseRecorded,
    ExpenseStruckOut,
    ExpenseStruckOutAlready,
    Spent,
    TaxTooLarge,
)
from domain.kit import PLATFORM, NotFound, only
from domain.kit.bills import LARGEST, DateInFuture, DateTooEarly
from projections.expenses import till_days, till_keys
from tests.kit import facts, given, noon
from tests.served import failure, served, today_there, working
from tests.teller import MODEL, Teller

RENT = Spent(category="rent", description="January", amount=121_000, tax=21_000, spent_on=noon.today)
recorded = ExpenseRecorded(**only(Spent, RENT), currency="EUR")
asked_for = only(Spent, RENT)


# --- the rules


def test_it_is_recorded_corrected_and_struck_out() -> None:
    given().when(RecordExpense(**asked_for)).then(recorded)
    less = replace(RENT, amount=120_000)
    corrected = ExpenseCorrected(**only(Spent, less), was=RENT)
    given(recorded).when(CorrectExpense(**only(Spent, less))).then(corrected)
    given(recorded).when(CorrectExpense(**asked_for)).then()
    gone = ExpenseStruckOut(was=less, reason="Twice")
    given(recorded, corrected).when(StrikeOutExpense(reason="Twice")).then(gone)
    for command in (CorrectExpense(**asked_for), StrikeOutExpense()):
        given(recorded, corrected, gone).when(command).refused(ExpenseStruckOutAlready)
        given().when(command).refused(NotFound)


@pytest.mark.parametrize(("change", "why"), [
    ({"amount": 0}, ExpenseImpossible), ({"amount": LARGEST + 1}, ExpenseImpossible), ({"tax": 121_001}, TaxTooLarge), ({"tax": -1}, TaxTooLarge),
    ({"spent_on": noon.today + timedelta(1)}, DateInFuture), ({"spent_on": noon.today.replace(year=26)}, DateTooEarly)])
def test_what_cannot_have_been_spent(change: dict[str, Any], why: Any) -> None:
    given().when(RecordExpense(**{**asked_for, **change})).refused(why)
    given(recorded).when(CorrectExpense(**{**asked_for, **change})).refused(why)


SPENDING = st.builds(
    Spent, category=st.sampled_from(["rent", "materials"]), description=st.just("x"), amount=st.integers(1, 500), method=st.sampled_from(["cash", "card"]),
    spent_on=st.integers(0, 2).map(lambda n: noon.today - timedelta(n)))


@drawn(st.lists(st.tuples(SPENDING, st.lists(SPENDING, max_size=3), st.booleans()), max_size=6))
def test_whatever_is_corrected_a_day_counts_each_expense_once_as_it_last_stood(lives: list[tuple[Spent, list[Spent], bool]]) -> None:
    rows: dict[Any, Any] = {}
    wanted: Counter[Any] = Counter()
    for first, corrections, struck in lives:
        expense, events = Expense(), []
        for step in [lambda e, s=first: e.record(s, "EUR", noon.today), *(lambda e, s=s: e.correct(s, noon.today) for s in corrections), *([lambda e: e.strike_out("x")] if struck else [])]:
            events += (new := step(expense))
            for event in new:
                expense = expense.evolve(event)
        for fact in facts(*events):
            for key in till_keys(fact):
                rows[key] = till_days(rows.get(key), fact, key)
        last = [first, *corrections][-1]
        if not struck:
            wanted[last.spent_on, last.method, PLATFORM] += last.amount
    assert {key: row.spent for key, row in rows.items() if row.expenses} == dict(wanted)
    assert all(row.spent == 0 for row in rows.values() if not row.expenses)


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    with Teller() as teller:
        async with working(module_database, nats), served(module_database, nats, **teller.settings) as web:
            clinic = await web.clinic()
            yield SimpleNamespace(web=web, clinic=clinic, admin=await web.person(clinic, "admin"), teller=teller, database=module_database, nats=nats)


def rent(**more: Any) -> dict[str, Any]:
    return {"category": "rent", "description": "April", "amount": 121_000, "tax": 21_000, "spentOn": str(today_there()), **more}


async def done(answer: Any, *statuses: int) -> Any:
    assert answer.status_code in (statuses or (200, 201)), answer.text
    return answer


@pytest.mark.asyncio(loop_scope="module")
async def test_a_day_comes_to_what_was_done_on_it_and_the_summary_says_the_same(desk: Any) -> None:
    """Everything is asked of the gateway, and counted here beside it."""
    today, yesterday = today_there(), today_there() - timedelta(1)
    patient = (await done(await desk.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"}))).json()["id"]
    hand: Counter[Any] = Counter()
    bills = []
    for n in range(1, 6):
        lines = [{"description": "Crown", "unitPrice": 10_000 * n, "taxRate": 2100}]
        made = (await done(await desk.admin("POST", "/invoices", {"patientId": patient, "lines": lines, "issue": True, "issuedOn": str(yesterday if n == 1 else today)}))).json()
        bills.append(made)
        hand["billed", yesterday if n == 1 else today] += made["total"]
        hand["invoices", yesterday if n == 1 else today] += 1
    for bill, amount, method, on in ((bills[0], 5_000, "cash", today), (bills[0], 7_100, "card", yesterday), (bills[1], 24_200, "card", today), (bills[2], 300, "cash", today)):
        await done(await desk.admin("POST", f"/invoices/{bill['id']}/payments", {"amount": amount, "method": method, "paidOn": str(on)}))
        hand["received", on, method] += amount
    seen = await desk.admin.seen(await desk.admin("POST", f"/invoices/{bills[4]['id']}/void", {"reason": "Twice"}))
    paid = (await desk.admin("GET", f"/invoices/{bills[1]['id']}/payments", headers=seen)).json()["items"][0]
    await done(await desk.admin("POST", f"/invoices/{bills[1]['id']}/refunds", {"paymentId": paid["id"], "amount": 4_200, "reason": "A courtesy", "method": "cash"}))
    hand["refunded", today, "cash"] += 4_200
    first = (await done(await desk.admin("POST", "/expenses", rent()))).json()["id"]
    await done(await desk.admin("POST", "/expenses", rent(category="materials", amount=1_999, tax=347, method="cash")))
    await done(await desk.admin("PUT", f"/expenses/{first}", rent(amount=120_000, tax=20_826, method="card")))
    struck = (await done(await desk.admin("POST", "/expenses", rent(amount=77, tax=0)))).json()["id"]
    last = await done(await desk.admin("DELETE", f"/expenses/{struck}"))
    seen = await desk.admin.seen(last)
    for on in (yesterday, today):
        report = (await done(await desk.admin("GET", f"/expenses/eod-report?date={on}", headers=seen))).json()
        by_method = {one["method"]: one for one in report["methods"]}
        assert {m: one["received"] for m, one in by_method.items() if one["received"]} == {m: n for (what, day, m), n in pairs(hand) if (what, day) == ("received", on)}
        assert {m: one["refunded"] for m, one in by_method.items() if one["refunded"]} == {m: n for (what, day, m), n in pairs(hand) if (what, day) == ("refunded", on)}
        assert (report["billed"], report["invoices"]) == (hand["billed", on], hand["invoices", on])
        summary = (await desk.admin("GET", f"/reports/financial-summary?from={on}&to={on}", headers=seen)).json()
        assert {name: report[ours] for name, ours in (("billed", "billed"), ("voided", "voided"), ("collected", "received"), ("refunded", "refunded"), ("payments", "payments"), ("invoices", "invoices"))} == {
            name: summary[name] for name in ("billed", "voided", "collected", "refunded", "payments", "invoices")}
        assert report["net"] == report["received"] - report["refunded"] - report["spent"] == sum(one["net"] for one in report["methods"])
        assert report["spent"] == sum(one["amount"] for one in report["categories"])
    assert (report["spent"], report["expenses"]) == (121_999, 2)
    assert by_method["cash"]["net"] == 5_300 - 4_200 - 1_999
    assert (await desk.admin("GET", "/expenses/eod-report", headers=seen)).json() == report
    totals = (await desk.admin("GET", f"/expenses/totals?from={yesterday}&to={today}", headers=seen)).json()
    assert [(one["category"], one["amount"], one["tax"]) for one in totals["categories"]] == [("rent", 120_000, 20_826), ("materials", 1_999, 347)]


def pairs(hand: Counter[Any]) -> list[tuple[Any, int]]:
    return [(key, n) for key, n in hand.items() if len(key) == 3]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_day_is_told_in_words_by_figures_alone(desk: Any) -> None:
    await done(await desk.admin("POST", "/expenses", rent(vendor="Zwanenburg Supplies", description="Gloves for Noor Zwanenburg", reference="Z-1")))
    last = await done(await desk.admin("POST", "/expenses", rent(amount=5, tax=0)))
    seen = await desk.admin.seen(last)
    await done(await desk.admin("GET", "/expenses", headers=seen))
    answer = await done(await desk.admin("POST", "/expenses/eod-report/ai-summary", {"language": "es"}))
    told, report = answer.json(), (await desk.admin("GET", "/expenses/eod-report", headers=seen)).json()
    assert (told["model"], told["figures"]) == (MODEL, report)
    assert str(report["spent"]) in told["summary"]
    sent = json.dumps(desk.teller.seen[-1])
    assert not [word for word in ("Zwanenburg", "Noor", "Gloves", "Z-1", "Grachten", str(desk.clinic)) if word in sent]
    desk.teller.troubles = [500, b"<html>", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}']
    for _ in range(4):
        failure(await desk.admin("POST", "/expenses/eod-report/ai-summary", {}), 503, "NARRATOR_UNAVAILABLE")
    assert desk.teller.troubles == []
    async with served(desk.database, desk.nats) as bare:
        admin = await bare.person(desk.clinic, "admin")
        failure(await admin("POST", "/expenses/eod-report/ai-summary", {}), 503, "NARRATOR_NOT_CONFIGURED")


@pytest.mark.asyncio(loop_scope="module")
async def test_expenses_are_listed_filtered_and_an_admins_alone(desk: Any) -> None:
    made = await done(await desk.admin("POST", "/expenses", rent(category="software", vendor="Anamnesis BV", method="card")))
    this, seen = made.json()["id"], await desk.admin.seen(made)
    for query in ("category=software", "vendor=Anamnesis BV", f"category=software&spentOnFrom={today_there()}&spentOnTo={today_there()}"):
        assert [one["id"] for one in (await desk.admin("GET", f"/expenses?{query}", headers=seen)).json()["items"]] == [this], query
    gone = await done(await desk.admin("DELETE", f"/expenses/{this}"))
    assert (gone.json()["struckOut"], gone.json()["strikeReason"]) == (True, "Deleted.")
    assert (await desk.admin("GET", "/expenses?category=software", headers=await desk.admin.seen(gone))).json()["items"] == []
    assert (await desk.admin("GET", f"/expenses/{this}")).json()["struckOut"] is True
    stranger = await desk.web.person(await desk.web.clinic(), "admin")
    for method, body in (("GET", None), ("PUT", rent()), ("DELETE", None)):
        failure(await stranger(method, f"/expenses/{this}", body), 404, "NOT_FOUND")
    for role in ("doctor", "receptionist", "patient"):
        person = await desk.web.person(desk.clinic, role, uuid4() if role == "patient" else None)
        for method, path, body in (("GET", "", None), ("POST", "", rent()), ("GET", "/eod-report", None), ("POST", "/eod-report/ai-summary", {}), ("GET", "/totals", None), ("GET", f"/{UUID(this)}", None)):
            failure(await person(method, f"/expenses{path}", body), 403, "FORBIDDEN")
    for wrong in (rent(amount=0), rent(amount=-1), rent(amount=1.5), rent(category="bribes"), rent(tax=2**60), rent(description="")):
        failure(await desk.admin("POST", "/expenses", wrong), 400, "BODY_INVALID")
