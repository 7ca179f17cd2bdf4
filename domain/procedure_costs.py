"""What a procedure costs the clinic, as somebody has worked it out: material and laboratory for each one done, from a day on."""

from datetime import date
from typing import ClassVar, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, Money, State
from domain.kit.bills import EARLIEST, LARGEST, ProcedureCode

COSTS = UUID("5b7c2f1e-4d0a-5e93-8a61-c7d90e2b4f36")
LATEST = date(2200, 12, 31)


class UnitCost(Frozen):
    """What one of a procedure costs from a day on, until another day says otherwise."""

    since: date
    material: Money
    lab: Money


class ProcedureCostSet(UnitCost, Event):
    procedure_code: ProcedureCode


class ProcedureCostDropped(UnitCost, Event):
    """It was not so: what was said before of that time holds again."""

    procedure_code: ProcedureCode


ProcedureCostEvent = ProcedureCostSet | ProcedureCostDropped


class ProcedureCostImpossible(Invalid):
    """A cost is at least zero, not larger than can be counted exactly, and holds from a day between 1900 and 2200."""


def procedure_cost_of(clinic: UUID, code: str) -> UUID:
    """Return the id under which a clinic says what a procedure costs it."""
    return uuid5(COSTS, f"{clinic}/{code}")


class ProcedureCost(State):
    kind: ClassVar[str] = "procedure_costs"
    costs: tuple[UnitCost, ...] = ()

    def evolve(self, event: ProcedureCostEvent) -> Self:
        others = tuple(cost for cost in self.costs if cost.since != event.since)
        match event:
            case ProcedureCostSet(since=since, material=material, lab=lab):
                return replace(self, costs=(*others, UnitCost(since=since, material=material, lab=lab)))
            case ProcedureCostDropped():
                return replace(self, costs=others)

    def set(self, code: str, cost: UnitCost) -> list[Event]:
        if min(cost.material, cost.lab) < 0 or max(cost.material, cost.lab) > LARGEST or not EARLIEST <= cost.since <= LATEST:
            raise ProcedureCostImpossible
        return [] if cost in self.costs else [ProcedureCostSet(procedure_code=code, since=cost.since, material=cost.material, lab=cost.lab)]

    def drop(self, code: str, since: date) -> list[Event]:
        return [ProcedureCostDropped(procedure_code=code, since=since, material=one.material, lab=one.lab) for one in self.costs if one.since == since]
