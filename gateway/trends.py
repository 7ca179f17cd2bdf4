"""Where trends of appointments live on the web."""

from datetime import UTC, datetime
from typing import Annotated

from litestar import Response, Router, get
from litestar.params import QueryParameter

from domain.kit import NotFound, day
from gateway.figures import Doctor, From, To, ensure_ours, own
from gateway.kit import Desk
from gateway.kit.forms import DAYS, FORMS, As, Plot, PlotTooWide, Say, Series, told
from gateway.kit.query import no_query
from projections.reports import PeriodImpossible, PeriodTooLong, period
from projections.trends import trends
from schemas.trends import AppointmentTrends, Fate, Trend, TrendBy

Parts = Annotated[TrendBy, QueryParameter(name="groupBy", description="Into which parts of the time, or by what.")]
Became = Annotated[Fate | None, QueryParameter(name="status", description="`count` is how many became this; how many there are, if not given.")]


@get("/appointment-trends", operation_id="GetAppointmentTrends", opt={
    "permission": "reports.stats", **FORMS, "refusals": [PeriodImpossible, PeriodTooLong, PlotTooWide, NotFound]})
async def happened(
    desk: Desk, since: From = None, until: To = None, by: Parts = "day", status: Became = None, doctor: Doctor = None, form: As = "json",
) -> Response[AppointmentTrends]:
    """Show: how many appointments there are, when, how long ahead they were booked, and what became of them.

    By day, week, month, quarter or year, by weekday, hour, time ahead, status or doctor. A doctor who may not see all doctors' appointments sees their own only.
    """
    no_query(desk.call.query(), ("from", "to", "groupBy", "status", "doctorId", "format"))
    first, last = period(since, until, day(datetime.now(UTC), (await desk.clinic()).zone))
    await ensure_ours(desk, doctor)
    made = await trends(desk.reader, first, last, by, status, doctor, own(desk))

    def plot(say: Say) -> Plot:
        labels = [label(one, say) for one in made.items]
        if status or by == "status":
            return Plot(say("Appointments"), labels, [Series(status or say("Appointments"), [one.count for one in made.items])])
        return Plot(say("Appointments"), labels, [
            Series(say("Completed"), [one.completed for one in made.items]), Series(say("Cancelled"), [one.cancelled for one in made.items]),
            Series(say("Missed"), [one.no_show for one in made.items])])

    return told(desk, made, form, "appointment-trends", Trend, made.items, plot)


def label(one: Trend, say: Say) -> str:
    if one.weekday is not None:
        return say(DAYS[one.weekday - 1])
    if one.hour is not None:
        return f"{one.hour}:00"
    return str(one.since or one.lead_time or one.status or one.doctor_name or say("None"))


router = Router("/api/v1/protected/analytics", tags=["Reports"], route_handlers=[happened])
