"""The till: opened, counted and closed once; what it should hold is what was recorded, and what comes late stays in sight."""

import asyncio
import csv
import io
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from hypothesis import given as such
from hypothesis import strategies as some

from commands.tills import CloseTill, OpenTill, ReopenTill
from domain.kit import NotFound
from domain.kit.bills import DateInFuture
from domain.tills import (
    CountUnclear,
    DifferenceNeedsReason,
    LeftTooMuch,
    Moved,
    Pieces,
    Till,
    TillClosed,
    TillClosedAlready,
    TillNotClosed,
    TillNotOpened,
    TillOpenAlready,
    TillOpened,
    TillReopened,
    till_of,
)
from tests.kit import CLINIC, given, noon
from tests.served import failure, served, today_there, working

CASH = Moved(method="cash", received=12_000, refunded=1_000, spent=500, entries=4)
CARD = Moved(method="card", received=80_000, refunded=0, spent=0, entries=2)
opened = TillOpened(day=noon.today, opening=10_000, currency="EUR")
closed = TillClosed(
    day=noon.today, opening=10_000, expected=20_500, counted=20_500, pieces=[], difference=0, left=20_500, moved=[CARD, CASH])


def counting(*before: Any) -> Any:
    return given(*before).looking(moved=[CARD, CASH])


def test_it_is_opened_once_for_a_place_and_a_day() -> None:
    given().looking(left=10_000).when(OpenTill()).then(opened)
    given().when(OpenTill(opening=0)).then(TillOpened(day=noon.today, opening=0, currency="EUR"))
    given(opened).when(OpenTill(opening=1)).refused(TillOpenAlready)
    given(opened, closed).when(OpenTill(opening=1)).refused(TillClosedAlready)
    given().when(OpenTill(opening=1, day=noon.today + timedelta(1))).refused(DateInFuture)
    places = {OpenTill(place_id=place, day=noon.today + timedelta(n)).stream(noon) for place in (None, UUID(int=1), UUID(int=2)) for n in (0, -1)}
    assert len(places) == 6
    assert till_of(CLINIC, None, noon.today) in places


def test_what_was_counted_is_held_against_what_was_recorded() -> None:
    counting(opened).when(CloseTill(counted=20_500)).then(closed)
    notes = [Pieces(value=5_000, count=4), Pieces(value=100, count=4)]
    counting(opened).when(CloseTill(pieces=notes)).refused(DifferenceNeedsReason)
    counting(opened).when(CloseTill(pieces=notes, reason="A coin too few", left=10_000)).then(TillClosed(
        day=noon.today, opening=10_000, expected=20_500, counted=20_400, pieces=notes, difference=-100, reason="A coin too few", left=10_000, moved=[CARD, CASH]))
    counting(opened).when(CloseTill(pieces=notes, counted=20_500)).refused(CountUnclear)
    counting(opened).when(CloseTill()).refused(CountUnclear)
    counting(opened).when(CloseTill(counted=20_500, left=20_501)).refused(LeftTooMuch)
    counting().when(CloseTill(counted=0)).refused(TillNotOpened)
    counting(opened, closed).when(CloseTill(counted=20_500)).refused(TillClosedAlready)


def test_it_is_opened_again_with_a_reason_and_closed_anew() -> None:
    again = TillReopened(day=noon.today, reason="A payment was forgotten")
    given(opened, closed).when(ReopenTill(reason="A payment was forgotten")).then(again)
    given(opened).when(ReopenTill(reason="x")).refused(TillNotClosed)
    given().when(ReopenTill(reason="x")).refused(NotFound)
    counting(opened, closed, again).when(CloseTill(counted=20_500)).then(closed)


@such(opening=some.integers(0, 10**6), nets=some.lists(some.tuples(some.sampled_from(["cash", "card"]), *[some.integers(0, 10**6)] * 3), max_size=4), off=some.integers(-500, 500))
def test_only_cash_counts_and_the_difference_is_what_was_counted_less_what_should_be_there(opening: int, nets: list[Any], off: int) -> None:
    moved = [Moved(method=method, received=a, refunded=b, spent=c, entries=1) for method, a, b, c in nets]
    should = opening + sum(a - b - c for method, a, b, c in nets if method == "cash")
    if should + off < 0:
        return
    (event,) = Till(status="open", day=noon.today, opening=opening).close([], should + off, moved, left=None, reason="x")
    assert isinstance(event, TillClosed)
    assert (event.expected, event.difference, event.reason) == (should, off, "x" if off else None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
        place = (await admin("POST", "/places", {"name": "Noord"})).json()["id"]
        yield SimpleNamespace(web=web, clinic=clinic, admin=admin, patient=patient, place=place, reception=await web.person(clinic, "receptionist"))


async def pay(desk: Any, amount: int, method: str = "cash", place: str | None = None, on: Any = None) -> tuple[str, Any]:
    lines = [{"description": "Crown", "unitPrice": amount}]
    bill = (await desk.admin("POST", "/invoices", {"patientId": desk.patient, "lines": lines, "issue": True, "issuedOn": str(today_there() - timedelta(9))})).json()["id"]
    answer = await desk.admin("POST", f"/invoices/{bill}/payments", {
        "amount": amount, "method": method, **({"placeId": place} if place else {}), **({"paidOn": str(on)} if on else {})})
    assert answer.status_code == 200, answer.text
    return bill, answer


async def now(desk: Any, place: str | None = None, seen: Any = None) -> Any:
    return (await desk.reception("GET", "/tills/now" + (f"?placeId={place}" if place else ""), headers=seen or {})).json()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_day_at_the_till_of_a_place(desk: Any) -> None:
    made = await desk.reception("POST", "/tills", {"placeId": desk.place, "opening": 10_000})
    assert made.status_code == 201, made.text
    till = made.json()["id"]
    failure(await desk.reception("POST", "/tills", {"placeId": desk.place}), 409, "TILL_OPEN_ALREADY")
    bill, _ = await pay(desk, 6_000, place=desk.place)
    await pay(desk, 9_900, "card", desk.place)
    await pay(desk, 1_234)  # into the clinic's own
    _, last = await pay(desk, 50_000, place=desk.place, on=today_there() - timedelta(1))
    payment = (await desk.admin("GET", f"/invoices/{bill}/payments", headers=await desk.admin.seen(last))).json()["items"][0]
    assert (await desk.admin("POST", f"/invoices/{bill}/refunds", {"paymentId": payment["id"], "amount": 1_000, "reason": "A courtesy"})).status_code == 200
    spent = {"category": "materials", "description": "Gloves", "amount": 500, "spentOn": str(today_there()), "method": "cash"}
    gloves = await desk.admin("POST", "/expenses", spent)
    last = await desk.admin("PUT", f"/expenses/{gloves.json()['id']}", {**spent, "placeId": desk.place})
    seen = await desk.admin.seen(last)
    should = await now(desk, desk.place, seen)
    assert (should["status"], should["opening"], should["expected"]) == ("open", 10_000, 14_500)
    assert {one["method"]: one["received"] for one in should["moved"]} == {"cash": 6_000, "card": 9_900}
    assert (await now(desk))["expected"] == 1_234
    report = (await desk.admin("GET", f"/expenses/eod-report?date={today_there()}", headers=seen)).json()
    cash = next(one for one in report["methods"] if one["method"] == "cash")
    assert (cash["received"], cash["refunded"], cash["spent"], cash["payments"]) == (7_234, 1_000, 500, 2)
    short = failure(await desk.reception("POST", f"/tills/{till}/close", {"counted": 14_400}), 400, "DIFFERENCE_NEEDS_REASON")
    assert "-100" in str(short)
    count = {"pieces": [{"value": 5_000, "count": 2}, {"value": 2_000, "count": 2}, {"value": 100, "count": 4}], "reason": "A coin fell behind the desk", "left": 10_000}
    answers = await asyncio.gather(*(desk.reception("POST", f"/tills/{till}/close", count) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"TILL_CLOSED_ALREADY"}
    won = next(answer for answer in answers if answer.status_code == 200)
    shown = (await desk.reception("GET", f"/tills/{till}", headers=await desk.reception.seen(won))).json()
    assert (shown["expected"], shown["counted"], shown["difference"], shown["left"], shown["late"]) == (14_500, 14_400, -100, 10_000, 0)

    _, last = await pay(desk, 700, place=desk.place)  # somebody came after all
    shown = (await desk.reception("GET", f"/tills/{till}", headers=await desk.admin.seen(last))).json()
    assert (shown["status"], shown["late"], shown["lateEntries"], shown["expected"]) == ("closed", 700, 1, 14_500)
    failure(await desk.reception("POST", f"/tills/{till}/reopen", {"reason": "x"}), 403, "FORBIDDEN")
    assert (await desk.admin("POST", f"/tills/{till}/reopen", {"reason": "A late payment"})).json()["status"] == "open"
    last = await desk.reception("POST", f"/tills/{till}/close", {"counted": 15_200, "left": 8_000})
    assert (last.json()["expected"], last.json()["difference"], last.json()["reopened"]) == (15_200, 0, 1)
    shown = (await desk.reception("GET", f"/tills/{till}", headers=await desk.reception.seen(last))).json()
    assert (shown["late"], shown["lateEntries"]) == (0, 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_next_day_begins_with_what_the_last_one_left(desk: Any) -> None:
    days = [today_there() - timedelta(n) for n in (5, 3)]
    for day, opening, left in ((days[0], 5_000, 3_000), (days[1], 3_000, 3_000)):
        made = await desk.reception("POST", "/tills", {"day": str(day), **({"opening": 5_000} if day == days[0] else {})})
        assert made.json()["opening"] == opening, made.text
        last = await desk.reception("POST", f"/tills/{made.json()['id']}/close", {"counted": opening, "left": left})
        assert last.status_code == 200, last.text
        await desk.reception("GET", "/tills", headers=await desk.reception.seen(last))
    listed = (await desk.reception("GET", f"/tills?dayFrom={days[0]}&dayTo={days[1]}&status=closed")).json()["items"]
    assert [one["day"] for one in listed] == [str(days[1]), str(days[0])]
    sheet = list(csv.DictReader(io.StringIO((await desk.reception("GET", "/tills?format=csv&sort=day")).text)))
    assert {line["day"] for line in sheet} >= {str(day) for day in days}
    assert {line["left"] for line in sheet if line["day"] == str(days[0])} == {"3000"}


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_is_paid_while_it_is_closed_is_either_in_it_or_late(desk: Any) -> None:
    place = (await desk.admin("POST", "/places", {"name": "Zuid"})).json()["id"]
    till = (await desk.reception("POST", "/tills", {"placeId": place, "opening": 0})).json()["id"]
    paid = [pay(desk, 100 + n, place=place) for n in range(8)]
    closing = desk.reception("POST", f"/tills/{till}/close", {"counted": 0, "reason": "Counted in between"})
    *answers, shut = await asyncio.gather(*paid, closing)
    assert shut.status_code == 200, shut.text
    last = max((shut, *(answer for _, answer in answers)), key=lambda one: int(one.headers["x-position"]))
    shown = (await desk.reception("GET", f"/tills/{till}", headers=await desk.reception.seen(last))).json()
    assert shown["expected"] + shown["late"] == sum(100 + n for n in range(8))
    assert shown["cashEntries"] + shown["lateEntries"] == 8


@pytest.mark.asyncio(loop_scope="module")
async def test_another_clinic_sees_none_of_it_and_a_patient_nothing(desk: Any) -> None:
    other = await desk.web.person(await desk.web.clinic(), "admin")
    failure(await other("POST", "/tills", {"placeId": desk.place}), 404, "NOT_FOUND")
    failure(await other("GET", f"/tills/now?placeId={desk.place}"), 404, "NOT_FOUND")
    till = till_of(desk.clinic, None, today_there() - timedelta(5))
    failure(await other("GET", f"/tills/{till}"), 404, "NOT_FOUND")
    failure(await other("POST", f"/tills/{till}/close", {"counted": 0}), 404, "NOT_FOUND")
    assert (await other("GET", "/tills")).json()["items"] == []
    patient = await desk.web.person(desk.clinic, "patient", UUID(desk.patient))
    failure(await patient("GET", "/tills"), 403, "FORBIDDEN")
    failure(await patient("POST", "/tills", {}), 403, "FORBIDDEN")
