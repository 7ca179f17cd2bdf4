"""What may be seen of the notes about a patient."""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import field

from domain.kit import AccountId, Frozen, Id, PatientId, Personal
from schemas.kit import INDEXED, Row


class EarlierText(Frozen):
    """What a note said before, and who wrote it so, when."""

    text: str | None
    written_at: datetime
    written_by: AccountId


class PatientNoteRow(Row):
    """A note about a patient: what it says, who wrote it so and when, and what it said before, the oldest first. Its texts are null once the patient is forgotten."""

    table: ClassVar[str] = "patient_notes"
    permission: ClassVar[str] = "patients.view"
    id: Id
    patient_id: Annotated[PatientId, INDEXED]
    text: Annotated[str | None, Personal("patient_id")]
    created_at: datetime
    created_by: AccountId
    written_at: datetime
    written_by: AccountId
    earlier: Annotated[list[EarlierText] | None, Personal("patient_id")] = field(default_factory=list)
    pinned: bool = False
    removed: bool = False
    removed_at: datetime | None = None
    removed_by: AccountId | None = None
    remove_reason: Annotated[str | None, Personal("patient_id")] = None


class PatientNotes(Frozen):
    """The notes about a patient, on all records of theirs: those that are pinned first, then the newest."""

    items: list[PatientNoteRow]
