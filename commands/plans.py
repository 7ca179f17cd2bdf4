"""What may be asked of a plan that the platform offers."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from commands.kit import Command, Creation, Decision, Look
from domain.kit import At, Elsewhere, Event, Money, Text
from domain.kit.grants import Plan
from domain.kit.licences import SeatCount
from domain.plans import Features, PlanCurrency, PlanOffer, TrialDays, plan_of


class SeedPlans(Creation):
    """Offer the plans as they are by default. What is offered already stays as it is, so that it may be done twice."""

    state = PlanOffer
    permission = "superadmin"

    def stream(self, at: At) -> UUID:
        return plan_of("Pro")

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"more": await look.load(PlanOffer, plan_of("Pro+")), "most": await look.load(PlanOffer, plan_of("Enterprise"))}

    def decide(self, plan: PlanOffer, at: At, *, more: PlanOffer, most: PlanOffer) -> Decision:
        others: dict[Plan, list[Event]] = {"Pro+": more.define("Pro+"), "Enterprise": most.define("Enterprise")}
        return [*plan.define("Pro"), *(Elsewhere(state=PlanOffer, id=plan_of(name), events=events) for name, events in others.items() if events)]


class ChangePlan(Command):
    """Change what a plan costs and contains; what is left out stays. Clinics that have a licence keep what they have.

    The plans are not there to be changed before the defaults have been seeded.
    """

    state = PlanOffer
    permission = "superadmin"
    title: Text | UnsetType = UNSET
    about: Annotated[str, Meta(max_length=1000)] | UnsetType = UNSET
    monthly: Money | UnsetType = UNSET
    yearly: Money | UnsetType = UNSET
    currency: PlanCurrency | UnsetType = UNSET
    features: Features | UnsetType = UNSET
    users: SeatCount | UnsetType | None = UNSET
    doctors: SeatCount | UnsetType | None = UNSET
    trial_days: TrialDays | UnsetType | None = UNSET
    offered: bool | UnsetType = UNSET

    def decide(self, plan: PlanOffer, at: At) -> list[Event]:
        return plan.change({name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET})
