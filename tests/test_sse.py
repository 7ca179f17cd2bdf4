"""The event stream: nothing lost, nothing twice, nothing that is not for these eyes, whatever happens to NATS or to the reader."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import nats
import psycopg
import pytest

from commands.kit.handling import Who
from gateway.kit import hub as hub_module
from gateway.kit import watcher as watcher_module
from gateway.kit.eyes import Eyes, opened_for
from gateway.kit.hub import Hub
from gateway.kit.source import framed as framed_event
from gateway.kit.tokens import Keys
from gateway.kit.watcher import RESYNC, Watcher
from projections.kit.pages import pack
from projections.kit.shown import shown
from projections.kit.stored import COLUMNS, Stored
from tests.cutting import Cutting
from tests.following import AWKWARD, busy, by_httpx, by_requests, names, straight
from tests.laws.fits import misfits, validator
from tests.laws.project import GOLDEN
from tests.served import PROTECTED, Person, Web, failure, served, until, working

ROOM = {"type": "surgery"}
STREAM = f"{PROTECTED}/sse/clinic-events"
FEED = f"{PROTECTED}/notifications/live-feed"


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
async def listening(person: Person, query: str = "", at: str = STREAM, **headers: str) -> AsyncIterator[Reader]:
    """Listen, from the moment the stream has begun."""
    async with person.web.client.stream("GET", at + query, headers={**person.headers, **headers}, timeout=30) as answer:
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
        "data": {"event": "RoomAdded", "name": "A", "type": "surgery", "active": True, "placeId": None},
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


async def test_whoever_has_read_more_elsewhere_than_is_known_here_sees_nothing_twice(module_database, monkeypatch):
    """A gateway that lags behind the one he read from before."""
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 1000)  # it hears of nothing by itself
    async with served(module_database) as web:
        admin = await web.person(await web.clinic(), "admin")
        async with listening(admin) as first:
            (known,) = await rooms(admin, ["A"])
            async with listening(admin, **{"last-event-id": str(known)}) as second:
                assert await first.names(1) == ["A"]
                (more,) = await rooms(admin, ["B"])
                async with listening(admin, **{"last-event-id": str(more)}) as third:
                    assert await second.names(1) == ["B"]
                    assert await first.names(2) == ["A", "B"]
                    assert third.events == []
                async with listening(admin, **{"last-event-id": str(more + 1000)}) as stranger:  # no such position yet
                    assert stranger.last_id == str(more)


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


async def test_two_clients_of_other_makes_read_the_same_through_a_line_that_is_cut_at_any_byte(web, admin, monkeypatch):
    """`httpx-sse` and `requests-sse` start somewhere in history and read on while more happens; each has a bad line of its own."""
    monkeypatch.setattr(hub_module, "RETRY_MS", 5)
    await busy(admin, 16, last="and on")
    base, path = str(web.client.base_url), f"{STREAM}?lastEventId=1"
    async with Cutting(base, 5) as one, Cutting(base, 6) as two:
        _, first, second = await asyncio.gather(
            busy(admin, 40), by_httpx(one.url + path, admin.headers), asyncio.to_thread(by_requests, two.url + path, admin.headers))
    wanted = await asyncio.to_thread(straight, base + path, admin.headers)
    assert first == wanted
    assert second == wanted
    assert {kind for _, kind, _ in wanted} >= {"RoomAdded", "PatientRegistered"}
    assert all(any(awkward in name for name in names(wanted)) for awkward in AWKWARD)
    assert min(len(one.cuts), len(two.cuts)) > 10


async def test_an_event_that_is_cut_off_has_not_told_its_id(web, admin):
    """There are readers (`@microsoft/fetch-event-source` is one) that ask for what follows an id as soon as they have read its line."""
    await rooms(admin, ["A"])
    stored = (await web.services.hub._source.since(UUID(admin.session["user"]["clinicId"]), 0, 10**9))[-1]
    whole = framed_event(stored, shown(stored))
    assert whole.endswith(b"\nid: %d\n\n" % stored.position)
    assert b"id: %d\n" % stored.position not in whole[:-2]


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
    async with listening(admin) as reader, listening(admin, "?types=AccountChanged", at=FEED) as feed:
        await rooms(admin, ["A"])
        assert await reader.names(1) == ["A"]
        nats_server.stop()
        await rooms(admin, ["B", "C"])
        await called(admin, "Kim")
        assert await reader.names(3) == ["A", "B", "C"]
        await has(feed, 1)
        nats_server.start()
        await rooms(admin, ["D"])
        await called(admin, "Sam")
        assert await reader.names(4) == ["A", "B", "C", "D"]
        await has(feed, 2)
        assert len(feed.events) == 2


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


async def hired(admin: Person, name: str) -> str:
    """Somebody who works here as a doctor, at any hour; their id."""
    made = await admin("POST", "/staff/create", {"name": name, "email": f"{uuid4().hex}@clinic.example", "role": "doctor"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def registered(admin: Person, name: str) -> str:
    made = await admin("POST", "/patients", {"givenName": name, "familyName": "de Vries"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def called(person: Person, name: str) -> None:
    answer = await person.web.client.patch("/api/v1/auth/me", json={"name": name}, headers=person.headers)
    assert answer.status_code == 200, answer.text


async def program(admin: Person, *scopes: str) -> Person:
    """Another program, with a key."""
    made = await admin("POST", "/clinic/api-keys", {"name": "Till", "scopes": list(scopes)})
    assert made.status_code == 201, made.text
    key = Person(admin.web, admin.session)
    key.headers = {"x-api-key": made.json()["key"]}
    return key


async def billed(admin: Person, patient: str, doctor: str | None = None) -> httpx.Response:
    line = {"description": "Filling", "quantity": 1, "unitPrice": 1000, **({"doctorId": doctor} if doctor else {})}
    answer = await admin("POST", "/invoices", {"patientId": patient, "lines": [line], "notes": "Prefers mornings"})
    assert answer.status_code == 201, answer.text
    return answer


async def blocked(admin: Person, doctor: str, days: int = 30, reason: str = "Dentist") -> httpx.Response:
    on = (datetime.now(UTC) + timedelta(days=days)).date()
    answer = await admin("POST", "/appointments/blocked-times", {"doctorId": doctor, "start": f"{on}T10:00:00", "end": f"{on}T11:00:00", "reason": reason})
    assert answer.status_code == 201, answer.text
    return answer


def entities(reader: Reader) -> set[str]:
    return {event["entityId"] for event in reader.events}


async def has(reader: Reader, count: int) -> None:
    await until(lambda: asyncio.sleep(0, len(reader.events) >= count))


async def test_a_feed_is_what_concerns_oneself_in_the_order_of_positions(web, admin):
    """A doctor's own: what is theirs, what names them however deep, their account and its sessions; also in the past, and nobody else's."""
    clinic = UUID(admin.session["user"]["clinicId"])
    mine, other = await hired(admin, "Dr Sam Visser"), await hired(admin, "Dr Bo Smit")
    me = Person(web, (await web.sign_in(email := await web.account(clinic, "doctor", UUID(mine)))).json())
    patient = await registered(admin, "Anna")
    async with listening(me, at=FEED) as feed, listening(me, at=FEED) as second:
        bills = [await billed(admin, patient, doctor) for doctor in (mine, other, None)]
        blocks = [await blocked(admin, doctor) for doctor in (mine, other)]
        assert (await admin("POST", f"/invoices/{bills[0].json()['id']}/issue", {})).status_code == 200
        await called(me, "Sam Visser")
        await rooms(admin, ["A"])
        again = await web.sign_in(email)
        assert again.status_code == 200, again.text
        await has(feed, 5)
        await has(second, 5)
    heard = [event["event"] for event in feed.events]
    assert heard == ["InvoiceDrafted", "TimeBlocked", "InvoiceIssued", "AccountChanged", "SessionStarted"]
    assert feed.events == second.events
    positions = [event["position"] for event in feed.events]
    assert positions == sorted(positions)
    assert entities(feed) & {bills[1].json()["id"], bills[2].json()["id"], blocks[1].json()["id"]} == set()
    assert feed.events[3]["entityId"] == str(me.id)
    async with listening(me, f"?lastEventId={positions[1]}", at=FEED) as resumed:
        await has(resumed, 3)
        assert resumed.events == feed.events[2:]
    async with listening(me, "?lastEventId=0", at=FEED) as whole:
        await has(whole, 8)
    assert [event["position"] for event in whole.events] == sorted({event["position"] for event in whole.events})
    assert {"StaffHired", "AccountOpened", "PlaceGiven"} <= {event["event"] for event in whole.events}
    assert {event["entityId"] for event in whole.events if event["entityType"] in {"staff", "accounts"}} == {mine, str(me.id)}


async def test_a_feed_shows_a_patient_no_more_than_the_stream_does(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    ids = [await registered(admin, name) for name in ("Anna", "Bas")]
    anna = await web.person(clinic, "patient", UUID(ids[0]))
    doctor = await hired(admin, "Dr Sam Visser")
    async with listening(anna, at=FEED) as feed:
        bills = [await billed(admin, patient, doctor) for patient in ids]
        await has(feed, 1)
        assert entities(feed) == {bills[0].json()["id"]}
    async with listening(anna, "?lastEventId=0", at=FEED) as whole:
        await has(whole, 5)
    assert {event["entityType"] for event in whole.events} == {"patients", "invoices", "accounts", "sessions"}
    assert not entities(whole) & {ids[1], bills[1].json()["id"], doctor}


async def test_a_feed_takes_filters_tickets_and_persons_only(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    ticket = (await admin("POST", "/sse/tickets")).json()["ticket"]
    bare = Person(web, admin.session)
    bare.headers = {}
    async with listening(bare, f"?ticket={ticket}&lastEventId=0&types=SessionStarted,PlaceGiven&entityType=accounts", at=FEED) as feed:
        await has(feed, 1)
        assert [event["event"] for event in feed.events] == ["PlaceGiven"]
    async with listening(admin, f"?lastEventId=0&entityId={admin.id}", at=FEED) as feed:
        await has(feed, 2)
        assert entities(feed) == {str(admin.id)}
    receptionist = await web.person(clinic, "receptionist")
    failure(await receptionist("GET", "/notifications/live-feed?entityType=rooms"), 403, "FORBIDDEN")
    failure(await admin("GET", "/notifications/live-feed?types=Nonsense"), 400, "QUERY_INVALID")
    failure(await web.client.get(f"{FEED}?ticket={ticket}"), 401, "TOKEN_INVALID")
    failure(await web.client.get(FEED), 401, "SIGN_IN_REQUIRED")
    failure(await (await program(admin, "appointments.view"))("GET", "/notifications/live-feed"), 403, "FORBIDDEN")
    async with listening(admin, at=FEED) as ending:
        await web.client.post("/api/v1/auth/logout", headers=admin.headers)
        await until(lambda: asyncio.sleep(0, ending.ended.is_set()), 2)


async def test_feeds_that_are_joined_under_load_miss_nothing_of_either_sort(web, admin):
    """Readers come back again and again while their account and their clinic both change."""
    doctor = await hired(admin, "Dr Sam Visser")
    me = await web.person(UUID(admin.session["user"]["clinicId"]), "admin", UUID(doctor))
    before = (await admin("POST", "/rooms", {**ROOM, "name": "first"})).headers["x-position"]

    async def mine():
        for n in range(30):
            await called(me, f"Kim {n}")

    async def read(done):
        seen: list[int] = []
        while True:
            last = done.is_set()
            async with listening(me, f"?lastEventId={seen[-1] if seen else before}&types=AccountChanged,TimeBlocked", at=FEED) as reader:
                await (has(reader, 60 - len(seen)) if last else asyncio.sleep(0.05))
                seen += [event["position"] for event in list(reader.events)]
            if last:
                return seen

    done = asyncio.Event()

    async def write():
        await asyncio.gather(mine(), times())
        done.set()

    async def times():
        for n in range(30):
            await blocked(admin, doctor, 30 + n)

    _, *all_seen = await asyncio.gather(write(), *(read(done) for _ in range(3)))
    for seen in all_seen:
        assert len(seen) == 60
        assert seen == sorted(set(seen))
        assert seen == all_seen[0]


async def test_a_feed_is_woken_by_pages_and_joined_between_its_batches(module_database, nats_server, monkeypatch):
    """Nobody looks at the store's head here. Whoever joins while a batch is read, for others' accounts, gets his own part of it all the same."""
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 3600)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 3600)
    async with served(module_database, nats_server) as web, working(module_database, nats_server):
        clinic = await web.clinic()
        first, second = await web.person(clinic, "admin"), await web.person(clinic, "admin")
        feeds = web.services.hub._feeds
        real, reading, go_on = feeds._source.of, asyncio.Event(), asyncio.Event()

        async def slowly(accounts, *rest):
            rows = await real(accounts, *rest)
            if second.id not in accounts:
                reading.set()
                await go_on.wait()
            return rows

        async with listening(first, "?types=AccountChanged", at=FEED) as early:
            await called(first, "Kim")
            await has(early, 1)
            monkeypatch.setattr(feeds._source, "of", slowly)
            await called(second, "Sam")
            await called(first, "Kim again")
            await reading.wait()
            joining = asyncio.create_task(web.client.get(f"{FEED}?types=AccountChanged", headers=second.headers, timeout=20))
            feed = feeds._feeds[clinic]
            await until(lambda: asyncio.sleep(0, len(feed.watchers) == 2 or bool(feed.lock._waiters)))
            go_on.set()
            await has(early, 2)
            await until(lambda: asyncio.sleep(0, len(feed.watchers) == 2))
            web.services.hub.release()
            assert b"event: AccountChanged" in (await joining).content


async def test_what_is_sealed_is_opened_for_whoever_may_read_it_and_null_once_the_key_is_gone(web, admin):
    till = await program(admin, "patients.view", "patients.view_detail")
    async with listening(admin) as plain, listening(admin, "?personal=true") as opened, listening(till, "?personal=true") as desk:
        patient = await registered(admin, "Anna")
        history = {"allergies": [{"name": "Penicillin"}], "conditions": [], "medications": []}
        assert (await admin("PUT", f"/patients/{patient}/medical", history)).status_code == 200
        await has(plain, 2)
        await has(opened, 2)
        await has(desk, 2)
    registering, amended = opened.events
    assert registering["data"]["familyName"] == "de Vries"
    assert amended["data"]["allergies"][0]["name"] == "Penicillin"
    assert desk.events[0]["data"]["givenName"] == "Anna"
    assert "allergies" not in desk.events[1]["data"], "medical history has a key of its own"
    for event in plain.events:
        assert not {"familyName", "givenName", "allergies", "sealed"} & event["data"].keys()
    wish = {"kind": "patients", "personId": patient, "reason": "She asked to be forgotten", "despiteRetention": True}
    assert (gone := await admin("POST", "/privacy/erasures", wish)).status_code == 200, gone.text
    async with listening(admin, f"?personal=true&lastEventId=0&entityId={patient}") as erased:
        await has(erased, 2)
    assert [event["data"].keys() for event in erased.events[:2]] == [event["data"].keys() for event in opened.events]
    assert erased.events[0]["data"]["familyName"] is None
    assert erased.events[1]["data"]["allergies"] is None
    failure(await admin("GET", "/sse/clinic-events?personal=maybe"), 400, "QUERY_INVALID")


async def test_what_waits_for_a_reader_waits_sealed(web, admin):
    """A key that is destroyed while its event waits opens nothing any more."""
    patient = await registered(admin, "Anna")
    async with listening(admin, "?personal=true") as reader:
        (watcher,) = web.services.hub._open
        await until(lambda: asyncio.sleep(0, not watcher.busy))
        with psycopg.connect(web.owner_url, autocommit=True) as owner:
            stored = owner.execute(f"select {COLUMNS} from stored_events where originator_id = %s", [patient]).fetchone()  # noqa: S608
            watcher.hold(Stored(*stored))
            assert b"de Vries" not in b"".join([*watcher.waiting, *(held.body for held in watcher.held)])
            owner.execute("update person_keys set wrapped = null where person = %s", [patient])
        await has(reader, 1)
    assert reader.events[0]["data"]["familyName"] is None


async def test_a_value_that_was_tampered_with_stays_out(web, admin):
    patient = await registered(admin, "Anna")
    with psycopg.connect(web.owner_url, autocommit=True) as owner:
        owner.execute("update stored_events set person = %s where originator_id = %s", [(other := await registered(admin, "Bas")), patient])
        async with listening(admin, f"?personal=true&lastEventId=0&entityId={patient}") as reader:
            await has(reader, 1)
        owner.execute("update stored_events set person = originator_id where originator_id = %s", [patient])
    assert other
    assert "familyName" not in reader.events[0]["data"]


async def test_restricted_doctors_read_what_is_sealed_in_their_own_list_only(web, admin):
    clinic = UUID(admin.session["user"]["clinicId"])
    mine, other = await hired(admin, "Dr Sam Visser"), await hired(admin, "Dr Bo Smit")
    template = {"permissions": {"appointments.view_all_doctors": False}}
    me = await web.person(clinic, "doctor", UUID(mine))
    async with listening(me, "?personal=true") as before:  # whoever's rights have changed comes in anew
        assert (await admin("PUT", "/clinic/permission-templates/doctor", template)).status_code == 200
        await until(lambda: asyncio.sleep(0, before.ended.is_set()))
    async with listening(me, "?personal=true&types=TimeBlocked") as reader:
        theirs = await blocked(admin, other, reason="Their secret")
        ours = await blocked(admin, mine, reason="My secret")
        await has(reader, 1)
    assert entities(reader) == {ours.json()["id"]}
    assert theirs.json()["id"]
    assert reader.events[0]["data"]["reason"] == "My secret"


async def test_an_account_has_so_many_streams_and_others_have_theirs(module_database):
    async with served(module_database, streams_account=3) as web:
        clinic = await web.clinic()
        admin, other = await web.person(clinic, "admin"), await web.person(clinic, "admin")
        async with AsyncExitStack() as open_ones:
            await open_ones.enter_async_context(listening(admin))
            await open_ones.enter_async_context(listening(admin, at=FEED))
            async with listening(admin, "?personal=true"):
                for path in ("/sse/clinic-events", "/notifications/live-feed"):
                    assert failure(await admin("GET", path), 429, "TOO_MANY_STREAMS") == [{"limit": 3}]
                async with listening(other):
                    pass
            await until(lambda: asyncio.sleep(0, web.services.hub.streams(admin.id) == 2))
            async with listening(admin):
                pass
        await until(lambda: asyncio.sleep(0, web.services.hub.readers == 0))
        assert not web.services.hub._streams
        assert not web.services.hub._feeds


async def test_personal_readers_are_as_slow_as_they_like_and_take_nothing_from_others(monkeypatch):
    """What all are given alike is made once and given straight to the socket, whoever else is shown more; what is held has its bound as well."""
    monkeypatch.setattr(watcher_module, "LIMIT", 1000)
    made: list[int] = []

    def counting(stored: Stored) -> bytes:
        made.append(stored.position)
        return shown(stored)

    monkeypatch.setattr(hub_module, "shown", counting)
    hub = Hub(None, b"b" * 32, b"k" * 32)
    clinic = uuid4()
    who = Who(actor=uuid4(), clinic=clinic, role="admin", grants=frozenset())
    eyes = Eyes(frozenset({"patients"}))
    pushed: list[bytes] = []
    plain = [Watcher(who, eyes, 0, lambda chunk: pushed.append(chunk) is None) for _ in range(3)]
    for watcher in plain:
        watcher.busy = False
    personal = Watcher(who, eyes._replace(opened=frozenset({"PatientRegistered"})), 0, lambda _: True)
    personal.busy = False
    channel = hub._channels[clinic] = hub_module.Channel()
    channel.classes = {eyes: plain, personal.eyes: [personal]}
    body = b'{"event":"PatientRegistered","registeredOn":"2026-03-02","sealed":"AAAA"}'
    events = [Stored(n, uuid4(), 1, "PatientRegistered", clinic, "patients", 0, uuid4(), uuid4(), uuid4(), None, uuid4(), uuid4(), 1, b"", b"", body) for n in range(20)]
    await hub._give(clinic, events)
    assert made == list(range(20))
    assert len(pushed) == 60
    assert len({id(chunk) for chunk in pushed}) == 20
    assert personal.full
    assert (personal.held, personal.waiting) == ([], [RESYNC])


def test_who_may_read_what_is_sealed_could_read_it_in_a_row():
    def opens(*grants: str, role: str = "key") -> set[str]:
        return set(opened_for(Who(actor=uuid4(), clinic=uuid4(), role=role, grants=frozenset(grants))))

    assert opens() == set()
    plain = {"DuplicateDismissed", "PatientNoteWritten", "PatientNoteAmended", "PatientNoteRemoved", "RelationAdded", "RelationChanged", "RelationEnded"}
    assert opens("patients.view") == plain
    detail = {"PatientRegistered", "PatientBlocked", "PatientUnblocked", "PatientGroupsChanged", "PatientChanged", "PatientContactChanged", "PatientPreferencesChanged", "PatientsMerged", "PatientsUnmerged"}
    assert opens("patients.view_detail") == detail
    assert opens("patients.view_medical_history") == {
        "MedicalHistoryAmended", "MedicalHistoryReported", "MedicalEntryAdded", "MedicalEntryAmended", "MedicalEntryEnded", "MedicalEntryRefuted", "MedicalEntryReopened"}
    assert opens("patients.view_medical_history", "patients.view_detail", role="patient") == detail - {"PatientPreferencesChanged"}  # a row beside their own
    assert {"AppointmentBooked", "AppointmentCancelled"} <= opens("appointments.view", "appointments.view_detail")
    assert opens("billing.invoices.view", "billing.invoices.view_detail") == {"InvoiceDrafted", "InvoiceEdited"}
    assert opens("billing.installments.view") == {
        "InstallmentPlanMade", "InstallmentTermsChanged", "InstallmentPlanPaused", "InstallmentPlanCancelled"}
    assert opens("billing.quotations.view") == {"QuotationDrafted", "QuotationEdited", "QuotationDeclined"}


async def test_what_is_received_fits_the_published_schemas(web, admin):
    """Whatever a day in a clinic brings, plain and opened."""
    fits = validator()
    patient, doctor = await registered(admin, "Anna"), await hired(admin, "Dr Sam Visser")
    await rooms(admin, ["A"])
    await blocked(admin, doctor)
    bill = (await billed(admin, patient, doctor)).json()["id"]
    await admin("POST", f"/invoices/{bill}/issue", {})
    await admin("POST", f"/invoices/{bill}/payments", {"amount": 500, "method": "cash"})
    count = 0
    for query in ("?lastEventId=0", "?lastEventId=0&personal=true"):
        for at in (STREAM, FEED):
            async with listening(admin, query, at=at) as reader:
                await has(reader, 3 if at == FEED else 9)
                assert [misfit for event in reader.events for misfit in misfits(fits, event)] == []
                assert reader.named == [event["event"] for event in reader.events]
                count += len(reader.events)
    assert count > 20


async def test_the_schemas_are_served(module_database):
    async with served(module_database) as web:
        whole = await web.client.get("/api/v1/events/schemas")
        assert whole.headers["content-type"] == "application/schema+json"
        assert whole.json() == json.loads((GOLDEN / "events.schema.json").read_text("utf-8"))
        assert (await web.client.get("/asyncapi.json")).json() == json.loads((GOLDEN / "asyncapi.json").read_text("utf-8"))
        one = (await web.client.get("/api/v1/events/schemas/RoomAdded")).json()
        assert one["$defs"]["RoomAdded"] == whole.json()["$defs"]["RoomAdded"]
        assert failure(await web.client.get("/api/v1/events/schemas/RoomShut"), 404, "NOT_FOUND") == [{"kind": "events", "id": "RoomShut"}]
