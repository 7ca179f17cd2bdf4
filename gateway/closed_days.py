"""Where the days on which a clinic is closed live on the web."""

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from commands.closed_days import SetClosedDays
from domain.closed_days import ClosedDay, ClosedDays, Closing, closed_days_of
from domain.kit import only
from domain.kit.holidays import countries
from gateway.kit import Desk, act
from gateway.kit.query import no_query
from projections.closed_days import closed_on
from schemas.closed_days import ClosedDaysOfYear, ClosedDaysRow, HolidayCountries, HolidayCountry

Year = Annotated[int, QueryParameter(ge=1950, le=2100, description="Of the clinic's calendar.")]
SETTINGS = {"permission": ClosedDaysRow.permission}


@get("/", operation_id="ListClosedDays", summary="List: the days of a year on which the clinic is closed", opt={"permission": "appointments.view"})
async def of_year(desk: Desk, year: Year) -> ClosedDaysOfYear:
    """Public holidays as they are called there, and the clinic's own."""
    no_query(desk.call.query(), ("year",))
    days = (await closed_on(desk.reader)).of(year)
    return ClosedDaysOfYear(year=year, items=[ClosedDay(on=on, name=name) for on, name in days.items()])


@get("/settings", operation_id="GetClosedDays", summary="Show: which days the clinic is closed by its own word", opt=SETTINGS)
async def settings(desk: Desk) -> ClosedDaysRow:
    """As it was said, or as it is in the beginning: no public holidays are kept until a clinic wants it."""
    no_query(desk.call.query())
    id_ = closed_days_of(desk.who.clinic)
    return await desk.reader.one(ClosedDaysRow, id_) or ClosedDaysRow(id=id_, **only(Closing, ClosedDays().closing))


@get("/countries", operation_id="ListHolidayCountries", summary="List: the countries whose public holidays are known", opt=SETTINGS)
async def known(desk: Desk) -> HolidayCountries:
    """With those of their parts that have holidays of their own."""
    no_query(desk.call.query())
    return HolidayCountries(items=[HolidayCountry(country=country, parts=[*parts]) for country, parts in countries().items()])


router = Router("/api/v1/protected/closed-days", tags=["Scheduling"], route_handlers=[
    of_year, settings, act("/settings", SetClosedDays, method="PUT"), known])
