"""Real servers for tests: one Postgres a run, a fresh migrated database a test, a NATS where one is asked for, and the whole stack."""

import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from xdist.scheduler import LoadFileScheduling

from anamnesis.installation import Installation
from anamnesis.migrations import migrate
from anamnesis.scratch import Scratch, temporary_directory
from anamnesis.serve import rest_collector
from anamnesis.settings import Kind, Settings
from anamnesis.stack import EmbeddedNats, EmbeddedPostgres
from anamnesis.stack.roles import OWNER, create_database, secure_database
from tests.teller import Teller
from tests.till import Till

TEMPLATE = "anamnesis_template"
MEMORY, ROOM = Path("/dev/shm"), 4 << 30  # noqa: S108 - nothing is put there but what `mkdtemp` makes
LONG = {"test_upgrade.py", "test_newcomer.py", "test_matrix.py", "test_stack.py", "test_histories.py", "test_rebuild.py"}
SHARING = {"test_matrix.py", "test_walk.py", "test_races.py", "test_bench.py"}
gc.disable()  # until everything is here (`anamnesis.serve.rest_collector`)


def roomy(place: Path) -> bool:
    """Is there a file system in memory, and enough memory, for what tests write, and for the programs of Postgres?"""
    if not place.is_dir() or not os.access(place, os.W_OK):
        return False
    found, free = os.statvfs(place), os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(found.f_bavail * found.f_frsize, free) > ROOM and not found.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and roomy(MEMORY):  # thousands of small files come and go, which file systems on a disk are slow at
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


class ByFile(LoadFileScheduling):
    """A file is one worker's, and those that share the whole stack are, so that there is one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "stack" if Path(file).name in SHARING else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Say which tests go together."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that nobody waits for it at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Look for garbage from here on, in portions as our own processes do."""
    rest_collector()


class Database:
    """One database of a test. `url("owner" | "gateway" | "relay" | "projector" | "courier")` logs in as the role that is really used."""

    def __init__(self, postgres: EmbeddedPostgres, name: str) -> None:
        self.postgres = postgres
        self.name = name

    def url(self, role: str = "owner") -> str:
        return self.postgres.url(role, self.name)

    @property
    def superuser_url(self) -> str:
        return self.postgres.superuser_url(self.name)

    def settings(self, kind: Kind, nats: EmbeddedNats | None = None) -> Settings:
        """What a process of this kind would be told; without a NATS, its address leads nowhere."""
        users = ("gateway", "relay", "projector", "courier")
        nats_urls = {user: nats.url(user) if nats else "nats://nobody:nothing@127.0.0.1:1" for user in users}
        database_urls = {role: self.url(role) for role in ("owner", "notary", *users)}
        home = self.postgres.home
        return Installation(home.path, home.secrets(), database_urls, nats_urls).settings(kind)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    folder = temporary_directory()
    server = EmbeddedPostgres(folder, settings={"scram_iterations": "1"})  # thousands of logins, with passwords that nobody could guess
    server.start()
    wait_for_disk(server, "off")  # a database of a test is not worth it
    yield server
    server.stop()
    server.home.release()
    shutil.rmtree(folder)


def wait_for_disk(server: EmbeddedPostgres, value: str) -> None:
    """Have the server wait for its disk, as its own configuration says (`on`), or not."""
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute("alter system reset fsync" if value == "on" else "alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
        while connection.execute("show fsync").fetchone() != (value,):
            pass


@pytest.fixture(scope="module")
def durable(postgres: EmbeddedPostgres) -> Iterator[None]:
    """The server waits for its disk, as one that is not a test's does."""
    wait_for_disk(postgres, "on")
    yield
    wait_for_disk(postgres, "off")


@pytest.fixture(scope="session")
def make_database(postgres) -> Callable[[], Database]:
    """Makes a fresh, migrated, empty database at each call."""
    numbers = count(1)
    with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
        create_database(connection, TEMPLATE)
        secure_database(connection, TEMPLATE)
    migrate(postgres.url("owner", TEMPLATE))

    def make() -> Database:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
            connection.execute(f"create database {name} owner {OWNER} template {TEMPLATE} strategy file_copy")  # half the time, where no disk is waited for
            secure_database(connection, name)
        return Database(postgres, name)

    return make


@pytest.fixture
def database(make_database) -> Iterator[Database]:
    """A database of this test alone."""
    made = make_database()
    yield made
    _drop(made)


@pytest.fixture(scope="module")
def module_database(make_database) -> Iterator[Database]:
    """A database that the tests of one file share."""
    made = make_database()
    yield made
    _drop(made)


@pytest.fixture(scope="module")
def make_nats() -> Iterator[Callable[[], EmbeddedNats]]:
    """Makes a running NATS of its own at each call, until the file ends; whoever stops or purges it hurts nobody else."""
    with ExitStack() as servers:
        yield lambda: servers.enter_context(nats_of_its_own())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(module_database, make_nats) -> AsyncIterator[Any]:
    """A gateway with read models, that the tests of one file share; `database` is what it serves from."""
    from tests.served import served, working  # noqa: PLC0415 - the whole application, which not every file needs

    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as running:
        running.database = module_database
        yield running


@pytest.fixture
def nats_server() -> Iterator[EmbeddedNats]:
    """A NATS of this test alone."""
    with nats_of_its_own() as server:
        yield server


@contextmanager
def nats_of_its_own() -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(temporary_directory())
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.home.release()
        shutil.rmtree(server.home.path)


@pytest.fixture(scope="session")
def stack() -> Iterator[Scratch]:
    """Everything, as `anamnesis up` runs it: Postgres, NATS, relay, projector, gateway; and somebody to pay by card."""
    with Till() as till, Teller() as teller, Scratch(env={**till.environment, **teller.environment}) as running:
        running.till = till
        yield running


def _drop(database: Database) -> None:
    with psycopg.connect(database.postgres.superuser_url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {database.name} WITH (FORCE)")
