"""How a plan's events become its row, and how the plans read that nobody has changed yet."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.kit.grants import MODULES, Plan, reaches
from domain.plans import DEFAULTS, Offer, PlanChanged, PlanDefined, PlanEvent, plan_of
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.plans import PlanRow


@projects(PlanRow, of=PlanEvent)
def plans(row: PlanRow | None, fact: Fact) -> PlanRow | None:
    match fact.event:
        case PlanDefined(plan=plan) as event:
            return plan_row(plan, event)
        case PlanChanged() as event if row:
            return replace(row, **only(Offer, event))
    return row


def plan_row(plan: Plan, offer: Offer) -> PlanRow:
    reached: list[str] = [name for name, module in MODULES.items() if reaches(plan, module.plan)]
    return PlanRow(id=plan_of(plan), plan=plan, modules=reached, **only(Offer, offer))


async def every_plan(reader: Reader) -> list[PlanRow]:
    """Return the plans as they are offered now; `reader` is the platform's."""
    stored = {row.plan: row for row in await reader.find(PlanRow)}
    return [stored.get(plan) or plan_row(plan, offer) for plan, offer in DEFAULTS.items()]
