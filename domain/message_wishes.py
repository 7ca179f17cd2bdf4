"""Message wishes: about what a patient does not want to be written, and by which way; said to the clinic, or by the link in a message.

They are kept for each record of a patient; whoever writes asks about all of them. That nobody is to be called back at all is a recall's own wish (`recall_wishes`), and counts beside these.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, PatientId, Refused, State

MessageTopic = Literal["reminders", "recalls"]
MessageChannel = Literal["email", "sms", "whatsapp"]
WishWay = Literal["clinic", "link"]
CHANNELS: tuple[MessageChannel, ...] = ("email", "sms", "whatsapp")


class Unwanted(Frozen):
    """Messages that a patient does not want: about what, and by which way; null: by none."""

    topic: MessageTopic
    channel: MessageChannel | None = None


Unwanteds = Annotated[list[Unwanted], Meta(max_length=20, description="All that is not wanted; an empty list: everything may be written.")]


class MessageWishesChanged(Event):
    """What the patient does not want to be written, as a whole; and by which way that was said."""

    patient_id: PatientId
    unwanted: Unwanteds
    way: WishWay = "clinic"


MessageWishEvent = MessageWishesChanged


class MessageLinkOver(Refused):
    """This link is not one of ours. Call the clinic, and say what you do not want to be written."""

    status = 404


class MessageWishes(State):
    """What a patient does not want to be written."""

    kind: ClassVar[str] = "message_wishes"
    unwanted: tuple[Unwanted, ...] = ()

    def evolve(self, event: MessageWishEvent) -> Self:
        return replace(self, unwanted=tuple(event.unwanted))

    def wanted(self, topic: MessageTopic, channel: MessageChannel) -> bool:
        """Say whether they may be written about something by some way."""
        return Unwanted(topic=topic) not in self.unwanted and Unwanted(topic=topic, channel=channel) not in self.unwanted

    def change(self, patient: UUID, unwanted: Iterable[Unwanted], way: WishWay = "clinic") -> list[Event]:
        told = settled(unwanted)
        return [] if told == self.unwanted else [MessageWishesChanged(patient_id=patient, unwanted=list(told), way=way)]

    def refuse(self, patient: UUID, topic: MessageTopic, channel: MessageChannel) -> list[Event]:
        """Take the patient's word, who has the link of a message."""
        return self.change(patient, [*self.unwanted, Unwanted(topic=topic, channel=channel)], "link")

    def welcome(self, patient: UUID, topic: MessageTopic, channel: MessageChannel) -> list[Event]:
        """Let them be written so again; other ways stay as they are."""
        every = [Unwanted(topic=topic, channel=one) for one in CHANNELS] if Unwanted(topic=topic) in self.unwanted else []
        left = [one for one in [*self.unwanted, *every] if one not in {Unwanted(topic=topic), Unwanted(topic=topic, channel=channel)}]
        return self.change(patient, left, "link")


def settled(unwanted: Iterable[Unwanted]) -> tuple[Unwanted, ...]:
    """Return each wish once, in one order; a way is not named beside all of them."""
    said = {*unwanted}
    kept = {one for one in said if one.channel is None or Unwanted(topic=one.topic) not in said}
    return tuple(sorted(kept, key=lambda one: (one.topic, one.channel or "")))


def message_wishes_of(patient: UUID) -> UUID:
    """Return the id under which it is kept what a patient's record does not want to be written."""
    return uuid5(patient, "messages/wishes")
