"""Forgetting a person in the read models: their rows lose whatever is personal, in the transaction that applies the erasure.

How it works. An event with a field marked `Erases` names persons whose keys its own insertion destroyed (`commands.kit.erasure`). The engine drops them from its ring before it folds
the batch, and afterwards blanks the rows that are about them: each row says in its annotations which of its fields are personal and which column names the person. A row
blanked so is the row that a replay without the key makes; `verify` compares the two. Tables of replays are blanked likewise. Earlier versions of read models, which only wait for somebody to go
back, are dropped, for going back is refused after an erasure anyway; so is what an interrupted rebuild has left.

What may go wrong: a projection that puts something personal into a field that does not say so would leave it there; a law looks for that.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection, Connection

from domain.kit.codec import decode, erasing, hints, metas
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.reading import Reader
from projections.kit.rows import Change, mapper_of
from projections.kit.stored import Stored
from schemas.kit import Row

S = TypeVar("S", bound=Struct)

SQL = """
create or replace function drop_former_versions() returns void language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare former record;
begin
    for former in select name, version from read_models
        where not active and (built or pg_try_advisory_xact_lock(7020044)) loop  -- what a rebuild is filling now, it drops itself
        execute format('drop table if exists %I', former.name || '_v' || former.version);
        delete from read_models where name = former.name and version = former.version;
    end loop;
end $$;
revoke all on function drop_former_versions from public;
grant execute on function drop_former_versions to anamnesis_projector;
"""


def install(conn: Connection[Any]) -> None:
    """Make the function; `conn` is the owner's."""
    conn.execute(SQL)


def erased(events: Iterable[Stored]) -> list[UUID]:
    """Return the persons whom these events erase."""
    fields = erasing()
    found: list[UUID] = []
    for stored in events:
        if (field := fields.get(stored.topic)) is not None:
            found += getattr(decode(stored.topic, stored.body, event_id=stored.event_id, person=None), field)
    return found


@cache
def about(row: type[Row]) -> str | None:
    """Return the column of a row that names the person it is about, if anything of it is personal."""
    for hint in hints(row).values():
        for extra in metas(hint):
            if "personal" in extra:
                return extra["personal"] or "id"
    return None


@cache
def _personal(cls: type[Struct]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a struct's personal fields, and those that hold structs with such."""
    fields = hints(cls)
    own = tuple(name for name, hint in fields.items() if any("personal" in extra for extra in metas(hint)))
    nested = tuple(name for name, hint in fields.items() if name not in own and any(_holds(part) for part in _structs(hint)))
    return own, nested


def personal(row: type[Row]) -> tuple[str, ...]:
    """Return the columns of a row that are personal as a whole."""
    return _personal(row)[0]


def _holds(cls: type[Struct]) -> bool:
    own, nested = _personal(cls)
    return bool(own or nested)


def _structs(hint: Any) -> Iterable[type[Struct]]:
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for part in get_args(hint):
        yield from _structs(part)


def blank(value: S) -> S:
    """Return a value without whatever is personal."""
    own, nested = _personal(type(value))
    return replace(value, **dict.fromkeys(own), **{name: _within(getattr(value, name)) for name in nested})


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(one) for one in value]
    return blank(value) if isinstance(value, Struct) else value


async def blank_rows(conn: AsyncConnection[Any], projections: Iterable[Projection], persons: list[UUID]) -> None:
    """Blank the rows that are about these persons, those of replays too, within the transaction that is open."""
    for projection in projections:
        await blank_table(conn, projection, projection.name, persons)
    for name, models in await (await conn.execute("select name, models from replays")).fetchall():
        for model in models:
            await blank_table(conn, PROJECTIONS[model["name"]], relation(name, model["name"]), persons)
    await conn.execute("select drop_former_versions()")


def relation(replay: str, model: str) -> str:
    """Return the name of a read model's table in a replay (`projections.kit.replays`)."""
    return f'"{replay}"."{model}"'


async def blank_table(conn: AsyncConnection[Any], projection: Projection, relation: str, persons: list[UUID]) -> None:
    """Blank a read model's rows that are about these persons in the relation that holds them."""
    if (column := about(projection.row)) is None:
        return
    mapper = mapper_of(projection.row)
    found = f'select {mapper.select_list()} from {relation} t where t."{column}" = any(%s::uuid[])'  # noqa: S608
    kept = [mapper.kept(line) for line in await (await conn.execute(found, (persons,), binary=True)).fetchall()]
    if changes := [Change(one.key, blank(one.row), one.position) for one in kept]:
        await conn.execute(mapper.upsert_sql(relation), mapper.encoded(changes))


async def readable(reader: Reader, records: Sequence[UUID]) -> dict[str, int]:
    """Return how many rows of each read model hold something personal of somebody, under any of their records."""
    found = {}
    for name, projection in PROJECTIONS.items():
        if (column := about(projection.row)) is None:
            continue
        some = " or ".join(f't."{field}" is not null' for field in personal(projection.row))
        statement = f'select count(*) from {name} t where t."{column}" = any(%s::uuid[]) and ({some})'  # noqa: S608
        if count := (await reader.ask(statement, (list(records),))).rows[0][0]:
            found[name] = count
    return found


async def replayed(reader: Reader, person: UUID) -> int:
    """Return how many rows of replays hold something personal of somebody."""
    return int((await reader.ask("select replayed_of(%s)", (person,))).rows[0][0])
