"""What may be asked of a note about a patient."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, PatientId, Reason
from domain.patient_notes import NoteText, PatientNote
from domain.patients import Patient


class WritePatientNote(Creation):
    """Note something about a patient, for whoever sees to them at the desk."""

    state = PatientNote
    permission = "patients.edit"
    patient_id: PatientId
    text: NoteText

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id)}

    def decide(self, note: PatientNote, at: At, *, patient: Patient) -> list[Event]:
        patient.ensure_active()
        return note.write(self.patient_id, self.text)


class AmendPatientNote(Command):
    """Amend a note; as it read before, and who wrote it so, stays with it."""

    state = PatientNote
    permission = "patients.edit"
    text: NoteText

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await noted(look)}

    def decide(self, note: PatientNote, at: At, *, patient: Patient) -> list[Event]:
        ensure_with_us(patient)
        return note.amend(self.text)


class PinPatientNote(Command):
    """Have a note stand above the others."""

    state = PatientNote
    permission = "patients.edit"

    def decide(self, note: PatientNote, at: At) -> list[Event]:
        return note.pin()


class UnpinPatientNote(Command):
    """Let a note stand among the others again."""

    state = PatientNote
    permission = "patients.edit"

    def decide(self, note: PatientNote, at: At) -> list[Event]:
        return note.unpin()


class RemovePatientNote(Command):
    """Take a note off the list; what it said, and who took it off, stays in the history."""

    state = PatientNote
    permission = "patients.edit"
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await noted(look)}

    def decide(self, note: PatientNote, at: At, *, patient: Patient) -> list[Event]:
        ensure_with_us(patient)
        return note.remove(self.reason)


async def noted(look: Look) -> Patient:
    """Return the record on which the note in hand was written."""
    return await look.require(Patient, (await look.require(PatientNote, look.at.id)).about())


def ensure_with_us(patient: Patient) -> None:
    """Refuse to write about somebody who is gone; a record that was merged into another one is still somebody's."""
    if patient.merged_into is None:
        patient.ensure_active()
