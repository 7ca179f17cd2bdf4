"""Where what procedures cost and earn lives on the web."""

from datetime import UTC, datetime

from litestar import Response, Router, get

from commands.procedure_costs import DropProcedureCost, SetProcedureCost
from domain.kit import NotFound, day
from gateway.figures import Doctor, From, To, ensure_ours
from gateway.kit import Desk, act, browse
from gateway.kit.forms import FORMS, As, Plot, PlotTooWide, Say, Series, money, told
from gateway.kit.query import no_query
from gateway.revenue import Procedure
from projections.procedure_costs import profitability
from projections.reports import PeriodImpossible, period
from schemas.procedure_costs import ProcedureCostRow, ProcedureFigures, ProcedureProfitability


@get("/procedure-profitability", operation_id="GetProcedureProfitability", opt={
    "permission": "reports.revenue", **FORMS, "refusals": [PeriodImpossible, PlotTooWide, NotFound]})
async def earned(desk: Desk, since: From = None, until: To = None, doctor: Doctor = None, procedure: Procedure = None, form: As = "json") -> Response[ProcedureProfitability]:
    """Show: what each procedure earned and cost.

    What was billed of it without tax, less what its material and laboratory cost on the day each was billed, as far as anybody has said.
    """
    no_query(desk.call.query(), ("from", "to", "doctorId", "procedureCode", "format"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    await ensure_ours(desk, doctor)
    made = await profitability(desk.reader, first, last, doctor, procedure, clinic.currency)

    def plot(say: Say) -> Plot:
        return Plot(say("Profit by procedure"), [one.procedure_code or say("None") for one in made.items], [
            Series(say("Net revenue"), [one.net_revenue for one in made.items]), Series(say("Cost"), [one.cost for one in made.items]),
            Series(say("Profit"), [one.profit for one in made.items])], money(clinic.currency))

    return told(desk, made, form, "procedure-profitability", ProcedureFigures, made.items, plot)


router = Router("/api/v1/protected/analytics", tags=["Reports"], route_handlers=[
    earned,
    browse("/procedure-costs", ProcedureCostRow, by=["procedure_code", "since.."], sort="procedure_code", sorts=["since"], csv=True),
    act("/procedure-costs/{procedureCode:str}", SetProcedureCost, method="PUT"),
    act("/procedure-costs/{procedureCode:str}", DropProcedureCost, method="DELETE"),
])
