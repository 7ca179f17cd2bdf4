"""The event stream: nothing lost, nothing twice, nothing that is not for these eyes, whatever happens to NATS or to the reader."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import nats
import psycopg
import pytest

from gateway.kit import hub as hub_module
from gateway.kit import watcher as watcher_module
from gateway.kit.tokens import Keys
from gateway.kit.watcher import RESYNC
from projections.kit.pages import pack
from projections.kit.stored import COLUMNS
from tests.served import PROTECTED, Person, Web, failure, served, until, working

ROOM = {"type": "surgery"}
STREAM = f"{PROTECTED}/sse/clinic-events"


class Reader:
    """What has come out of a stream so far."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.events: list[dict[str, Any]] = []
        self.comments = 0
        self.last_id = ""
        self.named: list[str] = []
        self.ended = asyncio.Event()

    async def read(self) -> None:
        kind, data = "", ""
        try:
            async for line in self.answer.aiter_lines():
                match line.partition(": "):
                    case ("event", _, text):
                        kind = text
                    case ("data", _, text):
                        data = text
                    case ("id", _, text):
                        self.last_id = text
                    case ("", _, _) if not line:
                        if data:
                            self.named.append(kind)
                            if kind != "resync":
                                self.events.append(msgspec.json.decode(data))
                        kind = data = ""
                    case _ if line.startswith(":"):
                        self.comments += 1
        finally:
            self.ended.set()

    async def names(self, count: int) -> list[str]:
        """The rooms' names in the first so many events, once they are here."""
        async def here():
            return len(self.events) >= count

        await until(here)
        return [event["data"].get("name", "") for event in self.events]


@asynccontextmanager
async def listening(person: Person, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    """Listen, from the moment the stream has begun."""
    async with person.web.client.stream("GET", STREAM + query, headers={**person.headers, **headers}, timeout=30) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        reader = Reader(answer)
        task = asyncio.create_task(reader.read())

        async def begun():
            return reader.last_id != "" or reader.ended.is_set()

        await until(begun)
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def rooms(person: Person, names: list[str]) -> list[int]:
    """Add rooms; return the positions."""
    positions = []
    for name in names:
        answer = await person("POST", "/rooms", {**ROOM, "name": name})
        assert answer.status_code == 201, answer.text
        positions.append(int(answer.headers["x-position"]))
    return positions


@pytest.fixture
async def web(module_database, nats_server) -> AsyncIterator[Web]:
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


@pytest.fixture
async def admin(web) -> Person:
    return await web.person(await web.clinic(), "admin")


async def test_events_come_as_they_happen_with_their_envelope(web, admin):
    async with listening(admin) as reader:
        answer = await admin("POST", "/rooms", {**ROOM, "name": "A"}, headers={"x-request-id": (mine := str(uuid4()))})
        await reader.names(1)
    (event,) = reader.events
    assert event == {
        "position": int(answer.headers["x-position"]), "event": "RoomAdded", "entityType": "rooms", "entityId": answer.json()["id"], "version": 1,
        "recordedAt": event["recordedAt"], "actor": str(admin.id), "correlationId": mine,
        "data": {"event": "RoomAdded", "name": "A", "type": "surgery", "active": True},
    }
    assert reader.named == ["RoomAdded"]
    assert reader.last_id == answer.headers["x-position"]


async def test_what_is_sealed_stays_out(web, admin):
    async with listening(admin) as reader:
        made = await admin("POST", "/patients", {"givenName": "Anna", "familyName": "de Vries"})
        await reader.names(1)
        await until(lambda: asyncio.sleep(0, len(reader.events) >= 1))
    text = msgspec.json.encode(reader.events).decode()
    assert made.json()["id"] in text
    assert "Vries" not in text
    assert "sealed" not in text


async def test_a_reader_who_comes_back_has_lost_nothing_and_sees_nothing_twice(web, admin):
    async with listening(admin) as reader:
        await rooms(admin, ["A", "B", "C"])
        assert await reader.names(3) == ["A", "B", "C"]
    seen = reader.last_id
    await rooms(admin, ["D", "E"])
    for query, headers in (("", {"last-event-id": seen}), (f"?lastEventId={seen}", {})):
        async with listening(admin, query, **headers) as again:
            assert (await again.names(2))[:2] == ["D", "E"]
    async with listening(admin, "?lastEventId=0") as whole:
        await until(lambda: asyncio.sleep(0, len(whole.events) >= 6))
        positions = [event["position"] for event in whole.events]
        assert positions == sorted(set(positions))
        assert [event["event"] for event in whole.events] == ["ClinicOpened"] + ["RoomAdded"] * 5


async def test_readers_who_come_and_go_under_load_miss_nothing(web, admin):
    """Each reader joins at a random moment of a busy clinic, with everything from the beginning."""
    done = asyncio.Event()

    async def write():
        await asyncio.gather(*(rooms(admin, [f"R{lane}-{n}" for n in range(40)]) for lane in range(4)))
        done.set()

    async def read(delay):
        await asyncio.sleep(delay)
        seen: list[int] = []
        while True:
            last = done.is_set()
            async with listening(admin, f"?lastEventId={seen[-1] if seen else 0}&types=RoomAdded") as reader:
                await (reader.names(160 - len(seen)) if last else asyncio.sleep(0.15))
                seen += [event["position"] for event in list(reader.events)]
            if last:
                return seen

    _, *all_seen = await asyncio.gather(write(), *(read(0.07 * n) for n in range(6)))
    with psycopg.connect(web.owner_url) as owner:
        wanted = [p for (p,) in owner.execute(
            "select notification_id from stored_events where clinic_id = %s and topic = 'RoomAdded' order by 1",
            [admin.session["user"]["clinicId"]]).fetchall()]
    assert len(wanted) == 160
    for seen in all_seen:
        assert seen == wanted


async def test_filters_narrow_it_down(web, admin):
    hired = (await admin("POST", "/staff/create", {"name": "Sam", "email": "s@clinic.example", "role": "doctor"})).json()["id"]
    made = (await admin("POST", "/rooms", {**ROOM, "name": "A"})).json()["id"]
    await admin("PUT", f"/rooms/{made}", {**ROOM, "name": "B"})
    for query, wanted in (
        ("types=RoomAdded", ["RoomAdded"]), ("types=RoomAdded,StaffHired", ["StaffHired", "RoomAdded"]), ("types=RoomAdded&types=RoomChanged", 2),
        ("entityType=staff", ["StaffHired", "StaffAccountGiven"]), (f"entityId={made}", ["RoomAdded", "RoomChanged"]), (f"entityType=staff&entityId={hired}", 2),
        (f"entityType=staff&entityId={made}", 0),
    ):
        async with listening(admin, f"?lastEventId=0&{query}") as reader:
            events = [event["event"] for event in reader.events]
            assert events == wanted or len(events) == wanted, query
    failure(await admin("GET", "/sse/clinic-events?types=Nonsense"), 400, "QUERY_INVALID")
    failure(await admin("GET", "/sse/clinic-events?colour=red"), 400, "PARAMETER_UNKNOWN")
    failure(await admin("GET", "/sse/clinic-events?entityId=x"), 400, "QUERY_INVALID")
    failure(await admin("GET", "/sse/clinic-events", headers={"last-event-id": "x"}), 400, "QUERY_INVALID")


async def test_nobody_sees_another_clinic_or_what_he_may_not_view(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    stranger, receptionist = await web.person(await web.clinic(), "admin"), await web.person(clinic, "receptionist")
    failure(await receptionist("GET", "/sse/clinic-events?entityType=rooms"), 403, "FORBIDDEN")
    async with listening(stranger) as theirs, listening(receptionist) as desk, listening(admin) as ours:
        await rooms(admin, ["A"])
        made = await admin("POST", "/patients", {"givenName": "Anna", "familyName": "de Vries"})
        await until(lambda: asyncio.sleep(0, len(ours.events) >= 2))
        await until(lambda: asyncio.sleep(0, len(desk.events) >= 1))
    assert [event["entityId"] for event in desk.events] == [made.json()["id"]]
    assert theirs.events == []


async def test_a_patient_sees_what_is_his_own(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    line = {"description": "Filling", "quantity": 1, "unitPrice": 1000}
    ids = [(await admin("POST", "/patients", {"givenName": n, "familyName": "de Vries"})).json()["id"] for n in ("Anna", "Bas")]
    before = await admin("POST", "/invoices", {"patientId": ids[0], "lines": [line]})
    assert before.status_code == 201, before.text
    anna = await web.person(clinic, "patient", UUID(ids[0]))
    async with listening(anna) as live:
        for patient in ids:
            made = await admin("POST", "/invoices", {"patientId": patient, "lines": [line]})
            issued = await admin("POST", f"/invoices/{made.json()['id']}/issue", {})
            assert issued.status_code == 200, issued.text
        assert (await admin("POST", f"/invoices/{before.json()['id']}/issue", {})).status_code == 200
        await rooms(admin, ["A"])
        await until(lambda: asyncio.sleep(0, len(live.events) >= 3))
    async with listening(anna, "?lastEventId=0") as past:
        await until(lambda: asyncio.sleep(0, len(past.events) >= 4))
    assert {event["entityType"] for event in live.events + past.events} <= {"invoices", "patients"}
    with psycopg.connect(web.owner_url) as owner:
        bodies = dict(owner.execute(
            "select originator_id::text, string_agg(convert_from(state, 'UTF8'), '') from stored_events where clinic_id = %s group by 1", [clinic]))
    for event in live.events + past.events:
        assert event["entityId"] == ids[0] or ids[0] in bodies[event["entityId"]]
        assert ids[1] not in bodies[event["entityId"]]
    assert before.json()["id"] in {event["entityId"] for event in live.events}, "his, though its first event came before he listened"
    nobody = await web.person(clinic, "patient")
    async with listening(nobody, "?lastEventId=0") as none:
        assert none.events == []


async def test_a_heartbeat_shows_that_the_line_is_open(module_database):
    async with served(module_database, heartbeat_seconds=0.05) as web:
        admin = await web.person(await web.clinic(), "admin")
        async with listening(admin) as reader:
            await until(lambda: asyncio.sleep(0, reader.comments >= 3))
            assert reader.events == []


async def test_a_ticket_opens_the_stream_once(web, admin):
    ticket = (await admin("POST", "/sse/tickets")).json()["ticket"]
    bare = Person(web, admin.session)
    bare.headers = {}
    async with listening(bare, f"?ticket={ticket}") as reader:
        await rooms(admin, ["A"])
        assert await reader.names(1) == ["A"]
    failure(await web.client.get(f"{STREAM}?ticket={ticket}"), 401, "TOKEN_INVALID")
    failure(await web.client.get(f"{STREAM}?ticket=x"), 401, "TOKEN_INVALID")
    failure(await web.client.get(STREAM), 401, "SIGN_IN_REQUIRED")
    with psycopg.connect(web.owner_url, autocommit=True) as owner:
        late = (await admin("POST", "/sse/tickets")).json()["ticket"]
        owner.execute("update stay_tickets set expires_at = now()")
    failure(await web.client.get(f"{STREAM}?ticket={late}"), 401, "TOKEN_INVALID")


async def test_the_stream_ends_with_the_session_and_with_the_token(web, admin):
    async with listening(admin) as reader:
        await web.client.post("/api/v1/auth/logout", headers=admin.headers)
        await asyncio.wait_for(reader.ended.wait(), 2)
    brief = await web.person(UUID(admin.session["user"]["clinicId"]), "admin")
    said = web.services.keys.read(brief.session["accessToken"])
    brief_keys = Keys(web.services.settings.signing_key, lifetime=1)
    token = brief_keys.sign(account=said.account, clinic=said.clinic, role=said.role, session=said.session, subject=None)
    brief.headers = {"authorization": f"Bearer {token}"}
    async with listening(brief) as reader:
        await asyncio.wait_for(reader.ended.wait(), 8)


async def test_a_token_that_is_forgotten_at_once_opens_the_stream_as_long_as_any(web, admin):
    """Whatever a process remembers of tokens is dropped whenever a clinic or a member of staff changes: also just now."""
    async def forgetting():
        while True:
            web.services.gate.forget()
            await asyncio.sleep(0)

    task = asyncio.create_task(forgetting())
    async with listening(admin) as reader:
        task.cancel()
        await rooms(admin, ["A"])
        assert await reader.names(1) == ["A"]


async def test_without_nats_events_still_come(web, admin, nats_server):
    async with listening(admin) as reader:
        await rooms(admin, ["A"])
        assert await reader.names(1) == ["A"]
        nats_server.stop()
        await rooms(admin, ["B", "C"])
        assert await reader.names(3) == ["A", "B", "C"]
        nats_server.start()
        await rooms(admin, ["D"])
        assert await reader.names(4) == ["A", "B", "C", "D"]


async def test_lost_doubled_and_forged_pages_change_nothing(module_database, nats_server, monkeypatch):
    """The test plays the relay: it drops pages, sends them twice and late, and somebody forges some."""
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 3600)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 3600)
    async with served(module_database, nats_server) as web:
        admin = await web.person(await web.clinic(), "admin")
        clinic = UUID(admin.session["user"]["clinicId"])
        subject = f"events.{clinic.bytes[15] % 4}"
        key = web.services.settings.bus_key
        relay = await nats.connect(nats_server.url("relay"))

        async def publish(positions, prev, bus_key=key):
            with psycopg.connect(web.owner_url) as owner:
                found = owner.execute(f"select {COLUMNS} from stored_events where notification_id = any(%s)", [positions]).fetchall()  # noqa: S608
            payload, headers = pack(found, subject, prev, positions[-1], bus_key)
            await relay.publish(subject, payload, headers=headers)
            await relay.flush()

        async with listening(admin) as reader:
            a, b, c, d = await rooms(admin, ["A", "B", "C", "D"])
            await publish([a], a - 1)
            await publish([a], a - 1)
            await publish([c], b)
            await publish([b], a)
            await publish([d], c, bus_key=b"x" * 32)
            await publish([a, b, c], a - 1)
            assert await reader.names(3) == ["A", "B", "C"]
            (e,) = await rooms(admin, ["E"])
            await publish([e], d)
            assert await reader.names(5) == ["A", "B", "C", "D", "E"]
        await relay.close()


async def test_a_page_for_another_clinic_does_not_hide_a_gap(module_database, nats_server, monkeypatch):
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 3600)
    async with served(module_database, nats_server) as web:
        admin = await web.person(await web.clinic(), "admin")
        clinic = UUID(admin.session["user"]["clinicId"])
        neighbour = UUID(bytes=uuid4().bytes[:15] + clinic.bytes[15:])
        subject, key = f"events.{clinic.bytes[15] % 4}", web.services.settings.bus_key
        relay = await nats.connect(nats_server.url("relay"))

        async def publish(position, prev):
            with psycopg.connect(web.owner_url) as owner:
                found = owner.execute(f"select {COLUMNS} from stored_events where notification_id = %s", [position]).fetchall()  # noqa: S608
            payload, headers = pack(found, subject, prev, position, key)
            await relay.publish(subject, payload, headers=headers)
            await relay.flush()

        async with listening(admin) as reader:
            a, b = await rooms(admin, ["A", "B"])
            await publish(a, a - 1)
            assert await reader.names(1) == ["A"]
            # the page with B is lost; the next one is about somebody else and tells of the gap
            root = await web.person(neighbour, "superadmin")
            other = await root("POST", "/rooms", {**ROOM, "name": "N"})
            await publish(int(other.headers["x-position"]), b)
            assert await reader.names(2) == ["A", "B"]
            (c,) = await rooms(admin, ["C"])
            await publish(c, int(other.headers["x-position"]))
            assert await reader.names(3) == ["A", "B", "C"]
        await relay.close()


def framed(message: bytes) -> tuple[bytes, bytes]:
    """A message, and the same as a chunk."""
    return message, b"%x\r\n%b\r\n" % (len(message), message)


async def test_a_slow_reader_is_told_to_read_afresh(web, admin, monkeypatch):
    monkeypatch.setattr(watcher_module, "LIMIT", 20_000)
    clinic = UUID(admin.session["user"]["clinicId"])
    sleeper = socket.create_connection(("127.0.0.1", web.port))
    sleeper.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: {admin.headers['authorization']}\r\n\r\n".encode())
    await until(lambda: asyncio.sleep(0, web.services.hub.readers == 1))
    (watcher,) = web.services.hub._open
    await until(lambda: asyncio.sleep(0, not watcher.busy))
    watcher.give(*framed(b": " + b"x" * 16_000_000 + b"\n\n"))  # more than the network holds
    for n in range(200):
        watcher.give(*framed(b"id: %d\nevent: RoomAdded\ndata: %s\n\n" % (n, b"x" * 500)))
        await asyncio.sleep(0)
    assert watcher.full
    assert watcher.waiting == [RESYNC]
    sleeper.setblocking(False)
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(20):
        while piece := await loop.sock_recv(sleeper, 1 << 16):
            got = (got + piece)[-4000:]
            if got.endswith(b"0\r\n\r\n"):
                break
    assert b"event: resync" in got
    sleeper.close()
    await until(lambda: asyncio.sleep(0, web.services.hub.readers == 0))
    assert await web.services.reader(clinic)


async def test_readers_who_leave_are_forgotten(web, admin):
    async with listening(admin), listening(admin):
        assert web.services.hub.readers == 2
    await until(lambda: asyncio.sleep(0, web.services.hub.readers == 0))
    await until(lambda: asyncio.sleep(0, not web.services.hub._channels))
