"""What may be asked in an emergency."""

from typing import Any
from uuid import UUID

from commands.kit import Command, Creation, Look
from domain.emergencies import Emergency, EmergencyMinutes, emergency_of
from domain.kit import At, Event, PatientId, Reason
from domain.patients import Patient


class BreakGlass(Creation):
    """Open one patient's chart for a while, though you have no right to: particulars, medical history, timeline.

    For whoever works in the clinic. The clinic is told at once by letter, and every look is on record.
    """

    state = Emergency
    permission = "self"
    patient_id: PatientId
    reason: Reason
    minutes: EmergencyMinutes = 60

    def stream(self, at: At) -> UUID:
        return emergency_of(at.actor, self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        await look.require(Patient, self.patient_id)
        return {}

    def decide(self, emergency: Emergency, at: At) -> list[Event]:
        return emergency.open(self.patient_id, at.actor, at.role, self.reason, self.minutes, at.now)


class EndEmergency(Command):
    """Close a chart that somebody opened in an emergency, before its time."""

    state = Emergency
    permission = "admin"

    def decide(self, emergency: Emergency, at: At) -> list[Event]:
        return emergency.close(at.now)
