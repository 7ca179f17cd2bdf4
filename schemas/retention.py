"""What may be seen of what a clinic must keep."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen, Id, PatientId
from domain.retention import RecordKind
from schemas.kit import Row


class RetentionRow(Row):
    """What a clinic has said about how long it keeps its records, and the holds that bind it just now."""

    table: ClassVar[str] = "retention"
    permission: ClassVar[str] = "admin"
    id: Id
    periods: dict[RecordKind, int]
    holds: list[UUID]


class LegalHoldRow(Row):
    """A legal hold: on whom (on the whole clinic, if on nobody), why, since when and on whose word; and how it ended."""

    table: ClassVar[str] = "legal_holds"
    permission: ClassVar[str] = "admin"
    id: UUID
    patient_id: PatientId | None
    reason: str
    by_platform: bool
    placed_at: datetime
    placed_by: Id
    open: bool
    lifted_at: datetime | None = None
    lifted_by: Id | None = None
    lift_reason: str | None = None


class RetentionPeriod(Frozen):
    """For how many years a kind of record is kept after its last change: here, at least, and usually; and where that is from."""

    kind: RecordKind
    years: int
    minimum: int
    usual: int
    source: str


class RetentionShown(Frozen):
    """For how long a clinic keeps its records, and how many legal holds bind it just now."""

    items: list[RetentionPeriod]
    holds: int
