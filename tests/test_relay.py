"""The relay: everything is published, in order, whatever happens to it, to NATS or to its stream."""

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import nats
import psycopg
import pytest
from nats.js.errors import NotFoundError

from domain.rooms import RoomAdded
from projections.kit.pages import Page, unpack
from tests.history import CLINICS, History, running, until
from workers.kit import bus as bus_module
from workers.kit.bus import HEARTBEAT, HINTS, STREAM, Bus, Pace
from workers.kit.ending import heed
from workers.kit.relay import LEADER, Relay
from workers.relay import main


@pytest.fixture
def told(database, nats_server):
    return database.settings("relay", nats_server)


@pytest.fixture
def history(database) -> History:
    return History(database.url("owner"))


@asynccontextmanager
async def administrator(server):
    """A connection that may do anything: the relay's own user, who may at least look."""
    client = await nats.connect(server.url("relay"))
    try:
        yield client
    finally:
        await client.close()


async def published(server, key: bytes) -> list[tuple[int, Page]]:
    """Every page in the stream, by partition, with its seal checked."""
    async with administrator(server) as client:
        stream = client.jetstream()
        try:
            state = (await stream.stream_info(STREAM)).state
        except NotFoundError:
            return []
        pages = []
        for number in range(max(1, state.first_seq), state.last_seq + 1):
            message = await stream.get_msg(STREAM, seq=number, direct=True)
            partition = int(message.subject.rpartition(".")[2])
            pages.append((partition, unpack(message.data or b"", message.headers, message.subject, key)))
        return pages


async def complete(server, key: bytes, head: int) -> list[tuple[int, Page]]:
    """Wait until every position has been published; give the pages."""
    pages: list[tuple[int, Page]] = []

    async def all_there() -> bool:
        nonlocal pages
        pages = await published(server, key)
        return {e.position for _, page in pages for e in page.events} >= set(range(1, head + 1))

    for _ in range(200):
        if await all_there():
            return pages
        await asyncio.sleep(0.05)
    missing = set(range(1, head + 1)) - {e.position for _, page in pages for e in page.events}
    pytest.fail(f"never published: {sorted(missing)[:10]}")


async def test_everything_is_published_once_in_order_with_unbroken_prev(told, history, nats_server):
    async with running(main(told)):
        head = history.life(120)
        pages = await complete(nats_server, told.bus_key, head)
    for partition in {p for p, _ in pages}:
        mine = [page for p, page in pages if p == partition]
        assert all(before.last == after.prev for before, after in pairwise(mine))
        assert all(page.prev < page.events[0].position and page.last == page.events[-1].position for page in mine)
        assert all(e.partition == partition for page in mine for e in page.events)
    assert sorted(e.position for _, page in pages for e in page.events) == list(range(1, head + 1))
    assert sorted((e for _, page in pages for e in page.events), key=lambda e: e.position) == history.stored()


async def test_a_restarted_relay_goes_on_where_it_was(told, history, nats_server):
    async with running(main(told)):
        await complete(nats_server, told.bus_key, history.life(20))
        known = history.head
        await complete(nats_server, told.bus_key, history.life(1))
    head = history.life(20)
    async with running(main(told)):
        pages = await complete(nats_server, told.bus_key, head)
    positions = [e.position for _, page in pages for e in page.events]
    assert [p for p in positions if p <= known] == sorted(range(1, known + 1), key=positions.index)  # once each


async def test_only_one_leads_and_another_takes_over(told, database, history, nats_server):
    async with Bus(told.nats_url, "a") as bus_a, Bus(told.nats_url, "b") as bus_b:
        a, b = (Relay(told.database_url, bus, told.bus_key) for bus in (bus_a, bus_b))
        async with running(a.run(), b.run()):
            await complete(nats_server, told.bus_key, history.life(10))
            leader, standby = (a, b) if a.acked else (b, a)
            assert standby.acked == 0
            with psycopg.connect(database.superuser_url, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = %s and granted", (LEADER,))
            head = history.life(10)
            await complete(nats_server, told.bus_key, head)
            await until(lambda: max(leader.acked, standby.acked) == head, "somebody leads to the end")


async def test_it_waits_for_nats_and_goes_on_after_a_restart(told, history, nats_server):
    nats_server.stop()
    async with running(main(told)):
        history.life(10)
        nats_server.start()
        await complete(nats_server, told.bus_key, history.life(10))
        nats_server.stop()
        head = history.life(10)
        nats_server.start()
        await complete(nats_server, told.bus_key, head)


async def test_a_lost_store_of_nats_gets_a_new_stream(told, history, nats_server):
    async with running(main(told)):
        middle = history.life(10)
        await complete(nats_server, told.bus_key, middle)
        nats_server.stop()
        nats_server.purge_store()
        nats_server.start()
        head = history.life(10)
        for _ in range(200):
            seen = {e.position for _, page in await published(nats_server, told.bus_key) for e in page.events}
            if seen >= set(range(middle + 1, head + 1)):
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"only {len(seen)} after the loss")


async def test_an_event_too_big_for_a_message_is_left_out_and_prev_shows_it(told, history, nats_server):
    room = history.room(CLINICS[0], "big")
    big = (room[0], room[1], RoomAdded(name="x" * (2 << 20)))
    head = history.add(history.room(CLINICS[0], "before"), big, history.room(CLINICS[0], "after"))
    history.add(*[history.room(CLINICS[0], f"room {n}") for n in range(3)])
    async with running(main(told)):
        for _ in range(200):
            pages = [page for _, page in await published(nats_server, told.bus_key)]
            if any(page.last == head + 3 for page in pages):
                break
            await asyncio.sleep(0.05)
    assert {e.position for page in pages for e in page.events} == {1, 3, 4, 5, 6}
    assert [page.prev for page in pages if page.events[0].position == 3] == [2]


async def test_a_hint_is_answered_sooner_than_the_next_poll(told, history, nats_server, monkeypatch):
    monkeypatch.setattr("workers.kit.relay.POLL_SECONDS", 30.0)
    heard = asyncio.Event()

    async def on_page(_) -> None:
        heard.set()

    async with running(main(told)), Bus(nats_server.url("gateway"), "gateway") as gateway:
        await gateway.ready()
        await gateway.hear("events.*", on_page)
        beating = asyncio.Event()

        async def on_beat(_) -> None:
            beating.set()

        await gateway.hear(HEARTBEAT, on_beat)
        await asyncio.wait_for(beating.wait(), 10)
        head = history.add(history.room(CLINICS[0], "A"))
        await gateway.publish(HINTS, str(head).encode())
        await asyncio.wait_for(heard.wait(), 10)


async def test_the_heartbeat_stops_when_the_database_does(told, database, history, nats_server):
    beats = []

    async def on_beat(message) -> None:
        beats.append(message.data)

    async with running(main(told)), Bus(nats_server.url("gateway"), "gateway") as gateway:
        await gateway.hear(HEARTBEAT, on_beat)
        await until(lambda: len(beats) > 1, "a heartbeat")
        with psycopg.connect(database.superuser_url, autocommit=True) as admin:
            admin.execute("alter role anamnesis_relay nologin")
            try:
                admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'relay'")
                await asyncio.sleep(2 * bus_module.HEARTBEAT_SECONDS + 0.3)  # what was under way has arrived by then
                before = len(beats)
                await asyncio.sleep(4 * bus_module.HEARTBEAT_SECONDS)
                assert len(beats) == before
            finally:
                admin.execute("alter role anamnesis_relay login")
        await until(lambda: len(beats) > before, "a heartbeat again")


async def test_the_pace_waits_for_company_only_under_load():
    loop = asyncio.get_running_loop()
    pace = Pace((200.0, 0.05))
    began = loop.time()
    await pace.linger()
    assert loop.time() - began < 0.04
    for _ in range(20):
        pace.last -= 0.05  # as if so much time had gone by
        pace.saw(100)
    await pace.linger()
    assert loop.time() - began >= 0.049


async def test_a_worker_hangs_up_at_whatever_moment_it_is_told_to() -> None:
    """Also as NATS refuses its connection, when the client's own wait loses a cancellation."""
    async def hung_up(moment: int) -> None:
        async with Bus("nats://nobody:nothing@127.0.0.1:1", "test"):
            for _ in range(moment):
                await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(*(hung_up(moment) for moment in range(100)))


async def test_whoever_is_told_to_stop_hears_it_though_a_library_loses_the_word():
    async def deaf():
        with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does at the wrong moment
            await asyncio.sleep(60)
        while True:
            heed()
            await asyncio.sleep(0)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        assert await asyncio.wait([task])
    assert task.cancelled()


async def test_a_relay_stops_at_whatever_moment_it_is_told(told):
    """Connecting, campaigning, asking for the stream: each wait may be over just then."""
    for n in range(30):
        task = asyncio.create_task(main(told))
        await asyncio.sleep(0.001 * n)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done, f"told after {n} ms, it went on"
