"""Stored events as they lie in Postgres and travel through NATS, and the way from there to facts.

One struct serves both: the relay selects it and packs pages of it, undecoded; projectors, loaders, SSE and rebuilds turn it into facts.
Ids are UUIDs in SQL and 16 bytes on the wire; the time is an integer of microseconds, so that no datetime is made where none is needed.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from domain.kit import Fact
from domain.kit.codec import KeyOf, decode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)

# the order of the columns is the order of the fields of Stored
COLUMNS = (
    "notification_id, originator_id, originator_version, topic, clinic_id, stream_kind, partition, event_id, command_id, correlation_id, "
    "causation_id, actor, person, (extract(epoch from recorded_at) * 1000000)::bigint, mac, hash, state"
)


class Stored(Struct, frozen=True, array_like=True, gc=False):
    """A stored event with its envelope, the body still bytes."""

    position: int
    stream: UUID
    version: int
    topic: str
    clinic: UUID
    kind: str
    partition: int
    event_id: UUID
    command: UUID
    correlation: UUID
    causation: UUID | None
    actor: UUID
    person: UUID | None
    recorded_us: int
    mac: bytes
    hash: bytes
    body: bytes

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded."""
        return EPOCH + self.recorded_us * MICRO


def fact_of(stored: Stored, key_of: KeyOf | None = None) -> Fact:
    """Return the fact; without `key_of`, or once the key is destroyed, personal fields are None."""
    event = decode(stored.topic, stored.body, event_id=stored.event_id, person=stored.person, key_of=key_of)
    return Fact(
        id=stored.stream, kind=stored.kind, version=stored.version, position=stored.position, clinic=stored.clinic,
        recorded_at=stored.recorded_at, actor=stored.actor, event=event, command=stored.command, correlation=stored.correlation,
        causation=stored.causation, hash=stored.hash, mac=stored.mac,
    )
