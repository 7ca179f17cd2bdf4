"""Where the reports live on the web."""

from datetime import UTC, date, datetime
from typing import Annotated

from litestar import Response, Router, get
from litestar.params import QueryParameter

from domain.kit import day, only
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.forms import FORMS, As, Format, Plot, PlotTooWide, Series, money, told
from gateway.kit.query import no_query
from projections.reports import PeriodImpossible, PeriodTooLong, financial_statement, financial_summary, period, stats
from schemas.reports import FinancialStatement, FinancialSummary, Grouping, Money, MoneyGroup, Result, Stats, Unit

From = Annotated[date | None, QueryParameter(name="from", description="The first day; the first of the month if not given.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day, included; today if not given.")]
By = Annotated[Grouping | None, QueryParameter(name="groupBy", description="Also give the amounts of each day, month or doctor.")]
Every = Annotated[Grouping, QueryParameter(name="groupBy", description="By what the amounts are broken down.")]
Parts = Annotated[Unit, QueryParameter(name="groupBy", description="Into which parts the time is divided; the first and the last may be cut short.")]


@get("/financial-statement", operation_id="GetFinancialStatement", opt={"permission": "reports.financial", **FORMS, "refusals": [PeriodImpossible, PeriodTooLong, PlotTooWide]})
async def statement(desk: Desk, since: From = None, until: To = None, by: Parts = "month", form: As = "json") -> Response[FinancialStatement]:
    """Show: profit and loss.

    What was earned and what was spent in those days, by category, part by part, and beside as many days before (of whole months, as many months). What was struck out does not count.
    """
    no_query(desk.call.query(), ("from", "to", "groupBy", "format"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    made = await financial_statement(desk.reader, first, last, by, clinic.currency)
    return told(desk, made, form, "financial-statement", Result, made.periods, lambda say: Plot(
        say("Profit and loss"), [one.since.isoformat() for one in made.periods],
        [Series(say("Net revenue"), [one.net_revenue for one in made.periods]), Series(say("Spent"), [one.net_spent for one in made.periods]),
         Series(say("Result"), [one.result for one in made.periods])], money(made.currency)))


@get("/financial-summary", operation_id="GetFinancialSummary", opt={"permission": "reports.financial", **FORMS, "refusals": [PeriodImpossible, PlotTooWide]})
async def finances(desk: Desk, since: From = None, until: To = None, by: By = None, form: As = "json") -> Response[FinancialSummary]:
    """Show: what was billed and received.

    What was billed, voided, collected and refunded in those days, and what was still to be paid at their end.
    """
    return await summed(desk, since, until, by, form)


@get("/financial-summary", operation_id="GetClinicFinances", opt={"permission": "admin", **FORMS, "refusals": [PeriodImpossible, PlotTooWide]})
async def overview(desk: Desk, since: From = None, until: To = None, by: By = None, form: As = "json") -> Response[FinancialSummary]:
    """Show: what was billed and received, to the clinic's admin.

    The same as the financial summary of the reports.
    """
    return await summed(desk, since, until, by, form)


@get("/revenue", operation_id="GetRevenue", opt={"permission": "reports.revenue", **FORMS, "refusals": [PeriodImpossible, PlotTooWide]})
async def revenue(desk: Desk, since: From = None, until: To = None, by: Every = "day", form: As = "json") -> Response[FinancialSummary]:
    """Show: revenue broken down by day, month or doctor."""
    return await summed(desk, since, until, by, form)


async def summed(desk: kit.Desk, since: date | None, until: date | None, by: Grouping | None, form: Format) -> Response[FinancialSummary]:
    no_query(desk.call.query(), ("from", "to", "groupBy", "format"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    made = await financial_summary(desk.reader, first, last, by, clinic.currency)
    items = made.groups if by else [MoneyGroup(**only(Money, made))]
    return told(desk, made, form, "financial-summary", MoneyGroup, items, lambda say: Plot(
        say("Revenue"), [str(one.day or one.month or one.doctor_id or say("All")) for one in items],
        [Series(say("Billed"), [one.revenue for one in items]), Series(say("Collected"), [one.received for one in items])], money(made.currency)))


@get("/stats", operation_id="GetStats", opt={"permission": "reports.stats", **FORMS, "refusals": [PeriodImpossible]})
async def counted(desk: Desk, since: From = None, until: To = None, form: As = "json") -> Response[Stats]:
    """Show: how the clinic did.

    Appointments by what became of them, new patients and, for those with `reports.revenue`, the money.
    """
    no_query(desk.call.query(), ("from", "to", "format"))
    first, last = period(since, until, day(datetime.now(UTC), (await desk.clinic()).zone))
    made = await stats(desk.reader, first, last, revenue="reports.revenue" in desk.who.grants)
    seen = made.appointments
    return told(desk, made, form, "stats", Stats, [made], lambda say: Plot(
        say("Appointments"), [f"{first} – {last}"], [
            Series(say("Completed"), [seen.completed]), Series(say("Cancelled"), [seen.cancelled]), Series(say("Missed"), [seen.no_show])]))


router = Router("/api/v1/protected", tags=["Reports"], route_handlers=[
    Router("/reports", route_handlers=[statement, finances, counted]),
    Router("/analytics", route_handlers=[overview]),
    Router("/stats", route_handlers=[revenue]),
])
