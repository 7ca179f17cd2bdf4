"""What is written to whoever closes a clinic."""

from datetime import datetime
from uuid import UUID

from domain.clinics import CLOSING_LETTER, REMINDER_LETTER, ClinicClosing, ClinicClosingReminded
from domain.kit import Fact
from workers.kit.policies import Letter, To, answers


@answers
def when_ClinicClosing(fact: Fact, event: ClinicClosing) -> Letter:
    return told(CLOSING_LETTER, event.by, event.until)


@answers
def when_ClinicClosingReminded(fact: Fact, event: ClinicClosingReminded) -> Letter:
    return told(REMINDER_LETTER, event.by, event.until)


def told(template: str, account: UUID, until: datetime) -> Letter:
    return Letter(template, To("accounts", account), {"until": f"{until:%Y-%m-%d}"})
