"""The event store on a real Postgres: dense order, exact outcomes, claims, chain, idempotency; and the library's own test cases."""

import asyncio
import hashlib
import random
import unittest
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)
from msgspec.structs import replace

from commands.kit import writer as w
from commands.kit.recorder import SnapshotRecorder, StoreRecorder
from commands.kit.writer import NewEvent, Save, Slot, Writer
from projections.kit.stored import COLUMNS, Stored

CLINICS = [UUID(int=n) for n in (101, 202, 303)]
T0 = datetime(2026, 1, 5, 9, tzinfo=UTC)


def event(stream: UUID, version: int) -> NewEvent:
    return NewEvent(stream, version, "Happened", "things", uuid4(), None, b"mac", b"{}")


def save(*, stream: UUID | None = None, before: int = 0, events: int = 1, clinic: UUID = CLINICS[0], **more: Any) -> Save:
    stream = stream or uuid4()
    guards = more.pop("guards", [])
    return Save(
        command=more.pop("command", None) or uuid4(), clinic=clinic, actor=UUID(int=1), correlation=UUID(int=2),
        events=[event(stream, before + n + 1) for n in range(events)], expected=[(stream, before, before + events), *guards], **more,
    )


def slot(resource: int, start: int, minutes: int = 30, *, forced: bool = False, expires: datetime | None = None) -> Slot:
    begin = T0 + timedelta(minutes=start)
    return Slot("doctor", UUID(int=resource), begin, begin + timedelta(minutes=minutes), forced, expires)


def taking(*slots: Slot, stream: UUID | None = None, **more: Any) -> Save:
    stream = stream or uuid4()
    return save(stream=stream, slots=[(stream, s) for s in slots], **more)


@pytest.fixture
async def writer(database: Any) -> AsyncIterator[Writer]:
    writer = Writer(database.url("gateway"))
    await writer.open()
    yield writer
    await writer.close()


@pytest.fixture
def owner(database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.url("owner"), autocommit=True) as conn:
        yield conn


def stored(owner: psycopg.Connection[Any]) -> list[Stored]:
    return [Stored(*row) for row in owner.execute(f"select {COLUMNS} from stored_events order by notification_id")]  # noqa: S608


def chain_of(events: list[Stored]) -> dict[int, bytes]:
    """Compute the chain from the text of its definition, with none of the store's code."""
    heads: dict[UUID, bytes] = {}
    out = {}
    for e in events:
        topic, kind = e.topic.encode(), e.kind.encode()
        content = b"".join((
            e.position.to_bytes(8, "big"), e.stream.bytes, e.version.to_bytes(8, "big"), len(topic).to_bytes(4, "big"), topic, e.clinic.bytes,
            len(kind).to_bytes(4, "big"), kind, e.event_id.bytes, e.command.bytes, e.correlation.bytes, e.causation.bytes if e.causation else b"",
            b"|", e.actor.bytes, e.person.bytes if e.person else b"", b"|", e.recorded_us.to_bytes(8, "big"), e.mac, e.body,
        ))
        start = heads.get(e.clinic, hashlib.sha256(e.clinic.bytes).digest())
        out[e.position] = heads[e.clinic] = hashlib.sha256(start + content).digest()
    return out


async def test_positions_are_dense_and_the_chain_holds(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """Many clients at once, saves of several events, three clinics: 1..n, and every hash follows from the one before."""
    outcomes = await asyncio.gather(*[writer.save(save(events=1 + n % 3, clinic=CLINICS[n % 3])) for n in range(500)])

    events = stored(owner)
    assert {o.status for o in outcomes} == {w.SAVED}
    assert [e.position for e in events] == list(range(1, len(events) + 1))
    assert {e.position: e.hash for e in events} == chain_of(events)
    assert owner.execute("select position from store_head").fetchone() == (len(events),)
    for clinic in CLINICS:
        times = [e.recorded_us for e in events if e.clinic == clinic]
        assert times == sorted(times)


async def test_a_save_that_rests_on_nobody_having_been_named_falls_if_somebody_was(writer: Writer) -> None:
    """Since a position, in the same clinic, by what was stored before or is decided in the same batch; whoever else is named is in nobody's way."""
    anybody, other = uuid4(), uuid4()

    def saying(who: UUID, **more: Any) -> Save:
        made = save(**more)
        return replace(made, events=[replace(made.events[0], body=b'{"patientId":"%s"}' % str(who).encode())])

    first = await writer.save(saying(anybody))
    assert (await writer.save(save(unnamed=[(anybody, first.position or 0)]))).status == w.SAVED
    assert (await writer.save(save(unnamed=[(other, 0)]))).status == w.SAVED
    assert (await writer.save(save(unnamed=[(anybody, 0)], clinic=CLINICS[1]))).status == w.SAVED
    assert (await writer.save(save(unnamed=[(anybody, 0)]))).status == w.MOVED
    assert (await writer.save(save(unnamed=[(other, 0), (anybody, 0)]))).status == w.MOVED
    head = (await writer.save(save())).position or 0
    outcomes = await asyncio.gather(*(writer.save(one) for one in (
        save(unnamed=[(anybody, head)]), saying(anybody), save(unnamed=[(anybody, head)]), save(unnamed=[(other, head)]), saying(other, clinic=CLINICS[2]), save())))
    assert [outcome.status for outcome in outcomes] == [w.SAVED, w.SAVED, w.MOVED, w.SAVED, w.SAVED, w.SAVED]


async def test_the_chain_test_can_fail(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """A byte changed behind the store's back breaks the chain from there on."""
    await asyncio.gather(*[writer.save(save()) for _ in range(5)])
    owner.execute("update stored_events set state = '{ }' where notification_id = 3")

    events = stored(owner)
    broken = [e.position for e in events if chain_of(events)[e.position] != e.hash]
    assert broken == [3, 4, 5]


async def test_a_version_is_won_once(writer: Writer) -> None:
    """Twenty writers of one version: one saves, the others are told that it moved."""
    stream = uuid4()
    outcomes = await asyncio.gather(*[writer.save(save(stream=stream)) for _ in range(20)])
    assert sorted(o.status for o in outcomes) == [w.SAVED] + [w.MOVED] * 19


async def test_a_queued_decision_may_build_on_the_one_before(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """Saves of one stream, each on the next version, all queued at once, are all stored in order."""
    stream = uuid4()
    outcomes = await asyncio.gather(*[writer.save(save(stream=stream, before=n)) for n in range(50)])
    assert {o.status for o in outcomes} == {w.SAVED}
    assert [e.version for e in stored(owner)] == list(range(1, 51))


async def test_what_rests_on_a_save_falls_with_it_though_another_writer_made_its_version(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """A number alone would not tell: version 1 is there when version 2 arrives, but it is not the one that 2 was decided on. In one batch or in two."""
    for together in (True, False):
        stream, guarding = uuid4(), uuid4()
        await writer.save(save(stream=stream))
        refused = writer.put(save(stream=stream))
        if not together:
            await refused
        after = writer.put(save(stream=stream, before=1, rests=[refused]))
        guard = writer.put(save(stream=guarding, guards=[(stream, 1, 1)], rests=[None, refused]))
        last = writer.put(save(stream=stream, before=2, rests=[after]))
        assert [(await s).status for s in (refused, after, guard, last)] == [w.MOVED] * 4
        assert [e.version for e in stored(owner) if e.stream == stream] == [1]


async def test_what_builds_on_a_failed_save_fails_too(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """No version is ever left out: a save that counts on a refused one is refused."""
    await writer.save(taking(slot(1, 0)))
    stream = uuid4()
    refused, after = await asyncio.gather(
        writer.save(taking(slot(1, 10), stream=stream)), writer.save(save(stream=stream, before=1)),
    )
    assert (refused.status, after.status) == (w.TIME_TAKEN, w.MOVED)
    assert len(stored(owner)) == 1


async def test_a_guard_without_an_event_is_checked(writer: Writer) -> None:
    """A save that rests on another stream's version fails when that has moved."""
    other = uuid4()
    await writer.save(save(stream=other))
    good = await writer.save(save(guards=[(other, 1, 1)]))
    await writer.save(save(stream=other, before=1))
    stale = await writer.save(save(guards=[(other, 1, 1)]))
    assert (good.status, stale.status) == (w.SAVED, w.MOVED)


async def test_no_two_claims_overlap_whatever_their_starts_and_lengths(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """300 random wishes for three resources, thrown at once: what is accepted never overlaps, what is refused would have."""
    dice = random.Random(5)
    wishes = [slot(dice.randrange(3), dice.randrange(0, 600, 5), dice.choice([5, 15, 30, 45, 60, 240])) for _ in range(300)]
    outcomes = await asyncio.gather(*[writer.save(taking(wish)) for wish in wishes])

    held: list[Slot] = []
    for wish, outcome in zip(wishes, outcomes, strict=True):
        clash = any(h.resource == wish.resource and h.start < wish.end and wish.start < h.end for h in held)
        assert outcome.status == (w.TIME_TAKEN if clash else w.SAVED)  # first come, first served: an oracle without SQL
        if not clash:
            held.append(wish)
    assert owner.execute("select count(*) from time_claims").fetchone() == (len(held),)


async def test_touching_intervals_do_not_overlap(writer: Writer) -> None:
    """A slot is half-open: one may begin at the instant another ends."""
    outcomes = [await writer.save(taking(slot(1, start))) for start in (30, 0, 60)]
    assert [o.status for o in outcomes] == [w.SAVED] * 3


async def test_a_refusal_names_the_claim(writer: Writer) -> None:
    """The caller learns which of its claims was in the way, in a batch of many."""
    await writer.save(taking(slot(1, 0)))
    outcomes = await asyncio.gather(*[writer.save(taking(slot(50 + n, 0), slot(1, 0))) for n in range(5)])
    assert [(o.status, o.detail) for o in outcomes] == [(w.TIME_TAKEN, 2)] * 5


async def test_forced_claims_stand_beside_and_in_the_way(writer: Writer) -> None:
    """An overbooking conflicts with nothing, and every later normal claim conflicts with it."""
    first = await writer.save(taking(slot(1, 0)))
    forced = await writer.save(taking(slot(1, 0, forced=True)))
    again = await writer.save(taking(slot(1, 15, forced=True)))
    late = await writer.save(taking(slot(1, 30, 10)))
    assert [o.status for o in (first, forced, again, late)] == [w.SAVED, w.SAVED, w.SAVED, w.TIME_TAKEN]


async def test_a_hold_ends_by_itself(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """A hold keeps others out until it expires; the next append that meets it removes it."""
    now = datetime.now(UTC)
    await writer.save(taking(slot(1, 0, expires=now + timedelta(hours=1))))
    await writer.save(taking(slot(2, 0, expires=now - timedelta(seconds=1))))
    kept, gone = await writer.save(taking(slot(1, 0))), await writer.save(taking(slot(2, 10)))
    assert (kept.status, gone.status) == (w.TIME_TAKEN, w.SAVED)
    assert owner.execute("select count(*) from time_claims").fetchone() == (2,)


async def test_a_move_frees_and_takes_at_once(writer: Writer) -> None:
    """A rescheduled appointment may overlap its own old time; the old time is free for the next save of the same batch."""
    stream = uuid4()
    await writer.save(taking(slot(1, 0), stream=stream))
    moved, next_in = await asyncio.gather(
        writer.save(taking(slot(1, 20), stream=stream, before=1, slots_freed=[(stream, slot(1, 0))])), writer.save(taking(slot(1, 0, 20))),
    )
    assert (moved.status, next_in.status) == (w.SAVED, w.SAVED)


async def test_what_one_save_takes_another_of_the_same_batch_gives_back(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """Booked, moved and cancelled at once, beside others: only what is held at the end is claimed."""
    stream, other = uuid4(), uuid4()
    outcomes = await asyncio.gather(
        writer.save(taking(slot(1, 0), stream=stream)),
        writer.save(taking(slot(1, 60), stream=stream, before=1, slots_freed=[(stream, slot(1, 0))])),
        writer.save(taking(slot(2, 0), stream=other)),
        writer.save(save(stream=stream, before=2, slots_freed=[(stream, slot(1, 60))])),
        writer.save(save(names=[(UUID(int=7), other)], stream=other, before=1)),
        writer.save(save(names_freed=[(UUID(int=7), other)], stream=other, before=2)),
    )
    assert {o.status for o in outcomes} == {w.SAVED}
    assert owner.execute("select resource, owner from time_claims").fetchall() == [(UUID(int=2), other)]
    assert owner.execute("select count(*) from unique_claims").fetchone() == (0,)


async def test_a_refused_move_keeps_what_it_had(writer: Writer) -> None:
    """A reschedule that fails must not lose the old slot."""
    stream = uuid4()
    await writer.save(taking(slot(1, 0), stream=stream))
    await writer.save(taking(slot(1, 60)))
    refused = await writer.save(taking(slot(1, 60), stream=stream, before=1, slots_freed=[(stream, slot(1, 0))]))
    other = await writer.save(taking(slot(1, 0)))
    assert (refused.status, other.status) == (w.TIME_TAKEN, w.TIME_TAKEN)


async def test_a_name_is_held_once(writer: Writer) -> None:
    """Of many that want one name, one gets it; once freed it can be had again."""
    claim, streams = uuid4(), [uuid4() for _ in range(10)]
    outcomes = await asyncio.gather(*[writer.save(save(stream=s, names=[(claim, s)])) for s in streams])
    assert [o.status for o in outcomes] == [w.SAVED] + [w.NAME_TAKEN] * 9
    await writer.save(save(stream=streams[0], before=1, names_freed=[(claim, streams[0])]))
    assert (await writer.save(save(names=[(claim, uuid4())]))).status == w.SAVED


async def test_a_command_is_stored_once(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """A repeated command id answers with what the first did; with another request it is refused."""
    command, stream = uuid4(), uuid4()
    first = await writer.save(save(stream=stream, command=command, request_hash=b"a", events=2))
    again = await writer.save(save(command=command, request_hash=b"a"))
    other = await writer.save(save(command=command, request_hash=b"b"))
    assert (first.status, again.status, other.status) == (w.SAVED, w.SEEN, w.REUSED)
    assert (again.stream, again.version, again.position) == (stream, 2, first.position) == (stream, 2, 2)
    assert len(stored(owner)) == 2


async def test_a_command_is_remembered_for_a_day_by_its_key_and_for_a_month_without(
    writer: Writer, owner: psycopg.Connection[Any], database: Any,
) -> None:
    """What is older is forgotten, and then it is a new command; nothing younger is."""
    keyed, bare = [uuid4(), uuid4()], [uuid4(), uuid4()]
    for command in keyed:
        await writer.save(save(command=command, request_hash=b"a"))
    for command in bare:
        await writer.save(save(command=command))
    ages = [(keyed[0], "23 hours"), (keyed[1], "25 hours"), (bare[0], "29 days"), (bare[1], "31 days")]
    for command, age in ages:
        owner.execute("update command_log set saved_at = now() - %s::interval where command_id = %s", [age, command])
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:
        assert [conn.execute("select forget_commands(1)").fetchone() for _ in range(2)] == [(2,), (0,)]
    again = [(await writer.save(save(command=c, request_hash=h))).status for c, h in ((keyed[0], b"a"), (keyed[1], b"b"), (bare[0], None), (bare[1], None))]
    assert again == [w.SEEN, w.SAVED, w.SEEN, w.SAVED]


async def test_twins_in_one_batch_are_stored_once(writer: Writer, owner: psycopg.Connection[Any]) -> None:
    """The same command twice at once: one is stored, the other is told to ask again."""
    command = uuid4()
    outcomes = await asyncio.gather(*[writer.save(save(command=command)) for _ in range(5)])
    assert [o.status for o in outcomes].count(w.SAVED) == 1
    assert len(stored(owner)) == 1


async def test_the_gateway_cannot_write_past_the_function(database: Any) -> None:
    """The role that serves requests may call the function and nothing else."""
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:
        for sql in ("delete from stored_events", "insert into time_claims values (gen_random_uuid(), now(), now() + '1h', gen_random_uuid(), false)",
                    "update store_head set position = 0", "truncate stored_events", "select * from unique_claims"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql)


async def test_a_clinic_sees_its_own_events_only(writer: Writer, database: Any) -> None:
    """Row-level security holds for the role that is really used: no setting, no rows; a setting, that clinic's."""
    await asyncio.gather(*[writer.save(save(clinic=c)) for c in CLINICS])
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:
        assert conn.execute("select count(*) from stored_events").fetchone() == (0,)
        conn.execute("select set_config('app.clinic', %s, false)", (str(CLINICS[1]),))
        assert conn.execute("select distinct clinic_id from stored_events").fetchall() == [(CLINICS[1],)]


class LibraryCase:
    """Runs a test case of the library's wheel against our recorder."""

    def recorder(self, database: Any, kind: type) -> Any:
        parts = psycopg.conninfo.conninfo_to_dict(database.url("owner"))
        store = PostgresDatastore(
            dbname=parts["dbname"], host=parts["host"], port=str(parts.get("port", 5432)), user=parts["user"], password=parts["password"],
            originator_id_type="uuid",
        )
        self.stores = [*getattr(self, "stores", []), store]
        return kind(store) if kind is StoreRecorder else kind(store, events_table_name="library_snapshots")


@pytest.mark.parametrize("case", ["application", "interleaving", "snapshots"])
def test_the_library_accepts_the_store(database: Any, case: str) -> None:
    """The recorders pass the test cases that the `eventsourcing` wheel ships."""
    library = LibraryCase()

    class Application(ApplicationRecorderTestCase):  # type: ignore[type-arg]
        INITIAL_VERSION = 1

        def create_recorder(self) -> Any:
            with psycopg.connect(database.url("owner"), autocommit=True) as conn:  # each of its tests wants an empty store
                conn.execute("truncate stored_events, command_log, chain_heads")
                conn.execute("update store_head set position = 0")
            recorder = library.recorder(database, StoreRecorder)
            recorder.create_table()
            return recorder

    class Interleaving(NonInterleavingNotificationIDsBaseCase):
        create_recorder = Application.create_recorder

    class Snapshots(AggregateRecorderTestCase):
        def create_recorder(self) -> Any:
            recorder = library.recorder(database, SnapshotRecorder)
            recorder.create_table()
            return recorder

    chosen = {"application": Application, "interleaving": Interleaving, "snapshots": Snapshots}[case]
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(chosen).run(result)
    for store in getattr(library, "stores", []):
        store.close()
    assert result.testsRun > 0
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]
