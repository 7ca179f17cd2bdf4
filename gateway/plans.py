"""Where the plans that the platform offers live on the web."""

from litestar import Router, get

from commands.plans import ChangePlan, SeedPlans
from domain.kit import PLATFORM
from gateway.kit import Desk, act
from projections.plans import every_plan
from schemas.plans import OfferedPlan, OfferedPlans, PlanList, PlanRow


async def offered(desk: Desk) -> list[PlanRow]:
    """Return the plans as they are now: all to the platform's people, to others those that can be had."""
    found = await every_plan(await desk.call.services.reader(PLATFORM, desk.call.position))
    return [plan for plan in found if plan.offered or desk.who.role == "superadmin"]


@get("/subscription-plans", operation_id="ListPlans", opt={"permission": "self"})
async def listed(desk: Desk) -> PlanList:
    """List: the plans.

    With prices, features, seats and the optional modules that each reaches.
    """
    return PlanList(items=await offered(desk))


@get("/clinics/subscription-plans", operation_id="ListOfferedPlans", opt={"permission": "self"})
async def mine(desk: Desk) -> OfferedPlans:
    """List: the plans that your clinic can have.

    The one that it has is marked.
    """
    plans = await offered(desk)
    has = (await desk.clinic()).plan if desk.who.clinic != PLATFORM else None
    return OfferedPlans(items=[OfferedPlan(plan=plan, current=plan.plan == has) for plan in plans])


router = Router("/api/v1/protected", tags=["Plans"], route_handlers=[
    listed,
    mine,
    act("/subscription-plans/{id:uuid}", ChangePlan, method="PATCH"),
    act("/subscription-plans/seed-defaults", SeedPlans),
])
