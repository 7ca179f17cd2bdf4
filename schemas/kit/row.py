"""A row is declared once: table, columns, indexes, JSON, filters and OpenAPI all come from it.

How it works: `Row` is a msgspec struct; its fields are the columns and the JSON. The engine adds what nobody asked to see: `clinic_id` (the
tenant's wall) and `position` (of the last event folded in). `computed` adds columns that are derived from the row in Python (folded names, sort keys),
because the embedded Postgres has no extension and both Postgres must agree. Nested structs and lists are jsonb.

What may go wrong: a change of fields, or of `formula`, is a new table; the old one keeps serving until the rebuild has been compared and swapped in.
"""

import types
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin
from uuid import UUID

from msgspec import Meta, Struct

from domain.kit import Frozen
from domain.kit.codec import hints, metas

INDEXED = Meta(extra={"index": True})

SCALARS = {UUID: "uuid", int: "bigint", str: "text", bool: "boolean", datetime: "timestamptz", date: "date"}


class Computed(NamedTuple):
    """A column that is derived from the row and never shown."""

    type: str
    of: Callable[[Any], Any]
    null: bool = True


def computed(sql_type: str, of: Callable[[Any], Any], *, null: bool = True) -> Computed:
    """Declare a hidden column: its SQL type, how a row gives its value, and whether that may be missing (one to sort by should not)."""
    return Computed(sql_type, of, null)


class Row(Frozen):
    """One thing of a read model, as a reader with the permission sees it."""

    table: ClassVar[str]
    permission: ClassVar[str]  # to browse
    detail: ClassVar[str] = ""  # to fetch one, when another key guards that
    key: ClassVar[tuple[str, ...]] = ("id",)  # the primary key, within the clinic
    hidden: ClassVar[dict[str, Computed]] = {}
    indexes: ClassVar[tuple[str, ...]] = ()  # further indexes: column lists as SQL; clinic_id is put in front
    gin: ClassVar[tuple[str, ...]] = ()  # columns, mostly hidden arrays, with a GIN index; row-level security lets only SECURITY DEFINER functions use it
    platform: ClassVar[bool] = False  # whether the platform's people see the rows of all clinics; never where patients are concerned
    own: ClassVar[dict[str, str]] = {}  # role -> the column that must hold the reader's own id, e.g. {"patient": "patient_id"}
    chart: ClassVar[bool] = False  # whether one of these is (a part of) the chart of the patient whose id it bears: looks are on record, and an emergency opens it
    formula: ClassVar[int] = 1  # one more when the same events are to give other rows: a version of its own, built beside the one that serves
    keeps: ClassVar[frozenset[str]] = frozenset()  # sealed fields of its events that it keeps under another name: whoever may read the row may read them
    widened: ClassVar[dict[str, str]] = {}  # role -> the permission with which that role sees everybody's rows all the same


class Column(NamedTuple):
    """A column of a read model's table."""

    name: str
    type: str  # SQL type
    null: bool
    indexed: bool
    json: bool  # a nested value, stored as jsonb
    personal: bool
    computed: Callable[[Any], Any] | None = None


class Table(NamedTuple):
    """A read model's table, derived from its row."""

    name: str
    row: type[Row]
    columns: tuple[Column, ...]  # without clinic_id and position
    key: tuple[str, ...]  # with clinic_id in front


def sql_type(annotation: Any) -> tuple[str, bool, bool]:
    """Return (SQL type, nullable, is jsonb) of a field's annotation."""
    if get_origin(annotation) is Annotated:
        return sql_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        if len(inner) == 1:
            kind, _, nested = sql_type(inner[0])
            return kind, True, nested
        return "jsonb", type(None) in get_args(annotation), True
    if get_origin(annotation) is Literal:
        return "text", False, False
    if annotation in SCALARS:
        return SCALARS[annotation], False, False
    if get_origin(annotation) in (list, dict, tuple, frozenset) or (isinstance(annotation, type) and issubclass(annotation, Struct)):
        return "jsonb", False, True
    message = f"no column type for {annotation}"
    raise TypeError(message)


@cache
def table_of(row: type[Row]) -> Table:
    """Return the table of a row."""
    columns = []
    for name, hint in hints(row).items():
        kind, null, nested = sql_type(hint)
        extras = list(metas(hint))
        columns.append(Column(name, kind, null, any("index" in e for e in extras), nested, any("personal" in e for e in extras)))
    columns += [Column(name, c.type, c.null, False, False, True, c.of) for name, c in row.hidden.items()]
    return Table(row.table, row, tuple(columns), ("clinic_id", *row.key))


def fold(text: str) -> str:
    """Return text as it is compared and sorted: no accents, no case, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(bare.casefold().split())
