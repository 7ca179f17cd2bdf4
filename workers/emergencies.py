"""What is written to a clinic when somebody breaks the glass."""

from domain.emergencies import EMERGENCY_LETTER, EmergencyOpened
from domain.kit import Fact
from workers.kit.policies import Letter, To, answers


@answers
def when_EmergencyOpened(fact: Fact, event: EmergencyOpened) -> Letter:
    return Letter(EMERGENCY_LETTER, To("clinics", fact.clinic), {"until": f"{event.until:%Y-%m-%d %H:%M}"})
