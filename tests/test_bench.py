"""Benchmarks refuse to flatter, and what they check can fail; how fast anything is, is nobody's test."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from nats.js.api import StorageType, StreamConfig

from anamnesis.bench import BENCHES, append, auth, book, lag, sse
from anamnesis.bench.kit import checks, clinics, conditions, figures, http, load, places, probe, watch
from anamnesis.bench.kit.clinics import Diary
from anamnesis.bench.kit.figures import Result, Target
from anamnesis.bench.kit.frame import Options, known
from anamnesis.bench.kit.load import Job
from anamnesis.bench.kit.places import Place
from anamnesis.scratch import Scratch, copy, temporary_directory
from anamnesis.stack import EmbeddedPostgres
from anamnesis.trouble import Trouble
from commands.kit.writer import Writer
from workers.kit.bus import STREAM, Bus

pytestmark = pytest.mark.usefixtures("durable")
SHORT = Options(seconds=0.3, clients=4)


# -- conditions


def test_a_durable_database_may_be_measured(database: Any) -> None:
    found = conditions.honest(database.url("gateway"))
    assert found == {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "role": "anamnesis_gateway"}


def test_not_without_fsync() -> None:
    folder = temporary_directory()
    server = EmbeddedPostgres(folder, settings={"fsync": "off"})
    try:
        server.start()
        with pytest.raises(Trouble, match="fsync off"):
            conditions.honest(server.url("owner"))
    finally:
        server.stop()
        server.home.release()
        shutil.rmtree(folder)


def test_not_without_synchronous_commit(database: Any) -> None:
    with pytest.raises(Trouble, match="synchronous_commit off"):
        conditions.honest(database.url("gateway") + "&options=-csynchronous_commit%3Doff")


def test_not_on_unlogged_tables(database: Any) -> None:
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute("alter table command_log set unlogged")
    with pytest.raises(Trouble, match="unlogged tables: command_log"):
        conditions.honest(database.url("gateway"))


def test_not_as_a_superuser(database: Any) -> None:
    with pytest.raises(Trouble, match="postgres is logged in"):
        conditions.honest(database.superuser_url)


def test_not_beside_a_process_that_is_a_superuser(database: Any) -> None:
    with psycopg.connect(database.superuser_url), pytest.raises(Trouble, match="postgres is logged in"):
        conditions.honest(database.url("gateway"))


@pytest.mark.parametrize(("storage", "refused"), [(StorageType.FILE, False), (StorageType.MEMORY, True)])
async def test_not_with_a_stream_in_memory(database: Any, make_nats: Any, storage: StorageType, refused: bool) -> None:
    url = make_nats().url("relay")
    async with Bus(url, "test") as bus:
        await bus.ready()
        await bus.client.jetstream().add_stream(StreamConfig(name=STREAM, subjects=["events.*"], storage=storage))
    asking = asyncio.to_thread(conditions.honest, database.url("gateway"), url)
    if refused:
        with pytest.raises(Trouble, match="JetStream stream in memory"):
            await asking
    else:
        assert (await asking)["jetstream"] == "file"


def test_an_unknown_name_is_one_clear_line() -> None:
    assert known([], BENCHES) == list(BENCHES)
    with pytest.raises(Trouble, match="there is no benchmark speed; there are append, auth, book"):
        known(["speed"], BENCHES)


# -- what is checked afterwards


@pytest.fixture
async def filled(database: Any) -> list[int]:
    """The positions of some appends with claims."""
    writer = Writer(database.url("gateway"))
    await writer.open()
    outcomes = await asyncio.gather(*[writer.save(append.claiming(n)) for n in range(60, 90)])
    await writer.close()
    return [outcome.position or 0 for outcome in outcomes]


@pytest.fixture
def owner(database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.url("owner"), autocommit=True) as connection:
        yield connection


def test_a_sound_store_passes(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    checks.nothing_lost(0)
    checks.accepted_is_stored(owner, filled, append.TOPIC, 0)
    checks.positions_are_dense(owner)
    checks.nothing_overlaps(owner)
    assert checks.chain_holds(owner) == len(filled) == checks.head(owner)
    assert checks.chain_holds(owner, since=10) == len(filled) - 10


def test_an_answer_that_never_came_is_found() -> None:
    with pytest.raises(Trouble, match="2 requests"):
        checks.nothing_lost(2)


def test_what_was_accepted_and_is_not_stored_is_found(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(Trouble, match="1 lost, 0 unasked for"):
        checks.accepted_is_stored(owner, [*filled, 999], append.TOPIC, 0)


def test_what_is_stored_and_was_not_accepted_is_found(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(Trouble, match="0 lost, 1 unasked for"):
        checks.accepted_is_stored(owner, filled[1:], append.TOPIC, 0)


def test_one_event_told_to_two_clients_is_found(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(Trouble, match="31 accepted, 30 stored"):
        checks.accepted_is_stored(owner, [*filled, filled[0]], append.TOPIC, 0)


def test_a_gap_is_found(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    owner.execute("delete from stored_events where notification_id = 7")
    with pytest.raises(Trouble, match="29 events, the last at position 30"):
        checks.positions_are_dense(owner)


def test_a_changed_byte_is_found(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    owner.execute("update stored_events set state = state || ' ' where notification_id = 9")
    with pytest.raises(Trouble, match="chain breaks at position 9"):
        checks.chain_holds(owner)


def test_claims_that_overlap_are_found(filled: list[int], owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "insert into time_claims (resource, starting, ending, owner, forced) "
        "select resource, starting + interval '1 minute', ending, gen_random_uuid(), false from time_claims limit 1")
    with pytest.raises(Trouble, match="1 claims and 0 bookings overlap"):
        checks.nothing_overlaps(owner)


async def test_bookings_that_overlap_are_found_whatever_the_claims_say(database: Any, owner: psycopg.Connection[Any]) -> None:
    """Two events tell of one doctor at one time; nobody claimed anything."""
    body = append.BODY.replace(b'"forced":true', b'"forced":false')
    writer = Writer(database.url("gateway"))
    await writer.open()
    for number in (3, 6):  # of one clinic
        save = append.bare(number)
        event = save.events[0]
        altered = type(event)(event.stream, 1, event.topic, event.kind, event.id, None, event.mac, body % number)
        await writer.save(type(save)(
            command=save.command, clinic=save.clinic, actor=save.actor, correlation=save.correlation, events=[altered], expected=save.expected))
    await writer.close()
    with pytest.raises(Trouble, match="0 claims and 1 bookings overlap"):
        checks.nothing_overlaps(owner)


@pytest.mark.parametrize("heard", [[[1, 2], [1]], [[1, 2], [2, 1]], [[1, 2], [1, 1, 2]], [[1, 2], []]])
def test_a_subscriber_who_did_not_hear_everything_is_found(heard: list[list[int]]) -> None:
    sse.delivered([[1, 2], [1, 2]], [1, 2])
    with pytest.raises(Trouble, match="1 of 2 subscribers"):
        sse.delivered(heard, [1, 2])


# -- figures


def test_a_missed_target_says_by_how_much() -> None:
    made = Result(name="x", figure={"per_second": 50.0}, baseline={}, ratio=3.0, targets=[Target("per_second", least=100), Target("ratio", most=4)])
    assert made.missed == ["per_second >= 100 (is 50)"]
    assert figures.latencies([0.001] * 99 + [0.5]) == {"p50_ms": 1.0, "p99_ms": 500.0, "max_ms": 500.0}


# -- the load generator


class Answering:
    """A server that gives each connection's n-th request the n-th of these answers, and hangs up after them."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with connection:
                for answer in self.answers:
                    if not connection.recv(65536):
                        break
                    connection.sendall(answer)
                else:
                    connection.recv(65536)


GOOD = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-position: 7\r\n\r\n{}"


def test_the_generator_counts_what_it_is_told() -> None:
    server = Answering(GOOD, b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n")
    tally = load.generate(Job(host="127.0.0.1", port=server.port, requests=[b"GET / HTTP/1.1\r\n\r\n"] * 2, seconds=5, connections=1))
    assert (tally.answers, tally.accepted, tally.lost, len(tally.times)) == ({201: 1, 409: 1}, [7], 0, 2)


def test_a_broken_connection_is_a_lost_request() -> None:
    server = Answering(GOOD)
    tally = load.generate(Job(host="127.0.0.1", port=server.port, requests=[b"GET / HTTP/1.1\r\n\r\n"] * 3, seconds=1, connections=1))
    assert (tally.answers, tally.lost) == ({201: 1}, 1)


def test_a_stream_that_ends_fails_the_subscribers() -> None:
    server = Answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
    job = Job(host="127.0.0.1", port=server.port, requests=[b"GET / HTTP/1.1\r\n\r\n"], seconds=5, connections=1)
    with watch.listening(job) as subscribers, pytest.raises(RuntimeError, match="subscribers failed"):
        subscribers.heard(1)


# -- a tiny run of each kind, on real processes


def test_appends_are_measured_beside_the_librarys() -> None:
    bare, claiming = append.measure(SHORT)
    assert bare.name == "append"
    assert bare.ratio == round(bare.figure["per_second"] / bare.baseline["per_second"], 2)
    assert bare.conditions["fsync"] == "on"
    assert bare.conditions["rows"]["time_claims"] > 0
    assert "accepted = stored" in claiming.checked


def test_what_the_door_costs_is_measured_in_turns(stack: Any, place: Place) -> None:
    with probe.served(stack.settings("gateway")) as url:
        token = place.tokens()[0][0]
        guarded = http.get(probe.GUARDED, token)
        plain, more, pairs = auth.turns(url, b"GET /probe/open HTTP/1.1\r\nhost: measured\r\n\r\n", guarded, 0.1)
        assert pairs >= auth.LEAST
        assert 0 < plain < more + 1000, "microseconds"
        assert auth.first(url, http.get(probe.GUARDED, place.tokens()[0][0])) > 0
        auth.refused(url, http.get(probe.GUARDED, "nobody's"))
        with pytest.raises(Trouble, match="let somebody in"):
            auth.refused(url, guarded)


def test_a_history_that_there_is_is_copied_and_not_made_anew() -> None:
    with Scratch() as there:
        clinics.found(there.settings("gateway"), clinics=1, doctors=1, patients=1, users=1)
        with pytest.raises(Trouble, match="in use"):
            copy(there.data_dir, there.data_dir)
        there.stop()
        with places.lived_in(Options(size="large", history=there.data_dir), "large") as place, place.bench.connect() as connection:
            assert connection.execute("select count(*) from stored_events where topic = 'PatientRegistered'").fetchone() == (1,)
            assert place.stack.data_dir != there.data_dir
    with pytest.raises(Trouble, match="no installation"):
        copy(there.data_dir, there.data_dir)


@pytest.fixture(scope="module")
def place(stack: Any) -> Place:
    made = clinics.found(stack.settings("gateway"), clinics=2, doctors=3, patients=10, users=1)
    return Place.of(stack, SHORT, made)


@pytest.fixture(scope="module")
def diary(place: Place) -> Diary:
    return Diary(place.clinics)


def test_bookings_are_accepted_by_the_whole_stack_and_read_again(place: Place, diary: Diary) -> None:
    job = book.job_of(place, diary.take(40), seconds=20)
    job.warm, job.follow = 0.0, 10
    with watch.listening(lag.subscriptions(place)) as subscribers:
        tally, more, checked = book.run(place, job)
        heard = subscribers.heard(40)
    assert tally.answers == {201: 40}
    assert len(tally.visible) == 4
    assert more["behind_seconds"] >= 0
    assert checked[0] == "accepted = stored"
    lag.all_told(place, heard.each, tally.accepted)
    with pytest.raises(Trouble, match="events were stored"):
        lag.all_told(place, heard.each, tally.accepted[1:])


def test_what_is_taken_is_refused(place: Place, diary: Diary) -> None:
    taken = diary.take(1) * 5
    tally, _, _ = book.run(place, book.job_of(place, taken, seconds=20))
    assert tally.answers == {201: 1, 409: 4}


def test_a_diary_deals_no_slot_twice(place: Place) -> None:
    dealt = [(b.clinic, b.body) for b in Diary(place.clinics).take(3000)]
    assert len(set(dealt)) == 3000


def test_a_read_model_that_is_not_its_rebuild_is_found(place: Place, stack: Any) -> None:
    kek = stack.settings("owner").kek
    places.models_are_sound(place.bench.owner_url, kek)
    with psycopg.connect(place.bench.owner_url, autocommit=True) as owner:
        owner.execute("update rooms set name = 'tampered' where id = %s", [place.clinics[0].rooms[0]])
        try:
            with pytest.raises(Trouble, match=r"live is not rebuild: rooms \(1 rows\)"):
                places.models_are_sound(place.bench.owner_url, kek)
        finally:
            owner.execute("update rooms set name = 'Room 0' where id = %s", [place.clinics[0].rooms[0]])
