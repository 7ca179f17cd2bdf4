"""Letters about a clinic's commission."""

from domain.kit import Fact
from domain.kit.money import in_words
from domain.referral_payouts import (
    PAYOUT_APPROVED,
    PAYOUT_FORM,
    PAYOUT_REJECTED,
    ReferralPayoutApproved,
    ReferralPayoutFormSent,
    ReferralPayoutRejected,
)
from workers.kit.policies import Letter, To, answers


@answers
def when_ReferralPayoutFormSent(fact: Fact, event: ReferralPayoutFormSent) -> Letter:
    return Letter(PAYOUT_FORM, To("clinics", fact.clinic), {"amount": in_words(event.amount, event.currency or "EUR")})


@answers
def when_ReferralPayoutApproved(fact: Fact, event: ReferralPayoutApproved) -> Letter:
    return Letter(PAYOUT_APPROVED, To("clinics", fact.clinic), {"amount": in_words(event.amount, event.currency)})


@answers
def when_ReferralPayoutRejected(fact: Fact, event: ReferralPayoutRejected) -> Letter:
    return Letter(PAYOUT_REJECTED, To("clinics", fact.clinic), {"reason": event.reason})
