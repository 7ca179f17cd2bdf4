"""What must be true after a run, whatever its figures: asked of the tables themselves, with none of the product's folding.

How it works. Each check takes the owner's connection and raises `Trouble` with what it found; what was there before a run (`since`) is looked at as well where
that is cheap. The chain is computed again here from the text of its definition. Overlaps are looked for twice: among the
claims, which are the product's word, and among the bookings that the events themselves tell of.

What may go wrong. A figure of a run that fails here is worth nothing, so it is not shown.
"""

import hashlib
from collections.abc import Collection
from typing import Any
from uuid import UUID

import psycopg

from anamnesis.trouble import Trouble

Connection = psycopg.Connection[Any]

CHAINED = """
select hash, notification_id, originator_id, originator_version, topic, clinic_id, stream_kind, event_id, command_id, correlation_id,
    causation_id, actor, person, (extract(epoch from recorded_at) * 1000000)::bigint, mac, state
from stored_events where notification_id > %s order by notification_id
"""
STARTS = """
select distinct on (clinic_id) clinic_id, hash from stored_events where notification_id <= %s order by clinic_id, notification_id desc
"""
CLAIMS_OVERLAP = """
select count(*) from (
    select starting < lag(ending) over (partition by resource order by starting, ending) as clashing from time_claims where not forced
) c where clashing
"""
# bookings that were never moved, cancelled or forced: their first event is still the whole truth about their time
BOOKINGS_OVERLAP = """
with booked as (
    select clinic_id, convert_from(state, 'UTF8')::json as told from stored_events e
    where topic = 'AppointmentBooked' and notification_id > %(since)s
    and not exists (select from stored_events l where l.originator_id = e.originator_id and l.originator_version > e.originator_version
        and l.topic in ('AppointmentRescheduled', 'AppointmentDetailsChanged', 'AppointmentCancelled', 'PatientMissed', 'AppointmentRemoved'))
), taken as (
    select clinic_id, (told->>'startsAt')::timestamptz as start_at, (told->>'endsAt')::timestamptz as end_at, who
    from booked, unnest(array[told->>'doctorId', told->>'patientId', told->>'roomId']) who
    where who is not null and not coalesce((told->>'forced')::boolean, false)
)
select count(*) from (
    select start_at < lag(end_at) over (partition by clinic_id, who order by start_at, end_at) as clashing from taken
) t where clashing
"""


def head(connection: Connection) -> int:
    """The position of the newest event."""
    return int(_one(connection, "select coalesce(max(notification_id), 0) from stored_events"))


def accepted_is_stored(connection: Connection, accepted: Collection[int], topic: str, since: int) -> None:
    """What clients were told was stored, once, and nothing else was."""
    found = connection.execute("select notification_id from stored_events where topic = %s and notification_id > %s", [topic, since])
    stored = {position for (position,) in found}
    told = set(accepted)
    if len(told) != len(accepted) or told != stored:
        raise Trouble(f"{len(accepted)} accepted, {len(stored)} stored, {len(told - stored)} lost, {len(stored - told)} unasked for")


def nothing_lost(lost: int) -> None:
    """Every request was answered."""
    if lost:
        raise Trouble(f"{lost} requests were never answered")


def positions_are_dense(connection: Connection) -> None:
    """1, 2, 3, ... without a gap, and the head says how many."""
    count, top, told = connection.execute(
        "select count(*), coalesce(max(notification_id), 0), (select position from store_head) from stored_events").fetchone() or (0, 0, 0)
    if not count == top == told:
        raise Trouble(f"{count} events, the last at position {top}, the head says {told}")


def chain_holds(connection: Connection, since: int = 0) -> int:
    """Every hash since then follows from the one before; gives how many there were."""
    heads: dict[Any, bytes] = dict(connection.execute(STARTS, [since]).fetchall())
    count = 0
    with connection.transaction(), connection.cursor("chain", binary=True) as cursor:
        cursor.itersize = 20_000
        for stored, *event in cursor.execute(CHAINED, [since]):
            clinic: UUID = event[4]
            start = heads.get(clinic) or hashlib.sha256(clinic.bytes).digest()
            heads[clinic] = hashlib.sha256(start + _content(*event)).digest()
            if heads[clinic] != stored:
                raise Trouble(f"the chain breaks at position {event[0]}")
            count += 1
    return count


def nothing_overlaps(connection: Connection, since: int = 0) -> None:
    """Nobody and no room is in two places at once."""
    claims = _one(connection, CLAIMS_OVERLAP)
    bookings = connection.execute(BOOKINGS_OVERLAP, {"since": since}).fetchone()
    if claims or (bookings and bookings[0]):
        raise Trouble(f"{claims} claims and {bookings[0] if bookings else 0} bookings overlap")


def _content(
    position: int, stream: UUID, version: int, topic: str, clinic: UUID, kind: str, event_id: UUID, command: UUID, correlation: UUID,
    causation: UUID | None, actor: UUID, person: UUID | None, recorded_us: int, mac: bytes, body: bytes,
) -> bytes:
    """The bytes that the chain covers, as its definition says."""
    name, sort = topic.encode(), kind.encode()
    return b"".join((
        position.to_bytes(8, "big"), stream.bytes, version.to_bytes(8, "big"), len(name).to_bytes(4, "big"), name, clinic.bytes,
        len(sort).to_bytes(4, "big"), sort, event_id.bytes, command.bytes, correlation.bytes, causation.bytes if causation else b"", b"|",
        actor.bytes, person.bytes if person else b"", b"|", recorded_us.to_bytes(8, "big"), mac, body,
    ))


def _one(connection: Connection, statement: str) -> Any:
    found = connection.execute(statement).fetchone()
    return found[0] if found else None
