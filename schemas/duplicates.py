"""What may be seen of records that look like one person's."""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import Meta

from domain.kit import AccountId, Frozen, Id, PatientId, Personal
from schemas.kit import INDEXED, Row
from schemas.patients import Grade, LikenessReason, PatientRow

Score = Annotated[int, Meta(ge=0, le=100, description="How much speaks for it, in percent; all that agrees taken together.")]


class DuplicateRow(Row):
    """What somebody has said about two records that look alike: `dismissed` if they are two people's. The reason is null once the patient is forgotten."""

    table: ClassVar[str] = "duplicates"
    permission: ClassVar[str] = "patients.view"
    id: Id
    patient_id: Annotated[PatientId, INDEXED]
    other_id: PatientId
    dismissed: bool
    said_at: datetime
    said_by: AccountId
    reason: Annotated[str | None, Personal("patient_id")] = None


class DuplicatePair(Frozen):
    """Two records that may be one person's, how surely, and by what; the one that was registered first comes first."""

    patient: PatientRow
    other: PatientRow
    grade: Grade
    reasons: list[LikenessReason]
    score: Score


class DuplicatePairs(Frozen):
    """Records that may be one person's, the surest first, some at a time; `found` are all of them."""

    items: list[DuplicatePair]
    found: int
    next: Annotated[str | None, Meta(description="The `cursor` of the next page; null on the last.")] = None
