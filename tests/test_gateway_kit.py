"""The gateway's verbs, tried through real HTTP on a real database: what they answer, and how they refuse."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import jwt
import msgspec
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from domain.kit import PLATFORM
from gateway.kit import services
from gateway.kit.app import ShortWay
from gateway.kit.tokens import AUDIENCE, ISSUER
from tests.served import PROTECTED, Person, failure, served, until, working

ROOM = {"name": "Room 1", "type": "surgery"}


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


@pytest.fixture
async def admin(web):
    return await web.person(await web.clinic(), "admin")


@pytest.fixture
async def whole(module_database, nats_server):
    """Everything that a read of one's own write needs."""
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


async def test_a_command_answers_with_the_row_its_version_and_its_position(admin):
    answer = await admin("POST", "/rooms", ROOM)
    assert answer.status_code == 201
    room = answer.json()
    assert room == {"id": room["id"], "active": True, "deleted": False, "placeId": None, **ROOM}
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"{PROTECTED}/rooms/{room['id']}"
    changed = await admin("PUT", f"/rooms/{room['id']}", {**ROOM, "name": "Room 2"})
    assert (changed.status_code, changed.json()["name"], changed.headers["etag"]) == (200, "Room 2", '"2"')
    assert int(changed.headers["x-position"]) > int(answer.headers["x-position"])


async def test_a_read_that_sends_the_position_sees_the_change(whole):
    admin = await whole.person(await whole.clinic(), "admin")
    for n in range(20):
        made = await admin("POST", "/staff/create", {"name": f"Sam {n}", "email": f"s{n}@clinic.example", "role": "doctor"})
        read = await admin("GET", f"/staff/{made.json()['id']}", headers=await admin.seen(made))
        assert (read.status_code, read.json()["name"], read.headers["etag"]) == (200, f"Sam {n}", made.headers["etag"])
    same = await admin("GET", f"/staff/{made.json()['id']}", headers={"if-none-match": made.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    listed = await admin("GET", f"/staff?limit=200&position={made.headers['x-position']}")
    assert len(listed.json()["items"]) == 20


async def test_a_position_that_is_not_reached_is_given_up(admin, monkeypatch):
    monkeypatch.setattr(services, "BEHIND_SECONDS", 0.1)
    made = await admin("POST", "/rooms", ROOM)
    answer = await admin("GET", "/rooms", headers=await admin.seen(made))
    failure(answer, 503, "READ_BEHIND")
    assert answer.headers["retry-after"] == "1"
    failure(await admin("GET", "/rooms", headers={"x-position": "soon"}), 400, "QUERY_INVALID")


async def test_the_platform_waits_only_for_partitions_in_which_something_happened(database, monkeypatch):
    monkeypatch.setattr(services, "BEHIND_SECONDS", 0.1)
    async with served(database) as web:
        root, clinic = await web.person(PLATFORM, "superadmin"), await web.clinic()
        admin = await web.person(clinic, "admin")
        made = await admin("POST", "/rooms", ROOM)
        with psycopg.connect(database.url("owner"), autocommit=True) as owner:
            head = int(made.headers["x-position"])
            told = {partition for (partition,) in owner.execute("select distinct partition from stored_events")}
            assert len(told) < 4
            for partition in sorted(told):
                failure(await root("GET", "/admin/users/multi-clinic", headers={"x-position": str(head)}), 503, "READ_BEHIND")
                owner.execute("update projector_tracking set position = %s where grp = 'live' and partition = %s", (head, partition))
        assert (await root("GET", "/admin/users/multi-clinic", headers={"x-position": str(head)})).status_code == 200


async def test_an_etag_pins_a_version(admin):
    room = (await admin("POST", "/rooms", ROOM)).json()["id"]
    change = {**ROOM, "name": "Room 9"}
    failure(await admin("PUT", f"/rooms/{room}", change, headers={"if-match": '"7"'}), 412, "STALE_VERSION")
    failure(await admin("PUT", f"/rooms/{room}", change, headers={"if-match": "seven"}), 400, "QUERY_INVALID")
    assert (await admin("PUT", f"/rooms/{room}", change, headers={"if-match": 'W/"1"'})).status_code == 200
    assert (await admin("PUT", f"/rooms/{room}", ROOM, headers={"if-match": "*"})).status_code == 200


async def test_a_repeated_key_gives_the_same_answer_and_another_body_is_refused(admin):
    first, again = [await admin("POST", "/rooms", ROOM, headers={"idempotency-key": "k1"}) for _ in range(2)]
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    failure(await admin("POST", "/rooms", {**ROOM, "name": "B"}, headers={"idempotency-key": "k1"}), 422, "KEY_REUSED")
    failure(await admin("POST", "/rooms", {**ROOM, "name": "C"}, headers={"idempotency-key": "k" * 256}), 400, "QUERY_INVALID")


@pytest.mark.parametrize(("body", "status", "code", "detail"), [
    (b'{"name": "A",}', 400, "JSON_MALFORMED", {"offset": 13}),
    (b'{"name": "A"', 400, "JSON_MALFORMED", {"offset": 12}),
    (b"\xff\xfe", 400, "JSON_MALFORMED", {"offset": 0}),
    (b'{"name": "\xff"}', 400, "JSON_MALFORMED", {}),
    (b"[]", 400, "BODY_INVALID", {"field": ""}),
    (b"", 400, "BODY_INVALID", {"field": "name"}),
    (b'{"type": "surgery"}', 400, "BODY_INVALID", {"field": "name"}),
    (b'{"name": 5, "type": "surgery"}', 400, "BODY_INVALID", {"field": "name", "problem": "Expected `str`, got `int`"}),
    (b'{"name": "A", "type": "surgery", "colour": "red"}', 400, "BODY_INVALID", {"field": "colour"}),
])
async def test_bad_bodies_get_a_clear_error(admin, body, status, code, detail):
    answer = await admin("POST", "/rooms", content=body, headers={"content-type": "application/json"})
    (details,) = failure(answer, status, code)
    assert details.items() >= detail.items()


async def test_the_field_that_is_wrong_is_named_with_its_path(admin):
    week = {"weeks": [], "doctorId": str(uuid4())}
    (detail,) = failure(await admin("PUT", f"/appointments/doctor-schedules/{uuid4()}", week), 400, "BODY_INVALID")
    assert detail["field"] == "doctorId"
    (detail,) = failure(await admin("POST", "/invoices", {"patientId": str(uuid4()), "lines": [{"quantity": "x"}]}), 400, "BODY_INVALID")
    assert detail["field"].startswith("lines[0]")


async def test_a_body_that_does_not_even_claim_to_be_json(admin):
    answer = await admin("POST", "/rooms", content=b"name=A", headers={"content-type": "application/x-www-form-urlencoded"})
    failure(answer, 415, "BODY_UNEXPECTED")


async def test_a_body_that_is_too_large_is_refused_whole_and_in_pieces(admin):
    failure(await admin("POST", "/rooms", {**ROOM, "name": "x" * (1 << 20)}), 413, "BODY_TOO_LARGE")

    async def pieces():
        for _ in range(40):
            yield b" " * 32768

    failure(await admin("POST", "/rooms", content=pieces()), 413, "BODY_TOO_LARGE")
    assert (await admin("POST", "/rooms", ROOM)).status_code == 201


async def test_addresses_and_methods_that_do_not_exist(admin, web):
    failure(await admin("GET", "/nowhere"), 404, "ADDRESS_UNKNOWN")
    failure(await web.client.get("/nowhere"), 404, "ADDRESS_UNKNOWN")
    answer = await admin("PATCH", "/rooms")
    failure(answer, 405, "METHOD_UNKNOWN")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST"}
    failure(await admin("GET", "/staff/not-an-id"), 404, "ADDRESS_UNKNOWN")


@pytest.mark.parametrize(("query", "code"), [
    ("colour=red", "PARAMETER_UNKNOWN"), ("limit=0", "QUERY_INVALID"), ("limit=201", "QUERY_INVALID"), ("limit=x", "QUERY_INVALID"),
    ("active=perhaps", "QUERY_INVALID"), ("sort=colour", "QUERY_INVALID"), ("cursor=nonsense", "CURSOR_INVALID"),
    ("cursor=WyJuYW1lIiwxXQ", "CURSOR_INVALID"), ("position=x", "QUERY_INVALID"),
])
async def test_bad_queries_are_refused_by_name(admin, query, code):
    details = failure(await admin("GET", f"/rooms?{query}"), 400, code)
    if code == "PARAMETER_UNKNOWN":
        assert details[0]["unknown"] == "colour"
        assert {"active", "limit", "sort"} <= set(details[0]["known"])


async def test_whoever_is_not_signed_in_gets_no_further(web, admin):
    for headers, code in (
        ({}, "SIGN_IN_REQUIRED"), ({"authorization": "Basic eDp5"}, "SIGN_IN_REQUIRED"), ({"authorization": "Bearer x"}, "TOKEN_INVALID"),
        ({"authorization": "Bearer \xff"}, "TOKEN_INVALID"),
    ):
        for path in ("/rooms", "/reports/stats", "/sse/clinic-events"):
            answer = await web.client.get(PROTECTED + path, headers={k: v.encode("latin-1") for k, v in headers.items()})
            failure(answer, 401, code)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    failure(await admin("GET", "/rooms", headers={"authorization": admin.headers["authorization"] + "x"}), 401, "TOKEN_INVALID")


async def test_forged_and_expired_tokens(web, admin):
    said = jwt.decode(admin.session["accessToken"], options={"verify_signature": False})
    assert said["iss"] == ISSUER
    assert said["aud"] == AUDIENCE
    forged = jwt.encode(said, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": web.services.keys.kid})
    failure(await web.client.get(f"{PROTECTED}/rooms", headers={"authorization": f"Bearer {forged}"}), 401, "TOKEN_INVALID")
    unsigned = jwt.encode(said, "", "none", headers={"kid": web.services.keys.kid})
    failure(await web.client.get(f"{PROTECTED}/rooms", headers={"authorization": f"Bearer {unsigned}"}), 401, "TOKEN_INVALID")
    old = web.services.keys.sign(account=admin.id, clinic=uuid4(), role="admin", session=uuid4(), subject=None, now=1)
    failure(await web.client.get(f"{PROTECTED}/rooms", headers={"authorization": f"Bearer {old}"}), 401, "TOKEN_EXPIRED")


async def test_permissions_are_the_commands_and_the_rows(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    receptionist = await web.person(clinic, "receptionist")
    (detail,) = failure(await receptionist("POST", "/rooms", ROOM), 403, "FORBIDDEN")
    assert detail == {"permission": "settings.rooms.manage"}
    failure(await receptionist("GET", "/rooms"), 403, "FORBIDDEN")
    failure(await receptionist("GET", "/reports/financial-summary"), 403, "FORBIDDEN")
    failure(await admin("POST", "/clinics", {"name": "X", "zone": "UTC", "currency": "EUR"}), 403, "FORBIDDEN")


async def test_a_row_goes_only_to_somebody_who_may_see_it(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    hired = (await admin("POST", "/staff/create", {"name": "Dr", "email": "d@clinic.example", "role": "doctor"})).json()["id"]
    doctor = await web.person(clinic, "doctor", UUID(hired))
    block = {"doctorId": hired, "start": "2027-03-01T09:00:00", "end": "2027-03-01T10:00:00", "reason": "Course"}
    answer = await doctor("POST", "/appointments/blocked-times", block)
    assert answer.status_code == 201, answer.text
    history = await doctor("PUT", f"/patients/{await _patient(admin)}/medical", {"allergies": [], "conditions": [], "medications": []})
    assert history.status_code == 200, history.text


async def test_the_ids_of_another_clinic_do_not_exist(web, admin):
    other = await web.person(await web.clinic(), "admin")
    room = (await other("POST", "/rooms", ROOM)).json()["id"]
    patient = await _patient(other)
    failure(await admin("PUT", f"/rooms/{room}", ROOM), 404, "NOT_FOUND")
    failure(await admin("GET", f"/staff/{room}"), 404, "NOT_FOUND")
    failure(await admin("GET", f"/invoices?patientId={patient}"), 404, "NOT_FOUND")
    line = {"description": "Filling", "quantity": 1, "unitPrice": 1000}
    failure(await admin("POST", "/invoices", {"patientId": patient, "lines": [line]}), 404, "NOT_FOUND")
    assert (await other("GET", f"/invoices?patientId={patient}")).json() == {"items": [], "next": None}


async def test_pages_show_every_row_once_whatever_comes_between(whole):
    admin = await whole.person(await whole.clinic(), "admin")
    names = [f"Room {n:02}" for n in range(23)]
    for name in names:
        made = await admin("POST", "/rooms", {**ROOM, "name": name})
    for sort, wanted in (("name", names), ("-name", names[::-1])):
        seen, cursor = [], ""
        while True:
            headers = await admin.seen(made)
            page = (await admin("GET", f"/rooms?limit=5&sort={sort}" + (f"&cursor={cursor}" if cursor else ""), headers=headers)).json()
            seen += [row["name"] for row in page["items"]]
            if not (cursor := page["next"]):
                break
            made = await admin("POST", "/rooms", {**ROOM, "name": "AAA" if sort == "name" else "ZZZ", "type": "imaging"}) if len(seen) == 5 else made
        assert [n for n in seen if n in names] == wanted
    assert len((await admin("GET", "/rooms?type=imaging")).json()["items"]) == 2
    assert len((await admin("GET", "/rooms?type=imaging&type=surgery&limit=200")).json()["items"]) == 25
    failure(await admin("GET", "/rooms?limit=5&sort=-name&cursor=" + (await admin("GET", "/rooms?limit=5")).json()["next"]), 400, "CURSOR_INVALID")


async def test_the_short_way_and_litestars_own_answer_alike(web, admin):
    room = (await admin("POST", "/rooms", ROOM)).json()["id"]
    requests = [
        ("PUT", f"/rooms/{room}", {**ROOM, "name": "Room 5"}), ("GET", "/rooms?limit=1", None), ("GET", "/rooms?colour=red", None),
        ("PUT", f"/rooms/{room}", {"x": 1}), ("PUT", f"/rooms/{uuid4()}", ROOM), ("GET", "/staff/" + str(uuid4()), None),
        ("DELETE", f"/rooms/{room}", None),
    ]
    short = [await admin(*request) for request in requests[:-1]]
    web.app.short = ShortWay()
    long = [await admin(*request) for request in requests]

    def told(answer):
        body = {k: v for k, v in answer.json().items() if k != "requestId"}
        return answer.status_code, body, sorted(h for h in answer.headers if h != "date")

    assert [told(a) for a in short] == [told(a) for a in long[:-1]]
    assert long[-1].status_code == 200


def test_a_parameter_never_takes_an_address_of_its_own():
    short, odd = ShortWay(), object()
    name = SimpleNamespace(name="name", parser=None)
    short.add("GET", ["things", name], "/things/{name}", odd)
    short.add("GET", ["things", name, "parts"], "/things/{name}/parts", odd)
    short.skip("GET", "/things/search")
    assert short.find("GET", "/things/one") == (odd, {"name": "one"})
    assert short.find("GET", "/things/search") is None
    assert short.find("GET", "/things/search/parts") == (odd, {"name": "search"})
    assert short.find("POST", "/things/one") is None
    assert short.find("GET", "/things") is None


async def test_a_request_keeps_its_id_and_what_it_causes_carries_it(web, admin, module_database):
    mine = str(uuid4())
    answer = await admin("POST", "/rooms", ROOM, headers={"x-request-id": mine})
    assert answer.headers["x-request-id"] == mine
    trace = uuid4().hex
    traced = await admin("POST", "/rooms", {**ROOM, "name": "T"}, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    plain = await admin("POST", "/rooms", {**ROOM, "name": "P"})
    wanted = [UUID(mine), UUID(hex=trace), UUID(plain.headers["x-request-id"])]
    with psycopg.connect(module_database.url("owner")) as connection:
        found = [connection.execute(
            "select correlation_id from stored_events where notification_id = %s", [a.headers["x-position"]]).fetchone()[0]
            for a in (answer, traced, plain)]
    assert found == wanted
    odd = await admin("GET", "/nowhere", headers={"x-request-id": "bad id " * 50 + "x"})
    assert UUID(odd.headers["x-request-id"])


async def test_a_change_of_plan_changes_permissions_at_once(web):
    clinic = await web.clinic("Pro")
    doctor, root = await web.person(clinic, "doctor"), await web.person(clinic, "superadmin")
    failure(await doctor("GET", "/analytics/revenue"), 403, "PLAN_UPGRADE_REQUIRED")
    assert (await root("PUT", f"/clinics/{clinic}/subscription", {"plan": "Pro+"})).status_code == 200
    assert (await doctor("GET", "/analytics/revenue")).status_code == 200
    assert (await root("PUT", f"/clinics/{clinic}/subscription", {"plan": "Pro"})).status_code == 200
    failure(await doctor("GET", "/analytics/revenue"), 403, "PLAN_UPGRADE_REQUIRED")


async def test_a_change_of_plan_in_one_process_reaches_the_others(module_database, nats_server):
    async with (
        served(module_database, nats_server) as here, served(module_database, nats_server) as there, working(module_database, nats_server),
    ):
        clinic = await here.clinic("Pro")
        root, doctor = await here.person(clinic, "superadmin"), await here.person(clinic, "doctor")
        elsewhere = Person(there, doctor.session)
        failure(await elsewhere("GET", "/analytics/revenue"), 403, "PLAN_UPGRADE_REQUIRED")
        assert (await root("PUT", f"/clinics/{clinic}/subscription", {"plan": "Pro+"})).status_code == 200

        async def allowed():
            return (await elsewhere("GET", "/analytics/revenue")).status_code == 200

        await until(allowed, 3)


async def test_without_the_database_requests_are_refused_and_later_answered(database):
    async with served(database) as web:
        admin = await web.person(await web.clinic(), "admin")
        with psycopg.connect(database.postgres.superuser_url(), autocommit=True) as root:
            root.execute(f"alter database {database.name} allow_connections false")
            root.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database.name])
            answer = await admin("GET", "/rooms")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert (await web.client.get("/health")).json()["status"] == "down"
            answer = await admin("POST", "/rooms", ROOM)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            root.execute(f"alter database {database.name} allow_connections true")

        async def back():
            return (await admin("GET", "/rooms")).status_code == 200

        await until(back)
        assert (await admin("POST", "/rooms", ROOM)).status_code == 201


async def test_without_nats_reads_and_writes_go_on(whole, nats_server):
    admin = await whole.person(await whole.clinic(), "admin")
    nats_server.stop()

    async def noticed():
        return not whole.services.bus.up

    await until(noticed)
    made = await admin("POST", "/rooms", ROOM)
    assert made.status_code == 201
    read = await admin("GET", "/rooms", headers=await admin.seen(made))
    assert [row["name"] for row in read.json()["items"]] == ["Room 1"]
    health = (await whole.client.get("/health")).json()
    assert (health["status"], health["nats"]) == ("degraded", False)


async def test_health_and_metrics_say_how_it_is(whole):
    admin = await whole.person(await whole.clinic(), "admin")
    made = await admin("POST", "/rooms", ROOM)
    await admin("GET", "/rooms", headers=await admin.seen(made))
    await admin("GET", "/nowhere")

    async def well():
        return (await whole.client.get("/health")).json()["status"] == "ok"

    await until(well)
    text = (await whole.client.get("/metrics")).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines[f'anamnesis_requests_total{{method="POST",route="{PROTECTED}/rooms",status="201"}}'] == "1"
    assert lines[f'anamnesis_request_seconds_count{{method="GET",route="{PROTECTED}/rooms"}}'] == "1"
    assert lines['anamnesis_requests_total{method="GET",route="unrouted",status="404"}'] == "1"
    assert int(lines["anamnesis_head_position"]) >= int(made.headers["x-position"])


async def test_a_bug_tells_nobody_about_our_inside(web, admin, monkeypatch):
    async def broken(*_, **__):
        raise ZeroDivisionError("secret table name")

    monkeypatch.setattr(web.services.reading, "of", broken)
    for path in ("/rooms", "/reports/stats"):
        answer = await admin("GET", path)
        failure(answer, 500, "INTERNAL")
        assert "secret" not in answer.text


async def test_a_row_can_be_asked_for_as_it_was(web, admin):
    before = int((await admin("POST", "/rooms", ROOM)).headers["x-position"])
    made = await admin("POST", "/staff/create", {"name": "Sam", "email": "s@clinic.example", "role": "doctor"})
    sam = made.json()["id"]
    between = datetime.now(UTC)
    await admin("PUT", f"/staff/{sam}", {"name": "Samuel", "email": "s@clinic.example", "role": "doctor"})
    changed = await admin("PUT", f"/staff/{sam}", {"name": "Samuel II", "email": "s@clinic.example", "role": "doctor"})
    positions = int(made.headers["x-position"]), int(changed.headers["x-position"])
    for at, name in (
        (positions[0], "Sam"), (positions[1] - 1, "Samuel"), (positions[1], "Samuel II"), (10**17, "Samuel II"),
        (between.isoformat(), "Sam"), (between.isoformat().replace("+", "%2B"), "Sam"), ("2099-01-01T00:00:00Z", "Samuel II"),
    ):
        read = await admin("GET", f"/staff/{sam}?asOf={at}")
        assert (read.status_code, read.json()["name"]) == (200, name), at
    failure(await admin("GET", f"/staff/{sam}?asOf={before}"), 404, "NOT_FOUND")
    failure(await admin("GET", f"/staff/{sam}?asOf=2001-01-01T00:00:00Z"), 404, "NOT_FOUND")
    for bad in ("yesterday", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "-1"):
        failure(await admin("GET", f"/staff/{sam}?asOf={bad}"), 400, "QUERY_INVALID")
    stranger = await web.person(await web.clinic(), "admin")
    failure(await stranger("GET", f"/staff/{sam}?asOf={positions[0]}"), 404, "NOT_FOUND")
    failure(await admin("GET", f"/rooms?asOf={positions[0]}"), 400, "PARAMETER_UNKNOWN")


async def test_the_past_too_is_only_ones_own(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    ids = [await _patient(admin) for _ in range(2)]
    line = {"description": "Filling", "quantity": 1, "unitPrice": 1000}
    bills = [(await admin("POST", "/invoices", {"patientId": p, "lines": [line]})).json()["id"] for p in ids]
    patient = await web.person(clinic, "patient", UUID(ids[0]))
    assert (await patient("GET", f"/invoices/{bills[0]}?asOf={10**17}")).status_code == 200
    failure(await patient("GET", f"/invoices/{bills[1]}?asOf={10**17}"), 404, "NOT_FOUND")


async def test_spans_go_to_the_collector_and_continue_the_clients_trace(module_database, monkeypatch):
    got: list[dict] = []
    arrived = asyncio.Event()

    async def collect(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length")]
        got.append(msgspec.json.decode(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        arrived.set()

    collector = await asyncio.start_server(collect, "127.0.0.1", 0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.sockets[0].getsockname()[1]}")
    async with served(module_database) as web:
        admin = await web.person(await web.clinic(), "admin")
        trace = uuid4().hex
        await admin("POST", "/rooms", ROOM, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        await asyncio.to_thread(web.services.spans.flush)
        await asyncio.wait_for(arrived.wait(), 5)
    spans = [s for g in got for r in g["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"] if s["traceId"] == trace]
    by_name = {span["name"]: span for span in spans}
    request = by_name[f"POST {PROTECTED}/rooms"]
    assert request["parentSpanId"] == "00f067aa0ba902b7"
    assert by_name["AddRoom"]["parentSpanId"] == request["spanId"]
    collector.close()


async def test_many_at_once_each_get_their_own_answer(web, admin):
    names = [f"Room {n}" for n in range(60)]
    made = await asyncio.gather(*(admin("POST", "/rooms", {**ROOM, "name": name}) for name in names))
    assert [a.json()["name"] for a in made] == names
    ids = [a.headers["x-request-id"] for a in made]
    assert len(set(ids)) == len(ids)


async def _patient(who: Person) -> str:
    answer = await who("POST", "/patients", {"givenName": "Anna", "familyName": "de Vries"})
    assert answer.status_code == 201, answer.text
    patient: str = answer.json()["id"]
    return patient
