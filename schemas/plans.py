"""What may be seen of the plans that the platform offers."""

from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen
from schemas.kit import Row


class PlanRow(Row):
    """A plan: its price in minor units, what it contains, its seats (none: as many as you like) and the optional modules that it reaches."""

    table: ClassVar[str] = "plans"
    permission: ClassVar[str] = "self"
    id: UUID
    plan: str
    title: str
    about: str
    monthly: int
    yearly: int
    currency: str
    features: list[str]
    users: int | None
    doctors: int | None
    trial_days: int | None
    offered: bool
    modules: list[str]


class PlanList(Frozen):
    """The plans, the smallest first."""

    items: list[PlanRow]


class OfferedPlan(Frozen):
    """A plan that a clinic can have, and whether it is the one that it has."""

    current: bool
    plan: PlanRow


class OfferedPlans(Frozen):
    """The plans that a clinic can have, and the one that it has."""

    items: list[OfferedPlan]
