"""Claims made anew from history: what each stream, as it stands, must hold alone.

How it works. Only streams of kinds that claim anything are read, each in order, and folded by its own state; what is personal stays sealed, for states do not depend on it. A hold
whose time is over is left out: another may have taken its place since, and it no longer counts anyway.

What may go wrong. A claim that is there already means that two streams hold the same, which history cannot contain: the database refuses.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import Connection

from commands.kit.ids import resource
from domain.kit import Claim, State, TimeClaim
from domain.kit.codec import decode

Stream = tuple[UUID, UUID, State]  # its id, its clinic, as it stands

BATCH = 5_000
READ = """
select originator_id, clinic_id, stream_kind, topic, event_id, state from stored_events where stream_kind = any(%s) order by originator_id, originator_version
"""
NAMES = "insert into unique_claims (claim, owner) select * from unnest(%s::uuid[], %s::uuid[])"
TIMES = """
insert into time_claims (resource, starting, ending, owner, forced, expires)
select * from unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::uuid[], %s::boolean[], %s::timestamptz[])
"""


def claiming() -> dict[str, type[State]]:
    """Return the states that claim anything, by kind; the modules that define them must have been imported."""
    return {cls.kind: cls for cls in State.__subclasses__() if cls.claims is not State.claims}


def reclaim(conn: Connection[Any], reading: Connection[Any], progress: Callable[[int], None] = lambda _: None) -> int:
    """Fill the tables of claims, which must be empty; return how many claims there are. `reading` is another connection."""
    names: list[tuple[UUID, UUID]] = []
    times: list[tuple[Any, ...]] = []
    now, done = datetime.now(UTC), 0
    for stream, clinic, state in streams(reading):
        for claim in state.claims():
            _note(claim, stream, clinic, names, times, now)
        if len(names) + len(times) >= BATCH:
            done += _flush(conn, names, times)
            progress(done)
    return done + _flush(conn, names, times)


def streams(reading: Connection[Any]) -> Iterator[Stream]:
    """Yield every stream that may claim something, as it stands."""
    known = claiming()
    with reading.transaction(), reading.cursor(name="streams", binary=True) as cursor:
        cursor.itersize = BATCH
        cursor.execute(READ, (list(known),))
        for (stream, clinic, kind), lines in groupby(cursor, key=lambda line: line[:3]):
            yield stream, clinic, known[kind].replay(decode(topic, body, event_id=event_id, person=None) for *_, topic, event_id, body in lines)


def _note(claim: Claim, stream: UUID, clinic: UUID, names: list[tuple[UUID, UUID]], times: list[tuple[Any, ...]], now: datetime) -> None:
    if not isinstance(claim, TimeClaim):
        names.append((resource(clinic, claim.scope, claim.key.encode()), stream))
    elif claim.expires is None or claim.expires > now:
        times.append((resource(clinic, claim.kind, claim.id.bytes), claim.start, claim.end, stream, claim.forced, claim.expires))


def _flush(conn: Connection[Any], names: list[tuple[UUID, UUID]], times: list[tuple[Any, ...]]) -> int:
    done = len(names) + len(times)
    with conn.transaction():
        if names:
            conn.execute(NAMES, [list(column) for column in zip(*names, strict=True)])
        if times:
            conn.execute(TIMES, [list(column) for column in zip(*times, strict=True)])
    names.clear()
    times.clear()
    return done
