"""What may be asked about what a procedure costs."""

from datetime import date
from uuid import UUID

from commands.kit import Creation
from domain.kit import At, Event, Money
from domain.kit.bills import ProcedureCode
from domain.procedure_costs import ProcedureCost, UnitCost, procedure_cost_of


class SetProcedureCost(Creation):
    """Say what one of a procedure costs in material and at the laboratory, from a day on; today, if not said. What was done before keeps the costs of its time."""

    state = ProcedureCost
    permission = "billing.expenses.manage"
    procedure_code: ProcedureCode
    material: Money
    lab: Money = 0
    since: date | None = None

    def stream(self, at: At) -> UUID:
        return procedure_cost_of(at.clinic, self.procedure_code)

    def decide(self, cost: ProcedureCost, at: At) -> list[Event]:
        return cost.set(self.procedure_code, UnitCost(since=self.since or at.today, material=self.material, lab=self.lab))


class DropProcedureCost(Creation):
    """Take back what was said of a procedure's cost from a day on."""

    state = ProcedureCost
    permission = "billing.expenses.manage"
    procedure_code: ProcedureCode
    since: date

    def stream(self, at: At) -> UUID:
        return procedure_cost_of(at.clinic, self.procedure_code)

    def decide(self, cost: ProcedureCost, at: At) -> list[Event]:
        return cost.drop(self.procedure_code, self.since)
