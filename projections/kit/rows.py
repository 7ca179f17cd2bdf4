"""Rows to and from Postgres.

How it works. A batch of rows goes in as one JSON parameter that Postgres unpacks with `json_to_recordset`: msgspec encodes it in one call, the
statement and its parameter types never change with the values (so it stays prepared), and it costs both sides together less than half of what
arrays cost. Rows come out as plain columns. `clinic_id` and `position` ride along, unknown to the row struct; `hidden` columns are computed on
the way in and never read back.

What may go wrong: a value that Postgres cannot hold (an integer beyond 64 bits, a NUL in a text) fails the whole statement; the engine then
finds the culprit by halving the batch.
"""

from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

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
        self._plain = attrgetter(*self.fields) if len(self.fields) > 1 else _one(self.fields[0])
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
        """Return the SQL that writes rows; its parameter is made by `encoded`."""
        moved = ", ".join(f'"{n}" = excluded."{n}"' for n in self.names if n not in self.table.key)
        return (
            f"insert into {relation} ({listed(self.names)}) select {listed(self.names)} from {_recordset(self.columns)} r "  # noqa: S608
            f"on conflict ({listed(self.table.key)}) do update set {moved}"
        )

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

    def encoded(self, changes: Iterable[Change]) -> str:
        """Return the parameter that stands for these rows."""
        return _encode([dict(zip(self.names, self._values(change), strict=True)) for change in changes]).decode()

    def copied(self, change: Change) -> list[Any]:
        """Return the values of a fresh row for COPY."""
        values = self._values(change)
        for n in self._documents:
            if values[n] is not None:
                values[n] = JSONB_BINARY + _encode(values[n])
        return values

    def _values(self, change: Change) -> list[Any]:
        row = change.row
        plain = self._plain(row)
        if change.key[1:] != tuple(plain[n] for n in self._key):
            raise KeyMismatchError(f"{self.table.name}: asked for {change.key[1:]}")
        return [*plain, *(computed(row) for computed in self._hidden), change.key[0], change.position]


def listed(names: Iterable[str]) -> str:
    """Return a list of columns as SQL: quoted, for a field may be named `end` or `on`."""
    return ", ".join(f'"{name}"' for name in names)


@cache
def mapper_of(row: type[Row]) -> RowMapper:
    """Return the mapper of a row struct."""
    return RowMapper(row)


def _recordset(columns: Iterable[tuple[str, str]]) -> str:
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns)
    return f"(select * from json_to_recordset(%s::json) as given({typed}))"  # noqa: S608


def _one(field: str) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(field)
    return lambda row: (get(row),)


def _decoder(row: type[Row], column: Column) -> Callable[[Any], Any]:
    return msgspec.json.Decoder(hints(row)[column.name]).decode
