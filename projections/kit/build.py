"""One version of a read model on its way to the positions of the live one, and what came of it.

How it works. A build knows up to where its table is, partition by partition, and what it could not take. `advance` applies what lies between, with the engine's own
fold, and writes both down in the same transaction: whoever goes on with the table, after an interruption or on the way back, begins where it is. `compare` holds it against
the serving table, row by row.

What may go wrong: a table that is advanced and not written down would take the same events twice; so there is one transaction for both.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from domain.kit import Fact
from projections.kit.declare import Projection
from projections.kit.engine import BEHIND, MAX_EVENTS, Parked, Touch, explain, fold, opens, touches
from projections.kit.keys import KeyRing
from projections.kit.replay import Only, Skips, replay
from projections.kit.rows import FullKey, listed, mapper_of
from projections.kit.stored import COLUMNS, Stored, fact_of
from projections.kit.tables import finish, finished, secure, shared, table_name
from schemas.kit import Row

OPTIONS = "-c timezone=UTC -c jit=off -c maintenance_work_mem=256MB -c work_mem=128MB -c synchronous_commit=off"
EXAMPLES = 20  # of differing keys
NOTE = "update read_models set positions = %s, parked = %s where name = %s and version = %s"

Positions = dict[int, int]
Progress = Callable[[str, str, int, int], None]  # read model, phase, done, of so many


class RebuildError(Exception):
    """A rebuild that cannot be done now; the message says why."""


class Difference(NamedTuple):
    """A row that is not what history says."""

    key: tuple[Any, ...]  # with the clinic in front
    kind: str  # "missing" (history has it), "extra" (history has it not), "differs"
    columns: list[str]


class Outcome(msgspec.Struct, kw_only=True, rename="camel"):
    """What came of one read model."""

    name: str
    version: int = 0
    events: int = 0
    rows: int = 0
    parked: int = 0
    seconds: float = 0.0  # replay, copy and indexes
    kept: int = 0  # of the events, how many an interrupted rebuild had replayed already
    compared: bool = False
    logic_changed: bool = False  # the code has changed since the serving version was made: differences are to be expected
    uncompared: list[str] = msgspec.field(default_factory=list)  # columns that only one of the two versions has
    differing: int = 0
    sums: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)  # of whole numbers that differ: before and now, over all rows
    differences: list[Difference] = msgspec.field(default_factory=list)


class Report(msgspec.Struct, kw_only=True):
    """What came of a rebuild or a verification."""

    outcomes: list[Outcome]
    swapped: bool = False
    position: int = 0
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether every row that was compared is what history says."""
        return all(outcome.compared and not outcome.differing for outcome in self.outcomes)


class Build:
    """A table of a read model; one without a version is for looking at only."""

    def __init__(self, projection: Projection, ring: KeyRing, skips: Skips, *, version: int | None = None, table: str = "") -> None:
        self.projection = projection
        self.version = version
        self.table = table or table_name(projection.name, version or 0)
        self.ring = ring
        self.skips = skips
        self.mapper = mapper_of(projection.row)
        self.at: Positions = {}
        self.parked: list[Parked] = []
        self.outcome = Outcome(name=projection.name, version=version or 0)

    def replay(self, url: str, conn: Connection[Any], to: Positions, upto: int, progress: Progress, only: Only) -> None:
        """Fill the fresh table with history, or only some of it, up to a position; then it is level with these."""
        began, name = time.monotonic(), self.projection.name
        done = replay(url, conn, self.projection, self.table, upto, self.ring, self.skips, lambda at: progress(name, "replay", at, upto), only)
        self.parked += done.parked
        self.at = dict(to)
        self.outcome.events, self.outcome.rows, self.outcome.seconds = done.events, done.rows, time.monotonic() - began

    def index(self, conn: Connection[Any], progress: Progress) -> None:
        """Give the filled table its keys, its indexes and, unless it is for looking at only, its wall."""
        if finished(conn, self.table):
            return
        began = time.monotonic()
        progress(self.projection.name, "index", 0, 0)
        with conn.transaction():
            finish(conn, self.projection.row, self.table)
            if self.version is not None:
                secure(conn, self.projection.row, self.table)
            conn.execute(f"analyze {self.table}")
        self.outcome.seconds += time.monotonic() - began

    def advance(self, conn: Connection[Any], to: Positions) -> int:
        """Apply what lies between where the table is and these positions; return how many events that were."""
        applied = 0
        with conn.transaction():
            for stored in self._between(conn, to):
                self.ring.warm_sync(conn, (e.person for e in stored))
                self.apply(conn, stored)
                applied += len(stored)
            self.at.update({p: max(self.at.get(p, 0), position) for p, position in to.items()})
            if self.version is not None:
                at, parked = msgspec.json.encode(self.at).decode(), msgspec.json.encode(self.parked).decode()
                conn.execute(NOTE, (at, parked, self.projection.name, self.version))
        return applied

    def _between(self, conn: Connection[Any], to: Positions) -> Iterator[list[Stored]]:
        behind = {p: self.at.get(p, 0) for p, position in to.items() if position > self.at.get(p, 0)}
        after = min(behind.values(), default=0)
        upto = max((to[p] for p in behind), default=0)
        statement = (
            f"select {COLUMNS} from stored_events where notification_id > %s and notification_id <= %s and partition = any(%s::smallint[]) "  # noqa: S608
            "order by notification_id limit %s"
        )
        while after < upto:
            lines = conn.execute(statement, (after, upto, list(behind), MAX_EVENTS), binary=True).fetchall()
            after = lines[-1][0] if len(lines) == MAX_EVENTS else upto
            events = (Stored(*line) for line in lines)
            yield [e for e in events if behind[e.partition] < e.position <= to[e.partition] and e.topic in self.projection.topics]

    def apply(self, conn: Connection[Any], events: Sequence[Stored]) -> None:
        """Fold events into the table."""
        stopped = {parked.stream for parked in self.parked}
        touched: list[Touch] = []
        lines = {e.position: e for e in events}

        def park(fact: Fact, error: Exception | None) -> None:
            self._park(lines[fact.position], error)

        for stored in events:
            if (stored.stream, stored.position) in self.skips:
                continue
            if stored.stream in stopped:
                self._park(stored, None)
                continue
            try:
                fact = fact_of(stored, self.ring.key_of if opens(self.projection) else None)
                touched.append((fact, touches(self.projection, fact)))
            except Exception as error:  # noqa: BLE001 - a handler's bug, whatever it is, stops its stream and nothing else
                stopped.add(stored.stream)
                self._park(stored, error)
        keys = {key for _, each in touched for key in each}
        rows = self._load(conn, keys) if keys and not self.projection.fresh else {}
        changes = list(fold(self.projection, touched, rows, park).values())
        if kept := [c for c in changes if c.row is not None]:
            conn.execute(self.mapper.upsert_sql(self.table), self.mapper.encoded(kept))
        if gone := [c.key for c in changes if c.row is None]:
            conn.execute(self.mapper.delete_sql(self.table), (self.mapper.keys(gone),))

    def _load(self, conn: Connection[Any], keys: set[FullKey]) -> dict[FullKey, Row | None]:
        lines = conn.execute(self.mapper.load_sql(self.table), (self.mapper.keys(keys),), binary=True).fetchall()
        return {kept.key: kept.row for kept in map(self.mapper.kept, lines)}

    def _park(self, stored: Stored, error: Exception | None) -> None:
        why = explain(error) if error else BEHIND
        self.parked.append(Parked(self.projection.name, stored.stream, stored.position, stored.partition, stored.clinic, stored.topic, why))

    def compare(self, conn: Connection[Any], serving: str) -> None:
        """Compare with the serving table, row by row, as this transaction sees both, in the columns that both have."""
        outcome = self.outcome
        names, theirs = shared(conn, self.table, serving), shared(conn, serving, serving)
        key = self.mapper.table.key
        if not set(key) <= set(names):
            return
        outcome.compared = True
        outcome.uncompared = sorted({*self.mapper.names, *theirs} - set(names))
        differs = [f'a."{n}" is distinct from b."{n}"' for n in names if n not in key]
        told = ", ".join(f"case when {d} then '{n}' end" for n, d in zip((n for n in names if n not in key), differs, strict=True))
        statement = (
            f"select count(*) over (), {listed(key)}, a.position is null, b.position is null, array_remove(array[{told}], null) "  # noqa: S608
            f"from {self.table} a full join {serving} b using ({listed(key)}) "
            f"where a.position is null or b.position is null or {' or '.join(differs)} limit {EXAMPLES}"
        )
        for count, *values, extra, missing, columns in conn.execute(statement).fetchall():
            outcome.differing = count
            kind = "extra" if extra else "missing" if missing else "differs"
            outcome.differences.append(Difference(tuple(values), kind, columns if kind == "differs" else []))
        counted = [name for name, kind in self.mapper.columns if kind == "bigint" and name in names and name not in {*key, "position"}]
        if outcome.differing and counted:
            sums = f"select {', '.join(f'coalesce(sum({listed([n])}), 0)' for n in counted)} from "  # noqa: S608
            both = [conn.execute(sums + table).fetchone() or () for table in (serving, self.table)]
            outcome.sums = {name: (int(was), int(now)) for name, was, now in zip(counted, *both, strict=True) if was != now}
