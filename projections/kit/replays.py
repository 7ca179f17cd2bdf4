"""Read models as they stood, each replay in a schema of its own that can be queried and dropped.

How it works. `build` makes a schema, and in it one table for each read model, under its name, filled by `projections.kit.replay` with what had happened by a position or an instant
(each clinic's own past: its recording times never decrease, those of different clinics may lie anyhow), with today's keys and today's code. The register `replays` says what
there is, until when, by whom. Only the owner reads such a schema: no tenants' wall stands in it, so no process that serves people gets in. The projector gets in to blank.

Whoever is erased is blanked here too, by the projector, in the transaction that blanks the live rows; the register tells it where. A table that was being filled meanwhile is looked
through by whoever filled it, once it is there: who was erased before that look is found by it, who is erased after it by the projector.

What may go wrong. A build that is killed leaves a schema that is registered as unfinished; whichever command comes next drops it. Tables of columns that this release does not have could
not be blanked, so a migration that brings other columns drops the replays that have the old ones.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import psycopg
from msgspec import Struct
from psycopg import AsyncConnection, Connection, sql

from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.erasing import about, blank_table, personal, relation
from projections.kit.keys import KeyRing
from projections.kit.replay import Only, Skips, replay, resting_collector
from projections.kit.tables import create, fingerprint, finish, load

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
TAKEN = re.compile(r"pg_.*|public|information_schema")
OPTIONS = "-c timezone=UTC -c jit=off -c maintenance_work_mem=256MB -c synchronous_commit=off"
READ_ONLY = "-c timezone=UTC -c default_transaction_read_only=on -c search_path={name}"

Moment = int | datetime
Progress = Callable[[str, str, int, int], None]  # read model, phase, done, of so many

SQL = """
create table if not exists replays (
    name text collate "C" primary key, until text not null, position bigint not null, models jsonb not null default '[]', finished boolean not null default false,
    built_at timestamptz not null default clock_timestamp(), built_by text not null, pid int not null default pg_backend_pid()
);
comment on table replays is 'read models as they stood, each replay in the schema of its name';
grant select on replays to anamnesis_projector;

create or replace function replayed_of(this uuid) returns bigint
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    kept record;
    held bigint;
    total bigint := 0;
begin
    for kept in select r.name as place, m->>'name' as model, m->>'about' as about,
        (select string_agg(format('%I is not null', c.name), ' or ') from jsonb_array_elements_text(m->'personal') c(name)) as says
        from replays r, jsonb_array_elements(r.models) m where m->>'about' is not null
    loop
        if kept.says is not null and to_regclass(format('%I.%I', kept.place, kept.model)) is not null then
            execute format('select count(*) from %I.%I where %I = $1 and (%s)', kept.place, kept.model, kept.about, kept.says) into held using this;
            total := total + held;
        end if;
    end loop;
    return total;
end $$;
revoke all on replays from public;
revoke all on function replayed_of from public;
grant execute on function replayed_of to anamnesis_gateway;
"""
DISCARDED = "select stream, position from parked_events where projection = %s and state = 'discarded'"
ABANDONED = "select name from replays r where not finished and not exists (select from pg_stat_activity a where a.pid = r.pid and a.application_name = 'replay ' || r.name)"
ERASED_SINCE = "select person from person_keys where destroyed_at >= (select built_at from replays where name = %s)"
UNTIL = "select coalesce(max(position_at(clinic_id, %s)), 0) from chain_heads"
LISTING = """
select r.name, r.until, r.position, r.built_at, r.built_by, r.finished, jsonb_array_length(r.models), coalesce((select sum((m->>'rows')::bigint) from jsonb_array_elements(r.models) m), 0)::bigint,
    coalesce((select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = r.name and c.relkind = 'r'), 0)::bigint
from replays r order by r.built_at
"""


class ReplayError(Exception):
    """A replay that cannot be made or dropped; the message says why."""


class Model(Struct):
    """A read model in a replay: the column that names whose row it is, if it holds anything personal, and the columns that do."""

    name: str
    fingerprint: str
    rows: int
    parked: int
    about: str | None
    personal: list[str]


class Listed(NamedTuple):
    """A replay, as a person asks for it."""

    name: str
    until: str
    position: int
    built_at: datetime
    built_by: str
    finished: bool
    models: int
    rows: int
    size: int


def install(conn: Connection[Any]) -> None:
    """Make the register; drop what holds columns that this release could not blank. `conn` is the owner's."""
    load()
    with conn.transaction():
        conn.execute(SQL)
    for name, models in conn.execute("select name, models from replays where finished").fetchall():
        known = [PROJECTIONS.get(model["name"]) for model in models]
        if any(projection is None or fingerprint(projection.row) != model["fingerprint"] for projection, model in zip(known, models, strict=True)):
            _drop(conn, name)


def build(owner_url: str, name: str, names: Sequence[str], until: Moment, *, kek: bytes, by: str, progress: Progress) -> list[Model]:
    """Build read models as they stood, in a schema of that name; return them."""
    load()
    if not NAME.fullmatch(name) or TAKEN.fullmatch(name):
        message = f"{name} is no name for a schema: small letters, digits and _, a letter first, not pg_..., at most 48"
        raise ReplayError(message)
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS, application_name=f"replay {name}") as conn, resting_collector():
        _sweep(conn)
        _begin(conn, name, until, by)
        try:
            upto = _upto(conn, until)
            models = [_fill(owner_url, conn, name, PROJECTIONS[model], upto, until, kek, progress) for model in names]
            conn.execute("update replays set finished = true where name = %s", (name,))
        except BaseException:
            conn.rollback()
            _drop(conn, name)
            raise
    return models


def listing(owner_url: str) -> list[Listed]:
    """Return the replays there are, the oldest first."""
    with psycopg.connect(owner_url, autocommit=True) as conn:
        _sweep(conn)
        return [Listed(*line) for line in conn.execute(LISTING).fetchall()]


def drop(owner_url: str, name: str) -> None:
    """Drop a replay."""
    with psycopg.connect(owner_url, autocommit=True) as conn:
        _known(conn, name)
        _drop(conn, name)


def query(owner_url: str, name: str, statement: str) -> list[dict[str, Any]]:
    """Ask a replay, which nobody can change so."""
    with psycopg.connect(owner_url, autocommit=True) as conn:
        _known(conn, name)
    with psycopg.connect(owner_url, autocommit=True, options=READ_ONLY.format(name=name)) as conn:
        found = conn.execute(statement.encode(), prepare=True)  # one statement, no more
        columns = [column.name for column in found.description or ()]
        return [dict(zip(columns, line, strict=True)) for line in found.fetchall()] if columns else []


def relations(conn: Connection[Any]) -> list[str]:
    """Return the tables of all replays that hold anything personal."""
    found = conn.execute("select r.name, m->>'name' from replays r, jsonb_array_elements(r.models) m where m->>'about' is not null")
    return [relation(name, model) for name, model in found.fetchall()]


def _fill(url: str, conn: Connection[Any], name: str, projection: Projection, upto: int, until: Moment, kek: bytes, progress: Progress) -> Model:
    """Fill one table, register it, and look whether somebody was erased meanwhile."""
    table, whose = relation(name, projection.name), about(projection.row)
    skips: Skips = frozenset(conn.execute(DISCARDED, (projection.name,)).fetchall())
    say = _said(progress, projection.name, upto)
    with conn.transaction():
        create(conn, projection.row, table)
        done = replay(url, conn, projection, table, upto, KeyRing(kek), skips, say, Only(instant=until if isinstance(until, datetime) else None))
        progress(projection.name, "index", upto, upto)
        finish(conn, projection.row, table)
        model = Model(projection.name, fingerprint(projection.row), done.rows, len(done.parked), whose, list(personal(projection.row)) if whose else [])
        if whose:
            conn.execute(sql.SQL("create index on {} ({})").format(sql.SQL(table), sql.Identifier(whose)))
            conn.execute(sql.SQL("grant select, insert, update on {} to anamnesis_projector").format(sql.SQL(table)))
        conn.execute("update replays set models = models || %s::jsonb where name = %s", (msgspec.json.encode([model]).decode(), name))
    conn.execute(sql.SQL("analyze {}").format(sql.SQL(table)))
    if whose and (gone := [person for (person,) in conn.execute(ERASED_SINCE, (name,)).fetchall()]):
        asyncio.run(_blank(url, projection, table, gone))
    return model


async def _blank(url: str, projection: Projection, table: str, persons: list[Any]) -> None:
    async with await AsyncConnection.connect(url) as conn:
        await blank_table(conn, projection, table, persons)


def _said(progress: Progress, model: str, upto: int) -> Callable[[int], None]:
    return lambda at: progress(model, "replay", at, upto)


def _begin(conn: Connection[Any], name: str, until: Moment, by: str) -> None:
    there = conn.execute("select from pg_namespace where nspname = %s", (name,)).fetchone() is not None
    if there:
        message = f"there is a schema {name} already" + (": anamnesis replay drop " + name if _is_replay(conn, name) else ", which is no replay")
        raise ReplayError(message)
    if isinstance(until, int) and until > (head := _one(conn, "select position from store_head")):
        message = f"history ends at position {head}"
        raise ReplayError(message)
    told = str(until) if isinstance(until, int) else until.isoformat()
    with conn.transaction():
        conn.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("grant usage on schema {} to anamnesis_projector").format(sql.Identifier(name)))
        conn.execute("insert into replays (name, until, position, built_by) values (%s, %s, %s, %s)", (name, told, _upto(conn, until), by))


def _upto(conn: Connection[Any], until: Moment) -> int:
    return until if isinstance(until, int) else int(_one(conn, UNTIL, until))


def _sweep(conn: Connection[Any]) -> None:
    """Drop what builds left that are no more."""
    for (name,) in conn.execute(ABANDONED).fetchall():
        _drop(conn, name)


def _drop(conn: Connection[Any], name: str) -> None:
    with conn.transaction():
        conn.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))
        conn.execute("delete from replays where name = %s", (name,))


def _known(conn: Connection[Any], name: str) -> None:
    if not _is_replay(conn, name):
        message = f"there is no replay {name}"
        raise ReplayError(message)


def _is_replay(conn: Connection[Any], name: str) -> bool:
    return conn.execute("select from replays where name = %s", (name,)).fetchone() is not None


def _one(conn: Connection[Any], statement: str, *values: Any) -> Any:
    found = conn.execute(statement, values).fetchone()
    return found[0] if found else None


def chosen(names: Iterable[str]) -> list[str]:
    """Return the read models of these names, all if there are none."""
    load()
    wanted = list(names) or list(PROJECTIONS)
    if unknown := [name for name in wanted if name not in PROJECTIONS]:
        message = f"there is no read model {unknown[0]}; there are {', '.join(sorted(PROJECTIONS))}"
        raise ReplayError(message)
    return wanted
