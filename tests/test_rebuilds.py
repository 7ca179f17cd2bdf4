"""Rebuilds as a superadmin asks for them: begun within a second or two, watched, cancelled, gone on with after a death; and the way back."""

from multiprocessing import active_children
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.kit import PLATFORM
from projections.kit.declare import PROJECTIONS
from projections.kit.rebuild import REBUILD_LOCK, RebuildError, verify
from projections.kit.rebuilds import Cancelled, Wish, carry_out, next_wish, typed
from tests.history import KEK, History, running, until
from tests.served import failure, served, working
from workers.builder import main as builder_main

REBUILDS, MODELS = "/superadmin/rebuilds", "/superadmin/read-models"
FEW, SIGNED_UP = ["invoices", "rooms"], ["clinics", "staff"]


class Book:
    """The rows of the book, as the owner sees them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.conn = psycopg.connect(url, autocommit=True)

    def of(self, which: str | UUID) -> tuple[str, str | None]:
        return self.conn.execute("select status, problem from rebuilds where id = %s", (which,)).fetchone()

    def ended(self, which: str | UUID) -> bool:
        return self.of(which)[0] not in {"asked", "running"}


@pytest.fixture
def book(database) -> Book:
    return Book(database.url("owner"))


@pytest.fixture
def builder(database):
    return lambda: running(builder_main(database.settings("builder")))


async def test_a_superadmin_has_read_models_made_anew_and_goes_back(database, nats_server, book, builder):
    async with served(database, nats_server) as web, working(database, nats_server), builder():
        root = await web.person(PLATFORM, "superadmin")
        await web.person(await web.clinic(), "doctor")
        asked = await root("POST", REBUILDS, {"readModels": SIGNED_UP})
        assert asked.status_code == 201
        row = asked.json()
        assert (row["status"], row["readModels"], row["jobs"], row["kind"], row["askedBy"]) == ("asked", SIGNED_UP, 1, "rebuild", str(root.id))
        await until(lambda: book.ended(row["id"]), "ended")
        done = (await root("GET", f"{REBUILDS}/{row['id']}")).json()
        assert (done["status"], done["percent"], done["problem"]) == ("done", 100, None)
        assert [(o["name"], o["version"], o["compared"], o["differing"]) for o in done["outcomes"]] == [(name, 2, True, 0) for name in SIGNED_UP]
        assert [(o["logicChanged"], o["kept"], o["parked"]) for o in done["outcomes"]] == [(False, 0, 0)] * 2
        assert (await root("GET", REBUILDS, params={"status": "done"})).json()["items"] == [done]
        versions = [v for v in (await root("GET", MODELS)).json()["items"] if v["name"] in SIGNED_UP]
        assert [(v["name"], v["version"], v["active"], v["built"]) for v in versions] == [
            (name, version, version == 2, True) for name in SIGNED_UP for version in (1, 2)]
        assert all(v["current"] and v["sameLogic"] and v["size"] > 0 for v in versions)
        back = (await root("POST", f"{MODELS}/staff/back", {})).json()
        await until(lambda: book.ended(back["id"]), "ended")
        assert [v["active"] for v in (await root("GET", MODELS)).json()["items"] if v["name"] == "staff"] == [True, False]
        again = (await root("POST", f"{MODELS}/calendar/back", {})).json()
        await until(lambda: book.ended(again["id"]), "ended")
        assert book.of(again["id"]) == ("failed", "there is no earlier version of calendar that this release could maintain")


async def test_one_at_a_time_and_only_what_there_is_and_only_the_platforms_people(database, book):
    async with served(database) as web:
        root = await web.person(PLATFORM, "superadmin")
        failure(await root("POST", REBUILDS, {"readModels": ["sandwiches"]}), 400, "READ_MODEL_UNKNOWN")
        failure(await root("POST", f"{MODELS}/sandwiches/back", {}), 400, "READ_MODEL_UNKNOWN")
        failure(await root("POST", REBUILDS, {"clinic": str(uuid4())}), 404, "NOT_FOUND")
        failure(await root("POST", REBUILDS, {"jobs": 0}), 400, "BODY_INVALID")
        failure(await root("POST", REBUILDS, {"jobs": 17}), 400, "BODY_INVALID")
        failure(await root("POST", f"{REBUILDS}/{uuid4()}/cancel", {}), 404, "NOT_FOUND")
        first = (await root("POST", REBUILDS, {})).json()
        assert first["readModels"] == sorted(PROJECTIONS)
        refused = await root("POST", REBUILDS, {"readModels": FEW})
        failure(refused, 409, "REBUILD_UNDER_WAY")
        assert refused.json()["details"][0]["id"] == first["id"]
        cancelled = (await root("POST", f"{REBUILDS}/{first['id']}/cancel", {})).json()
        assert (cancelled["status"], cancelled["cancelledBy"]) == ("cancelled", str(root.id))
        failure(await root("POST", f"{REBUILDS}/{first['id']}/cancel", {}), 409, "REBUILD_OVER")
        assert (await root("POST", REBUILDS, {"readModels": FEW})).status_code == 201
        clinic = await web.clinic()
        for role in ("admin", "doctor"):
            somebody = await web.person(clinic, role)
            for method, path in (("GET", REBUILDS), ("POST", REBUILDS), ("GET", MODELS), ("POST", f"{MODELS}/rooms/back"), ("POST", f"{REBUILDS}/{first['id']}/cancel")):
                failure(await somebody(method, path, {} if method == "POST" else None), 403, "FORBIDDEN")
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:  # nor past the API
        conn.execute("select set_config('app.clinic', %s, false)", (str(clinic),))
        assert conn.execute("select count(*) from rebuilds").fetchone() == (0,)
        conn.execute("select ask_rebuild(%s, 'rebuild', '[]', null, 1, false, %s)", (uuid4(), uuid4()))
        assert conn.execute("select cancel_rebuild(id, %s) from (select %s::uuid as id) t", (uuid4(), first["id"])).fetchone() == (False,)
    assert book.conn.execute("select count(*) from rebuilds").fetchone() == (2,)


def asked(book: Book, models: list[str], who: UUID | None = None) -> Wish:
    """Something asked for, as the gateway does."""
    wish = Wish(uuid4(), "rebuild", models)
    book.conn.execute("select set_config('app.clinic', %s, false)", (str(PLATFORM),))
    book.conn.execute("select ask_rebuild(%s, 'rebuild', to_jsonb(%s::text[]), null, 1, false, %s)", (wish.id, models, who or uuid4()))
    return wish


async def test_a_cancelled_rebuild_ends_and_the_next_goes_on_from_there(database, book):
    History(book.url).life(5)
    wish = asked(book, FEW)
    assert next_wish(book.conn) == wish

    def progress(name: str, phase: str, done: int, total: int) -> None:
        book.conn.execute("select cancel_rebuild(%s, %s)", (wish.id, uuid4()))

    with pytest.raises(Cancelled):
        carry_out(book.url, KEK, wish, progress)
    assert book.of(wish.id) == ("cancelled", None)
    assert next_wish(book.conn) is None
    further = asked(book, FEW)
    assert next_wish(book.conn) == further
    assert carry_out(book.url, KEK, further).swapped
    assert book.of(further.id) == ("done", None)


async def test_a_rebuild_whose_process_was_killed_is_taken_up_again(database, book, builder):
    History(book.url).life(5)
    with psycopg.connect(book.url) as blocking:
        blocking.execute("lock table rooms_v1")  # so that it stands before its swap
        wish = asked(book, FEW)
        async with builder():
            await until(lambda: book.conn.execute("select 1 from rebuilds where phase in ('swap', 'wait', 'follow', 'compare')").fetchone(), "stands before its swap")
            (child,) = active_children()
            child.kill()
            await until(lambda: not child.is_alive(), "dead")
            blocking.rollback()
            await until(lambda: book.ended(wish.id), "ended")
    assert book.of(wish.id) == ("done", None)
    assert book.conn.execute("select tries from rebuilds where id = %s", (wish.id,)).fetchone() == (2,)
    assert verify(book.url, FEW, kek=KEK).equal


async def test_what_was_typed_and_died_makes_room_for_the_next(database, book):
    book.conn.execute("insert into rebuilds (id, kind, read_models, jobs, fresh, status) values (%s, 'rebuild', '[]', 1, false, 'running')", (dead := uuid4(),))
    book.conn.execute("select pg_advisory_lock(%s)", (REBUILD_LOCK,))
    with pytest.raises(RebuildError, match="another rebuild is under way"):
        typed(book.url, KEK, Wish(uuid4(), "rebuild", FEW), lambda *_: None)
    assert book.of(dead) == ("running", None)
    book.conn.execute("select pg_advisory_unlock(%s)", (REBUILD_LOCK,))
    wish = Wish(uuid4(), "rebuild", FEW)
    assert typed(book.url, KEK, wish, lambda *_: None).swapped
    assert book.of(dead)[0] == "failed"
    assert book.of(wish.id) == ("done", None)
    with pytest.raises(RebuildError, match="there is no clinic"):
        typed(book.url, KEK, failing := Wish(uuid4(), "rebuild", FEW, uuid4()), lambda *_: None)
    assert book.of(failing.id)[0] == "failed"
