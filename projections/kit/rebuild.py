"""Rebuilding read models from history, and proving that the live ones equal it, while everything goes on.

How it works. `rebuild` replays history (`projections.kit.shares`) into a fresh versioned table up to where the live projector is, builds indexes, and follows
the projector with the engine's own fold (`projections.kit.build`). Then, in one repeatable-read transaction, it reads the tracked positions, brings the new table to exactly
these and compares it with the serving one as that snapshot sees it: no lock is held and nobody waits, however long it takes. At last, in one short transaction, it locks
the tracking rows, which holds the projector between two batches, makes up for what has come since, points the view at the new table and
says so to the projectors. Readers notice nothing. The version before stays, with the positions at which it was left, for `back`.

Of one clinic alone the rows are made anew in the same way, in a version that takes the other clinics' rows over from the serving one.

`verify` does the first and the third of these inside one transaction that is rolled back: a table that nobody ever sees.

What may go wrong. When every read model is rebuilt at once the live projector may be far behind (after an import): the new tables then run ahead and the swap moves
the tracked positions with them. A person erased meanwhile would come back to life in the new table: the rebuild begins again. Two rebuilds at a time: the second is
refused. A rebuild that is interrupted, or killed, leaves an unbuilt version: the next one goes on with it if the code is the same, nobody was erased since and nothing was
discarded since; else it drops it.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection
from psycopg.errors import LockNotAvailable

from projections.kit.build import OPTIONS, Build, Difference, Outcome, Positions, Progress, RebuildError, Report
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.engine import PARK, Parked
from projections.kit.keys import KeyRing
from projections.kit.replay import EVERYTHING, Only, Skips, resting_collector
from projections.kit.rows import listed as columns_of
from projections.kit.rows import mapper_of
from projections.kit.shares import Filled, digest, divided, fill, kept
from projections.kit.tables import LIVE, Version, bump, create, fingerprint, load, logic, show, versions

REBUILD_LOCK = 7020044
LOCK_TRIES = 20  # an erasure holds it for a moment
NEAR = 2000  # events: near enough to the live projector to lock it
ROUNDS = 50
LOCK_TIMEOUT = "500ms"
PATIENCE = 30  # tries to get the locks
MOST_JOBS = 16
ERASED_SINCE = """
select 1 from person_keys where destroyed_at >= (select min(created_at) from read_models where name || '_v' || version = any(%s))
"""
PARKED_OF = "jsonb_build_array(projection, stream, position, partition, clinic_id, topic, error)"
LEAVE = (
    f"update read_models set active = false, positions = %s, parked = (select coalesce(jsonb_agg({PARKED_OF}), '[]') from parked_events "  # noqa: S608
    "where projection = %s and state = 'parked') where name = %s and active"
)
PARKED_ELSEWHERE = f"select {PARKED_OF}::text from parked_events where projection = %s and state = 'parked' and clinic_id <> %s"  # noqa: S608


def rebuild(
    owner_url: str, names: Iterable[str], *, kek: bytes, clinic: UUID | None = None, jobs: int = 1, fresh: bool = False, progress: Progress | None = None,
    swap: bool = True,
) -> Report:
    """Rebuild read models, or one clinic's rows in them, and, unless told otherwise, let the new versions serve.

    `jobs` is how many processes replay at once. What an interrupted rebuild of the same code has left is gone on with, unless it is to be `fresh`.
    """
    load()
    if not 1 <= jobs <= MOST_JOBS:
        message = f"from 1 to {MOST_JOBS} jobs"
        raise RebuildError(message)
    began, projections = time.monotonic(), _chosen(names)
    say = progress or _quiet
    with _working(owner_url) as conn, resting_collector():
        while True:
            if clinic is None:
                builds = _build(owner_url, conn, projections, kek, jobs, say, fresh=fresh)
            else:
                builds = [_build_clinic(owner_url, conn, projection, clinic, kek, say) for projection in projections]
            report = Report(outcomes=[b.outcome for b in builds])
            _follow(conn, builds, say)
            _compare(conn, builds, say)
            if not swap:
                _discard(conn, builds)
                break
            if _swap(conn, builds, everything=_everything(builds, clinic), say=say):
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
        build = Build(projection, KeyRing(kek), _discarded(conn, name), version=before[-1].version)
        left = _left(conn, before[-1])
        assert left is not None, "a version that has served says where it was left"
        build.at, build.parked = left
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


LISTING = (
    "select name, version, active, built, fingerprint, logic, greatest(coalesce((select reltuples::bigint from pg_class "
    "where oid = to_regclass(name || '_v' || version)), 0), 0) as rows, coalesce(pg_total_relation_size(to_regclass(name || '_v' || version)), 0) as size, "
    "created_at from read_models order by name, version"
)


def listing(owner_url: str) -> list[Listed]:
    """Return every version of every read model."""
    load()
    with psycopg.connect(owner_url, autocommit=True) as conn:
        return [listed(line) for line in conn.execute(LISTING).fetchall()]


def listed(line: Sequence[Any]) -> Listed:
    """Return what a line of `LISTING` says: whether a version's columns, and the code that filled it, are those of this release."""
    name, version, active, built, print_, code, *rest = line
    projection = PROJECTIONS.get(name)
    current = projection is not None and fingerprint(projection.row) == print_
    return Listed(name, version, active, built, current, projection is not None and logic(projection) == code, *rest)


def sweep(owner_url: str) -> int:
    """Drop what an interrupted rebuild has left of persons who were erased since; return how many tables. Not while another is at work."""
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn:
        if not _locked(conn):
            return 0
        left = [v for v in versions(conn) if not v.active and not v.built and _erased_since(conn, [v.table])]
        for version in left:
            _drop(conn, version)
        return len(left)


def _quiet(_: str, __: str, ___: int, ____: int) -> None:
    return


def _chosen(names: Iterable[str]) -> list[Projection]:
    wanted = list(dict.fromkeys(names))
    if unknown := [n for n in wanted if n not in PROJECTIONS]:
        message = f"no read model is called {', '.join(unknown)}; there are {', '.join(sorted(PROJECTIONS))}"
        raise RebuildError(message)
    return [PROJECTIONS[n] for n in wanted]


@contextmanager
def _working(owner_url: str) -> Iterator[Connection[Any]]:
    """One rebuild at a time."""
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn:
        for _ in range(LOCK_TRIES):
            if _locked(conn):
                break
            time.sleep(0.05)
        else:
            message = "another rebuild is under way"
            raise RebuildError(message)
        yield conn


def _locked(conn: Connection[Any]) -> bool:
    found = conn.execute("select pg_try_advisory_lock(%s)", (REBUILD_LOCK,)).fetchone()
    return bool(found and found[0])


def _everything(builds: Sequence[Any], clinic: UUID | None) -> bool:
    return clinic is None and len(builds) == len(PROJECTIONS)


def _tracked(conn: Connection[Any], lock: str = "") -> Positions:
    statement = f"select partition, position from projector_tracking where grp = %s order by partition {lock}"  # noqa: S608
    return dict(conn.execute(statement, (LIVE,)).fetchall())


def _head(conn: Connection[Any]) -> int:
    found = conn.execute("select position from store_head").fetchone()
    return int(found[0]) if found else 0


def _discarded(conn: Connection[Any], name: str, states: Sequence[str] = ("discarded",)) -> Skips:
    found = conn.execute("select stream, position from parked_events where projection = %s and state = any(%s)", (name, list(states)))
    return frozenset(found.fetchall())


def _build(url: str, conn: Connection[Any], projections: Sequence[Projection], kek: bytes, jobs: int, say: Progress, *, fresh: bool) -> list[Build]:
    """Fill versions up to where the live group is, or to the head if it is far behind and everything is rebuilt."""
    tracked = _tracked(conn)
    most = dict.fromkeys(tracked, _head(conn)) if _everything(projections, None) else tracked
    upto = min(most.values(), default=0)
    builds = {p.name: _begun(conn, p, kek, most, fresh=fresh) for p in projections}
    parts = 1 if jobs == 1 or len(projections) >= 2 * jobs else jobs
    shares = []
    for name in _largest_first(conn, builds):
        build = builds[name]
        missing = [p for p in tracked if p not in build.at]
        shares += divided(name, build.version or 0, missing, upto, build.skips, parts)
        if not missing:
            build.index(conn, say)
    for share, filled in fill(url, kek, shares, jobs, say):
        build = builds[share.name]
        _take(build, filled)
        if len(build.at) == len(tracked):
            build.index(conn, say)
    return list(builds.values())


def _largest_first(conn: Connection[Any], builds: Iterable[str]) -> list[str]:
    found = conn.execute(
        "select m.name from read_models m left join pg_class c on c.oid = to_regclass(m.name || '_v' || m.version) "
        "where m.active and m.name = any(%s) order by c.relpages desc nulls last, m.name", (list(builds),),
    ).fetchall()
    known = [name for (name,) in found]
    return [*known, *(name for name in builds if name not in known)]


def _begun(conn: Connection[Any], projection: Projection, kek: bytes, most: Positions, *, fresh: bool) -> Build:
    """Return a version to fill: what an interrupted rebuild has left, or a new one."""
    name, skips = projection.name, _discarded(conn, projection.name)
    known = versions(conn, name)
    for version in reversed(known):
        if version.built or version.active:
            continue
        if not fresh and (build := _left_over(conn, Build(projection, KeyRing(kek), skips, version=version.version), version, most)):
            return build
        _drop(conn, version)
    return Build(projection, KeyRing(kek), skips, version=_new(conn, projection, known))


def _left_over(conn: Connection[Any], build: Build, version: Version, most: Positions) -> Build | None:
    """Return a build of what an interrupted rebuild has left, if one may go on with it."""
    projection, shares = build.projection, kept(conn, version.name, version.version)
    usable = version.fingerprint == fingerprint(projection.row) and version.logic == logic(projection) and not _erased_since(conn, [version.table])
    if not shares or not usable or any(share.skipped != digest(build.skips) for share in shares):
        return None
    for share in shares:
        _take(build, share)
    build.outcome.kept = build.outcome.events
    if left := _left(conn, version):
        build.at, build.parked = left
    return build if all(at <= most.get(p, 0) for p, at in build.at.items()) else None


def _take(build: Build, share: Filled) -> None:
    build.at |= dict.fromkeys(share.partitions, share.position)
    build.parked += share.parked
    build.outcome.events += share.events
    build.outcome.rows += share.rows
    build.outcome.seconds += share.seconds


def _new(conn: Connection[Any], projection: Projection, known: Sequence[Version], clinic: UUID | None = None) -> int:
    number = 1 + max((v.version for v in known), default=0)
    conn.execute(
        "insert into read_models (name, version, fingerprint, logic, clinic) values (%s, %s, %s, %s, %s)",
        (projection.name, number, fingerprint(projection.row), logic(projection), clinic),
    )
    create(conn, projection.row, f"{projection.name}_v{number}")
    return number


def _build_clinic(url: str, conn: Connection[Any], projection: Projection, clinic: UUID, kek: bytes, say: Progress) -> Build:
    """Make a version with one clinic's rows from history and the others' as they are served, all as of one snapshot."""
    name, known = projection.name, versions(conn, projection.name)
    serving = next((v for v in known if v.active and v.built and v.fingerprint == fingerprint(projection.row)), None)
    if serving is None:
        message = f"{name} as it serves has other columns than this release's: rebuild it for all clinics"
        raise RebuildError(message)
    partition = conn.execute("select partition from stored_events where clinic_id = %s limit 1", (clinic,)).fetchone()
    if partition is None:
        message = f"there is no clinic {clinic}"
        raise RebuildError(message)
    for version in known:
        if not version.built and not version.active:
            _drop(conn, version)
    build = Build(projection, KeyRing(kek), _discarded(conn, name), version=_new(conn, projection, known, clinic))
    conn.execute("begin isolation level repeatable read")
    try:
        tracked, columns = _tracked(conn), columns_of(mapper_of(projection.row).names)
        say(name, "copy", 0, 0)
        conn.execute(f"insert into {build.table} ({columns}) select {columns} from {serving.table} where clinic_id <> %s", (clinic,))  # noqa: S608
        build.parked = [msgspec.json.decode(one, type=Parked) for (one,) in conn.execute(PARKED_ELSEWHERE, (name, clinic)).fetchall()]
        build.replay(url, conn, tracked, tracked[partition[0]], say, Only(clinic=clinic))
        conn.execute("commit")
    except BaseException:
        conn.rollback()
        raise
    build.index(conn, say)
    return build


def _drop(conn: Connection[Any], version: Version) -> None:
    conn.execute(f"drop table if exists {version.table}")
    conn.execute("delete from read_models where name = %s and version = %s", (version.name, version.version))


def _discard(conn: Connection[Any], builds: Sequence[Build]) -> None:
    for build in builds:
        for version in versions(conn, build.projection.name):
            if version.version == build.version:
                _drop(conn, version)


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
        before = [(dict(b.at), len(b.parked)) for b in builds]
        say(builds[0].projection.name if len(builds) == 1 else "all", "swap", 0, 0)
        try:
            with conn.transaction():
                return _swap_now(conn, builds, everything=everything)
        except LockNotAvailable:
            for build, (at, parked) in zip(builds, before, strict=True):
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
    if _erased_since(conn, [b.table for b in builds]):
        return False
    goal = {p: max(position, *(b.at[p] for b in builds)) for p, position in tracked.items()} if everything else tracked
    for build in builds:
        build.advance(conn, goal)
        _serve(conn, build, tracked)
    if everything:
        for partition, position in goal.items():
            conn.execute(
                "update projector_tracking set position = greatest(position, %s), current_at = clock_timestamp() where grp = %s and partition = %s",
                (position, LIVE, partition),
            )
    bump(conn)
    return True


def _erased_since(conn: Connection[Any], tables: list[str]) -> bool:
    return conn.execute(ERASED_SINCE, (tables,)).fetchone() is not None


def _serve(conn: Connection[Any], build: Build, tracked: Positions) -> None:
    """Let a version serve; the one before it, which is where the projectors are, is left with what the way back needs to know."""
    name, version = build.projection.name, build.outcome.version
    conn.execute(LEAVE, (msgspec.json.encode(tracked).decode(), name, name))
    conn.execute(
        "update read_models set active = true, built = true, positions = null, parked = '[]', built_at = now(), logic = %s where name = %s and version = %s",
        (logic(build.projection), name, version),
    )
    conn.execute("delete from read_model_shares where name = %s and version = %s", (name, version))
    show(conn, build.projection, version)
    conn.execute("delete from parked_events where projection = %s and state = 'parked'", (name,))
    if build.parked:
        conn.execute(PARK, (msgspec.json.encode([p._asdict() for p in build.parked]).decode(),))
    build.outcome.parked = len(build.parked)
    for old in [v for v in versions(conn, name) if not v.active and v.version < version][:-1]:  # the one before stays
        _drop(conn, old)


def _left(conn: Connection[Any], version: Version) -> tuple[Positions, list[Parked]] | None:
    """Return where a version that does not serve was left, and what it could not take; None if it was never advanced."""
    found = conn.execute("select positions::text, parked::text from read_models where name = %s and version = %s", (version.name, version.version)).fetchone()
    if found is None or found[0] is None:
        return None
    return msgspec.json.decode(found[0], type=dict[int, int]), msgspec.json.decode(found[1], type=list[Parked])


def _verify(url: str, conn: Connection[Any], projection: Projection, kek: bytes, say: Progress) -> Outcome:
    name = projection.name
    tracked = _tracked(conn)
    active = next((v for v in versions(conn, name) if v.active), None)
    build = Build(projection, KeyRing(kek), _discarded(conn, name, ("discarded", "parked")), table=f"verified_{name}")
    if active is None or not active.built:
        return build.outcome
    build.outcome.version, build.outcome.logic_changed = active.version, active.logic != logic(projection)
    create(conn, projection.row, build.table, temporary=True)
    upto = min(tracked.values(), default=0)
    build.replay(url, conn, dict.fromkeys(tracked, upto), upto, say, EVERYTHING)
    build.index(conn, say)
    build.advance(conn, tracked)
    say(name, "compare", 0, 0)
    build.compare(conn, active.table)
    build.outcome.parked = len(build.skips)
    return build.outcome


__all__ = ["Difference", "Listed", "Outcome", "Progress", "RebuildError", "Report", "back", "listed", "listing", "rebuild", "sweep", "verify"]
