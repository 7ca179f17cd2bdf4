"""Word to somebody that a device opens their account from now on."""

from domain.accounts import PasskeyRegistered
from domain.kit import Fact
from domain.letters import PASSKEY_ADDED
from workers.kit.policies import Letter, To, answers


@answers
def when_PasskeyRegistered(fact: Fact, event: PasskeyRegistered) -> Letter:
    return Letter(PASSKEY_ADDED, To("accounts", fact.id), values={"passkey": event.name or "?"})
