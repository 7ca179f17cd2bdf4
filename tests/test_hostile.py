"""What somebody would try who means harm, or whose client is broken: each was possible once."""

import asyncio
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import psycopg
import pytest

from commands.kit.writer import AGAIN, SAVED, NewEvent, Save
from domain.kit import PLATFORM
from domain.kit.bills import LARGEST
from gateway.kit import http
from gateway.kit.proxies import Proxies
from projections.kit.tracking import HEALTH
from tests.served import PASSWORD, PROTECTED, Person, failure, served, until, working

HOSTILE_DEPTH = 100_000


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


@pytest.fixture
async def admin(web):
    return await web.person(await web.clinic(), "admin")


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


@asynccontextmanager
async def another(web, database, nats=None):
    """A second gateway on the same clinics."""
    async with served(database, nats) as other:
        yield lambda person: Person(other, person.session)


async def billed(admin, prices):
    """Issue one invoice for each price."""
    patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
    body = {"patientId": patient, "issue": True}
    made = [await admin("POST", "/invoices", {**body, "lines": [{"description": "Check-up", "unitPrice": price}]}) for price in prices]
    assert [answer.status_code for answer in made] == [201] * len(prices), made[0].text
    return [answer.json() for answer in made]


async def hired(admin, role):
    answer = await admin("POST", "/staff/create", {"name": "Sam", "email": "sam@clinic.example", "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_key_used_for_another_thing_is_refused_and_not_answered_with_the_first(admin):
    first, second = await billed(admin, [1000, 1000])
    payment, once = {"amount": 100, "method": "card"}, {"idempotency-key": "desk-7"}
    paid = await admin("POST", f"/invoices/{first['id']}/payments", payment, headers=once)
    assert paid.json()["paid"] == 100
    failure(await admin("POST", f"/invoices/{second['id']}/payments", payment, headers=once), 422, "KEY_REUSED")
    again = await admin("POST", f"/invoices/{first['id']}/payments", payment, headers=once)
    assert (again.status_code, again.headers["idempotency-replayed"], again.json()) == (200, "true", paid.json())


async def test_a_key_used_with_another_query_is_refused(admin):
    (invoice,) = await billed(admin, [1000])
    once = {"idempotency-key": "desk-8"}
    voided = await admin("DELETE", f"/invoices/{invoice['id']}?reason=Twice", headers=once)
    assert voided.json()["status"] == "void", voided.text
    failure(await admin("DELETE", f"/invoices/{invoice['id']}?reason=Other", headers=once), 422, "KEY_REUSED")


@pytest.mark.parametrize("connected", [True, False], ids=["with NATS", "without NATS"])
async def test_whoever_is_removed_is_out_at_once_at_every_gateway(module_database, nats_server, connected):
    nats = nats_server if connected else None
    async with served(module_database, nats) as web, served(module_database, nats) as other:
        admin = await web.person(await web.clinic(), "admin")
        clinic, doctor = admin.session["user"]["clinicId"], await hired(admin, "doctor")
        email = await web.account(clinic, "doctor", doctor)
        here = Person(web, (await web.sign_in(email)).json())
        there = Person(other, here.session)
        patient = {"givenName": "Noor", "familyName": "Bakker"}
        assert [(await p("POST", "/patients", patient)).status_code for p in (here, there)] == [201, 201]
        assert (await admin("DELETE", f"/staff/{doctor}")).status_code == 200

        async def out():
            return (await there("POST", "/patients", patient)).status_code == 403

        async with working(module_database, nats_server):
            await until(out, 3)
        failure(await here("POST", "/patients", patient), 403, "USER_INACTIVE")
        failure(await web.sign_in(email), 403, "USER_INACTIVE")
        refreshed = await web.client.post("/api/v1/auth/refresh", json={"refreshToken": here.session["refreshToken"]})
        failure(refreshed, 403, "USER_INACTIVE")
        assert (await admin("POST", f"/staff/{doctor}/reactivate")).status_code == 200
        assert (await web.sign_in(email)).status_code == 200


async def test_whoever_gets_another_role_loses_the_grants_of_the_first(web, admin):
    doctor = await hired(admin, "doctor")
    person = await web.person(admin.session["user"]["clinicId"], "doctor", doctor)
    hours = {"doctorId": doctor, "week": [[]] * 7}
    assert (await person("PUT", f"/appointments/doctor-schedules/{doctor}", hours)).status_code == 200
    changed = await admin("PUT", f"/staff/{doctor}", {"name": "Sam", "email": "sam@clinic.example", "role": "receptionist"})
    assert changed.status_code == 200
    details = failure(await person("PUT", f"/appointments/doctor-schedules/{doctor}", hours), 403, "FORBIDDEN")
    assert details == [{"permission": "appointments.block_time"}]


async def test_the_event_stream_of_whoever_is_removed_ends(whole):
    admin = await whole.person(await whole.clinic(), "admin")
    doctor = await hired(admin, "doctor")
    person = await whole.person(admin.session["user"]["clinicId"], "doctor", doctor)
    async with asyncio.timeout(10):
        async with whole.client.stream("GET", PROTECTED + "/sse/clinic-events", headers=person.headers) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            assert (await admin("DELETE", f"/staff/{doctor}")).status_code == 200
            assert [line async for line in lines], "the stream ended by itself"


async def test_deep_nesting_is_a_bad_request(web, admin):
    deep = b"[" * HOSTILE_DEPTH + b"]" * HOSTILE_DEPTH
    media = {"content-type": "application/json"}
    failure(await web.client.post("/api/v1/auth/signin", content=b'{"email":' + deep + b"}", headers=media), 400, "BODY_INVALID")
    doctor = await hired(admin, "doctor")
    failure(await admin("PUT", f"/appointments/doctor-schedules/{doctor}", content=b'{"week":' + deep + b"}"), 400, "BODY_INVALID")


async def test_queries_that_make_no_sense_are_refused(admin):
    twice = "/invoices?dueOnFrom=2026-01-01&dueOnFrom=2026-02-01"
    for query in (twice, "/invoices?number=%00", "/patients/search?q=a%00", "/audit-logs?action=%00"):
        failure(await admin("GET", query), 400, "QUERY_INVALID")


async def test_the_audit_log_can_be_asked_for_the_ends_of_the_calendar(admin):
    for query in ("to=9999-12-31", "date=9999-12-31", "from=0001-01-01", "date=0001-01-01", "from=0001-01-01&to=9999-12-31"):
        answer = await admin("GET", f"/audit-logs?{query}")
        assert answer.status_code == 200, (query, answer.text)


async def test_a_position_that_nobody_was_given_is_not_waited_for(web, admin):
    async with asyncio.timeout(2):
        answers = await asyncio.gather(*(admin("GET", "/rooms", headers={"x-position": "999999999999999999"}) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    failure(answers[0], 503, "READ_BEHIND")
    assert not web.services.watermarks.waiters, "nobody is left waiting"


async def test_bad_cursors_leave_nothing_behind_in_the_database(web, admin, module_database):
    await admin("POST", "/rooms", {"name": "Room 1"})
    cursor = "WyJuYW1lIixmYWxzZSwiYSIsIm5vIGlkIl0"  # ["name",false,"a","no id"]
    lanes = web.services.reading.lanes
    for _ in range(60):
        failure(await admin("GET", f"/rooms?cursor={cursor}"), 400, "CURSOR_INVALID")
    prepared = max([(await lanes.ask(None, "select count(*) from pg_prepared_statements")).rows[0][0] for _ in range(8)])
    assert prepared < 40, "each refusal prepared the statement anew"


async def test_a_token_is_remembered_in_spellings_of_bounded_length(web, admin):
    token = admin.headers["authorization"].removeprefix("Bearer ")
    answer = await web.client.get(PROTECTED + "/rooms", headers={"authorization": f"Bearer {' ' * 3000}{token}"})
    failure(answer, 401, "TOKEN_INVALID")


async def test_guessing_from_elsewhere_locks_nobody_out(web):
    email = await web.account(await web.clinic(), "admin")
    forwarded = Proxies("127.0.0.1")
    web.services.proxies, before = forwarded, web.services.proxies

    async def guess(address, password="wrong"):  # noqa: S107
        body = {"email": email, "password": password}
        return (await web.client.post("/api/v1/auth/signin", json=body, headers={"x-forwarded-for": address})).status_code

    assert [await guess("192.0.2.1") for _ in range(11)] == [401] * 10 + [423]
    assert await guess("198.51.100.7", PASSWORD) == 200, "who knows the password comes in from elsewhere"
    assert await guess("192.0.2.1") == 423, "which gives the guesser no fresh ten"
    for n in range(2, 11):
        assert [await guess(f"192.0.2.{n}") for _ in range(10)] == [401] * 10
    assert await guess("192.0.2.99") == 423, "and a hundred are enough, wherever they come from"
    web.services.proxies = before



async def test_insisting_on_a_version_suffers_from_nobody_elses_changes(web, admin, module_database):
    patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
    body = {"patientId": patient, "lines": [{"description": "Check-up", "unitPrice": 1000}]}
    drafts = [(await admin("POST", "/invoices", body)).json()["id"] for _ in range(40)]
    async with served(module_database) as other:
        desks = [admin, Person(other, admin.session)]
        issues = (desks[n % 2]("POST", f"/invoices/{draft}/issue", {}, headers={"if-match": '"1"'}) for n, draft in enumerate(drafts))
        issued = await asyncio.gather(*issues)
    assert [answer.status_code for answer in issued] == [200] * len(drafts), "all drew their numbers from one series; no draft had changed"
    assert sorted(int(answer.json()["number"][-6:]) for answer in issued) == list(range(1, len(drafts) + 1))


async def test_a_database_that_falls_silent_is_not_waited_for(web, admin, module_database):
    once = {"idempotency-key": "silent"}
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        owner.execute("select pg_advisory_lock(7020041)")  # the append function waits for this lock, and we for its answer
        async with asyncio.timeout(9):
            refused = await admin("POST", "/rooms", {"name": "Silent"}, headers=once)
        failure(refused, 503, "UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"
        owner.execute("select pg_advisory_unlock(7020041)")
    assert (await admin("POST", "/rooms", {"name": "Silent"}, headers=once)).status_code == 201
    failure(await admin("POST", "/rooms", {"name": "Silent"}), 409, "NAME_TAKEN")


async def test_sums_of_the_largest_invoices_fit_their_columns(admin):
    assert 900_000 * LARGEST < 2**63
    patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
    line = {"description": "Check-up", "quantity": 9007, "unitPrice": 10**12}
    failure(await admin("POST", "/invoices", {"patientId": patient, "lines": [line]}), 400, "INVOICE_TOO_LARGE")


async def test_an_endless_head_is_cut_off(web):
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\nx: ")
    said = b"too long"  # or nothing at all, where the connection is gone before that is read
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            for _ in range(100):
                writer.write(b"a" * 65_536)
                await writer.drain()
            said = await reader.read()
    assert b"too long" in said
    writer.close()
    assert (await web.client.get("/health")).status_code in {200, 503}


async def test_a_head_that_never_ends_is_not_waited_for(web, monkeypatch):
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)
    for said in (b"", b"GET /health HTTP/1.1\r\nhost:"):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(said)
        async with asyncio.timeout(3):
            assert await reader.read() == b""
        writer.close()


async def test_one_key_twice_in_a_batch_does_not_refuse_the_batch(web):
    writer, clinic, command = web.services.handler.writer, uuid4(), uuid4()

    def save(this):
        stream = uuid4()
        event = NewEvent(stream, 1, "RoomDeleted", "rooms", uuid4(), None, b"", b"{}")
        return Save(command=this, clinic=clinic, actor=clinic, correlation=this, events=[event], expected=[(stream, 0, 1)])

    flushes = writer.flushes
    outcomes = await asyncio.gather(*(writer.put(save(this)) for this in (command, uuid4(), command)))
    assert [outcome.status for outcome in outcomes] == [SAVED, SAVED, AGAIN]
    assert writer.flushes == flushes + 1


async def test_that_nothing_needs_doing_is_not_said_from_memory(module_database):
    async with served(module_database) as web, served(module_database) as other:
        clinic = await web.clinic("Pro")
        root = await web.person(PLATFORM, "superadmin")
        rooted = Person(other, root.session)
        for n, (desk, plan) in enumerate(((root, "Pro+"), (rooted, "Enterprise"), (root, "Pro+"), (rooted, "Enterprise")), 2):
            changed = await desk("PUT", f"/clinics/{clinic}/subscription", {"plan": plan})
            assert (changed.status_code, changed.json().get("plan"), changed.headers["etag"]) == (200, plan, f'"{n}"')


async def test_a_body_that_ends_early_changes_nothing(web, admin):
    (invoice,) = await billed(admin, [1000])
    _, writer = await asyncio.open_connection("127.0.0.1", web.port)
    head = f"POST {PROTECTED}/invoices/{invoice['id']}/mark-paid HTTP/1.1\r\nhost: x\r\nauthorization: {admin.headers['authorization']}\r\n"
    writer.write(f"{head}content-length: 400\r\n\r\n".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async def settled():
        series = web.services.metrics.route("POST", "/api/v1/protected/invoices/{id}/mark-paid")
        return sum(series.statuses.values())

    await until(settled)
    paid = await admin("POST", f"/invoices/{invoice['id']}/payments", {"amount": 1000, "method": "card"})
    assert (paid.status_code, paid.json()["due"]) == (200, 0)


async def test_an_idle_installation_is_healthy_when_something_happens(whole, module_database):
    admin = await whole.person(await whole.clinic(), "admin")
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        await until(_level(owner))
        owner.execute("update projector_tracking set current_at = clock_timestamp() - interval '1 hour'")  # as after an hour in which nothing happened

        async def seen_level():
            return all(line[0] for line in owner.execute("select current_at > clock_timestamp() - interval '5 seconds' from projector_tracking"))

        await until(seen_level, 5)
    made = await admin("POST", "/rooms", {"name": "Room"})
    assert made.status_code == 201
    health = (await whole.client.get("/health")).json()
    assert max(p["stalledSeconds"] for p in health["partitions"]) < 10, health


def _level(owner):
    async def level():
        return all(line[3] == 0 for line in owner.execute(HEALTH, ("live",)))

    return level
