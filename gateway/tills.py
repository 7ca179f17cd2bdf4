"""Where tills live on the web: what should be in one now, and how it is opened, counted and closed."""

from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from commands.tills import CloseTill, OpenTill, ReopenTill
from domain.kit import NotFound, day
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from projections.tills import till_now
from schemas.tills import TillEntry, TillNow, TillRow

Place = Annotated[UUID | None, QueryParameter(name="placeId", description="The place whose till it is; the clinic's own if not given.")]
Day = Annotated[date | None, QueryParameter(name="date", description="A day of the clinic's; today if not given.")]


@get("/now", operation_id="GetTillNow", summary="Show: what should be in a till now", opt={"permission": TillRow.permission, "refusals": [NotFound]})
async def now(desk: Desk, place: Place = None, on: Day = None) -> TillNow:
    """What it was opened with, and what was recorded for the day in cash and by other methods: the same figures as those of the end-of-day report."""
    no_query(desk.call.query(), ("placeId", "date"))
    if place is not None and not await desk.known("places", place):
        raise NotFound(kind="places", id=str(place))
    clinic = await desk.clinic()
    return await till_now(desk.reader, place, on or day(datetime.now(UTC), clinic.zone), clinic.currency)


@post("/{id:uuid}/close", operation_id="CloseTill", status_code=200, opt={"permission": CloseTill.permission, "refusals": refusals_of(CloseTill)})
async def close(desk: Desk, id: FromPath[UUID], data: JSONBody[CloseTill]) -> Response[TillRow]:  # noqa: A002
    """Close a till: with the coins and notes that were counted, or their sum. A difference to what was recorded takes a reason.

    What was recorded up to this moment counts; of two who close it one does. Whatever is recorded for that day later is shown as late until the till is reopened and closed again.
    """
    desk.require(CloseTill.permission)
    reader: Any = desk.reader
    await desk.call.services.reader(desk.who.clinic, await reader.head())  # so that what was recorded a moment ago is in it
    return desk.answer(CloseTill, await desk.handle(data, id))


router = Router("/api/v1/protected/tills", tags=["Billing"], route_handlers=[
    browse("/", TillEntry, by=["place_id", "day..", "status"], sort="-day", sorts=["closed_at"], csv=True),
    now,
    create("/", OpenTill),
    fetch("/{id:uuid}", TillEntry),
    close,
    act("/{id:uuid}/reopen", ReopenTill),
])
