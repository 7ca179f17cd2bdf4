"""The letter with which somebody tries a template: it goes to himself."""

from domain.email_templates import SampleLetterAsked
from domain.kit import Fact
from domain.kit.letters import TEMPLATES
from workers.kit.policies import Letter, To, answers


@answers
def when_SampleLetterAsked(fact: Fact, event: SampleLetterAsked) -> Letter:
    to = To("staff", event.staff_id) if event.staff_id else To("accounts", fact.actor)
    system = TEMPLATES.get(event.key)
    return Letter(event.key, to, values=system.samples if system else {}, language=event.language)
