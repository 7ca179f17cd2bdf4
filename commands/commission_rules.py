"""What may be asked of a commission rule."""

from typing import Any

from commands.kit import Command, Creation, Holding, Look
from domain.commission_rules import (
    CommissionRule,
    CommissionRuleImpossible,
    CommissionRulesOverlap,
    CommissionTerms,
    claim_of,
    ensure_possible,
)
from domain.kit import At, Event, Reason
from domain.kit.bills import ensure_doctors
from domain.staff import Staff


class MakeCommissionRule(Creation, CommissionTerms):
    """Say what share a doctor gets, of what, from which day on."""

    state = CommissionRule
    permission = "billing.payroll.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await beside(self, look)

    def decide(self, rule: CommissionRule, at: At, *, doctor: Staff, overlaps: bool) -> list[Event]:
        ensure_doctors([doctor.role])
        made = rule.make(self)
        ensure_alone(overlaps=overlaps)
        return made


class ChangeCommissionRule(Command, CommissionTerms):
    """Replace what a rule says, also for what was issued already: what was paid by it is set right with the next payroll run.

    To change a rate from a day on, let the rule end the day before and make another one.
    """

    state = CommissionRule
    permission = "billing.payroll.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await beside(self, look)

    def decide(self, rule: CommissionRule, at: At, *, doctor: Staff, overlaps: bool) -> list[Event]:
        ensure_doctors([doctor.role])
        changed = rule.change(self)
        ensure_alone(overlaps=overlaps)
        return changed


class RemoveCommissionRule(Command):
    """Strike out a rule that was a mistake: nothing was ever owed by it. One that holds no longer ends instead (`validTo`)."""

    state = CommissionRule
    permission = "billing.payroll.manage"
    reason: Reason = "Deleted."

    def decide(self, rule: CommissionRule, at: At) -> list[Event]:
        return rule.remove(self.reason)


async def beside(terms: CommissionTerms, look: Look) -> dict[str, Any]:
    """Return the doctor, and whether another rule is in the way."""
    try:
        ensure_possible(terms)
    except CommissionRuleImpossible:
        held: list[Holding] = []  # the rule itself says so
    else:
        (held,) = await look.holders([claim_of(terms)])
    return {"doctor": await look.require(Staff, terms.doctor_id), "overlaps": any(stay.owner != look.at.id for stay in held)}


def ensure_alone(*, overlaps: bool) -> None:
    if overlaps:
        raise CommissionRulesOverlap
