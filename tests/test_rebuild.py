"""Rebuilding: what history says, while everything goes on; and proof that it is what the live rows say."""

import asyncio
import threading
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import asdict, replace

from projections.kit import rebuild as rebuilding
from projections.kit import replay as replaying
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.engine import Engine, NotReadyError
from projections.kit.keys import KeyRing
from projections.kit.rebuild import RebuildError, back, listing, rebuild, verify
from projections.kit.tables import install, load, versions
from projections.kit.tracking import health_sync
from schemas.analytics import RevenueDayRow
from schemas.rooms import RoomRow
from tests.history import CLINICS, KEK, History, running, until
from workers.projector import main

load()
SOME = ["appointments", "invoices", "payments", "revenue_days", "audit_log"]


class WiderRoom(RoomRow):
    """A later release's rooms."""

    colour: str | None = None


@pytest.fixture
def history(database) -> History:
    return History(database.url("owner"))


@pytest.fixture
def url(database) -> str:
    return database.url("owner")


def projector(database):
    settings = database.settings("projector")
    return main(SimpleNamespace(database_url=settings.database_url, nats_url=settings.nats_url, bus_key=settings.bus_key, kek=KEK))


async def level(database, history, visits: int = 40) -> None:
    """A history, and read models level with it."""
    history.life(visits)
    async with running(projector(database)):
        await until(history.level, "level")


def function(monkeypatch, name: str, made, row=None) -> None:
    """Let another release's function, and row, make a read model."""
    known = PROJECTIONS[name]
    monkeypatch.setitem(PROJECTIONS, name, Projection(row or known.row, known.of, made, known.key, fresh=known.fresh))


async def test_verify_says_that_live_rows_are_what_history_says(database, history, url):
    await level(database, history)
    report = verify(url, kek=KEK)
    assert report.equal
    assert {o.name for o in report.outcomes} == set(PROJECTIONS)
    assert sum(o.rows for o in report.outcomes) == sum(history.value(f"select count(*) from {name}") for name in PROJECTIONS) > 0  # noqa: S608


@pytest.mark.parametrize(
    ("harm", "kind", "columns"),
    [
        ("update invoices set paid = paid + 1, notes = 'x' where id = %s", "differs", ["paid", "notes"]),
        ("delete from invoices where id = %s", "missing", []),
        ("insert into invoices select (jsonb_populate_record(i, '{\"id\": \"00000000-0000-0000-0000-000000000001\"}')).* from invoices i where id = %s", "extra", []),
    ],
)
async def test_verify_names_a_row_that_is_not_what_history_says(database, history, url, harm, kind, columns):
    await level(database, history)
    victim, clinic = history.conn.execute("select id, clinic_id from invoices order by id limit 1").fetchone()
    history.conn.execute(harm, (victim,))
    (outcome,) = verify(url, ["invoices"], kek=KEK).outcomes
    assert outcome.differing == 1
    (difference,) = outcome.differences
    assert (difference.kind, sorted(difference.columns)) == (kind, sorted(columns))
    assert difference.key[0] == clinic
    assert (difference.key[1] == victim) == (kind != "extra")


PACE = 0.05  # seconds between what is written and read meanwhile: the rebuild, in the same process, is to have the larger part of it


async def test_a_rebuild_under_live_writes_is_seen_by_nobody_and_equals_live(database, history, url):
    history.life(60)
    writer = History(url, seed=2)
    stop = threading.Event()
    counts: list[int] = []

    def write() -> None:
        while not stop.wait(PACE):
            writer.life(3)

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            while not stop.wait(PACE):
                counts.append(conn.execute("select count(*) from audit_log").fetchone()[0])

    async with running(projector(database)):
        await until(history.level, "level")
        threads = [threading.Thread(target=work) for work in (write, read)]
        for thread in threads:
            thread.start()
        try:
            report = await asyncio.to_thread(rebuild, url, list(PROJECTIONS), kek=KEK)
            again = await asyncio.to_thread(rebuild, url, SOME, kek=KEK)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        await until(history.level, "level after the swap")
    assert report.swapped
    assert report.equal, [(o.name, o.compared, o.differences) for o in report.outcomes if o.differing or not o.compared]
    assert again.equal
    assert counts == sorted(counts)
    assert counts[0] > 0
    assert {v.version for v in versions(history.conn) if v.active and v.name in SOME} == {3}
    assert verify(url, kek=KEK).equal


async def test_rows_at_rest_are_packed_and_come_back_the_same(database, history, url, monkeypatch):
    await level(database, history, 60)
    monkeypatch.setattr(replaying, "HOT", 3)
    monkeypatch.setattr(replaying, "PAGE", 10)
    monkeypatch.setattr(replaying, "WIDEST", 10)
    packed = []
    pack = replaying.Shelf.settle

    def settle(shelf, before: int) -> None:
        pack(shelf, before)
        packed.append(sum(map(len, shelf.cold.values())))

    monkeypatch.setattr(replaying.Shelf, "settle", settle)
    assert verify(url, kek=KEK).equal
    assert max(packed) > 20


async def test_far_behind_everything_can_be_rebuilt_to_the_head_and_live_goes_on_from_there(database, history, url):
    head = history.life(50)
    report = rebuild(url, list(PROJECTIONS), kek=KEK)
    assert report.swapped
    assert set(history.tracked().values()) == {head}
    history.life(10)
    async with running(projector(database)):
        await until(history.level, "level")
    assert verify(url, kek=KEK).equal


async def test_a_running_projector_that_was_behind_goes_on_from_the_swap(database, history, url, monkeypatch):
    swap = rebuilding._swap_now
    locked = threading.Event()

    def slow(*given, **named):
        locked.set()
        return swap(*given, **named)

    monkeypatch.setattr(rebuilding, "_swap_now", slow)
    history.life(100)
    async with running(projector(database)):
        report = await asyncio.to_thread(rebuild, url, list(PROJECTIONS), kek=KEK)
        history.life(10)
        await until(history.level, "level")
    assert report.swapped
    assert locked.is_set()
    assert verify(url, kek=KEK).equal


async def test_other_columns_are_filled_and_then_served(database, history, url, monkeypatch):
    history.add(*[history.room(CLINICS[0], f"room {n}") for n in range(3)])
    await level(database, history, 1)
    known = PROJECTIONS["rooms"].function

    def rooms(row, fact):
        plain = known(row, fact)
        return plain and WiderRoom(**{f: getattr(plain, f) for f in RoomRow.__struct_fields__}, colour="red")

    function(monkeypatch, "rooms", rooms, WiderRoom)
    assert install(history.conn) == ["rooms"]
    report = rebuild(url, ["rooms"], kek=KEK)
    assert report.swapped
    assert report.equal
    assert report.outcomes[0].uncompared == ["colour"]
    assert install(history.conn) == []
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:
        conn.execute("select set_config('app.clinic', %s, false)", (str(CLINICS[0]),))
        assert conn.execute("select name, colour from rooms order by name").fetchall() == [(f"room {n}", "red") for n in range(3)]
        assert conn.execute("select count(*) from current_rooms").fetchone() == (3,)  # what hung on the old view hangs on the new one
    history.add(history.room(CLINICS[0], "room 3"))
    async with running(projector(database)):
        await until(history.level, "level with the new columns")
    assert verify(url, ["rooms"], kek=KEK).equal


async def test_a_changed_function_is_told_with_what_it_changed(database, history, url, monkeypatch):
    history.add(history.room(CLINICS[0], "a"), history.room(CLINICS[0], "b"))
    await level(database, history, 1)
    known = PROJECTIONS["rooms"].function

    def rooms(row, fact):
        plain = known(row, fact)
        return replace(plain, name=plain.name.upper()) if plain.name == "b" else plain

    function(monkeypatch, "rooms", rooms)
    report = rebuild(url, ["rooms"], kek=KEK)
    (outcome,) = report.outcomes
    assert report.swapped
    assert outcome.logic_changed
    assert [(d.kind, d.columns) for d in outcome.differences] == [("differs", ["name"])]
    assert history.conn.execute("select name from rooms order by name").fetchall() == [("B",), ("a",)]


class FlatFee(RevenueDayRow):
    """A later release's formula: the same columns, other figures."""

    formula = 3


async def test_another_formula_is_a_version_of_its_own_built_beside_the_one_that_serves_compared_and_swapped(database, history, url, monkeypatch):
    await level(database, history)
    known = PROJECTIONS["revenue_days"].function
    seen, sums = "select sum(collected), sum(billed) from revenue_days", {}

    def without_a_tenth(row, fact, key):
        after = known(row, fact, key)
        taken = after.collected - (row.collected if row else 0)
        return FlatFee(**asdict(replace(after, collected=after.collected - taken // 10)))

    sums["before"] = history.conn.execute(seen).fetchone()
    function(monkeypatch, "revenue_days", without_a_tenth, FlatFee)
    assert install(history.conn) == ["revenue_days"]
    assert history.conn.execute(seen).fetchone() == sums["before"], "the formula before serves"
    with pytest.raises(NotReadyError, match="revenue_days"):  # nor does this release write into what is not its own
        async with await psycopg.AsyncConnection.connect(database.url("projector"), autocommit=True) as conn:
            await Engine(conn, KeyRing(KEK)).look()
    looked = verify(url, ["revenue_days"], kek=KEK).outcomes[0]
    report = rebuild(url, ["revenue_days"], kek=KEK)
    (outcome,) = report.outcomes
    sums["after"] = history.conn.execute(seen).fetchone()
    assert report.swapped
    assert outcome.compared
    assert {tuple(d.columns) for d in outcome.differences} == {("collected",)}
    assert outcome.sums == {"collected": (sums["before"][0], sums["after"][0])}
    assert (looked.sums, looked.differing) == (outcome.sums, outcome.differing), "one can look before one swaps"
    assert sums["after"][0] < sums["before"][0]
    assert sums["after"][1] == sums["before"][1]
    assert install(history.conn) == []
    await level(database, history)
    assert verify(url, ["revenue_days"], kek=KEK).equal, "and from now on it is the one that is kept level"


async def test_there_is_a_way_back_level_with_what_has_come_since(database, history, url):
    await level(database, history)
    rebuild(url, ["appointments"], kek=KEK)
    await level(database, history)
    report = back(url, "appointments", kek=KEK)
    assert report.swapped
    assert [(v.version, v.active) for v in versions(history.conn, "appointments")] == [(1, True), (2, False)]
    await level(database, history)
    assert verify(url, ["appointments"], kek=KEK).equal
    with pytest.raises(RebuildError):
        back(url, "calendar", kek=KEK)


async def test_no_way_back_to_rows_of_somebody_who_was_erased(database, history, url):
    await level(database, history)
    rebuild(url, ["appointments"], kek=KEK)
    history.conn.execute("update person_keys set wrapped = null, destroyed_at = now() where person = (select min(person::text)::uuid from person_keys)")
    with pytest.raises(RebuildError, match="erased"):
        back(url, "appointments", kek=KEK)


async def test_somebody_erased_meanwhile_does_not_come_back(database, history, url):
    await level(database, history)
    erased = history.value("select patient_id from appointments where notes is not null limit 1")
    rounds = []

    def erase(name: str, phase: str, done: int, total: int) -> None:
        rounds.append(phase)
        if phase == "index" and rounds.count("index") == 1:
            history.conn.execute("update person_keys set wrapped = null, destroyed_at = now() where person = %s", (erased,))

    assert rebuild(url, ["appointments"], kek=KEK, progress=erase).swapped
    assert rounds.count("index") == 2
    assert history.value("select count(*) from appointments where patient_id = %s and notes is not null", erased) == 0
    assert history.value("select count(*) from appointments where notes is not null") > 0


async def test_a_fact_that_fails_in_a_rebuild_is_parked_as_live(database, history, url, monkeypatch):
    bad = history.room(CLINICS[0], "bad")
    history.add(history.room(CLINICS[0], "good"), bad, history.room(CLINICS[0], "later", bad[1]))
    await level(database, history, 1)
    known = PROJECTIONS["rooms"].function

    def rooms(row, fact):
        if getattr(fact.event, "name", "") == "bad":
            raise ZeroDivisionError
        return known(row, fact)

    function(monkeypatch, "rooms", rooms)
    report = rebuild(url, ["rooms"], kek=KEK)
    assert report.outcomes[0].parked == 2
    assert [(p, s) for p, s, *_ in history.parked()] == [("rooms", bad[1])] * 2
    assert sum(h.parked for h in health_sync(history.conn)) == 2
    assert history.conn.execute("select name from rooms").fetchall() == [("good",)]
    history.add(history.room(CLINICS[0], "even later", bad[1]))
    async with running(projector(database)):
        await until(history.level, "level")
    assert len(history.parked()) == 3
    assert verify(url, ["rooms"], kek=KEK).equal
    monkeypatch.undo()
    assert rebuild(url, ["rooms"], kek=KEK).swapped
    assert history.parked() == []
    assert history.conn.execute("select name from rooms order by name").fetchall() == [("even later",), ("good",)]


async def test_without_swap_nothing_changes(database, history, url):
    await level(database, history)
    before = listing(url)
    report = rebuild(url, ["invoices"], kek=KEK, swap=False)
    assert report.equal
    assert not report.swapped
    assert [(v.name, v.version, v.active) for v in listing(url)] == [(v.name, v.version, v.active) for v in before]
    assert history.value("select count(*) from read_model_shares") == 0


async def test_one_rebuild_at_a_time_and_only_of_what_there_is(database, history, url):
    with rebuilding._working(url), pytest.raises(RebuildError, match="another rebuild"):
        rebuild(url, ["rooms"], kek=KEK)
    with pytest.raises(RebuildError, match="no read model is called sandwiches"):
        rebuild(url, ["sandwiches"], kek=KEK)


def ended(at: str, nth: int = 1):
    """Progress that ends the rebuild when a phase is told of for the nth time."""
    seen = []

    def progress(name: str, phase: str, done: int, total: int) -> None:
        seen.append(phase)
        if seen.count(at) == nth and phase == at:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("at", ["index", "follow", "compare", "swap"])
async def test_an_interrupted_rebuild_is_gone_on_with(database, history, url, at):
    await level(database, history)
    with pytest.raises(KeyboardInterrupt):
        rebuild(url, ["invoices"], kek=KEK, progress=ended(at))
    assert [(v.version, v.built) for v in versions(history.conn, "invoices")] == [(1, True), (2, False)]
    await level(database, history, 10)
    phases = []
    (outcome,) = rebuild(url, ["invoices"], kek=KEK, progress=lambda *told: phases.append(told[1])).outcomes
    assert (outcome.version, outcome.differing, outcome.compared) == (2, 0, True)
    assert outcome.kept == outcome.events > 0
    assert "replay" not in phases
    assert ("index" in phases) is (at == "index")
    assert [(v.version, v.active) for v in versions(history.conn, "invoices")] == [(1, False), (2, True)]
    assert {v.name for v in listing(url) if v.current and v.same_logic and v.active} == set(PROJECTIONS)
    assert verify(url, ["invoices"], kek=KEK).equal


async def test_of_several_read_models_those_that_are_there_are_kept(database, history, url):
    await level(database, history)
    with pytest.raises(KeyboardInterrupt):
        rebuild(url, SOME, kek=KEK, progress=ended("index", 3))
    done = {o.name: o for o in rebuild(url, SOME, kek=KEK).outcomes}
    assert sum(o.kept > 0 for o in done.values()) == 3
    assert sum(o.kept == 0 for o in done.values()) == 2
    assert all(o.differing == 0 and o.events for o in done.values())


@pytest.mark.parametrize("change", ["erased", "discarded", "logic", "fresh"])
async def test_an_interrupted_rebuild_is_begun_anew_when_it_would_not_be_the_same(database, history, url, change):
    await level(database, history)
    with pytest.raises(KeyboardInterrupt):
        rebuild(url, ["invoices"], kek=KEK, progress=ended("index"))
    if change == "erased":
        history.conn.execute("update person_keys set wrapped = null, destroyed_at = now() where person = (select min(person::text)::uuid from person_keys)")
    if change == "discarded":
        history.conn.execute(
            "insert into parked_events (projection, stream, position, partition, clinic_id, topic, error, state) "
            "select 'invoices', originator_id, notification_id, partition, clinic_id, topic, '', 'discarded' from stored_events where stream_kind = 'invoices' limit 1")
    if change == "logic":
        history.conn.execute("update read_models set logic = 'another' where name = 'invoices' and not active")
    (outcome,) = rebuild(url, ["invoices"], kek=KEK, fresh=change == "fresh").outcomes
    assert (outcome.version, outcome.kept) == (3, 0)
    assert outcome.events > 0
    assert history.value("select to_regclass('invoices_v2')") is None


async def test_what_an_interrupted_rebuild_has_left_of_somebody_erased_is_dropped(database, history, url):
    await level(database, history)
    with pytest.raises(KeyboardInterrupt):
        rebuild(url, ["appointments"], kek=KEK, progress=ended("index"))
    assert rebuilding.sweep(url) == 0
    history.conn.execute("update person_keys set wrapped = null, destroyed_at = now() where person = (select min(person::text)::uuid from person_keys)")
    with rebuilding._working(url):
        assert rebuilding.sweep(url) == 0, "a rebuild that is at it sees to that itself"
    assert rebuilding.sweep(url) == 1
    assert history.value("select to_regclass('appointments_v2')") is None


async def test_several_processes_make_the_same_rows(database, history, url):
    await level(database, history)
    told = set()
    report = rebuild(url, [*SOME, "calendar", "patients"], kek=KEK, jobs=2, progress=lambda *said: told.add(said[:2]))
    assert report.equal
    assert report.swapped
    assert {(name, phase) for name in SOME for phase in ("replay", "index", "compare")} <= told
    (one,) = rebuild(url, ["revenue_days"], kek=KEK, jobs=2).outcomes  # divided by partitions
    assert (one.compared, one.differing) == (True, 0)
    assert one.events == next(o.events for o in report.outcomes if o.name == "revenue_days")
    with pytest.raises(RebuildError, match="from 1 to 16 jobs"):
        rebuild(url, SOME, kek=KEK, jobs=17)


async def test_several_processes_end_when_they_are_told_to_and_what_is_done_is_kept(database, history, url):
    await level(database, history)
    with pytest.raises(KeyboardInterrupt):
        rebuild(url, SOME, kek=KEK, jobs=2, progress=ended("index", 2))
    assert history.value("select count(*) from read_model_shares") >= 2
    report = rebuild(url, SOME, kek=KEK)
    assert report.equal
    assert sum(o.kept > 0 for o in report.outcomes) >= 2


async def test_one_clinics_rows_are_made_anew_and_the_others_taken_over(database, history, url):
    await level(database, history)
    history.conn.execute("update invoices set notes = 'x'")  # harm to everybody's
    before = history.value("select count(*) from invoices where clinic_id = %s", CLINICS[0])
    (outcome,) = rebuild(url, ["invoices"], kek=KEK, clinic=CLINICS[0]).outcomes
    assert outcome.compared
    assert outcome.differing == before > 0
    assert outcome.rows == before
    assert {difference.key[0] for difference in outcome.differences} == {CLINICS[0]}
    assert history.value("select count(*) from invoices where notes = 'x' and clinic_id = %s", CLINICS[0]) == 0
    assert history.value("select count(*) from invoices where notes is distinct from 'x' and clinic_id <> %s", CLINICS[0]) == 0
    for clinic in CLINICS[1:]:
        assert rebuild(url, ["invoices"], kek=KEK, clinic=clinic).swapped
    await level(database, history)
    assert verify(url, ["invoices"], kek=KEK).equal
    with pytest.raises(RebuildError, match="there is no clinic"):
        rebuild(url, ["invoices"], kek=KEK, clinic=uuid4())


async def test_what_the_version_before_could_not_take_is_set_aside_again_on_the_way_back(database, history, url, monkeypatch):
    bad = history.room(CLINICS[0], "bad")
    known = PROJECTIONS["rooms"].function

    def rooms(row, fact):
        if getattr(fact.event, "name", "") == "bad":
            raise ZeroDivisionError
        return known(row, fact)

    function(monkeypatch, "rooms", rooms)
    history.add(history.room(CLINICS[0], "good"), bad)
    await level(database, history, 1)
    assert len(history.parked()) == 1
    monkeypatch.undo()
    assert rebuild(url, ["rooms"], kek=KEK).swapped
    assert history.parked() == []
    back(url, "rooms", kek=KEK)
    assert [stream for _, stream, *_ in history.parked()] == [bad[1]]


async def test_a_reader_in_the_way_makes_the_swap_try_again(database, history, url):
    await level(database, history)
    reader = psycopg.connect(url)
    reader.execute("select count(*) from invoices")
    waits = []

    def waited(name: str, phase: str, done: int, total: int) -> None:
        if phase == "wait":
            waits.append(name)
            reader.commit()

    with reader:
        assert rebuild(url, ["invoices"], kek=KEK, progress=waited).swapped
    assert len(waits) == 1
