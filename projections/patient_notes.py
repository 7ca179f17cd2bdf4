"""The notes about a patient, as rows."""

from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact
from domain.patient_notes import (
    PatientNoteAmended,
    PatientNoteEvent,
    PatientNotePinned,
    PatientNoteRemoved,
    PatientNoteUnpinned,
    PatientNoteWritten,
)
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.patient_notes import EarlierText, PatientNoteRow
from schemas.patients import PatientRow


@projects(PatientNoteRow, of=PatientNoteEvent)
def patient_notes(row: PatientNoteRow | None, fact: Fact) -> PatientNoteRow | None:
    match fact.event:
        case PatientNoteWritten(patient_id=patient, text=text):
            return PatientNoteRow(
                id=fact.id, patient_id=patient, text=text, created_at=fact.recorded_at, created_by=fact.actor, written_at=fact.recorded_at,
                written_by=fact.actor, earlier=None if text is None else [])
        case PatientNoteAmended(text=text) if row:
            before = EarlierText(text=row.text, written_at=row.written_at, written_by=row.written_by)
            earlier = None if row.earlier is None or text is None else [*row.earlier, before]
            return replace(row, text=text, earlier=earlier, written_at=fact.recorded_at, written_by=fact.actor)
        case PatientNotePinned():
            return row and replace(row, pinned=True)
        case PatientNoteUnpinned():
            return row and replace(row, pinned=False)
        case PatientNoteRemoved(reason=reason):
            return row and replace(row, removed=True, pinned=False, removed_at=fact.recorded_at, removed_by=fact.actor, remove_reason=reason)
    return row


async def notes_of(reader: Reader, id_: UUID, *, removed: bool) -> list[PatientNoteRow] | None:
    """Return the notes on all records of a patient, without those that were removed unless they are wanted; None if there is no such patient."""
    if (patient := await reader.one(PatientRow, id_)) is None:
        return None
    records: list[UUID] = [patient.id, *(one.id for one in patient.merged_records)]
    found = await reader.find(PatientNoteRow, patient_id=records, **({} if removed else {"removed": False}))
    newest = sorted(found, key=lambda note: (note.created_at, note.id), reverse=True)
    return sorted(newest, key=lambda note: not note.pinned)
