"""Letters about paying by card."""

from domain.kit import Fact
from domain.kit.money import in_words
from domain.subscriptions import PAYMENT_FAILED, SubscriptionPaymentFailed
from workers.kit.policies import Letter, To, answers


@answers
def when_SubscriptionPaymentFailed(fact: Fact, event: SubscriptionPaymentFailed) -> Letter:
    return Letter(PAYMENT_FAILED, To("clinics", fact.clinic), {"amount": in_words(event.amount, event.currency)})
