"""Plans: what the platform offers its clinics, at which price, and with how many seats."""

from typing import Annotated, Any, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import PLATFORM, Event, Frozen, Money, State, Text, only
from domain.kit.grants import Plan
from domain.kit.licences import SeatCount

Features = Annotated[list[Text], Meta(max_length=50, description="What a clinic gets, in the words of a price list.")]
TrialDays = Annotated[int, Meta(ge=1, le=366, description="How long a clinic may try it.")]
PlanCurrency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["EUR"])]


class Offer(Frozen):
    """What a plan costs and contains; the permissions and modules that it reaches are the product's."""

    title: Text
    about: Annotated[str, Meta(max_length=1000)] = ""
    monthly: Money
    yearly: Money
    currency: PlanCurrency = "EUR"
    features: Features
    users: SeatCount | None = None
    doctors: SeatCount | None = None
    trial_days: TrialDays | None = None
    offered: bool = True


class PlanDefined(Event, Offer):
    plan: Plan


class PlanChanged(Event, Offer): ...


PlanEvent = PlanDefined | PlanChanged


class PlanOffer(State):
    """One of the plans, as it is offered now. What a clinic has been licensed for stays what it is."""

    kind: ClassVar[str] = "plans"
    plan: Plan | None = None
    offer: Offer | None = None

    def evolve(self, event: PlanEvent) -> Self:
        match event:
            case PlanDefined(plan=plan):
                return replace(self, plan=plan, offer=Offer(**only(Offer, event)))
            case PlanChanged():
                return replace(self, offer=Offer(**only(Offer, event)))

    def define(self, plan: Plan) -> list[Event]:
        """Offer a plan as it is by default, unless it is offered already."""
        return [] if self.plan else [PlanDefined(plan=plan, **only(Offer, DEFAULTS[plan]))]

    def change(self, changes: dict[str, Any]) -> list[Event]:
        wanted = replace(self.now, **changes)
        return [PlanChanged(**only(Offer, wanted))] if wanted != self.now else []

    @property
    def now(self) -> Offer:
        """What is offered; by default what a trial of Pro is."""
        return self.offer or DEFAULTS[self.plan or "Pro"]


DEFAULTS: dict[Plan, Offer] = {
    "Pro": Offer(
        title="Pro", about="For a practice that books, treats and bills.", monthly=99_00, yearly=990_00, users=10, doctors=3, trial_days=90,
        features=["Calendar and booking", "Charts, notes and prescriptions", "Invoices and payments", "Inventory, lab and recalls", "Messages to patients"],
    ),
    "Pro+": Offer(
        title="Pro+", about="For a clinic with insurers, inpatients and devices.", monthly=199_00, yearly=1_990_00, users=30, doctors=10,
        features=["Everything in Pro", "Insurance claims", "Inpatients", "X-ray bridge", "Revenue reports and forecasts"],
    ),
    "Enterprise": Offer(
        title="Enterprise", about="For groups: as many as you are, with terms of your own.", monthly=499_00, yearly=4_990_00,
        features=["Everything in Pro+", "As many users and doctors as you like", "Terms of your own"],
    ),
}


def plan_of(plan: Plan) -> UUID:
    """Return the id of a plan."""
    return uuid5(PLATFORM, f"plans/{plan}")
