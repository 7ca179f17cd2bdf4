"""Patient notes: what the staff tell one another about a patient at the desk, never overwritten.

They are the desk's: whoever may open a patient's record reads them. What a doctor notes of a treatment is no business of theirs, nor of this module.
"""

from typing import Annotated, ClassVar, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, NotFound, PatientId, Personal, Reason, Refused, State

NoteText = Annotated[str, Meta(min_length=1, max_length=4000, examples=["Prefers the morning"])]


class Noted(Frozen):
    """About whom; it stays the record on which the note was written."""

    patient_id: PatientId


class PatientNoteWritten(Event, Noted):
    text: Annotated[NoteText | None, Personal("patient_id")] = None


class PatientNoteAmended(Event, Noted):
    """The note as it now reads; as it read before stays in the stream."""

    text: Annotated[NoteText | None, Personal("patient_id")] = None


class PatientNotePinned(Event, Noted):
    """It stands above the others."""


class PatientNoteUnpinned(Event, Noted): ...


class PatientNoteRemoved(Event, Noted):
    """It is off the list; what it said stays in the history."""

    reason: Annotated[Reason | None, Personal("patient_id")] = None


PatientNoteEvent = PatientNoteWritten | PatientNoteAmended | PatientNotePinned | PatientNoteUnpinned | PatientNoteRemoved


class NoteEmpty(Invalid):
    """A note says something."""


class NoteGone(Refused):
    """This note was removed. Write another one."""


class PatientNote(State):
    kind: ClassVar[str] = "patient_notes"
    patient: UUID | None = None
    pinned: bool = False
    removed: bool = False

    def evolve(self, event: PatientNoteEvent) -> Self:
        match event:
            case PatientNoteWritten(patient_id=patient):
                return replace(self, patient=patient)
            case PatientNoteAmended():
                return self
            case PatientNotePinned():
                return replace(self, pinned=True)
            case PatientNoteUnpinned():
                return replace(self, pinned=False)
            case PatientNoteRemoved():
                return replace(self, removed=True, pinned=False)

    def write(self, patient: UUID, text: str) -> list[Event]:
        ensure_said(text)
        return [PatientNoteWritten(patient_id=patient, text=text)]

    def amend(self, text: str) -> list[Event]:
        ensure_said(text)
        return [PatientNoteAmended(patient_id=self.about(), text=text)]

    def pin(self) -> list[Event]:
        patient = self.about()
        return [] if self.pinned else [PatientNotePinned(patient_id=patient)]

    def unpin(self) -> list[Event]:
        patient = self.about()
        return [PatientNoteUnpinned(patient_id=patient)] if self.pinned else []

    def remove(self, reason: str | None) -> list[Event]:
        return [PatientNoteRemoved(patient_id=self.about(), reason=reason)]

    def about(self) -> UUID:
        """Return about whom the note is; refuse one that is not there, or not any more."""
        if self.patient is None:
            raise NotFound
        if self.removed:
            raise NoteGone
        return self.patient


def ensure_said(text: str) -> None:
    if not text.strip():
        raise NoteEmpty
