"""Declaring a projection: a pure function from a row and a fact to the row that follows.

Three grades, in this order of preference:

    @projects(InvoiceRow, of=InvoiceEvent)                       # one stream, one row: the row's id is the stream's
    def invoices(row: InvoiceRow | None, fact: Fact) -> InvoiceRow | None: ...

    @projects(DayRow, of=..., key=days)                          # many streams, one row: `key` names the rows a fact touches
    def revenue(row: DayRow | None, fact: Fact, key: tuple) -> DayRow | None: ...

    @projects(AuditRow, of=ALL, key=one, fresh=True)             # every fact makes a new row, nothing is read first

A key is the tuple of the row's `key` columns, without the clinic. None as the result deletes the row; an event that does not concern it returns the row unchanged.
Live projection, rebuild, time travel and the answer to a command all run this one function.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeVar, get_args

from domain.kit import Event, Fact
from domain.kit.codec import classes
from schemas.kit import Row
from schemas.kit.row import Table, table_of

F = TypeVar("F", bound=Callable[..., Any])
Key = tuple[Any, ...]

ALL = Event  # of=ALL: every event


class Projection:
    """A read model: its row, the events it wants, and its function."""

    def __init__(self, row: type[Row], of: Any, function: Callable[..., Row | None], key: Callable[[Fact], Iterable[Key]] | None, *, fresh: bool) -> None:
        self.row = row
        self.of = of
        self.function = function
        self.key = key
        self.fresh = fresh
        self.name = row.table

    @cached_property
    def topics(self) -> frozenset[str]:
        """The names of the events it wants."""
        if self.of is ALL:
            return frozenset(classes())
        members = get_args(self.of) or (self.of,)
        return frozenset(cls.__name__ for cls in members)

    @property
    def table(self) -> Table:
        """Its table."""
        return table_of(self.row)

    def keys(self, fact: Fact) -> list[Key]:
        """Return the keys of the rows that a fact touches."""
        return [(fact.id,)] if self.key is None else list(self.key(fact))

    def next(self, row: Row | None, fact: Fact, key: Key) -> Row | None:
        """Return the row after a fact."""
        return self.function(row, fact) if self.key is None else self.function(row, fact, key)


PROJECTIONS: dict[str, Projection] = {}


def projects(row: type[Row], *, of: Any, key: Callable[[Fact], Iterable[Key]] | None = None, fresh: bool = False) -> Callable[[F], F]:
    """Register the decorated function as the projection of a row."""

    def register(function: F) -> F:
        assert row.table not in PROJECTIONS, f"two projections of {row.table}"
        PROJECTIONS[row.table] = Projection(row, of, function, key, fresh=fresh)
        return function

    return register


INSTALLED: list[str] = []


def installs(sql: str) -> None:
    """Register SQL to be run after the tables exist and on every migration: reviewed SECURITY DEFINER functions, idempotent (`create or replace`)."""
    INSTALLED.append(sql)
