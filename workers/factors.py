"""Letters about somebody's second factor: the codes and links that are asked for, and word of its end."""

from domain.accounts import RecoveryCodesAsked, SecondFactorCodeAsked, SecondFactorDisabled, SecondFactorResetAsked
from domain.kit import Fact
from domain.letters import RECOVERY_CODES, SECOND_FACTOR_CHANGED, SECOND_FACTOR_CODE, SECOND_FACTOR_RESET
from workers.kit.policies import Digits, Letter, Link, To, answers

CODE_SECONDS, LINK_SECONDS = 600, 3600
PURPOSES = {"sign-in": "second-factor", "setup": "second-factor-setup"}


@answers
def when_SecondFactorCodeAsked(fact: Fact, event: SecondFactorCodeAsked) -> Letter:
    return Letter(SECOND_FACTOR_CODE, To("accounts", fact.id), digits=Digits(PURPOSES[event.purpose], fact.id, CODE_SECONDS))


@answers
def when_RecoveryCodesAsked(fact: Fact, event: RecoveryCodesAsked) -> Letter:
    return Letter(RECOVERY_CODES, To("accounts", fact.id), link=Link("recovery-codes", fact.id, "/second-factor/codes/{token}", LINK_SECONDS))


@answers
def when_SecondFactorResetAsked(fact: Fact, event: SecondFactorResetAsked) -> Letter:
    return Letter(SECOND_FACTOR_RESET, To("accounts", fact.id), link=Link("second-factor-reset", fact.id, "/second-factor/reset/{token}", LINK_SECONDS))


@answers
def when_SecondFactorDisabled(fact: Fact, event: SecondFactorDisabled) -> Letter:
    return Letter(SECOND_FACTOR_CHANGED, To("accounts", fact.id))
