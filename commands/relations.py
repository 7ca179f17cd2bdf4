"""What may be asked about those who are there for a patient."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, PatientId, Reason, only
from domain.patients import Patient
from domain.relations import Relation, Relative


class AddRelation(Relative, Creation):
    """Note who is there for a patient: a parent or guardian, somebody to call in an emergency, whoever pays.

    Another patient (`relatedId`), or somebody with a name of whom the clinic knows no more than how to reach them.
    """

    state = Relation
    permission = "patients.edit"
    patient_id: PatientId

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id), "other": await look.require(Patient, self.related_id) if self.related_id else None}

    def decide(self, relation: Relation, at: At, *, patient: Patient, other: Patient | None) -> list[Event]:
        patient.ensure_active()
        if other is not None:
            other.ensure_active()
        return relation.add(self.patient_id, only(Relative, self))


class ChangeRelation(Relative, Command):
    """Change who is there for a patient, and for what; what is left out is cleared."""

    state = Relation
    permission = "patients.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"other": await look.require(Patient, self.related_id) if self.related_id else None}

    def decide(self, relation: Relation, at: At, *, other: Patient | None) -> list[Event]:
        if other is not None:
            other.ensure_active()
        return relation.change(only(Relative, self))


class EndRelation(Command):
    """Note that somebody is not there for a patient any more; that they were stays in the history."""

    state = Relation
    permission = "patients.edit"
    reason: Reason | None = None

    def decide(self, relation: Relation, at: At) -> list[Event]:
        return relation.end(self.reason)
