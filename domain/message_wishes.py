"""Message wishes: about what a patient does not want to be written; said to the clinic, or by the link in a message.

They are kept for each record of a patient; whoever writes asks about all of them.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, PatientId, Refused, State

MessageTopic = Literal["reminders", "recalls"]
WishWay = Literal["clinic", "link"]
Unwanted = Annotated[list[MessageTopic], Meta(max_length=10, description="All that is not wanted; an empty list: everything may be written.")]


class MessageWishesChanged(Event):
    """What the patient does not want to be written, as a whole; and by which way that was said."""

    patient_id: PatientId
    unwanted: Unwanted
    way: WishWay = "clinic"


MessageWishEvent = MessageWishesChanged


class MessageLinkOver(Refused):
    """This link is not one of ours. Call the clinic, and say what you do not want to be written."""

    status = 404


class MessageWishes(State):
    """What a patient does not want to be written."""

    kind: ClassVar[str] = "message_wishes"
    unwanted: tuple[MessageTopic, ...] = ()

    def evolve(self, event: MessageWishEvent) -> Self:
        return replace(self, unwanted=tuple(event.unwanted))

    def change(self, patient: UUID, unwanted: Iterable[MessageTopic], way: WishWay = "clinic") -> list[Event]:
        told = tuple(sorted({*unwanted}))
        return [] if told == self.unwanted else [MessageWishesChanged(patient_id=patient, unwanted=list(told), way=way)]

    def refuse(self, patient: UUID, topic: MessageTopic) -> list[Event]:
        """Take the patient's word, who has the link of a message."""
        return self.change(patient, [*self.unwanted, topic], "link")

    def allow(self, patient: UUID, unwanted: Iterable[MessageTopic], way: WishWay) -> list[Event]:
        """Let them be written again about whatever is not among these."""
        return self.change(patient, {*self.unwanted} & {*unwanted}, way)


def message_wishes_of(patient: UUID) -> UUID:
    """Return the id under which it is kept what a patient's record does not want to be written."""
    return uuid5(patient, "messages/wishes")
