"""An event as those outside are shown it: the `data` of the event stream, and of a webhook.

How it works: the envelope that readers can use, and the event's stored members as they lie there, undecoded, less what is sealed. With keys (`opened`) the sealed
members take part; of a person whose key is destroyed they read null.

What may go wrong: what is opened here must go to its reader at once, and to no other: whatever keeps it keeps the person beyond their erasure.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from domain.kit.codec import KeyOf, unsealed
from projections.kit.stored import Stored

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Shown(Struct, rename="camel"):
    """An event with its envelope."""

    position: Annotated[int, Meta(ge=1, description="Where it stands among all events of the installation: grows, with gaps between a clinic's own.")]
    event: Annotated[str, Meta(description="What happened: the event's name.")]
    entity_type: Annotated[str, Meta(description="The kind of thing it happened to.")]
    entity_id: Annotated[UUID, Meta(description="The thing it happened to.")]
    version: Annotated[int, Meta(ge=1, description="The thing's version from this event on: counts from 1, without gaps.")]
    recorded_at: Annotated[datetime, Meta(tz=True, description="When it was stored.")]
    actor: Annotated[UUID, Meta(description="The account that did it, or the API key; all zeros where the program itself did.")]
    correlation_id: Annotated[UUID, Meta(description="Joins everything that one request caused; the request's id if that was a UUID.")]
    data: Annotated[dict[str, Raw], Meta(description="What the event says.")]


class Pushed(Struct):
    """A webhook's body."""

    type: Annotated[str, Meta(description="What happened: the event's name.")]
    timestamp: Annotated[datetime, Meta(tz=True, description="When it was stored.")]
    data: Annotated[Raw, Meta(description="The event, as a stream has it.")]


def shown(stored: Stored) -> bytes:
    """Return an event as JSON; what is sealed stays out."""
    data = _members(stored.body)
    data.pop("sealed", None)
    return _encode(_with_envelope(stored, data))


def opened(stored: Stored, key_of: KeyOf) -> bytes:
    """Return an event as JSON with what is sealed; raises `TamperedError` if it is another's, or was changed."""
    if stored.person is None:
        return shown(stored)
    secret = unsealed(stored.topic, stored.body, event_id=stored.event_id, person=stored.person, key=key_of(stored.person))
    data = _members(stored.body)
    data.pop("sealed", None)
    return _encode(_with_envelope(stored, data | secret))


def pushed(stored: Stored) -> bytes:
    """Return the body of an event's webhook: its name, when it was stored, and what a stream shows of it."""
    return _encode(Pushed(type=stored.topic, timestamp=stored.recorded_at, data=Raw(shown(stored))))


def _with_envelope(stored: Stored, data: dict[str, Raw]) -> Shown:
    return Shown(
        position=stored.position, event=stored.topic, entity_type=stored.kind, entity_id=stored.stream, version=stored.version,
        recorded_at=stored.recorded_at, actor=stored.actor, correlation_id=stored.correlation, data=data)
