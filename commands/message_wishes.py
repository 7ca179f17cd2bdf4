"""What may be asked about what a patient does not want to be written."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from commands.kit import Creation, Decision, Look
from domain.kit import At, Elsewhere, Event, PatientId
from domain.message_wishes import MessageTopic, MessageWishes, Unwanted, WishWay, message_wishes_of
from domain.patients import Patient


class ChangeMessageWishes(Creation):
    """Note what a patient does not want to be written: all of it, each time; what is left out may be written again, whichever of their records it was noted for."""

    state = MessageWishes
    permission = "patients.edit"
    patient_id: PatientId
    unwanted: Unwanted

    def stream(self, at: At) -> UUID:
        return message_wishes_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        patient = await look.require(Patient, self.patient_id)
        return {"patient": patient, "others": await wishes_of(look, patient.records)}

    def decide(self, wishes: MessageWishes, at: At, *, patient: Patient, others: dict[UUID, MessageWishes]) -> Decision:
        patient.ensure_unmerged()
        return [*wishes.change(self.patient_id, self.unwanted), *allowed(others, self.unwanted, "clinic")]


class RefuseMessages(Creation):
    """Not be written about something any more, as the patient who has the link of a message."""

    state = MessageWishes
    permission = "public"
    patient_id: PatientId
    topic: MessageTopic

    def stream(self, at: At) -> UUID:
        return message_wishes_of(self.patient_id)

    def decide(self, wishes: MessageWishes, at: At) -> list[Event]:
        return wishes.refuse(self.patient_id, self.topic)


class WelcomeMessages(Creation):
    """Be written about it again, as the patient who has the link of a message."""

    state = MessageWishes
    permission = "public"
    patient_id: PatientId
    topic: MessageTopic

    def stream(self, at: At) -> UUID:
        return message_wishes_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"others": await wishes_of(look, await records(look, self.patient_id), but=self.patient_id)}

    def decide(self, wishes: MessageWishes, at: At, *, others: dict[UUID, MessageWishes]) -> Decision:
        left = {topic for one in (wishes, *others.values()) for topic in one.unwanted} - {self.topic}
        return [*wishes.allow(self.patient_id, left, "link"), *allowed(others, left, "link")]


async def records(look: Look, patient: UUID) -> list[UUID]:
    """Return all records of the person who has one."""
    found = await look.require(Patient, patient)
    while found.merged_into is not None:
        patient, found = found.merged_into, await look.require(Patient, found.merged_into)
    return [patient, *found.records]


async def wishes_of(look: Look, records: Iterable[UUID], but: UUID | None = None) -> dict[UUID, MessageWishes]:
    return {record: await look.load(MessageWishes, message_wishes_of(record)) for record in records if record != but}


def allowed(others: dict[UUID, MessageWishes], unwanted: Iterable[MessageTopic], way: WishWay) -> list[Elsewhere]:
    """Return what is noted for other records of a patient, so that nothing which is wanted again stays unwanted there."""
    changed = {record: wishes.allow(record, [*unwanted], way) for record, wishes in others.items()}
    return [Elsewhere(state=MessageWishes, id=message_wishes_of(record), events=events) for record, events in changed.items() if events]
