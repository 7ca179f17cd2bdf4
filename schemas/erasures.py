"""What may be seen of the wishes to be forgotten, and of what is known about a person."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from domain.erasures import PersonKind
from domain.kit import Frozen, Id
from schemas.kit import Row


class ErasureRow(Row):
    """A wish that somebody be forgotten, and what became of it the last time: erased, or refused because of what, and until when."""

    table: ClassVar[str] = "erasures"
    permission: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
    id: Id
    person_id: Id
    kind: PersonKind
    reason: str
    status: str
    because: str | None = None
    until: date | None = None
    despite_retention: bool = False
    asked_at: datetime
    asked_by: Id
    refusals: int = 0


class Traces(Frozen):
    """What is kept about a person in a form that can be read: sealed events with a key that opens them, rows, and those of replays of the past, sessions, secrets, links, network addresses."""

    keys: int
    events: dict[str, int]
    rows: dict[str, int]
    replays: int
    sessions: int
    secrets: int
    links: int
    addresses: int


class ErasureReport(Frozen):
    """What an erasure found and what it left; in a dry run nothing was done, and `left` is what would be there as before."""

    person_id: UUID
    kind: PersonKind
    dry_run: bool
    erased_at: datetime | None
    sealed_events: int
    found: Traces
    left: Traces


class Source(Frozen):
    """Something that happened, as a person's own export tells it: what, when, by whom, from where, and where it lies."""

    position: int
    event: str
    entity_type: str
    entity_id: UUID
    version: int
    recorded_at: datetime
    actor: UUID
    origin: dict[str, Any] | None
    said: dict[str, Any]


class PersonExport(Frozen):
    """Everything that is known about a patient: the rows as they stand, by read model, and every event about them, each with where it came from."""

    patient_id: UUID
    taken_at: datetime
    rows: dict[str, list[Any]]
    events: list[Source]
