"""Parked events: retried once the bug is mended, or discarded with a reason."""

from uuid import UUID

import pytest

from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.parked import StillFailingError, discard, listing, retry
from projections.kit.rebuild import rebuild, verify
from projections.kit.tables import load
from tests.history import CLINICS, KEK, History, running, until
from tests.test_rebuild import projector

load()


@pytest.fixture
def history(database) -> History:
    return History(database.url("owner"))


@pytest.fixture
def url(database) -> str:
    return database.url("owner")


class Bug:
    """The rooms' projection of a release that cannot take a room called bad."""

    def __init__(self, monkeypatch) -> None:
        known = PROJECTIONS["rooms"]

        def rooms(row, fact):
            if getattr(fact.event, "name", "") == "bad":
                raise ZeroDivisionError("of all things")
            return known.function(row, fact)

        self.mended = known
        self.patch = monkeypatch
        monkeypatch.setitem(PROJECTIONS, "rooms", Projection(known.row, known.of, rooms, known.key, fresh=False))

    def mend(self) -> None:
        self.patch.setitem(PROJECTIONS, "rooms", self.mended)


@pytest.fixture
def bug(monkeypatch) -> Bug:
    return Bug(monkeypatch)


async def parked_rooms(database, history) -> list[UUID]:
    """Three rooms, of which two are parked, one with a later name."""
    good, bad, worse = (history.room(CLINICS[n], name) for n, name in enumerate(("good", "bad", "bad")))
    history.add(good, bad, worse, history.room(CLINICS[1], "later", bad[1]))
    async with running(projector(database)):
        await until(history.level, "level")
    return [good[1], bad[1], worse[1]]


async def test_what_is_parked_is_listed_by_stream(database, history, url, bug):
    _, bad, worse = await parked_rooms(database, history)
    first, second = listing(history.conn)
    assert (first.projection, first.stream, first.clinic, first.events, first.topic) == ("rooms", bad, CLINICS[1], 2, "RoomAdded")
    assert first.error == "ZeroDivisionError: of all things"
    assert (second.stream, second.events) == (worse, 1)


async def test_a_retry_while_the_bug_is_there_leaves_all_as_it_was(database, history, url, bug):
    await parked_rooms(database, history)
    before = history.parked()
    with pytest.raises(StillFailingError, match="ZeroDivisionError"):
        retry(url, kek=KEK)
    assert history.parked() == before
    assert history.value("select count(*) from rooms") == 1


async def test_after_mending_a_retry_makes_up_for_it_and_the_running_projector_goes_on(database, history, url, bug):
    _, bad, worse = await parked_rooms(database, history)
    bug.mend()
    async with running(projector(database)):
        assert retry(url, kek=KEK, stream=bad) == 2
        assert [p.stream for p in listing(history.conn)] == [worse]
        history.add(history.room(CLINICS[1], "latest", bad))
        await until(history.level, "level")
        assert history.value("select name from rooms where id = %s", bad) == "latest"
        assert retry(url, kek=KEK) == 1
    assert history.parked() == []
    assert verify(url, kek=KEK).equal


async def test_discarded_events_stay_away_and_later_ones_are_applied(database, history, url, bug):
    good, bad, worse = await parked_rooms(database, history)
    assert discard(url, "rooms", bad, "typed in by mistake") == 2
    bug.mend()
    retry(url, kek=KEK)
    assert [(p.stream, p.reason) for p in listing(history.conn, discarded=True)] == [(bad, "typed in by mistake")]
    history.add(history.room(CLINICS[1], "latest", worse))
    async with running(projector(database)):
        await until(history.level, "level")
    rows = "select id from rooms order by id"
    assert {i for (i,) in history.conn.execute(rows)} == {good, worse}
    assert verify(url, ["rooms"], kek=KEK).equal
    assert rebuild(url, ["rooms"], kek=KEK).equal
    assert {i for (i,) in history.conn.execute(rows)} == {good, worse}
