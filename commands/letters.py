"""What may be asked of a letter: to be sent again."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Look
from domain.kit import At, Event, NotFound
from domain.letters import Letter, letter_of
from schemas.letters import LetterRow


class ResendLetter(Creation):
    """Send a letter again, with fresh links and codes, to where its recipient is reached now."""

    state = Letter
    permission = "admin"
    letter: UUID

    def stream(self, at: At) -> UUID:
        return letter_of(self.letter)

    async def gather(self, look: Look) -> dict[str, Any]:
        found = await look.find(LetterRow, id=self.letter)
        if not found:
            raise NotFound(kind=Letter.kind, id=str(self.letter))
        return {"settled": found[0].status != "queued"}

    def decide(self, letter: Letter, at: At, *, settled: bool) -> list[Event]:
        return letter.resend(self.letter, settled=settled)
