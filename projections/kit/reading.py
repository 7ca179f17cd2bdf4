"""Finding rows: the one door out.

How it works: a `Reader` belongs to one clinic, and every statement it sends names that clinic; row-level security in Postgres says the same again.
A page is found by keyset: the cursor holds the sort value and key of the last row seen, so a page costs the same wherever it lies and rows that
come or go do not shift it. For answers in JSON a row goes from the driver's tuple to bytes without becoming a `Row` (`Wire`).

What may go wrong: read models lag behind the store by some milliseconds; whoever must see his own write waits for its position first. `version` is the
highest version of the stream that the row is known to reflect, which is what `If-Match` must be compared with.
"""

import base64
import binascii
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct, defstruct, inspect
from psycopg import DataError

from domain.kit import PLATFORM, Frozen, Invalid
from projections.kit.declare import PROJECTIONS
from projections.kit.lanes import Answer, Lanes, ReadUnavailable
from projections.kit.rows import mapper_of
from schemas.kit import Row
from schemas.kit.row import table_of

__all__ = ["CursorInvalid", "Found", "Lanes", "Page", "ReadUnavailable", "Reader", "Reading", "Wanted", "Wire", "wire_of"]

R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=Struct)

HEAD = "select coalesce(max(notification_id), 0) from stored_events where clinic_id = %s"
MOST = 1000  # rows that `find` returns at most

_encode = msgspec.json.Encoder().encode


class CursorInvalid(Invalid):
    """That cursor is not one of ours. Take it from `next` of the page before, with the same `sort`."""


class Wanted(NamedTuple):
    """Which rows of a list: conditions as (column, operator, value), the sort column, its direction, and where the page before ended."""

    conditions: tuple[tuple[str, str, Any], ...] = ()
    sort: str = "id"
    descending: bool = False
    limit: int = 50
    cursor: str | None = None


class Page(Frozen):
    """Rows as JSON, and the cursor of the page after, if there is one."""

    items: Raw
    next: str | None


class Found(NamedTuple):
    """One row as JSON, and the version of its stream that it reflects (0 when it is of many streams)."""

    body: bytes
    version: int
    position: int


class Wire(NamedTuple):
    """How a row's tuple becomes JSON."""

    columns: str
    struct: type[Struct]
    nested: tuple[int, ...]

    def items(self, records: Sequence[tuple[Any, ...]]) -> list[Struct]:
        """Return what is to be encoded."""
        if not self.nested:
            return [self.struct(*record) for record in records]
        return [self.struct(*self._raw(record)) for record in records]

    def _raw(self, record: tuple[Any, ...]) -> list[Any]:
        values = list(record)
        for n in self.nested:
            if values[n] is not None:
                values[n] = Raw(values[n])
        return values


@cache
def wire_of(row: type[Row]) -> Wire:
    """Return the wire form of a row."""
    columns = [c for c in table_of(row).columns if c.computed is None]
    names = {f.name: f.encode_name for f in inspect.type_info(row).fields}  # type: ignore[attr-defined]
    struct = defstruct(row.__name__ + "Wire", [(c.name, Any) for c in columns], rename=names.__getitem__, frozen=True, gc=False)
    listed = ", ".join(f"t.{c.name}::text" if c.json else f"t.{c.name}" for c in columns)
    return Wire(listed, struct, tuple(n for n, c in enumerate(columns) if c.json))


class Reader:
    """The rows of one clinic."""

    __slots__ = ("_lanes", "clinic", "partition")

    def __init__(self, lanes: Lanes, clinic: UUID, partition: int) -> None:
        self._lanes = lanes
        self.clinic = clinic
        self.partition = partition

    @property
    def lanes(self) -> Lanes:
        """Through what it reads: one for all clinics of a process."""
        return self._lanes

    async def ask(self, sql: str, params: Sequence[Any] = ()) -> Answer:
        """Ask anything; placeholders are %s. Row-level security shows this clinic's rows alone."""
        return await self._lanes.ask(self.clinic, sql, params)

    async def head(self) -> int:
        """Return the position of the clinic's last event."""
        return int((await self.ask(HEAD, (self.clinic,))).rows[0][0])

    async def one(self, row: type[R], id: Any, **equals: Any) -> R | None:  # noqa: A002
        """Return a row by its (first) key."""
        found = await self.find(row, **{row.key[0]: id}, **equals)
        return found[0] if found else None

    async def find(self, row: type[R], **equals: Any) -> list[R]:
        """Return the rows whose columns equal these values (a list means any of them, None means null); at most 1000."""
        mapper = mapper_of(row)
        conditions = tuple((column, "any" if isinstance(value, list) else "=", value) for column, value in equals.items())
        where, params = _where(row, self.clinic, conditions)
        answer = await self.ask(f"select {mapper.select_list()} from {row.table} t where {where} limit {MOST}", params)  # noqa: S608
        return [mapper.kept(record).row for record in answer.rows]  # type: ignore[misc]

    async def select(self, struct: type[S], sql: str, *params: Any) -> list[S]:
        """Return the answer to any SQL as structs: columns are the struct's fields by name."""
        answer = await self.ask(sql, params)
        names = _wire_names(struct, answer.columns)
        return [msgspec.convert(dict(zip(names, record, strict=True)), struct) for record in answer.rows]

    async def fetch(self, row: type[Row], equals: dict[str, Any]) -> Found | None:
        """Return one row as JSON."""
        conditions = tuple((column, "=", value) for column, value in equals.items())
        where, params = _where(row, self.clinic, conditions)
        sql = _fetch_sql(row, where)
        answer = await self.ask(sql, [self.partition, *params] if "projector_tracking" in sql else params)
        if not answer.rows:
            return None
        *record, position, version = answer.rows[0]
        (item,) = wire_of(row).items([tuple(record)])
        return Found(_encode(item), version or 0, position)

    async def page(self, row: type[Row], wanted: Wanted) -> Page:
        """Return one page of a list, as JSON."""
        wire = wire_of(row)
        keys = tuple(k for k in row.key if k != wanted.sort)
        where, params = _where(row, self.clinic, wanted.conditions)
        nullable = any(c.null for c in table_of(row).columns if c.name == wanted.sort)
        if wanted.cursor is not None:
            after, values = _after(wanted, keys, nullable=nullable)
            where, params = f"{where} and {after}", [*params, *values]
        order = "desc" if wanted.descending else "asc"
        by = f"t.{wanted.sort} {order}{' nulls last' if nullable else ''}" + "".join(f", t.{k} {order}" for k in keys)
        tail = ", ".join(f"t.{c}" for c in (wanted.sort, *keys))
        sql = f"select {wire.columns}, {tail} from {row.table} t where {where} order by {by} limit %s"  # noqa: S608
        try:
            rows = (await self.ask(sql, [*params, wanted.limit + 1])).rows
        except DataError:
            if wanted.cursor is None:
                raise
            raise CursorInvalid from None
        cut = 1 + len(keys)
        more = len(rows) > wanted.limit
        items = wire.items([record[:-cut] for record in rows[: wanted.limit]])
        return Page(items=Raw(_encode(items)), next=_cursor(wanted, rows[wanted.limit - 1][-cut:]) if more else None)


class Reading:
    """Where readers come from: the lanes of a process."""

    def __init__(self, url: str, *, size: int = 4) -> None:
        self.lanes = Lanes(url, size=size)
        self._partitions = 0
        self._readers: dict[UUID, Reader] = {}

    async def open(self) -> None:
        """Connect; without a database it goes on trying."""
        await self.lanes.open()

    async def close(self) -> None:
        """Hang up."""
        await self.lanes.close()

    async def partitions(self) -> int:
        """Return the installation's number of partitions."""
        if not self._partitions:
            self._partitions = (await self.lanes.ask(None, "select partitions from store_settings")).rows[0][0]
        return self._partitions

    async def of(self, clinic: UUID) -> Reader:
        """Return the reader of a clinic."""
        if (reader := self._readers.get(clinic)) is None:
            if len(self._readers) > 10_000:  # noqa: PLR2004 - they are small and quickly made again
                self._readers.clear()
            reader = self._readers[clinic] = Reader(self.lanes, clinic, clinic.bytes[15] % await self.partitions())
        return reader


def _where(row: type[Row], clinic: UUID, conditions: Sequence[tuple[str, str, Any]]) -> tuple[str, list[Any]]:
    params: list[Any]
    everywhere = clinic == PLATFORM and row.platform
    parts, params = (["true"], []) if everywhere else (["t.clinic_id = %s"], [clinic])
    for column, operator, value in conditions:
        if value is None:
            parts.append(f"t.{column} is null")
            continue
        parts.append(f"t.{column} = any(%s::{_type(row, column)}[])" if operator == "any" else f"t.{column} {operator} %s")
        params.append(value)
    return " and ".join(parts), params


@cache
def _types(row: type[Row]) -> dict[str, str]:
    return {c.name: c.type for c in table_of(row).columns}


def _type(row: type[Row], column: str) -> str:
    return _types(row)[column]


@cache
def _fetch_sql(row: type[Row], where: str) -> str:
    projection = PROJECTIONS.get(row.table)
    version = "0"
    if projection is not None and projection.key is None:
        version = (
            "(select e.originator_version from stored_events e where e.originator_id = t.id and e.notification_id <= greatest(t.position, "
            "(select min(p.position) from projector_tracking p where p.partition = %s)) order by e.originator_version desc limit 1)"
        )
    return f"select {wire_of(row).columns}, t.position, {version} from {row.table} t where {where}"  # noqa: S608


@cache
def _wire_names(struct: type[Struct], columns: tuple[str, ...]) -> tuple[str, ...]:
    names = {f.name: f.encode_name for f in inspect.type_info(struct).fields}  # type: ignore[attr-defined]
    return tuple(names[c] for c in columns)


def _after(wanted: Wanted, keys: tuple[str, ...], *, nullable: bool) -> tuple[str, list[Any]]:
    """Return the condition "comes after the cursor" and its parameters."""
    values = _opened(wanted, 1 + len(keys))
    than = "<" if wanted.descending else ">"
    rest = f"({', '.join(f't.{k}' for k in keys)}) {than} ({', '.join(['%s'] * len(keys))})" if keys else "false"
    first, *others = values
    if first is None:
        return f"t.{wanted.sort} is null and {rest}", others
    if nullable:
        return f"(t.{wanted.sort} {than} %s or (t.{wanted.sort} = %s and {rest}) or t.{wanted.sort} is null)", [first, first, *others]
    columns = ", ".join(f"t.{c}" for c in (wanted.sort, *keys))
    return f"({columns}) {than} ({', '.join(['%s'] * len(values))})", values


def _cursor(wanted: Wanted, values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(_encode([wanted.sort, wanted.descending, *values])).decode().rstrip("=")


def _opened(wanted: Wanted, count: int) -> list[Any]:
    text = wanted.cursor or ""
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=list[str | int | bool | None])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise CursorInvalid from None
    if values[:2] != [wanted.sort, wanted.descending] or len(values) != 2 + count:
        raise CursorInvalid
    return values[2:]
