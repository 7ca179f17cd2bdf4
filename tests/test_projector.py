"""The projector: level with the store, whatever NATS brings twice, late, forged or not at all."""

import asyncio
import sys
from contextlib import asynccontextmanager

import psycopg
import pytest
from msgspec.structs import replace

from projections.kit.engine import StructuralError
from projections.kit.keys import KeyRing
from projections.kit.pages import MESSAGE_ID, pack, subject_of
from projections.kit.rebuild import verify
from projections.kit.stored import Stored
from projections.kit.tables import load
from projections.kit.tracking import health_sync, resting
from tests.history import CLINICS, KEK, History, running, until
from workers import relay
from workers.kit.bus import HEARTBEAT, STREAM, Bus
from workers.kit.projector import Projector
from workers.kit.relay import Relay

load()
FORGER = b"not the key of the bus" + bytes(10)


@pytest.fixture
def history(database) -> History:
    return History(database.url("owner"))


@pytest.fixture
def told(database, nats_server):
    return database.settings("projector", nats_server)


@asynccontextmanager
async def projecting(settings):
    """A projector at work."""
    async with Bus(settings.nats_url, "projector") as bus:
        projector = Projector(settings.database_url, bus, settings.bus_key, KeyRing(KEK))
        async with running(projector.run()):
            yield projector


class Broadcast:
    """A relay in the hands of a test: it publishes just what it is told, and says that it is alive."""

    def __init__(self, bus: Bus, key: bytes) -> None:
        self.bus = bus
        self.key = key

    async def open(self) -> None:
        await self.bus.ready()
        await Relay("", self.bus, self.key)._ensure_stream()

    async def beat(self) -> None:
        while True:
            await self.bus.publish(HEARTBEAT, b"{}")
            await asyncio.sleep(0.1)

    async def page(self, events: list[Stored], prev: int, key: bytes | None = None) -> None:
        """Publish events of one partition; return once they are in the stream."""
        subject = subject_of(events[0].partition)
        payload, headers = pack(events, subject, prev, events[-1].position, key or self.key)
        headers.pop(MESSAGE_ID)  # every copy is to arrive
        await self.bus.client.jetstream().publish(subject, payload, headers=headers)


@asynccontextmanager
async def broadcasting(database, nats_server):
    settings = database.settings("relay", nats_server)
    async with Bus(settings.nats_url, "relay") as bus:
        made = Broadcast(bus, settings.bus_key)
        await made.open()
        async with running(made.beat()):
            yield made


async def fed(projector: Projector) -> None:
    """Wait until a projector takes its events from NATS, and only looks at Postgres if it must."""
    await until(lambda: projector.feed.alive and not projector.behind and len(projector.leases.held) == 4, "the projector is fed")


def alike(database) -> bool:
    report = verify(database.url("owner"), kek=KEK)
    assert report.equal, [(o.name, o.differences) for o in report.outcomes if o.differing]
    return report.equal


async def test_relay_and_projector_keep_the_read_models_level(database, history, told, nats_server):
    async with running(relay.main(database.settings("relay", nats_server))), projecting(told) as projector:
        await fed(projector)
        for _ in range(5):
            history.life(20)
        await until(history.level, "level with the store")
        assert projector.gaps == projector.forged == 0
    assert history.parked() == []
    assert alike(database)


async def test_without_nats_it_reads_the_store(database, history):
    async with projecting(database.settings("projector")):
        for _ in range(5):
            history.life(10)
        await until(history.level, "level with the store")
    assert alike(database)


async def test_it_goes_on_while_nats_is_away_and_loses_everything(database, history, told, nats_server):
    async with running(relay.main(database.settings("relay", nats_server))), projecting(told) as projector:
        await fed(projector)
        history.life(20)
        nats_server.stop()
        history.life(20)
        await until(history.level, "level without NATS")
        nats_server.purge_store()
        nats_server.start()
        history.life(20)
        await until(history.level, "level with a new NATS")
        await fed(projector)
        history.life(20)
        await until(history.level, "level in the end")
    assert alike(database)


async def test_duplicates_and_repeats_with_other_borders_change_nothing(database, history, told, nats_server):
    async with broadcasting(database, nats_server) as broadcast, projecting(told) as projector:
        await fed(projector)
        history.add(*[history.room(CLINICS[1], f"room {n}") for n in range(9)])
        events = history.stored()
        await broadcast.page(events[:3], 0)
        await broadcast.page(events[:3], 0)
        await broadcast.page(events[:6], 0)
        await broadcast.page(events[1:5], 1)
        await broadcast.page(events[4:9], 4)
        await until(lambda: history.tracked()[1] == 9, "all nine")
    assert history.value("select count(*) from audit_log") == 9
    assert history.value("select count(*) from rooms") == 9
    assert history.parked() == []


async def test_a_gap_is_healed_from_the_store(database, history, told, nats_server):
    async with broadcasting(database, nats_server) as broadcast, projecting(told) as projector:
        await fed(projector)
        history.add(*[history.room(CLINICS[1], f"room {n}") for n in range(9)])
        events = history.stored()
        projector.fresh = dict.fromkeys(range(4), float("inf"))  # not by looking at the store of its own accord
        await broadcast.page(events[:3], 0)
        await broadcast.page(events[6:], 6)
        await until(lambda: history.tracked()[1] == 9, "all nine")
        assert projector.gaps == 1
    assert alike(database)


async def test_the_lost_end_of_a_burst_is_noticed_though_nothing_follows(database, history, told, nats_server):
    async with broadcasting(database, nats_server) as broadcast, projecting(told) as projector:
        await fed(projector)
        history.add(*[history.room(CLINICS[1], f"room {n}") for n in range(9)])
        await broadcast.page(history.stored()[:3], 0)
        await until(history.level, "level, without a word about the last six", patience=5)
        assert projector.gaps == 0
        assert projector.feed.alive
    assert alike(database)


async def test_a_forged_page_changes_no_row(database, history, told, nats_server):
    async with broadcasting(database, nats_server) as broadcast, projecting(told) as projector:
        await fed(projector)
        history.add(*[history.room(CLINICS[1], f"room {n}") for n in range(4)])
        first, second, third, fourth = history.stored()
        await broadcast.page([first], 0)
        forged = [replace(second, body=b'{"event":"RoomAdded","name":"theirs"}'), replace(second, position=10**6, version=2)]
        await broadcast.page(forged, 1, FORGER)
        await until(lambda: projector.forged == 1, "the forged page is noticed")
        await broadcast.bus.client.jetstream().publish(subject_of(1), b"rubbish")
        await broadcast.bus.client.jetstream().publish(subject_of(1), b"\x91\x01", headers={"prev": "1", "last": "9" * 30, "mac": "é"})
        await until(lambda: projector.forged == 3, "so is rubbish")
        moved = pack([second], subject_of(2), 1, 2, broadcast.key)  # an honest page, under another partition's subject
        await broadcast.bus.client.jetstream().publish(subject_of(1), moved[0], headers=moved[1])
        await until(lambda: projector.forged == 4, "so is a moved page")
        await broadcast.page([second, third, fourth], 1)
        await until(lambda: history.tracked()[1] == 4, "the honest ones")
    assert history.value("select array_agg(name order by name) from rooms") == [f"room {n}" for n in range(4)]
    assert alike(database)


async def test_each_commit_is_announced_to_those_who_wait(database, history, told, nats_server):
    heard: dict[str, int] = {}

    async def on_applied(message) -> None:
        heard[message.subject] = int(message.data)

    async with Bus(nats_server.url("gateway"), "gateway") as gateway, projecting(told) as projector:
        await gateway.hear("applied.*", on_applied)
        await until(lambda: gateway.up and projector.bus.up and projector.leases.held, "all connected")
        head = history.life(10)
        await until(lambda: len(heard) == 4 and set(heard.values()) == {head}, "every partition is announced")


async def test_two_projectors_share_the_work_and_one_takes_it_all_when_the_other_is_killed(database, history, told):
    code = (
        "import asyncio, sys; from workers.projector import main; from types import SimpleNamespace as S;"
        "asyncio.run(main(S(database_url=sys.argv[1], nats_url=sys.argv[2], bus_key=bytes.fromhex(sys.argv[3]), kek=bytes(32))))"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, told.database_url, told.nats_url, told.bus_key.hex())
    try:
        async with projecting(told) as projector:
            owners = "select count(distinct owner) from projector_tracking where owner is not null"
            await until(lambda: history.value(owners) == 2 and len(projector.leases.held) == 2, "two share", patience=60)
            history.life(40)
            other.kill()
            await other.wait()
            history.life(40)
            await until(lambda: len(projector.leases.held) == 4 and history.level(), "one does it all")
    finally:
        if other.returncode is None:
            other.kill()
            await other.wait()
    assert alike(database)


async def test_a_projector_that_lost_its_epoch_while_it_slept_writes_nothing(database, history):
    async with projecting(database.settings("projector")) as projector:
        history.life(5)
        await until(lambda: history.level() and len(projector.leases.held) == 4, "level")
        history.conn.execute("update projector_tracking set owner = 'another', epoch = epoch + 1, leased_until = now() + interval '1 hour'")
        with psycopg.connect(database.url("projector"), application_name="another"):
            before = history.tracked()
            history.life(5)
            await until(lambda: not projector.leases.held, "it noticed")
            assert history.tracked() == before
            assert history.value("select count(*) from audit_log") == min(before.values())
        await until(history.level, "it took over what the other left")
    assert alike(database)


@pytest.mark.parametrize("killed", [False, True])
async def test_it_rests_while_somebody_writes_the_whole_history(database, history, killed):
    async with projecting(database.settings("projector")) as projector:
        history.life(5)
        await until(lambda: history.level() and len(projector.leases.held) == 4, "level")
        with resting(database.url("owner")):
            before = history.tracked()
            history.life(5)
            await until(lambda: not projector.leases.held, "it rests")
            assert history.tracked() == before
            if killed:
                with psycopg.connect(database.superuser_url, autocommit=True) as admin:
                    admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rest-%'")
                await until(history.level, "whoever is gone keeps nobody from working")
        await until(history.level, "it goes on")
    assert alike(database)


async def test_a_broken_connection_is_made_anew(database, history):
    async with projecting(database.settings("projector")) as projector:
        with psycopg.connect(database.superuser_url, autocommit=True) as admin:
            for _ in range(5):
                history.life(5)
                admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", (projector.leases.owner,))
        await until(history.level, "level")
    assert alike(database)


async def test_what_no_retry_can_mend_ends_the_process(database, history):
    history.add(history.room(CLINICS[0], "A"))
    history.conn.execute("update stored_events set topic = 'RoomPainted'")
    settings = database.settings("projector")
    async with Bus(settings.nats_url, "projector") as bus:
        with pytest.raises(StructuralError, match="RoomPainted"):
            await asyncio.wait_for(Projector(settings.database_url, bus, settings.bus_key, KeyRing(KEK)).run(), 20)


async def test_it_waits_while_read_models_await_a_rebuild(database, history):
    history.conn.execute("update read_models set built = false where name = 'rooms'")
    history.life(5)
    async with projecting(database.settings("projector")) as projector:
        await until(lambda: projector.say.state == "projector.waits_for_rebuild", "it waits")
        assert set(history.tracked().values()) == {0}
        history.conn.execute("update read_models set built = true where name = 'rooms'")
        await until(history.level, "it goes on")


async def test_health_tells_of_progress_and_not_of_being_alive(database, history):
    async with projecting(database.settings("projector")):
        history.life(5)
        await until(history.level, "level")
    assert [(h.lag, h.stalled_seconds, h.parked) for h in health_sync(history.conn)] == [(0, 0, 0)] * 4
    history.life(1)
    history.conn.execute("update projector_tracking set current_at = current_at - interval '1 minute'")
    assert all(h.lag == h.head - h.tracked > 0 and h.stalled_seconds >= 60 for h in health_sync(history.conn))


async def test_the_stream_keeps_to_its_limits(database, nats_server):
    async with broadcasting(database, nats_server) as broadcast:
        config = (await broadcast.bus.client.jetstream().stream_info(STREAM)).config
    assert (config.subjects, config.storage, config.discard) == (["events.*"], "file", "old")
    assert config.max_bytes > 0
    assert config.max_age > 0
    assert config.duplicate_window >= 120
