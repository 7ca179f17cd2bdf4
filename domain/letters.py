"""Letters: what the installation writes to people, in its own words, and asking for one of them to be sent again.

A letter comes about by a policy in `workers/` that answers an event; here are only its words.
"""

from typing import ClassVar, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, Refused, State
from domain.kit.letters import letter

LETTERS = UUID("6f0d3b52-8a0b-5c0e-9a57-2f1f6f3c9d10")
MOST = 10


class LetterResendAsked(Event):
    letter: UUID


LetterEvent = LetterResendAsked


class LetterOnItsWay(Refused):
    """That letter has not been sent yet. Wait for what becomes of it."""


class LetterSentTooOften(Refused):
    """That letter has been sent again ten times already. Look into why it does not arrive."""


def letter_of(letter: UUID) -> UUID:
    """Return the id of the stream that says how often a letter was asked for again."""
    return uuid5(LETTERS, str(letter))


class Letter(State):
    """A letter that somebody wants sent again."""

    kind: ClassVar[str] = "letters"
    again: int = 0

    def evolve(self, event: LetterEvent) -> Self:
        return replace(self, again=self.again + 1)

    def resend(self, letter: UUID, *, settled: bool) -> list[Event]:
        if not settled:
            raise LetterOnItsWay
        if self.again >= MOST:
            raise LetterSentTooOften
        return [LetterResendAsked(letter=letter)]


SAMPLE = letter(
    "sample", "What a custom template is sent as when somebody tries it; and a letter to try the mail server with.", {},
    en=("A letter from {{clinic}}", """
Dear {{name}},

This is a letter to see whether letters from {{clinic}} arrive. You asked for it.
"""),
    es=("Una carta de {{clinic}}", """
Hola, {{name}}:

Esta carta sirve para comprobar que las cartas de {{clinic}} llegan. La ha pedido usted.
"""),
)
