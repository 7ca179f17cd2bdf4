"""What may be asked about what a patient does not want to be written."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Look
from domain.kit import At, Event, PatientId
from domain.message_wishes import MessageChannel, MessageTopic, MessageWishes, Unwanteds, message_wishes_of
from domain.patients import Patient


class ChangeMessageWishes(Creation):
    """Note what a patient does not want to be written, and by which way: all of it, each time; what is left out may be written again."""

    state = MessageWishes
    permission = "patients.edit"
    patient_id: PatientId
    unwanted: Unwanteds

    def stream(self, at: At) -> UUID:
        return message_wishes_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id)}

    def decide(self, wishes: MessageWishes, at: At, *, patient: Patient) -> list[Event]:
        patient.ensure_unmerged()
        return wishes.change(self.patient_id, self.unwanted)


class RefuseMessages(Creation):
    """Not be written about something any more, as the patient who has the link of a message."""

    state = MessageWishes
    permission = "public"
    patient_id: PatientId
    topic: MessageTopic
    channel: MessageChannel = "email"

    def stream(self, at: At) -> UUID:
        return message_wishes_of(self.patient_id)

    def decide(self, wishes: MessageWishes, at: At) -> list[Event]:
        return wishes.refuse(self.patient_id, self.topic, self.channel)


class WelcomeMessages(Creation):
    """Be written about it again, as the patient who has the link of a message."""

    state = MessageWishes
    permission = "public"
    patient_id: PatientId
    topic: MessageTopic
    channel: MessageChannel = "email"

    def stream(self, at: At) -> UUID:
        return message_wishes_of(self.patient_id)

    def decide(self, wishes: MessageWishes, at: At) -> list[Event]:
        return wishes.welcome(self.patient_id, self.topic, self.channel)
