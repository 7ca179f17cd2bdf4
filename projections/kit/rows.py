"""Rows to and from Postgres.

How it works. A batch of rows goes in as a JSON array of the row structs as they are, and another of what the struct does not know: `clinic_id`,
`position` and the computed `hidden` columns, which are never read back. Postgres unpacks both with `json_to_recordset`. msgspec encodes each in one call,
the statement and its parameter types never change with the values (so it stays prepared), and it costs both sides together less than half of what
arrays cost. Rows come out as plain columns.

What may go wrong: a value that Postgres cannot hold (an integer beyond 64 bits, a NUL in a text) fails the whole statement; the engine then
finds the culprit by halving the batch.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.kit.codec import hints
from schemas.kit import Row
from schemas.kit.row import Column, table_of

FullKey = tuple[Any, ...]  # (clinic, *key)
ENVELOPE = (("clinic_id", "uuid"), ("position", "bigint"))

JSONB_BINARY = b"\x01"  # the version that precedes a jsonb value in binary

_encode = msgspec.json.Encoder().encode


class Kept(NamedTuple):
    """A row as its table holds it."""

    key: FullKey
    row: Row
    position: int


class Change(NamedTuple):
    """What is to become of a row; None deletes it."""

    key: FullKey
    row: Row | None
    position: int


class KeyMismatchError(Exception):
    """A projection returned a row under another key than the one it was asked for."""


class RowMapper:
    """Statements and conversions of one row struct; `relation` is its view or one version of its table."""

    def __init__(self, row: type[Row]) -> None:
        self.row = row
        self.table = table_of(row)
        self.fields: tuple[str, ...] = row.__struct_fields__
        self.columns = tuple((c.name, c.type) for c in self.table.columns) + ENVELOPE
        self.names = tuple(name for name, _ in self.columns)
        self._plain = _getter(self.fields)
        self._own_key = _getter(row.key)
        self._wire = tuple((f.encode_name, c.type) for f, c in zip(msgspec.structs.fields(row), self.table.columns, strict=False))
        self._beside = ENVELOPE + tuple((c.name, c.type) for c in self.table.columns if c.computed)
        self._beside_names = tuple(name for name, _ in self._beside)
        self._hidden = tuple(c.computed for c in self.table.columns if c.computed)
        self._key = tuple(self.fields.index(k) for k in row.key)
        self._nested = tuple((n, _decoder(row, c)) for n, c in enumerate(self.table.columns) if c.json and not c.computed)
        self._documents = tuple(n for n, (_, kind) in enumerate(self.columns) if kind == "jsonb")
        self._key_types = tuple((n, t) for n, t in self.columns if n in self.table.key)

    def select_list(self, alias: str = "t") -> str:
        """Return the columns of `kept`, in its order."""
        nested = {c.name for c in self.table.columns if c.json}
        return ", ".join(f'{alias}."{n}"::text' if n in nested else f'{alias}."{n}"' for n in (*self.fields, "clinic_id", "position"))

    def load_sql(self, relation: str) -> str:
        """Return the SQL that loads rows by key; its parameter is made by `keys`."""
        return f"select {self.select_list()} from {_recordset(self._key_types)} k join {relation} t using ({listed(self.table.key)})"  # noqa: S608

    def upsert_sql(self, relation: str) -> str:
        """Return the SQL that writes rows; its parameters are made by `encoded`."""
        moved = ", ".join(f'"{n}" = excluded."{n}"' for n in self.names if n not in self.table.key)
        return f"{self.insert_sql(relation)} on conflict ({listed(self.table.key)}) do update set {moved}"

    def insert_sql(self, relation: str) -> str:
        """Return the SQL that writes rows which cannot be there yet; its parameters are made by `encoded`."""
        names = listed((*self.fields, *self._beside_names))
        given = f"rows from ({_function(self._wire)}, {_function(self._beside)}) as given({names})"
        return f"insert into {relation} ({names}) select * from {given}"  # noqa: S608

    def delete_sql(self, relation: str) -> str:
        """Return the SQL that deletes rows by key; its parameter is made by `keys`."""
        same = " and ".join(f't."{k}" = k."{k}"' for k in self.table.key)
        return f"delete from {relation} t using {_recordset(self._key_types)} k where {same}"  # noqa: S608

    def copy_sql(self, relation: str) -> str:
        """Return the SQL that takes the `copied` values of fresh rows."""
        return f"copy {relation} ({listed(self.names)}) from stdin (format binary)"

    @property
    def copy_types(self) -> list[str]:
        """The types of `copied`, in order."""
        return ["bytea" if kind == "jsonb" else kind for _, kind in self.columns]

    def keys(self, keys: Iterable[FullKey]) -> str:
        """Return the parameter that stands for these keys."""
        return _encode([dict(zip(self.table.key, key, strict=True)) for key in keys]).decode()

    def kept(self, values: tuple[Any, ...]) -> Kept:
        """Return the row of a line of `select_list`."""
        *plain, clinic, position = values
        for n, decode in self._nested:
            if plain[n] is not None:
                plain[n] = decode(plain[n])
        key = (clinic, *(plain[n] for n in self._key))
        return Kept(key, self.row(**dict(zip(self.fields, plain, strict=True))), position)

    def encoded(self, changes: Sequence[Change]) -> tuple[str, str]:
        """Return the parameters that stand for these rows."""
        rows = [self._checked(change) for change in changes]
        beside = [dict(zip(self._beside_names, (c.key[0], c.position, *[h(c.row) for h in self._hidden]), strict=True)) for c in changes]
        return _encode(rows).decode(), _encode(beside).decode()

    def copied(self, clinic: UUID, row: Row, position: int) -> list[Any]:
        """Return the values of a fresh row for COPY."""
        values = [*self._plain(row), *[h(row) for h in self._hidden], clinic, position]
        for n in self._documents:
            if values[n] is not None:
                values[n] = JSONB_BINARY + _encode(values[n])
        return values

    def own_key(self, row: Row) -> tuple[Any, ...]:
        """Return a row's key, without the clinic."""
        return self._own_key(row)

    def _checked(self, change: Change) -> Row:
        row = change.row
        if row is None or self._own_key(row) != change.key[1:]:
            raise KeyMismatchError(f"{self.table.name}: asked for {change.key[1:]}")
        return row


def listed(names: Iterable[str]) -> str:
    """Return a list of columns as SQL: quoted, for a field may be named `end` or `on`."""
    return ", ".join(f'"{name}"' for name in names)


@cache
def mapper_of(row: type[Row]) -> RowMapper:
    """Return the mapper of a row struct."""
    return RowMapper(row)


def _recordset(columns: Iterable[tuple[str, str]]) -> str:
    return f"rows from ({_function(columns)})"


def _function(columns: Iterable[tuple[str, str]]) -> str:
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns)
    return f"json_to_recordset(%s::json) as ({typed})"


def _getter(fields: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(*fields)
    return get if len(fields) > 1 else lambda row: (get(row),)


def _decoder(row: type[Row], column: Column) -> Callable[[Any], Any]:
    return msgspec.json.Decoder(hints(row)[column.name]).decode
