"""Parked events: what a projection could not take, and what to do about it.

How it works. An event that a projection's function fails on is parked with every later event of its stream, for that projection alone; the rest goes on. Once the
function is mended, `retry` applies a stream's parked events in order and releases it. What can never be applied is discarded with a reason, which
rebuilds honour as well.

What may go wrong. Where many streams make one row, other streams' later events are in it already when a parked one is retried: if their order matters,
rebuild the read model instead, which applies parked events where they belong. A retry that fails again leaves everything as it was.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection

from projections.kit.build import OPTIONS, Build
from projections.kit.declare import PROJECTIONS
from projections.kit.keys import KeyRing
from projections.kit.stored import COLUMNS, Stored
from projections.kit.tables import LIVE, bump, load


class ParkedStream(NamedTuple):
    """A stream that a projection cannot go on with."""

    projection: str
    stream: UUID
    clinic: UUID
    topic: str  # of the first
    position: int  # of the first
    events: int
    error: str
    since: datetime
    state: str
    reason: str | None


class StillFailingError(Exception):
    """The event failed again; the message says how."""


def listing(conn: Connection[Any], *, discarded: bool = False) -> list[ParkedStream]:
    """Return what is parked, or what was discarded, oldest first."""
    found = conn.execute(
        "select projection, stream, (array_agg(clinic_id))[1], (array_agg(topic order by position))[1], min(position), count(*), "
        "(array_agg(error order by position))[1], min(at), state, (array_agg(reason order by position))[1] "
        "from parked_events where state = %s group by projection, stream, state order by min(position)",
        ("discarded" if discarded else "parked",),
    )
    return [ParkedStream(*line) for line in found.fetchall()]


def retry(owner_url: str, *, kek: bytes, projection: str | None = None, stream: UUID | None = None) -> int:
    """Apply parked events (all, one projection's, or one stream's) and release their streams; return how many. One that still fails stays parked."""
    load()
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn:
        wanted = [p for p in listing(conn) if projection in {None, p.projection} and stream in {None, p.stream}]
        failed: list[str] = []
        done = 0
        for parked in wanted:
            try:
                done += _retry_one(conn, parked, kek)
            except StillFailingError as error:
                failed.append(str(error))
        if failed and len(wanted) == len(failed):
            raise StillFailingError("; ".join(failed))
        return done


def discard(owner_url: str, projection: str, stream: UUID, reason: str) -> int:
    """Never apply a stream's parked events to a read model; return how many. Its later events are applied again."""
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn, conn.transaction():
        conn.execute("select from projector_tracking where grp = %s order by partition for update", (LIVE,))
        gone = conn.execute(
            "update parked_events set state = 'discarded', reason = %s where projection = %s and stream = %s and state = 'parked'",
            (reason, projection, stream),
        )
        bump(conn)
        return gone.rowcount


def _retry_one(conn: Connection[Any], parked: ParkedStream, kek: bytes) -> int:
    """Apply one stream's parked events while the projector stands between two batches."""
    with conn.transaction():
        conn.execute("select from projector_tracking where grp = %s order by partition for update", (LIVE,))
        lines = conn.execute(
            f"select {COLUMNS} from stored_events where notification_id in (select position from parked_events "  # noqa: S608
            "where projection = %s and stream = %s and state = 'parked') order by notification_id",
            (parked.projection, parked.stream), binary=True,
        ).fetchall()
        projection = PROJECTIONS[parked.projection]
        build = Build(projection, KeyRing(kek), frozenset(), table=parked.projection)
        build.apply(conn, [Stored(*line) for line in lines])
        if build.parked:
            message = f"{parked.projection} {parked.stream}: {build.parked[0].error}"
            raise StillFailingError(message)
        conn.execute(
            "delete from parked_events where projection = %s and stream = %s and state = 'parked'", (parked.projection, parked.stream),
        )
        bump(conn)
        return len(lines)
