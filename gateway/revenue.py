"""Where revenue lives on the web: over time and by what earned it, what is overdue, and how old it is."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.params import QueryParameter

from domain.kit import NotFound, day, only
from gateway.figures import Doctor, From, Only, To, ensure_ours
from gateway.kit import Desk, browse
from gateway.kit import desk as kit
from gateway.kit.forms import FORMS, As, Plot, PlotTooWide, Say, Series, money, told
from gateway.kit.query import no_query
from projections.reports import PeriodImpossible, PeriodTooLong, before, period
from projections.revenue import Wish, ageing, over_time, summary
from schemas.reports import Money
from schemas.revenue import (
    Ageing,
    AgeSum,
    Means,
    OverdueInvoice,
    PatientAges,
    RevenueBy,
    RevenueGroup,
    RevenueOverTime,
    RevenueSummary,
)

Parts = Annotated[RevenueBy, QueryParameter(name="groupBy", description="Into which parts of the time, or by what.")]
Procedure = Annotated[str | None, QueryParameter(name="procedureCode", max_length=40, pattern=r"^[^\x00]*$", description="Only this procedure; empty for what names none.")]
Paid = Annotated[Means | None, QueryParameter(name="method", description="Only what changed hands so.")]
On = Annotated[date | None, QueryParameter(name="on", description="As it was at the end of this day; today if not given.")]
Each = Annotated[bool, QueryParameter(name="patients", description="Also by patient, whoever owes most first; up to a thousand.")]
FINANCIAL = {"permission": "reports.financial", **FORMS, "refusals": [PeriodImpossible]}
BROKEN_DOWN = {"permission": "reports.revenue", **FORMS, "refusals": [PeriodImpossible, PeriodTooLong, PlotTooWide, NotFound]}


async def here(desk: kit.Desk) -> tuple[date, str]:
    """Return the clinic's day and currency."""
    clinic = await desk.clinic()
    return day(datetime.now(UTC), clinic.zone), clinic.currency


@get("/revenue-over-time", operation_id="GetRevenueOverTime", opt=BROKEN_DOWN)
async def earned(
    desk: Desk, since: From = None, until: To = None, by: Parts = "month", doctor: Doctor = None, procedure: Procedure = None, method: Paid = None, source: Only = None,
    form: As = "json",
) -> Response[RevenueOverTime]:
    """Show: revenue over time, or by what earned it.

    What was billed, collected and still to be paid, by day, week, month, quarter or year, or by doctor, procedure, method or source; of a doctor, a procedure, a method or a source alone.
    """
    no_query(desk.call.query(), ("from", "to", "groupBy", "doctorId", "procedureCode", "method", "source", "format"))
    today, currency = await here(desk)
    first, last = period(since, until, today)
    await ensure_ours(desk, doctor)
    made = await over_time(desk.reader, Wish(first, last, by, doctor, procedure, method, source), currency)

    def plot(say: Say) -> Plot:
        series = [Series(say("Billed"), [one.revenue for one in made.items]), Series(say("Collected"), [one.received for one in made.items])]
        if made.outstanding is not None:
            series.append(Series(say("Outstanding"), [one.outstanding or 0 for one in made.items]))
        return Plot(say("Revenue"), [label(one, by, say) for one in made.items], series, money(currency))

    return told(desk, made, form, "revenue", RevenueGroup, made.items, plot)


def label(one: RevenueGroup, by: Any, say: Say) -> str:
    if one.since is not None:
        return f"{one.since:%Y-%m}" if by == "month" else f"{one.since:%Y}" if by == "year" else one.since.isoformat()
    return one.doctor_name or one.procedure_code or one.method or one.source or say("None")


@get("/revenue-summary", operation_id="GetRevenueSummary", opt=FINANCIAL)
async def compared(desk: Desk, since: From = None, until: To = None, form: As = "json") -> Response[RevenueSummary]:
    """Show: what some days came to, beside those before.

    Of whole months as many months before, else as many days; what is still to be paid by today, and how much of it is late. A sheet has both lines.
    """
    no_query(desk.call.query(), ("from", "to", "format"))
    today, currency = await here(desk)
    first, last = period(since, until, today)
    made = await summary(desk.reader, first, last, today, currency)
    days = [before(first, last), (first, last)]
    items = [RevenueGroup(**only(Money, money_), since=since_, until=until_) for (since_, until_), money_ in zip(days, (made.previous, made.current), strict=True)]
    return told(desk, made, form, "revenue-summary", RevenueGroup, items, lambda say: Plot(
        say("Revenue"), [f"{one.since} – {one.until}" for one in items],
        [Series(say("Billed"), [one.revenue for one in items]), Series(say("Collected"), [one.received for one in items])], money(currency)))


@get("/ageing", operation_id="GetAgeing", opt={"permission": "reports.financial", **FORMS, "refusals": [NotFound]})
async def aged(desk: Desk, on: On = None, patients: Each = False, form: As = "json") -> Response[Ageing]:
    """Show: what is due, by age.

    Not yet due, and due for up to 30, 60, 90 days and longer; today, or at the end of any day before. A sheet is by patient if patients are asked for.
    """
    no_query(desk.call.query(), ("on", "patients", "format"))
    today, currency = await here(desk)
    made = await ageing(desk.reader, min(on or today, today), currency, patients=patients)
    line, items = (PatientAges, made.patients) if patients else (AgeSum, made.ages)
    return told(desk, made, form, "ageing", line, items, lambda say: Plot(
        say("What is due, by age"), [one.age for one in made.ages], [Series(say("Due"), [one.due for one in made.ages])], money(currency)))


router = Router("/api/v1/protected/analytics", tags=["Reports"], route_handlers=[
    earned,
    compared,
    aged,
    browse("/overdue", OverdueInvoice, by=["patient_id", "age", "due_on..", "number"], sort="-days_overdue", sorts=["due", "due_on"], csv=True),
])
