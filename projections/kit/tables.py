"""The tables of the read models, their versions and who may touch them.

How it works. A read model lies in a versioned table (`invoices_v3`); everybody reads and writes it through the view of its own name, which shows
the active version. `read_models` says which version that is, with the fingerprint of its columns and of the code that fills it. A row
struct whose columns or whose `formula` changed gets a further version, which stays unbuilt and unseen until `rebuild` has filled it and swapped the view; the old one keeps
serving, and is kept level by the processes of the release before until then.
Whatever a running projector must notice (a swap, a parked stream retried) bumps `read_model_state.generation`, which it reads with each batch.

A projector names the view after its fence has locked the tracking row; a swap takes the same lock first. So a batch lies wholly before or wholly
after a swap, and since Postgres plans a statement when it is bound, it meets the version that is active then.

What may go wrong: replacing a view needs an exclusive lock for a moment; behind a long reader it would make others queue, so the swap
gives up after a short lock timeout and tries again. The projector of an older release stops at a swap to columns it does not know, loudly.
"""

import hashlib
import inspect
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.errors import UndefinedColumn

from domain.kit.codec import classes, erasing
from projections.kit.declare import INSTALLED, PROJECTIONS, Projection
from projections.kit.rows import listed
from schemas.kit import Row
from schemas.kit.row import Column, table_of

LIVE = "live"  # the group of projectors that maintains the active versions
INSTALL_LOCK = 7020043
PARTITION = "mod(get_byte(uuid_send({clinic}), 15), {partitions})"
"""A clinic's partition in SQL, as `append_events` assigns it and `Reading.of` looks it up."""

COMMON = """
create table if not exists read_models (
    name text collate "C" not null,
    version int not null,
    fingerprint text not null,
    logic text not null,
    active boolean not null default false,
    built boolean not null default false,
    positions jsonb,
    created_at timestamptz not null default now(),
    built_at timestamptz,
    primary key (name, version)
);
alter table read_models add column if not exists parked jsonb not null default '[]';
alter table read_models add column if not exists clinic uuid;
comment on column read_models.positions is 'where a version that does not serve was left, by partition: a rebuild, or the way back, goes on from there';
comment on column read_models.parked is 'what a version that does not serve could not take, up to there';
comment on column read_models.clinic is 'whose rows alone were made anew in it; the others were taken over';
create unique index if not exists read_models_active on read_models (name) where active;

create table if not exists read_model_shares (
    name text collate "C" not null,
    version int not null,
    partitions smallint[] not null,
    position bigint not null,
    events bigint not null,
    rows bigint not null,
    seconds float not null,
    parked jsonb not null,
    skipped text not null,
    primary key (name, version, partitions),
    foreign key (name, version) references read_models on delete cascade
);
comment on table read_model_shares is 'what of a version is filled, and up to where: a rebuild that was interrupted goes on from there';
comment on column read_model_shares.skipped is 'a digest of the discarded events that were left out';

create table if not exists read_model_state (one boolean primary key default true check (one), generation bigint not null default 1)
    with (fillfactor = 10);
insert into read_model_state default values on conflict do nothing;

create table if not exists projector_tracking (
    grp text collate "C" not null,
    partition smallint not null,
    position bigint not null default 0,
    epoch bigint not null default 0,
    owner text,
    leased_until timestamptz,
    current_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (grp, partition)
) with (fillfactor = 10);
comment on column projector_tracking.position is 'every event of the partition up to here is in the read models';
comment on column projector_tracking.current_at is 'when the position last moved, or was last seen level with the store';
create table if not exists projector_members (owner text primary key, grp text collate "C" not null, seen_until timestamptz not null)
    with (fillfactor = 10);

create table if not exists parked_events (
    projection text collate "C" not null,
    stream uuid not null,
    position bigint not null,
    partition smallint not null,
    clinic_id uuid not null,
    topic text collate "C" not null,
    error text not null,
    state text not null default 'parked' check (state in ('parked', 'discarded')),
    reason text,
    at timestamptz not null default now(),
    primary key (projection, stream, position)
);

grant select on read_models, read_model_state, projector_tracking, parked_events to anamnesis_gateway, anamnesis_relay, anamnesis_projector;
grant update on projector_tracking to anamnesis_projector;
grant select, insert, update, delete on projector_members to anamnesis_projector;
grant insert on parked_events to anamnesis_projector;
"""

FRESH = "alter table {t} set (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000)"
"""How soon statistics are made anew: after so many rows, not after a share of a large table. A clinic that is new in it counts as one row until then, and is looked for badly."""

SECURE = """
alter table {t} enable row level security;
alter table {t} force row level security;
create policy owner on {t} to anamnesis_owner using (true) with check (true);
create policy projector on {t} to anamnesis_projector using (true) with check (true);
create policy tenant on {t} for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));
grant select on {t} to anamnesis_gateway;
grant select, insert, update, delete on {t} to anamnesis_projector;
"""

PLATFORM_SEES = """
create policy platform on {t} for select to anamnesis_gateway
    using ((select current_setting('app.clinic', true)) = '00000000-0000-0000-0000-000000000000');
"""

SHOW = """
create or replace view {name} with (security_invoker = true) as select {columns} from {table};
grant select on {name} to anamnesis_gateway;
grant select, insert, update, delete on {name} to anamnesis_projector;
"""


class Version(NamedTuple):
    """One version of a read model."""

    name: str
    version: int
    fingerprint: str
    logic: str
    active: bool
    built: bool

    @property
    def table(self) -> str:
        """The name of its table."""
        return table_name(self.name, self.version)


def load() -> None:
    """See to it that every event and every projection is known: import the modules of both."""
    for name in ("domain", "projections"):
        for module in iter_modules(import_module(name).__path__):
            import_module(f"{name}.{module.name}")
    classes.cache_clear()
    erasing.cache_clear()


def install(conn: Connection[Any]) -> list[str]:
    """Create or upgrade every read model's table (`conn`: the owner's, autocommit); return the names of those that need a rebuild."""
    load()
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", (INSTALL_LOCK,))
        conn.execute(COMMON)
        conn.execute(
            "insert into projector_tracking (grp, partition) select %s, generate_series(0, partitions - 1) from store_settings on conflict do nothing",
            (LIVE,),
        )
        untouched = _untouched(conn)
        changed = [_install_one(conn, projection, untouched=untouched) for projection in PROJECTIONS.values()]
        if any(changed):
            bump(conn)
        install_functions(conn)
        return pending(conn)


def install_functions(conn: Connection[Any]) -> None:
    """Run the SQL that projections declared with `installs`; what names a column that only a rebuild will bring waits for its swap."""
    later = pending(conn)
    for statement in INSTALLED:
        try:
            with conn.transaction():
                conn.execute(statement)
        except UndefinedColumn:
            if not later:
                raise


def pending(conn: Connection[Any]) -> list[str]:
    """Return the names of read models whose active version is not the one this code wants, or was never built."""
    active = {v.name: v for v in versions(conn) if v.active}
    return [n for n, p in PROJECTIONS.items() if n not in active or not active[n].built or active[n].fingerprint != fingerprint(p.row)]


def versions(conn: Connection[Any], name: str | None = None) -> list[Version]:
    """Return all versions, or those of one read model, oldest first."""
    found = conn.execute(
        "select name, version, fingerprint, logic, active, built from read_models where %s::text is null or name = %s order by name, version",
        (name, name),
    )
    return [Version(*line) for line in found.fetchall()]


def bump(conn: Connection[Any]) -> None:
    """Tell every running projector to look again at versions and parked streams."""
    conn.execute("update read_model_state set generation = generation + 1")


def table_name(name: str, version: int) -> str:
    """Return the name of a version's table."""
    return f"{name}_v{version}"


def create(conn: Connection[Any], row: type[Row], table: str, *, temporary: bool = False) -> None:
    """Create a bare table for rows; keys and indexes come after its filling (`finish`)."""
    columns = ", ".join([*(_column(c) for c in table_of(row).columns), "clinic_id uuid not null", "position bigint not null"])
    conn.execute(f"create {'temporary ' if temporary else ''}table {table} ({columns}) with (fillfactor = {100 if temporary else 88})")


def finished(conn: Connection[Any], table: str) -> bool:
    """Say whether a table has its key."""
    return conn.execute("select 1 from pg_index where indrelid = to_regclass(%s) and indisprimary", (table,)).fetchone() is not None


def finish(conn: Connection[Any], row: type[Row], table: str) -> None:
    """Add the primary key and the indexes to a filled table."""
    conn.execute(f"alter table {table} add primary key ({listed(table_of(row).key)})")
    for entry in _btrees(row):
        conn.execute(f"create index on {table} (clinic_id, {entry})")
    for column in getattr(row, "gin", ()):
        conn.execute(f'create index on {table} using gin ("{column}")')


def secure(conn: Connection[Any], row: type[Row], table: str) -> None:
    """Put up the tenants' wall and let the processes in; where the row says so, the platform's reader sees over it."""
    conn.execute(FRESH.format(t=table))
    conn.execute(SECURE.format(t=table))
    if row.platform:
        conn.execute(PLATFORM_SEES.format(t=table))


def show(conn: Connection[Any], projection: Projection, version: int) -> None:
    """Point the read model's view at a version; other columns than before mean a new view, and whatever hung on the old one is installed again."""
    name, row = projection.name, projection.row
    columns = [*(c.name for c in table_of(row).columns), "clinic_id", "position"]
    before, after = _shape(conn, name), _shape(conn, table_name(name, version))
    if before and before != after:
        conn.execute(f"drop view {name} cascade")
    conn.execute(SHOW.format(name=name, columns=listed(columns), table=table_name(name, version)))
    if before and before != after:
        install_functions(conn)


def fingerprint(row: type[Row]) -> str:
    """Return what changes when a row must have another table: other columns or indexes, or the same filled by another formula."""
    shape = [_column(c) for c in table_of(row).columns] + [*table_of(row).key, "|", *_btrees(row), "|", *getattr(row, "gin", ())]
    shape += ["platform"] if row.platform else []
    shape += [f"formula {row.formula}"] if row.formula > 1 else []
    return hashlib.sha256("\n".join(shape).encode()).hexdigest()[:16]


def shared(conn: Connection[Any], one: str, other: str) -> list[str]:
    """Return the columns that two tables have in common, in the order of the first."""
    theirs = set(_shape(conn, other))
    return [name for name, kind in _shape(conn, one) if (name, kind) in theirs]


def logic(projection: Projection) -> str:
    """Return what changes when the code that fills a read model may have changed: its own module and its row's."""
    modules = [sys.modules[thing.__module__] for thing in (projection.function, projection.row)]
    return hashlib.sha256("\n".join(_source(m) for m in modules).encode()).hexdigest()[:16]


def _shape(conn: Connection[Any], relation: str) -> list[tuple[str, str]]:
    found = conn.execute(
        "select attname::text, format_type(atttypid, atttypmod) from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped "
        "order by attnum",
        (relation,),
    )
    return found.fetchall()


def _source(module: Any) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return str(module.__name__)


def _untouched(conn: Connection[Any]) -> bool:
    """Say whether the live group has applied nothing yet, so that an empty table is as good as a built one."""
    conn.execute("select from projector_tracking where grp = %s order by partition for update", (LIVE,))
    return not conn.execute("select 1 from projector_tracking where grp = %s and position > 0 limit 1", (LIVE,)).fetchone()


def _install_one(conn: Connection[Any], projection: Projection, *, untouched: bool) -> bool:
    name, wanted = projection.name, fingerprint(projection.row)
    known = versions(conn, name)
    active = next((v for v in known if v.active), None)
    if active and active.fingerprint == wanted:
        return False
    if any(v.fingerprint == wanted and not v.active and not v.built for v in known):
        return False
    number = 1 + max((v.version for v in known), default=0)
    serves = active is None or untouched
    create(conn, projection.row, table_name(name, number))
    finish(conn, projection.row, table_name(name, number))
    secure(conn, projection.row, table_name(name, number))
    if serves:
        conn.execute("update read_models set active = false where name = %s", (name,))
    conn.execute(
        "insert into read_models (name, version, fingerprint, logic, active, built) values (%s, %s, %s, %s, %s, %s)",
        (name, number, wanted, logic(projection), serves, serves and untouched),
    )
    if serves:
        show(conn, projection, number)
    return serves


def _column(column: Column) -> str:
    collation = ' collate "C"' if column.type == "text" else ""
    return f'"{column.name}" {column.type}{collation}{"" if column.null else " not null"}'


def _btrees(row: type[Row]) -> list[str]:
    return [*(f'"{c.name}"' for c in table_of(row).columns if c.indexed), *row.indexes]
