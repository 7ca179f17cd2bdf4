"""Letters about a sign-up: the link with which the clinic is opened, the digits beside it, and word of a rejection."""

from collections.abc import Mapping

from domain.kit import PLATFORM, Fact
from domain.signups import (
    ACTIVATION_LETTER,
    ONBOARDING,
    ONBOARDING_CODE,
    ONBOARDING_LETTER,
    REJECTION_LETTER,
    OnboardingCodeAsked,
    Signup,
    SignupActivationResent,
    SignupApproved,
    SignupRejected,
)
from workers.kit.policies import DAY, Digits, Letter, Link, To, answers
from workers.kit.writing import Look

CODE_SECONDS = 600


@answers
def when_SignupApproved(fact: Fact, event: SignupApproved) -> Letter:
    return activation(fact)


@answers
def when_SignupActivationResent(fact: Fact, event: SignupActivationResent) -> Letter:
    return activation(fact)


@answers
def when_OnboardingCodeAsked(fact: Fact, event: OnboardingCodeAsked) -> Letter:
    return Letter(ONBOARDING_LETTER, To("signups", fact.id), digits=Digits(ONBOARDING_CODE, fact.id, CODE_SECONDS))


@answers
def when_SignupRejected(fact: Fact, event: SignupRejected) -> Letter:
    async def named(look: Look) -> Mapping[str, str]:
        return {"clinic": await called(look, fact), "reason": event.reason}

    return Letter(REJECTION_LETTER, To("signups", fact.id), sought=named)


def activation(fact: Fact) -> Letter:
    async def named(look: Look) -> Mapping[str, str]:
        return {"clinic": await called(look, fact)}

    link = Link(ONBOARDING, fact.id, "/api/v1/auth/onboarding/validate/{token}", 7 * DAY)
    return Letter(ACTIVATION_LETTER, To("signups", fact.id), link=link, sought=named)


async def called(look: Look, fact: Fact) -> str:
    """Return what the clinic is to be called."""
    return (await look.state(Signup, fact.id, PLATFORM)).premises.clinic_name or ""
