"""Where the reports live on the web."""

from datetime import UTC, date, datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from domain.kit import day
from gateway.kit import Desk
from gateway.kit.query import no_query
from projections.reports import financial_summary, period, stats
from schemas.reports import FinancialSummary, Grouping, Stats

From = Annotated[date | None, QueryParameter(name="from", description="The first day; the first of the month if not given.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day, included; today if not given.")]
By = Annotated[Grouping | None, QueryParameter(name="groupBy", description="Also give the amounts of each day, month or doctor.")]


@get("/financial-summary", operation_id="GetFinancialSummary", summary="Show: what was billed and received", opt={"permission": "reports.financial"})
async def finances(desk: Desk, since: From = None, until: To = None, by: By = None) -> FinancialSummary:
    """What was billed, voided, collected and refunded in those days, and what was still to be paid at their end."""
    no_query(desk.call.query(), ("from", "to", "groupBy"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    return await financial_summary(desk.reader, first, last, by, clinic.currency)


@get("/stats", operation_id="GetStats", summary="Show: how the clinic did", opt={"permission": "reports.stats"})
async def counted(desk: Desk, since: From = None, until: To = None) -> Stats:
    """Appointments by what became of them, new patients and, for those with `reports.revenue`, the money."""
    no_query(desk.call.query(), ("from", "to"))
    first, last = period(since, until, day(datetime.now(UTC), (await desk.clinic()).zone))
    return await stats(desk.reader, first, last, revenue="reports.revenue" in desk.who.grants)


router = Router("/api/v1/protected/reports", tags=["Reports"], route_handlers=[finances, counted])
