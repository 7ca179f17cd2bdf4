"""Letters that tell a clinic what became of its request."""

from domain.kit import Fact
from domain.upgrades import UPGRADE_APPROVED, UPGRADE_REJECTED, UpgradeRequestApproved, UpgradeRequestRejected
from workers.kit.policies import Letter, To, answers


@answers
def when_UpgradeRequestApproved(fact: Fact, event: UpgradeRequestApproved) -> Letter:
    return Letter(UPGRADE_APPROVED, To("clinics", fact.clinic), {"plan": event.licence.plan})


@answers
def when_UpgradeRequestRejected(fact: Fact, event: UpgradeRequestRejected) -> Letter:
    return Letter(UPGRADE_REJECTED, To("clinics", fact.clinic), {"reason": event.reason})
