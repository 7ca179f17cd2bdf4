"""What may be seen of an entity's life so far."""

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.kit import Frozen


class Activity(Frozen):
    """One step in the life of an entity.

    `changes` is what the event says and `before` what was said of the same things last, without what is sealed because it is about a person.
    """

    seq: int
    recorded_at: datetime
    actor: UUID
    action: str
    version: int
    changes: dict[str, Any]
    before: dict[str, Any]


class Timeline(Frozen):
    """Steps of a life, the latest first; `next` is the `before` of the page after."""

    items: list[Activity]
    next: int | None
