"""What may be seen of an entity's life so far."""

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.kit import Frozen


class Related(Frozen):
    """Another event that the same request caused, and what it happened to."""

    seq: int
    action: str
    entity_type: str
    entity_id: UUID


class Cause(Frozen):
    """What a step came from: the command, and what joins everything that one request caused; the kind of client, and in whose name somebody acted.

    `event` is the event that it answers, where no request but the program itself was the cause.
    """

    command_id: UUID
    correlation_id: UUID
    client: str | None
    on_behalf_of: UUID | None
    event: Related | None


class Activity(Frozen):
    """One step in the life of an entity.

    `changes` is what the event says, without what is sealed because it is about a person. `before` and `after` are the fields of the entity that it changed, as they read before and
    after it, with today's keys. `related` are other events that the same request caused, of kinds that you may see, fifty at most.
    """

    seq: int
    recorded_at: datetime
    actor: UUID
    actor_name: str | None
    action: str
    version: int
    cause: Cause
    changes: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]
    related: list[Related]


class Timeline(Frozen):
    """Steps of a life, the latest first; `next` is the `before` of the page after."""

    items: list[Activity]
    next: int | None
