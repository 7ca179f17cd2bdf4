"""Bringing a database to this release's shape, under the previous release's processes.

How it works. Each step belongs to the layer whose tables it makes and is idempotent: it adds what is missing and replaces
functions. All steps run at every migration, one migrator at a time (an advisory lock); then the release is written down in `migrations`. There is no way down: a step only ever adds what the previous release can ignore.

What may go wrong. A statement that waits for a table's lock makes everybody behind it wait as well; so it waits for a moment only,
lets the traffic through and tries again. A step that holds one table and waits for the next may be in a deadlock with the traffic: its moment is shorter than
the second after which Postgres ends one of both, so that the one to give up is the migrator. A migrator that is killed leaves some steps done; the next one goes on, since every step
may be repeated. The owner's role is needed: with a process's role the first statement is refused.
"""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, LockNotAvailable

from anamnesis import __version__
from anamnesis.trouble import Trouble
from commands.kit.restorations import unfinished

Connection = psycopg.Connection[Any]
Progress = Callable[[str], None]

STEPS = (
    "commands.kit.restorations", "commands.kit.schema", "commands.kit.vault", "commands.kit.stays", "commands.kit.origins", "commands.kit.doors", "commands.kit.rates",
    "commands.kit.codes", "commands.kit.keys", "commands.kit.deliveries", "commands.kit.heads", "commands.kit.sightings", "commands.kit.counters", "commands.kit.staging", "projections.kit.tables", "projections.kit.rebuilds", "projections.kit.replays", "workers.courier", "projections.kit.erasing", "commands.kit.erasure",
)
ADVISORY_LOCK = 4_210_070_331
LOCK_TIMEOUT = "500ms"
ATTEMPTS = 30
LEDGER = """
create table if not exists migrations (
    step text not null,
    release text not null,
    applied_at timestamptz not null default clock_timestamp(),
    primary key (step, release)
)
"""


def migrate(owner_url: str, progress: Progress | None = None, *, restoring: bool = False) -> list[str]:
    """Run every step; safe to repeat, at any time, by anybody who owns the database. Return the read models that await a rebuild.

    Where a restore was begun and not finished nobody but a restore goes on.
    """
    waiting: list[str] = []
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [ADVISORY_LOCK])
        if not restoring and unfinished(connection):
            raise Trouble("a restore into this database was begun and not finished: repeat `anamnesis restore`, which begins again, or take another data directory")
        connection.execute("select set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
        _ledger(connection)
        for step in STEPS:
            if progress:
                progress(step)
            waiting += _patiently(import_module(step).install, connection) or []
            connection.execute("insert into migrations (step, release) values (%s, %s) on conflict do nothing", [step, __version__])
    return waiting


def applied(owner_url: str) -> list[tuple[str, str]]:
    """Which steps of which releases this database has seen."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        rows = connection.execute("select step, release from migrations order by applied_at, step").fetchall()
    return [(str(step), str(made)) for step, made in rows]


def _ledger(connection: Connection) -> None:
    try:
        connection.execute(LEDGER)
    except InsufficientPrivilege:
        raise Trouble("only the owner's role (anamnesis_owner) may migrate this database") from None


def _patiently(install: Callable[[Connection], list[str] | None], connection: Connection) -> list[str] | None:
    for attempt in range(ATTEMPTS):
        try:
            return install(connection)
        except (LockNotAvailable, DeadlockDetected):
            time.sleep(min(0.1 * 2**attempt, 2))
    raise Trouble("the tables are locked by others; the migration gave up and can be repeated")
