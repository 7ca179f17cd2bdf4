"""Rebuilding read models from history, and proving that the live ones equal it, while everything goes on.

How it works. `rebuild` replays history (`projections.kit.replay`) into a fresh versioned table up to where the live projector is, builds indexes, and follows
the projector with the engine's own fold. Then, in one repeatable-read transaction, it reads the tracked positions, brings the new table to exactly
these and compares it with the serving one as that snapshot sees it: no lock is held and nobody waits, however long it takes. At last, in one short transaction, it locks
the tracking rows, which holds the projector between two batches, makes up for what has come since, points the view at the new table and
says so to the projectors. Readers notice nothing. The version before stays, with the positions at which it was left, for `back`.

`verify` does the first and the third of these inside one transaction that is rolled back: a table that nobody ever sees.

What may go wrong. When every read model is rebuilt at once the live projector may be far behind (after an import): the new tables then run ahead and the swap moves
the tracked positions with them. A person erased meanwhile would come back to life in the new table: the rebuild begins again. Two rebuilds at a time: the second is
refused. A rebuild that is killed leaves an unbuilt version, which the next one drops.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import Connection
from psycopg.errors import LockNotAvailable

from domain.kit import Fact
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.engine import BEHIND, MAX_EVENTS, PARK, Parked, Touch, explain, fold, opens, touches
from projections.kit.keys import KeyRing
from projections.kit.replay import Skips, replay, resting_collector
from projections.kit.rows import FullKey, listed, mapper_of
from projections.kit.stored import COLUMNS, Stored, fact_of
from projections.kit.tables import (
    LIVE,
    Version,
    bump,
    create,
    fingerprint,
    finish,
    load,
    logic,
    secure,
    shared,
    show,
    table_name,
    versions,
)
from schemas.kit import Row

REBUILD_LOCK = 7020044
OPTIONS = "-c timezone=UTC -c jit=off -c maintenance_work_mem=256MB -c work_mem=128MB -c synchronous_commit=off"
NEAR = 2000  # events: near enough to the live projector to lock it
ROUNDS = 50
LOCK_TIMEOUT = "500ms"
PATIENCE = 30  # tries to get the locks
EXAMPLES = 20  # of differing keys

Positions = dict[int, int]
Progress = Callable[[str, str, int, int], None]  # read model, phase, done, of so many


class RebuildError(Exception):
    """A rebuild that cannot be done now; the message says why."""


class Difference(NamedTuple):
    """A row that is not what history says."""

    key: tuple[Any, ...]  # with the clinic in front
    kind: str  # "missing" (history has it), "extra" (history has it not), "differs"
    columns: list[str]


class Outcome(msgspec.Struct, kw_only=True):
    """What came of one read model."""

    name: str
    version: int = 0
    events: int = 0
    rows: int = 0
    parked: int = 0
    seconds: float = 0.0  # replay, copy and indexes
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
    """One read model's table on its way to the live one's positions."""

    def __init__(self, projection: Projection, table: str, ring: KeyRing, skips: Skips) -> None:
        self.projection = projection
        self.table = table
        self.ring = ring
        self.skips = skips
        self.mapper = mapper_of(projection.row)
        self.at: Positions = {}
        self.parked: list[Parked] = []
        self.outcome = Outcome(name=projection.name)

    def replay(self, url: str, conn: Connection[Any], partitions: Iterable[int], upto: int, progress: Progress) -> None:
        """Fill the fresh table and give it its keys and indexes."""
        began = time.monotonic()
        name = self.projection.name
        done = replay(url, conn, self.projection, self.table, upto, self.ring, self.skips, lambda at: progress(name, "replay", at, upto))
        progress(name, "index", upto, upto)
        finish(conn, self.projection.row, self.table)
        conn.execute(f"analyze {self.table}")
        self.parked += done.parked
        self.at = dict.fromkeys(partitions, upto)
        self.outcome.events, self.outcome.rows, self.outcome.seconds = done.events, done.rows, time.monotonic() - began

    def advance(self, conn: Connection[Any], to: Positions) -> int:
        """Apply what lies between where the table is and these positions; return how many events that were."""
        applied = 0
        for stored in self._between(conn, to):
            self.ring.warm_sync(conn, (e.person for e in stored))
            self.apply(conn, stored)
            applied += len(stored)
        self.at.update({p: max(self.at.get(p, 0), position) for p, position in to.items()})
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


def rebuild(owner_url: str, names: Iterable[str], *, kek: bytes, progress: Progress | None = None, swap: bool = True) -> Report:
    """Rebuild read models and, unless told otherwise, let the new versions serve."""
    load()
    began, projections = time.monotonic(), _chosen(names)
    say = progress or _quiet
    with _working(owner_url) as conn, resting_collector():
        while True:
            builds = _build(owner_url, conn, projections, kek, say)
            report = Report(outcomes=[b.outcome for b in builds])
            _follow(conn, builds, say)
            _compare(conn, builds, say)
            if not swap:
                _discard(conn, builds)
                break
            if _swap(conn, builds, everything=len(builds) == len(PROJECTIONS), say=say):
                report.swapped = True
                break
        report.position = min((p for b in builds for p in b.at.values()), default=0)
        report.seconds = time.monotonic() - began
        return report


def verify(owner_url: str, names: Iterable[str] = (), *, kek: bytes, progress: Progress | None = None) -> Report:
    """Replay read models (all, unless some are named) to the live positions and compare row by row; nothing is changed."""
    load()
    began, say = time.monotonic(), progress or _quiet
    report = Report(outcomes=[])
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn, resting_collector():
        for projection in _chosen(names or PROJECTIONS):
            conn.execute("begin isolation level repeatable read")
            try:
                report.outcomes.append(_verify(owner_url, conn, projection, kek, say))
            finally:
                conn.rollback()
        report.position = min(_tracked(conn).values(), default=0)
    report.seconds = time.monotonic() - began
    return report


def back(owner_url: str, name: str, *, kek: bytes, progress: Progress | None = None) -> Report:
    """Let the version before serve again, made level with the live one by this code."""
    load()
    began, projection, say = time.monotonic(), _chosen([name])[0], progress or _quiet
    with _working(owner_url) as conn:
        before = [v for v in versions(conn, name) if v.built and not v.active and v.fingerprint == fingerprint(projection.row)]
        if not before:
            message = f"there is no earlier version of {name} that this release could maintain"
            raise RebuildError(message)
        build = Build(projection, before[-1].table, KeyRing(kek), _discarded(conn, name))
        build.at = _left_at(conn, before[-1])
        build.outcome.version = before[-1].version
        _follow(conn, [build], say)
        if not _swap(conn, [build], everything=False, say=say):
            message = f"somebody was erased since version {before[-1].version} of {name} was made; it must not serve again"
            raise RebuildError(message)
        return Report(outcomes=[build.outcome], swapped=True, seconds=time.monotonic() - began)


class Listed(NamedTuple):
    """One version of a read model, as a person asks for it."""

    name: str
    version: int
    active: bool
    built: bool
    current: bool  # its columns are those of this release
    same_logic: bool  # made by the code of this release
    rows: int  # about
    size: int  # bytes, with indexes
    created_at: Any


def listing(owner_url: str) -> list[Listed]:
    """Return every version of every read model."""
    load()
    found = (
        "select name, version, active, built, fingerprint, logic, coalesce((select reltuples::bigint from pg_class "
        "where oid = to_regclass(name || '_v' || version)), 0), coalesce(pg_total_relation_size(to_regclass(name || '_v' || version)), 0), created_at "
        "from read_models order by name, version"
    )
    with psycopg.connect(owner_url, autocommit=True) as conn:
        lines = conn.execute(found).fetchall()
    return [
        Listed(name, version, active, built, *_matches(name, print_, code), max(rows, 0), size, at)
        for name, version, active, built, print_, code, rows, size, at in lines
    ]


def _matches(name: str, print_: str, code: str) -> tuple[bool, bool]:
    projection = PROJECTIONS.get(name)
    return (projection is not None and fingerprint(projection.row) == print_, projection is not None and logic(projection) == code)


def _quiet(_: str, __: str, ___: int, ____: int) -> None:
    return


def _chosen(names: Iterable[str]) -> list[Projection]:
    wanted = list(names)
    if unknown := [n for n in wanted if n not in PROJECTIONS]:
        message = f"no read model is called {', '.join(unknown)}; there are {', '.join(sorted(PROJECTIONS))}"
        raise RebuildError(message)
    return [PROJECTIONS[n] for n in wanted]


@contextmanager
def _working(owner_url: str) -> Iterator[Connection[Any]]:
    """One rebuild at a time."""
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn:
        found = conn.execute("select pg_try_advisory_lock(%s)", (REBUILD_LOCK,)).fetchone()
        if not found or not found[0]:
            message = "another rebuild is under way"
            raise RebuildError(message)
        yield conn


def _tracked(conn: Connection[Any], lock: str = "") -> Positions:
    statement = f"select partition, position from projector_tracking where grp = %s order by partition {lock}"  # noqa: S608
    return dict(conn.execute(statement, (LIVE,)).fetchall())


def _head(conn: Connection[Any]) -> int:
    found = conn.execute("select position from store_head").fetchone()
    return int(found[0]) if found else 0


def _discarded(conn: Connection[Any], name: str, states: Sequence[str] = ("discarded",)) -> Skips:
    found = conn.execute("select stream, position from parked_events where projection = %s and state = any(%s)", (name, list(states)))
    return frozenset(found.fetchall())


def _build(url: str, conn: Connection[Any], projections: Sequence[Projection], kek: bytes, say: Progress) -> list[Build]:
    """Fill fresh versions up to where the live group is, or to the head if it is far behind and everything is rebuilt."""
    tracked = _tracked(conn)
    upto = _head(conn) if len(projections) == len(PROJECTIONS) else min(tracked.values(), default=0)
    builds = []
    for projection in projections:
        known = _drop_unbuilt(conn, projection.name)
        number = 1 + max((v.version for v in known), default=0)
        table = table_name(projection.name, number)
        conn.execute(
            "insert into read_models (name, version, fingerprint, logic) values (%s, %s, %s, %s)",
            (projection.name, number, fingerprint(projection.row), logic(projection)),
        )
        create(conn, projection.row, table)
        build = Build(projection, table, KeyRing(kek), _discarded(conn, projection.name))
        build.outcome.version = number
        build.replay(url, conn, tracked, upto, say)
        secure(conn, projection.row, table)
        builds.append(build)
    return builds


def _drop_unbuilt(conn: Connection[Any], name: str) -> list[Version]:
    known = versions(conn, name)
    for version in known:
        if not version.built and not version.active:
            conn.execute(f"drop table if exists {version.table}")
            conn.execute("delete from read_models where name = %s and version = %s", (name, version.version))
    return known


def _discard(conn: Connection[Any], builds: Sequence[Build]) -> None:
    for build in builds:
        _drop_unbuilt(conn, build.projection.name)


def _follow(conn: Connection[Any], builds: Sequence[Build], say: Progress) -> None:
    """Come near to the live projector."""
    for _ in range(ROUNDS):
        tracked = _tracked(conn)
        done = 0
        for build in builds:
            say(build.projection.name, "follow", min(build.at.values(), default=0), min(tracked.values(), default=0))
            done += build.advance(conn, tracked)
        if done < NEAR:
            return


def _compare(conn: Connection[Any], builds: Sequence[Build], say: Progress) -> None:
    """Compare each new table with the serving one where both are at the same positions."""
    for build in builds:
        projection = build.projection
        active = next((v for v in versions(conn, projection.name) if v.active), None)
        if active is None or not active.built:
            continue
        build.outcome.logic_changed = active.logic != logic(projection)
        say(projection.name, "compare", 0, 0)
        conn.execute("begin isolation level repeatable read")
        try:
            tracked = _tracked(conn)
            if all(tracked[p] >= at for p, at in build.at.items()):
                build.advance(conn, tracked)
                build.compare(conn, active.table)
            conn.execute("commit")
        except BaseException:
            conn.rollback()
            raise


def _swap(conn: Connection[Any], builds: Sequence[Build], *, everything: bool, say: Progress) -> bool:
    """Let the new versions serve; False if somebody was erased since they were begun, and they have to be made again."""
    for _ in range(PATIENCE):
        kept = [(dict(b.at), len(b.parked)) for b in builds]
        try:
            with conn.transaction():
                return _swap_now(conn, builds, everything=everything)
        except LockNotAvailable:
            for build, (at, parked) in zip(builds, kept, strict=True):
                build.at = at
                del build.parked[parked:]
            say(builds[0].projection.name, "wait", 0, 0)
            time.sleep(0.2)
            _follow(conn, builds, say)
    message = "the tables are locked by others; the rebuild gave up and can be repeated"
    raise RebuildError(message)


def _swap_now(conn: Connection[Any], builds: Sequence[Build], *, everything: bool) -> bool:
    conn.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    tracked = _tracked(conn, "for update")
    oldest = [b.table for b in builds]
    if conn.execute(
        "select 1 from person_keys where destroyed_at >= (select min(created_at) from read_models where name || '_v' || version = any(%s))", (oldest,),
    ).fetchone():
        return False
    for build in builds:
        build.advance(conn, tracked)
        _serve(conn, build, tracked)
    if everything:
        for partition in tracked:
            ahead = min(b.at[partition] for b in builds)
            conn.execute(
                "update projector_tracking set position = greatest(position, %s), current_at = clock_timestamp() where grp = %s and partition = %s",
                (ahead, LIVE, partition),
            )
    bump(conn)
    return True


def _serve(conn: Connection[Any], build: Build, tracked: Positions) -> None:
    name, version = build.projection.name, build.outcome.version
    positions = json.dumps(tracked)
    conn.execute("update read_models set active = false, positions = %s where name = %s and active", (positions, name))
    conn.execute(
        "update read_models set active = true, built = true, positions = null, built_at = now(), logic = %s where name = %s and version = %s",
        (logic(build.projection), name, version),
    )
    show(conn, build.projection, version)
    conn.execute("delete from parked_events where projection = %s and state = 'parked'", (name,))
    if build.parked:
        conn.execute(PARK, (msgspec.json.encode([p._asdict() for p in build.parked]).decode(),))
    build.outcome.parked = len(build.parked)
    for old in [v for v in versions(conn, name) if not v.active and v.version < version][:-1]:  # the one before stays
        conn.execute(f"drop table if exists {old.table}")
        conn.execute("delete from read_models where name = %s and version = %s", (name, old.version))


def _left_at(conn: Connection[Any], version: Version) -> Positions:
    found = conn.execute("select positions from read_models where name = %s and version = %s", (version.name, version.version)).fetchone()
    return {int(p): int(at) for p, at in (found[0] if found else {}).items()}


def _verify(url: str, conn: Connection[Any], projection: Projection, kek: bytes, say: Progress) -> Outcome:
    name = projection.name
    tracked = _tracked(conn)
    active = next((v for v in versions(conn, name) if v.active), None)
    table = f"verified_{name}"
    build = Build(projection, table, KeyRing(kek), _discarded(conn, name, ("discarded", "parked")))
    if active is None or not active.built:
        return build.outcome
    build.outcome.version, build.outcome.logic_changed = active.version, active.logic != logic(projection)
    create(conn, projection.row, table, temporary=True)
    build.replay(url, conn, tracked, min(tracked.values(), default=0), say)
    build.advance(conn, tracked)
    say(name, "compare", 0, 0)
    build.compare(conn, active.table)
    build.outcome.parked = len(build.skips)
    return build.outcome


