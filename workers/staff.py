"""What the staff are written to: an invitation, the same again, and a welcome to whoever was not asked."""

from domain.kit import Fact
from domain.staff import (
    INVITATION,
    INVITATION_LETTER,
    SETUP,
    WELCOME_LETTER,
    StaffAccountGiven,
    StaffInvitationResent,
    StaffInvited,
)
from workers.kit.policies import DAY, Letter, Link, To, answers

WEEK = 7 * DAY


@answers
def when_StaffInvited(fact: Fact, event: StaffInvited) -> Letter:
    return invitation(fact, event.language)


@answers
def when_StaffInvitationResent(fact: Fact, event: StaffInvitationResent) -> Letter:
    return invitation(fact, event.language)


@answers
def when_StaffAccountGiven(fact: Fact, event: StaffAccountGiven) -> Letter:
    """To the account's own address: whoever changes the staff record cannot have the link sent elsewhere."""
    link = Link(SETUP, event.account_id, "/set-password?token={token}", WEEK)
    return Letter(WELCOME_LETTER, To("accounts", event.account_id), link=link)


def invitation(fact: Fact, language: str | None) -> Letter:
    link = Link(INVITATION, fact.id, "/api/v1/auth/invitation/{token}", WEEK)
    return Letter(INVITATION_LETTER, To("staff", fact.id), link=link, language=language)
