"""The projection engine: exactly once, whatever the batches, and no bug stops more than its stream."""

import random
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection

from domain.kit import Fact
from domain.rooms import RoomChanged
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.engine import Batch, ChangedError, Engine, FenceLostError, NotReadyError, StructuralError, trouble
from projections.kit.keys import KeyRing
from projections.kit.rebuild import verify
from projections.kit.tables import load
from projections.kit.tracking import SETTINGS, Held, Leases
from schemas.rooms import RoomRow
from tests.history import CLINICS, KEK, History

load()


@dataclass
class Live:
    """A projector's engine on a database of its own, and the store behind it."""

    history: History
    conn: AsyncConnection[Any]
    engine: Engine
    leases: Leases
    url: str

    @property
    def held(self) -> dict[int, Held]:
        return self.leases.held

    def batch(self, upto: int | None = None) -> Batch:
        """Everything that the read models lack, or up to a position."""
        upto = upto or self.history.value("select position from store_head")
        events = [e for e in self.history.stored(self.leases.lowest, upto) if e.position > self.held[e.partition].position]
        return Batch(events, {p: (h.position, upto) for p, h in self.held.items() if h.position < upto})

    async def apply(self, batch: Batch | None = None) -> None:
        self.leases.moved(await self.engine.apply(batch or self.batch(), self.held))

    def use(self, name: str, function: Any) -> None:
        """Let another function fill a read model."""
        known = PROJECTIONS[name]
        mine = Projection(known.row, known.of, function, known.key, fresh=known.fresh)
        self.engine = Engine(self.conn, self.engine.ring, projections={**self.engine.projections, name: mine})


@pytest.fixture
async def live(database):
    conn = await AsyncConnection.connect(database.url("projector"), autocommit=True, options=SETTINGS, application_name="tested", prepare_threshold=0)
    async with conn:
        leases = Leases("tested")
        await leases.tick(conn)
        engine = Engine(conn, KeyRing(KEK))
        await engine.look()
        yield Live(History(database.url("owner")), conn, engine, leases, database.url("owner"))


async def test_every_cutting_of_history_into_batches_gives_the_rows_that_a_replay_gives(live):
    head, rng = live.history.life(80), random.Random(7)
    at = 0
    while at < head:
        at = min(head, at + rng.choice([1, 2, 7, 40, 200]))
        await live.apply(live.batch(at))
    report = verify(live.url, kek=KEK)
    assert report.equal, [o for o in report.outcomes if o.differing]
    assert live.history.value("select count(*) from audit_log") == head
    assert live.history.value("select sum(collected) from revenue_days") == live.history.value(
        "select sum((convert_from(state, 'utf8')::json ->> 'amount')::bigint) from stored_events where topic = 'PaymentRecorded'",
    )


async def test_personal_data_is_opened_for_rows(live):
    live.history.life(40)
    await live.apply()
    assert live.history.value("select count(*) from appointments where notes = 'Éva''s bridge'") == live.history.value(
        "select count(*) from stored_events b where topic = 'AppointmentBooked' and person is not null and not exists "
        "(select from stored_events r where r.originator_id = b.originator_id and r.topic in ('AppointmentRescheduled', 'AppointmentRemoved'))",
    ) > 0


async def test_what_is_personal_reaches_only_read_models_that_declare_it(live):
    seen: dict[str, set[Any]] = {}

    def spy(name: str) -> Any:
        known = PROJECTIONS[name].function

        def function(row: Any, fact: Fact) -> Any:
            seen.setdefault(name, set()).add(getattr(fact.event, "notes", None))
            return known(row, fact)

        return function

    live.use("calendar", spy("calendar"))
    live.use("appointments", spy("appointments"))
    await live.engine.look()
    live.history.life(30)
    await live.apply()
    assert seen == {"calendar": {None}, "appointments": {None, "Éva's bridge"}}


async def test_another_epoch_or_position_writes_nothing(live):
    live.history.add(live.history.room(CLINICS[0], "A"))
    batch = live.batch()
    stale = {p: Held(h.epoch - 1, h.position) for p, h in live.held.items()}
    with pytest.raises(FenceLostError):
        await live.engine.apply(batch, stale)
    await live.apply(batch)
    with pytest.raises(FenceLostError):
        await live.engine.apply(batch, live.held)
    assert live.history.value("select count(*) from rooms") == 1


async def test_a_changed_generation_is_looked_at_before_anything_is_written(live):
    live.history.add(live.history.room(CLINICS[0], "A"))
    live.history.conn.execute("update read_model_state set generation = generation + 1")
    with pytest.raises(ChangedError):
        await live.apply()
    assert live.history.value("select count(*) from rooms") == 0
    await live.engine.look()
    await live.apply()
    assert live.history.value("select count(*) from rooms") == 1


async def test_read_models_of_another_release_are_left_alone(live):
    live.history.conn.execute("update read_models set fingerprint = 'of another release' where name = 'rooms'")
    with pytest.raises(NotReadyError, match="rooms"):
        await live.engine.look()


def fails_on(name: str) -> Any:
    """As the rooms' projection, but it cannot take one name."""
    known = PROJECTIONS["rooms"].function

    def rooms(row: RoomRow | None, fact: Fact) -> RoomRow | None:
        if getattr(fact.event, "name", "") == name:
            raise ZeroDivisionError
        return known(row, fact)

    return rooms


async def test_a_handlers_bug_parks_its_stream_for_that_read_model_and_nothing_else(live):
    history = live.history
    live.use("rooms", fails_on("bad"))
    await live.engine.look()
    good, bad = history.room(CLINICS[0], "good"), history.room(CLINICS[0], "was fine")
    history.add(good, bad, history.room(CLINICS[0], "bad", bad[1]), history.room(CLINICS[0], "later", bad[1]))
    await live.apply()
    history.add(history.room(CLINICS[0], "even later", bad[1]), history.room(CLINICS[0], "better", good[1]))
    await live.apply()
    assert [(p, s, t, e.partition(":")[0]) for p, s, t, e in history.parked()] == [
        ("rooms", bad[1], "RoomChanged", "ZeroDivisionError"),
        ("rooms", bad[1], "RoomChanged", "behind a parked event"),
        ("rooms", bad[1], "RoomChanged", "behind a parked event"),
    ]
    assert history.conn.execute("select name from rooms order by name").fetchall() == [("better",), ("was fine",)]
    assert history.value("select count(*) from audit_log") == 6
    assert history.level()


async def test_a_restarted_engine_still_knows_what_is_parked(live):
    history = live.history
    live.use("rooms", fails_on("bad"))
    await live.engine.look()
    bad = history.room(CLINICS[0], "bad")
    history.add(bad)
    await live.apply()
    again = Engine(live.conn, KeyRing(KEK))
    await again.look()
    live.engine = again
    history.add(history.room(CLINICS[0], "later", bad[1]))
    await live.apply()
    assert len(history.parked()) == 2
    assert history.value("select count(*) from rooms") == 0


@pytest.mark.parametrize("name", ["nul\0", "surrogate"])
async def test_a_value_that_postgres_cannot_hold_is_found_by_halving(live, name):
    known = PROJECTIONS["rooms"].function

    def rooms(row: RoomRow | None, fact: Fact) -> RoomRow | None:
        after = known(row, fact)
        spoilt = after and isinstance(fact.event, RoomChanged) and fact.event.name == "spoil"
        return replace(after, name="\ud800" if name == "surrogate" else name) if spoilt else after

    live.use("rooms", rooms)
    await live.engine.look()
    history = live.history
    told = [history.room(CLINICS[n % 3], f"room {n}") for n in range(30)]
    told.insert(20, history.room(CLINICS[17 % 3], "spoil", told[17][1]))
    history.add(*told)
    await live.apply()
    (parked,) = history.parked()
    assert parked[:3] == ("rooms", told[17][1], "RoomChanged")
    assert history.value("select count(*) from rooms") == 30
    assert history.value("select name from rooms where id = %s", told[17][1]) == "room 17"
    assert history.value("select count(*) from audit_log") == 31
    assert history.level()


async def test_a_body_that_does_not_decode_is_parked_by_everyone_who_wants_it(live):
    history = live.history
    history.add(history.room(CLINICS[0], "good"), history.room(CLINICS[0], "bad"))
    history.conn.execute("update stored_events set state = '{\"event\": \"RoomAdded\"}' where notification_id = 2")
    await live.apply()
    assert [p for p, *_ in history.parked()] == ["audit_log", "rooms"]
    assert history.value("select count(*) from rooms") == 1


async def test_an_event_this_release_does_not_know_halts(live):
    history = live.history
    history.add(history.room(CLINICS[0], "good"))
    history.conn.execute("update stored_events set topic = 'RoomPainted'")
    with pytest.raises(StructuralError, match="RoomPainted"):
        await live.apply()
    assert history.tracked()[0] == 0


async def test_a_missing_table_halts_and_a_broken_connection_does_not(live, database):
    live.history.add(live.history.room(CLINICS[0], "good"))
    live.history.conn.execute("drop view rooms cascade")
    with pytest.raises(psycopg.errors.UndefinedTable) as missing:
        await live.apply()
    assert trouble(missing.value) == "structural"
    with psycopg.connect(database.superuser_url, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tested'")
    with pytest.raises(psycopg.OperationalError) as broken:
        await live.apply()
    assert trouble(broken.value) == "transient"


def test_halves_do_what_the_whole_does():
    events = [type("E", (), {"partition": n % 2, "position": n + 1})() for n in range(5)]
    first, second = Batch(events, {0: (0, 9), 1: (0, 9), 2: (4, 9)}).halves()
    assert (first.moves, second.moves) == ({0: (0, 1), 1: (0, 2), 2: (4, 4)}, {0: (1, 9), 1: (2, 9), 2: (4, 9)})
    assert [*first.events, *second.events] == events


async def test_partitions_are_shared_fairly_and_a_gone_owners_are_taken_at_once(database):
    async def member(name: str) -> tuple[AsyncConnection[Any], Leases]:
        conn = await AsyncConnection.connect(database.url("projector"), autocommit=True, application_name=name)
        return conn, Leases(name)

    (a_conn, a), (b_conn, b) = await member("a"), await member("b")
    await a.tick(a_conn)
    assert sorted(a.held) == [0, 1, 2, 3]
    await b.tick(b_conn)
    assert not b.held
    await a.tick(a_conn)
    await b.tick(b_conn)
    assert sorted(a.held) == [0, 1]
    assert sorted(b.held) == [2, 3]
    epochs = {p: h.epoch for p, h in a.held.items()}
    await a_conn.close()
    await b.tick(b_conn)
    assert sorted(b.held) == [0, 1, 2, 3]
    assert all(b.held[p].epoch > epoch for p, epoch in epochs.items())
    await b.leave(b_conn)
    await b_conn.close()


