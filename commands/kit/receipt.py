"""Who asks for a change, and what he is told about it."""

from uuid import UUID

from domain.kit import Frozen
from schemas.kit import Row


class Who(Frozen):
    """Who asks, in which clinic, and what they may do."""

    actor: UUID
    clinic: UUID
    role: str
    grants: frozenset[str]
    subject: UUID | None = None  # the staff member or patient the actor is
    session: UUID | None = None


class Receipt(Frozen):
    """What a command did: where it was written, and the row as it is after it."""

    id: UUID
    version: int
    position: int
    row: Row | None = None
    replayed: bool = False
