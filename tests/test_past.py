"""What was, equals what history says: each single row and each list, at every position; and the past is no way around a wall."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from litestar import Litestar

from domain.kit import PLATFORM
from gateway.app import BASE, MODULES
from gateway.kit.app import desk
from gateway.kit.routes import FetchRoute
from projections import calendar, invoices
from projections.activity import ENTITIES, Asked, Sight, timeline
from projections.charts import Parts, chart_then
from projections.kit import PROJECTIONS
from projections.kit.past import parts, pasts, position_at
from projections.kit.reading import Wanted
from schemas.patients import MedicalHistoryRow
from tests.history import START
from tests.lives import DAYS, Lives
from tests.remembering import reading
from tests.served import failure


@pytest.fixture(scope="module")
def lives(make_database) -> Lives:
    return Lives(make_database())


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


async def test_every_single_row_at_every_position_is_the_fold_of_the_prefix(lives):
    alive = [p for p in PROJECTIONS.values() if p.key is None and p.topics & {type(fact.event).__name__ for fact in lives.facts}]
    compared = 0
    for clinic in lives.clinics[:1]:
        streams = {fact.id for fact in lives.of(clinic)}
        async with reading(lives.database, clinic) as reader:
            for position, rows in lives.prefixes[clinic]:
                for projection in alive:
                    found = await pasts(reader, lives.ring, projection, streams, position)
                    assert {id_: past.row for id_, past in found.items()} == {key[0]: row for key, row in rows[projection.name].items()}, (projection.name, position)
                    compared += len(found)
    assert compared > 500


async def test_payments_at_every_position_are_the_fold_of_the_prefix(lives):
    clinic = lives.clinics[0]
    bills = {fact.id for fact in lives.of(clinic) if fact.kind == "invoices"}
    async with reading(lives.database, clinic) as reader:
        for position, rows in lives.prefixes[clinic]:
            found = [row for bill in bills for row in await parts(reader, lives.ring, PROJECTIONS["payments"], bill, position)]
            assert {row.id: row for row in found} == {key[0]: row for key, row in rows["payments"].items()}


def drawn(rows: dict[str, Any], first: date, last: date, doctor_: UUID | None) -> Any:
    """Draw the calendar from rows, as somebody would who has them on paper."""

    def name(kind: str, id_: UUID | None) -> str | None:
        row = rows[kind].get((id_,))
        return row and (" ".join(filter(None, [row.given_name, row.family_name])) or None if kind == "patients" else row.name)

    visits = [
        {**plain(row), "patientName": name("patients", row.patient_id), "doctorName": name("staff", row.doctor_id), "roomName": name("rooms", row.room_id)}
        for row in sorted(rows["calendar"].values(), key=lambda row: (row.date, row.starts_at, row.id))
        if first <= row.date <= last and doctor_ in {None, row.doctor_id}]
    shut = [
        {**plain(row), "doctorName": name("staff", row.doctor_id), "roomName": name("rooms", row.room_id)}
        for row in sorted(rows["blocks"].values(), key=lambda row: (row.date, row.starts_at, row.id))
        if row.last_date >= first and row.date <= last and doctor_ in {None, row.doctor_id}]
    return {"appointments": visits, "blocks": shut, "groupSessions": []}  # nobody of these lives takes a course


async def test_the_calendar_at_every_position_is_drawn_from_the_fold_of_the_prefix(lives):
    shown = 0
    for clinic in lives.clinics:
        doctors = [fact.id for fact in lives.of(clinic, "StaffHired")]
        async with reading(lives.database, clinic) as reader:
            for position, rows in lives.prefixes[clinic]:
                for first, last, whose in ((DAYS[0], DAYS[-1], None), (DAYS[1], DAYS[1], None), (DAYS[0], DAYS[2], doctors[0])):
                    told_ = await calendar.week_then(reader, lives.ring, first, last, {"doctor_id": whose} if whose else {}, position)
                    assert msgspec.json.decode(told_) == drawn(rows, first, last, whose), position
                    shown += len(drawn(rows, first, last, whose)["appointments"])
    assert shown > 300


async def leafed(reader: Any, ring: Any, wanted: Wanted, position: int) -> list[Any]:
    """Leaf through all pages."""
    found: list[Any] = []
    while True:
        page = await invoices.page_then(reader, ring, wanted, position)
        found += msgspec.json.decode(page.items)
        assert len(msgspec.json.decode(page.items)) <= wanted.limit
        if page.next is None:
            return found
        wanted = wanted._replace(cursor=page.next)


async def test_the_invoices_at_every_position_are_those_of_the_fold_of_the_prefix(lives):
    listed = 0
    for clinic in lives.clinics:
        owners = [fact.id for fact in lives.of(clinic, "PatientRegistered")]
        number = lives.of(clinic, "InvoiceIssued")[0].event.number
        asked: list[tuple[tuple[Any, ...], Any]] = [
            ((), lambda _: True),
            ((("patient_id", "=", owners[0]),), lambda row, one=owners[0]: row.patient_id == one),
            ((("patient_id", "any", owners[:2]), ("status", "=", "issued")), lambda row, some_=tuple(owners[:2]): row.patient_id in some_ and row.status == "issued"),
            ((("status", "any", ["draft", "void"]),), lambda row: row.status in {"draft", "void"}),
            ((("number", "=", number),), lambda row, one=number: row.number == one),
            ((("issued_on", ">=", DAYS[1]), ("issued_on", "<=", DAYS[2])), lambda row: row.issued_on is not None and DAYS[1] <= row.issued_on <= DAYS[2]),
        ]
        async with reading(lives.database, clinic) as reader:
            for position, rows in lives.prefixes[clinic]:
                for conditions, wanted in asked:
                    for descending in (True, False):
                        found = await leafed(reader, lives.ring, Wanted(conditions, "created_at", descending=descending, limit=2), position)
                        expected = sorted((row for row in rows["invoices"].values() if wanted(row)), key=lambda row: row.created_at, reverse=descending)
                        assert found == plain(expected), (position, conditions)
                        listed += len(found)
    assert listed > 500


async def test_a_page_of_the_past_that_has_looked_at_enough_ends_and_the_next_goes_on(lives, monkeypatch):
    clinic, position = lives.clinics[0], lives.facts[-1].position
    monkeypatch.setattr(invoices, "PORTION", 1)
    monkeypatch.setattr(invoices, "MOST_THEN", 2)
    number = lives.of(clinic, "InvoiceIssued")[0].event.number
    async with reading(lives.database, clinic) as reader:
        wanted = Wanted((("number", "=", number),), "created_at", descending=True, limit=50)
        assert (await invoices.page_then(reader, lives.ring, wanted, position)).next is not None
        assert [row["number"] for row in await leafed(reader, lives.ring, wanted, position)] == [number]


async def test_a_chart_at_every_position_is_put_together_from_the_fold_of_the_prefix(lives):
    seen = 0
    for clinic in lives.clinics:
        async with reading(lives.database, clinic) as reader:
            for position, rows in lives.prefixes[clinic]:
                for (whose,), row in rows["patients"].items():
                    chart = await chart_then(reader, lives.ring, whose, Parts(medical=True, appointments={}, invoices={}), position)
                    visits = [one for one in rows["appointments"].values() if one.patient_id == whose]
                    bills = [one for one in rows["invoices"].values() if one.patient_id == whose]
                    assert chart.patient == row
                    assert chart.medical_history == rows["medical_histories"].get((whose,))
                    assert chart.appointments == sorted(visits, key=lambda one: (one.starts_at, one.id), reverse=True)
                    assert chart.invoices == sorted(bills, key=lambda one: one.created_at, reverse=True)
                    seen += len(visits) + len(bills)
    assert seen > 100


async def test_an_instant_means_the_clinics_last_position_by_then(lives):
    clinic = lives.clinics[1]
    async with reading(lives.database, clinic) as reader:
        mine = lives.of(clinic)
        for fact, following in zip(mine, [*mine[1:], None], strict=True):
            assert fact.position <= await position_at(reader, fact.recorded_at) < (following.position if following else 10**9)
            assert await position_at(reader, fact.recorded_at - timedelta(microseconds=1)) < fact.position
        assert await position_at(reader, START - timedelta(days=1)) < mine[0].position
        assert await position_at(reader, 10**17) == lives.history.head
        assert await position_at(reader, 5) == 5


async def test_each_step_of_a_timeline_leads_from_one_state_to_the_next(lives):
    """What a step says of before and after are the fields in which the states around it differ."""
    walked = 0
    for clinic in lives.clinics:
        async with reading(lives.database, clinic) as reader:
            for kind, beside in (("patients", "medical_histories"), ("appointments", ""), ("invoices", ""), ("rooms", ""), ("staff", ""), ("blocks", "")):
                tables = [name for name in (kind, beside) if name]
                sight = Sight(beside=frozenset([MedicalHistoryRow]))
                for stream in {fact.id for fact in lives.of(clinic) if fact.kind == kind}:
                    told = (await timeline(reader, lives.ring, ENTITIES[kind], stream, Asked(200), sight)).items[::-1]
                    states: list[dict[str, Any]] = [{}]
                    for position, rows in lives.prefixes[clinic]:
                        if position in {step.seq for step in told}:
                            fields = [plain(rows[name].get((stream,))) or {} for name in tables]
                            states.append({name: value for row in fields for name, value in row.items() if name != "version"})
                    assert len(told) == len(states) - 1
                    for step, was, now in zip(told, states, states[1:], strict=False):
                        assert plain(step.before) == {name: value for name, value in was.items() if now.get(name, step) != value}
                        assert plain(step.after) == {name: value for name, value in now.items() if was.get(name, step) != value}
                        walked += 1
    assert walked > 80


# through the doors


TABLES_BESIDE_HISTORY = {"LetterRow", "PlatformLetterRow", "WebhookDeliveryDetail", "RebuildRow", "CreditNoteRow", "BookingDeposit"}  # these two are parts of their invoice's and their appointment's history


def test_every_single_thing_that_history_tells_of_can_be_asked_for_as_it_was():
    served_ = Litestar([*BASE, *MODULES], dependencies={"desk": desk}, openapi_config=None, logging_config=None).routes
    routes = [handler.opt.get("route") for route in served_ for handler in getattr(route, "route_handlers", ())]
    single = {route.row.__name__: route.past for route in routes if isinstance(route, FetchRoute)}
    assert len(single) > 10
    assert {name for name, past in single.items() if past is None} == TABLES_BESIDE_HISTORY


async def ok(answer: Any) -> Any:
    assert answer.status_code < 300, answer.text
    return answer


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_seen_after_each_change_is_what_is_seen_of_that_moment_later(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    noor = (await ok(await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"}))).json()["id"]
    berg = (await ok(await boss("POST", "/staff/create", {"name": "Dr Berg", "email": "b@clinic.example", "role": "doctor"}))).json()["id"]
    garden = (await ok(await boss("POST", "/rooms", {"name": "Room 1", "type": "operatory"}))).json()["id"]
    hours = [{"start": "08:00", "end": "18:00"}]
    await ok(await boss("PUT", f"/appointments/doctor-schedules/{berg}", {"week": [hours] * 7, "slotMinutes": 30}))
    day = (datetime.now(UTC) + timedelta(days=3)).date()
    when = {"patientId": noor, "doctorId": berg, "type": "check-up", "duration": 30}
    made = (await ok(await boss("POST", "/appointments", {**when, "start": f"{day}T10:00:00", "roomId": garden, "notes": "anxious"}))).json()["id"]
    bill = {"patientId": noor, "lines": [{"description": "Filling", "quantity": 1, "unitPrice": 1000}], "notes": "For Noor"}
    first = (await ok(await boss("POST", "/invoices", bill))).json()["id"]
    other = (await ok(await boss("POST", "/invoices", bill))).json()["id"]
    reads = [
        f"/patients/{noor}", f"/patients/{noor}/medical", f"/patients/{noor}/chart", f"/staff/{berg}", f"/staff/{berg}/permissions", f"/appointments/{made}",
        f"/invoices/{first}", f"/invoices/{first}/payments", f"/invoices/{other}", "/invoices", f"/invoices?patientId={noor}", "/invoices?status=draft&limit=1",
        f"/appointments/calendar?from={day}&to={day}", f"/appointments/calendar?from={day}&to={day + timedelta(days=9)}&doctorId={berg}",
        f"/clinics/{clinic}", f"/clinics/{clinic}/retention",
    ]
    changes: list[tuple[str, str, Any]] = [
        ("PUT", f"/patients/{noor}", {"givenName": "Noor", "familyName": "de Vries"}),
        ("PUT", f"/patients/{noor}/medical", {"allergies": [{"name": "Latex"}], "conditions": [], "medications": []}),
        ("PUT", f"/appointments/{made}", {"doctorId": berg, "type": "check-up", "duration": 30, "start": f"{day + timedelta(days=1)}T11:00:00", "notes": "moved"}),
        ("PUT", f"/staff/{berg}", {"name": "Dr van den Berg", "email": "b@clinic.example", "role": "doctor"}),
        ("PUT", f"/staff/{berg}/permissions", {"permissions": {"patients.delete": True}}),
        ("POST", f"/invoices/{first}/issue", {}),
        ("POST", f"/invoices/{first}/payments", {"amount": 400, "method": "cash"}),
        ("PUT", f"/clinics/{clinic}/retention", {"periods": {"invoices": 25}}),
        ("PUT", f"/rooms/{garden}", {"name": "Garden", "type": "operatory"}),
        ("DELETE", f"/invoices/{other}", None),
        ("DELETE", f"/appointments/{made}", None),
        ("DELETE", f"/patients/{noor}", None),
    ]
    seen: dict[str, dict[str, Any]] = {}
    for method, path, body in changes:
        position = (await ok(await boss(method, path, body))).headers["x-position"]
        seen[position] = {read: await boss("GET", read, headers={"x-position": position}) for read in reads}
    assert len(seen) == len(changes)
    for position, answers in seen.items():
        for read, answer in answers.items():
            then = await boss("GET", f"{read}{'&' if '?' in read else '?'}asOf={position}")
            assert then.status_code == answer.status_code, (read, position, then.text)
            if answer.status_code == 200:
                assert without_cursor(then.json()) == without_cursor(answer.json()), (read, position)
            else:
                assert answer.status_code == 404
    names = {entry["patientName"] for at in seen.values() for entry in at[reads[12]].json()["appointments"] + at[reads[13]].json()["appointments"]}
    assert names == {"Noor de Vries"}
    assert {len(at["/invoices"].json()["items"]) for at in seen.values()} == {1, 2}


def without_cursor(answer: Any) -> Any:
    return {**answer, "next": answer["next"] is not None} if "next" in answer else answer


@pytest.mark.asyncio(loop_scope="module")
async def test_the_past_keeps_todays_walls(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    ids = [(await ok(await boss("POST", "/patients", {"givenName": name, "familyName": "Jansen"}))).json()["id"] for name in ("Noor", "Joris")]
    bill = {"lines": [{"description": "Filling", "quantity": 1, "unitPrice": 1000}], "notes": "A secret"}
    last = ""
    for id_ in ids:
        last = (await ok(await boss("POST", "/invoices", {**bill, "patientId": id_}))).headers["x-position"]
    then = {"asOf": last}

    noor = await web.person(clinic, "patient", UUID(ids[0]))
    assert [one["patientId"] for one in (await ok(await noor("GET", "/invoices", params=then))).json()["items"]] == [ids[0]]
    failure(await noor("GET", f"/patients/{ids[1]}/chart", params=then), 404, "NOT_FOUND")
    mine = (await ok(await noor("GET", f"/patients/{ids[0]}/chart", params=then))).json()
    assert (mine["medicalHistory"], len(mine["invoices"])) == (None, 1)

    rik = (await ok(await boss("POST", "/staff/create", {"name": "Rik", "email": "r@clinic.example", "role": "receptionist"}))).json()["id"]
    desk = await web.person(clinic, "receptionist", UUID(rik))
    await ok(await boss("PUT", f"/staff/{rik}/permissions", {"permissions": {"patients.view_medical_history": False}}))
    for asked in ({}, then):
        part = (await ok(await desk("GET", f"/patients/{ids[0]}/chart", params=asked))).json()
        assert (part["patient"]["givenName"], part["medicalHistory"], len(part["invoices"]), part["appointments"]) == ("Noor", None, 1, [])
    failure(await desk("GET", f"/patients/{ids[0]}/medical", params=then), 403, "FORBIDDEN")
    await ok(await desk("POST", f"/patients/{ids[0]}/break-glass", {"reason": "Found unconscious"}))
    assert (await ok(await desk("GET", f"/patients/{ids[0]}/chart", params=then))).json()["medicalHistory"]["allergies"] == []
    looks = (await boss("GET", "/audit-logs/reads", params={"patient": ids[0]})).json()["items"]
    assert {(look["what"], look["emergency"]) for look in looks if look["actor"] == str(desk.id)} == {("chart", False), ("chart", True)}

    stranger = await web.person(await web.clinic(), "admin")
    failure(await stranger("GET", f"/patients/{ids[0]}/chart", params=then), 404, "NOT_FOUND")
    assert (await ok(await stranger("GET", "/invoices", params=then))).json() == {"items": [], "next": None}

    ask = {"personId": ids[1], "reason": "He asked", "despiteRetention": True}
    await ok(await boss("POST", "/privacy/erasures", ask))
    gone = (await ok(await boss("GET", f"/patients/{ids[1]}/chart", params=then))).json()
    assert (gone["patient"]["givenName"], gone["invoices"][0]["notes"], gone["invoices"][0]["total"]) == (None, None, 1000)
    assert {one["notes"] for one in (await ok(await boss("GET", "/invoices", params=then))).json()["items"]} == {None, "A secret"}

    for path in ("/invoices", f"/patients/{ids[0]}/chart", "/appointments/calendar?from=2026-01-01&to=2026-01-02"):
        failure(await boss("GET", f"{path}{'&' if '?' in path else '?'}asOf=yesterday"), 400, "QUERY_INVALID")
    failure(await boss("GET", "/invoices", params={**then, "cursor": "nonsense"}), 400, "CURSOR_INVALID")
    before = (await ok(await boss("GET", "/invoices", params={"asOf": "2001-01-01T00:00:00Z"}))).json()
    assert before == {"items": [], "next": None}
    assert len((await ok(await boss("GET", "/invoices", params={"asOf": 10**17}))).json()["items"]) == 2
    looks = (await boss("GET", "/audit-logs/reads", params={"patient": ids[1]})).json()["items"]
    assert ("chart", str(boss.id)) in {(look["what"], look["actor"]) for look in looks}


@pytest.mark.asyncio(loop_scope="module")
async def test_the_platforms_people_ask_the_past_of_what_they_see(web):
    clinic = await web.clinic()
    boss, root = await web.person(clinic, "admin"), await web.person(PLATFORM, "superadmin")
    before = (await ok(await boss("PUT", f"/clinics/{clinic}", {"name": "Singel"}))).headers["x-position"]
    after = (await ok(await boss("PUT", f"/clinics/{clinic}", {"name": "Herengracht"}))).headers["x-position"]
    assert [(await ok(await root("GET", f"/clinics/{clinic}", params={"asOf": at}))).json()["name"] for at in (before, after)] == ["Singel", "Herengracht"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_timeline_tells_by_whom_because_of_what_and_what_came_with_it(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    request = str(uuid4())
    noor = (await ok(await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"}, headers={"x-request-id": request}))).json()["id"]
    bill = {"patientId": noor, "issue": True, "lines": [{"description": "Filling", "quantity": 1, "unitPrice": 1000}]}
    invoice = (await ok(await boss("POST", "/invoices", bill, headers={"x-request-id": request}))).json()["id"]
    ill = {"allergies": [{"name": "Latex"}], "conditions": [], "medications": []}
    last = await ok(await boss("PUT", f"/patients/{noor}/medical", ill))
    seen = {"x-position": last.headers["x-position"]}

    changed, made = (await ok(await boss("GET", f"/activity/patients/{noor}", headers=seen))).json()["items"]
    assert (changed["action"], changed["changes"]) == ("MedicalHistoryAmended", {})
    assert (changed["before"]["allergies"], changed["after"]["allergies"][0]["name"]) == ([], "Latex")
    assert (made["before"], made["after"]["familyName"], made["actor"]) == ({}, "Jansen", str(boss.id))
    assert (made["cause"]["correlationId"], made["cause"]["event"]) == (request, None)
    assert {other["action"] for other in made["related"]} == {"InvoiceDrafted", "NumberAllotted", "InvoiceIssued"}
    assert changed["related"] == []
    steps = (await ok(await boss("GET", f"/activity/invoices/{invoice}"))).json()["items"]
    assert [(step["action"], step["before"].get("status"), step["after"].get("status")) for step in steps] == [("InvoiceIssued", "draft", "issued"), ("InvoiceDrafted", None, "draft")]
    narrowed = (await ok(await boss("GET", f"/activity/invoices/{invoice}", params={"action": "InvoiceIssued", "user": str(boss.id)}))).json()["items"]
    assert narrowed == steps[:1]
    caused = (await ok(await boss("GET", "/audit-logs", params={"correlationId": request}))).json()["items"]
    assert {line["action"] for line in caused} == {"InvoiceIssued", "NumberAllotted", "InvoiceDrafted", "PatientRegistered"}

    patient = await web.person(clinic, "patient", UUID(noor))
    own = (await ok(await patient("GET", f"/activity/patients/{noor}"))).json()["items"]
    assert [step["related"] for step in own] == [[], []]
    assert all("allergies" not in step["after"] for step in own)
