"""What may be asked about two records that look like one person's."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Look
from domain.duplicates import Duplicate, duplicate_of, pair_of
from domain.kit import At, Event, PatientId, Reason
from domain.patients import Patient


class DismissDuplicate(Creation):
    """Say that two records are not the same person's; they are not listed as duplicates any more, until somebody takes it back."""

    state = Duplicate
    permission = "patients.edit"
    patient_id: PatientId
    other_id: PatientId
    reason: Reason | None = None

    def stream(self, at: At) -> UUID:
        return duplicate_of(self.patient_id, self.other_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"one": await look.require(Patient, self.patient_id), "other": await look.require(Patient, self.other_id)}

    def decide(self, duplicate: Duplicate, at: At, *, one: Patient, other: Patient) -> list[Event]:
        pair = pair_of(self.patient_id, self.other_id)
        one.ensure_unmerged()
        other.ensure_unmerged()
        return duplicate.dismiss(pair, self.reason)


class ReopenDuplicate(Creation):
    """Take back that two records are not the same person's: they may be after all."""

    state = Duplicate
    permission = "patients.edit"
    patient_id: PatientId
    other_id: PatientId

    def stream(self, at: At) -> UUID:
        return duplicate_of(self.patient_id, self.other_id)

    def decide(self, duplicate: Duplicate, at: At) -> list[Event]:
        return duplicate.reopen(pair_of(self.patient_id, self.other_id))
