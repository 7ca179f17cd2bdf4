"""What letters themselves give rise to: one that somebody wants sent again."""

from domain.kit import Fact
from domain.letters import LetterResendAsked
from workers.kit.policies import Again, answers


@answers
def when_LetterResendAsked(fact: Fact, event: LetterResendAsked) -> Again:
    return Again(event.letter)
