"""Where the addresses of doctors' calendars live; and the door by which calendar programs read them, without an account."""

import asyncio
import datetime as dt
import hashlib
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, put
from litestar.params import PathParameter

from commands.calendar_feeds import CloseCalendarFeed, OpenCalendarFeed
from commands.kit.doors import FEEDS
from domain.calendar_feeds import CalendarFeed, CalendarFeedOver, calendar_feed_of, ensure_theirs
from domain.kit import NotFound, day
from domain.kit.calendars import MEDIA, written
from gateway.kit import Desk, browse
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from projections.calendar_feeds import occasions
from schemas.calendar_feeds import CalendarFeedRow, CalendarFeedShown

PURPOSE = "calendar-feed"
REFRESH = dt.timedelta(minutes=15)  # after which a program looks again
BUSY = {"en": "Busy", "es": "Ocupado"}
DoctorId = Annotated[UUID, PathParameter(description="Id of the doctor.")]
Token = Annotated[str, PathParameter(description="The secret of the address.")]
SECRET = {"cache-control": "private, no-cache", "referrer-policy": "no-referrer", "x-robots-tag": "noindex"}
THEIRS = {"permission": OpenCalendarFeed.permission, "refusals": [NotFound]}


async def shown(desk: kit.Desk, doctor: UUID) -> Response[CalendarFeedShown]:
    """Return the address as it is just now."""
    services = desk.call.services
    entry = await services.handler.streams.latest(CalendarFeed, calendar_feed_of(doctor), desk.who.clinic, row=True)
    row = entry.row
    if not isinstance(row, CalendarFeedRow):
        return Response(CalendarFeedShown(doctor_id=doctor, url=None, opened_at=None), headers=SECRET)
    token = services.links.token(PURPOSE, row.id, row.number)
    return Response(CalendarFeedShown(doctor_id=doctor, url=f"{services.address}/api/v1/calendar-feeds/{token}/calendar.ics", opened_at=row.opened_at), headers=SECRET)


@get("/{doctorId:uuid}", operation_id="GetCalendarFeed", summary="Show: the address of a doctor's calendar", opt=THEIRS)
async def address(desk: Desk, doctorId: DoctorId) -> Response[CalendarFeedShown]:  # noqa: N803
    """To the doctor, and to whoever sees to everybody's hours. It is a secret: whoever has it reads the calendar."""
    no_query(desk.call.query())
    if not await desk.known("staff", doctorId):
        raise NotFound(kind="staff", id=str(doctorId))
    ensure_theirs(own=desk.who.subject == doctorId, manages=desk.who.may("settings.working_hours.manage"))
    return await shown(desk, doctorId)


@put("/{doctorId:uuid}", operation_id="OpenCalendarFeed", summary="Give out an address of a doctor's calendar", opt=THEIRS)
async def opened(desk: Desk, doctorId: DoctorId) -> Response[CalendarFeedShown]:  # noqa: N803
    """Calendar programs read the doctor's visits and blocked time by it, without an account. Again, it is a new address, and the one before opens nothing any more."""
    no_query(desk.call.query())
    await desk.handle(OpenCalendarFeed(doctor_id=doctorId))
    return await shown(desk, doctorId)


@delete("/{doctorId:uuid}", operation_id="CloseCalendarFeed", status_code=200, summary="Take the address of a doctor's calendar back", opt=THEIRS)
async def closed(desk: Desk, doctorId: DoctorId) -> Response[CalendarFeedShown]:  # noqa: N803
    """It opens nothing any more, wherever it is still asked for."""
    no_query(desk.call.query())
    await desk.handle(CloseCalendarFeed(doctor_id=doctorId))
    return await shown(desk, doctorId)


# --- what calendar programs read


async def doctor_of(desk: kit.Desk, token: str) -> UUID:
    """Return whose calendar an address opens, and go on in their clinic; whatever is wrong with it, the answer is the same."""
    services = desk.call.services
    await services.doors.enter(FEEDS, desk.call.address)
    named = services.links.read(PURPOSE, token)
    clinic = await services.handler.tenant_of(named.subject) if named else None
    if named is None or clinic is None:
        raise CalendarFeedOver
    await desk.enter(clinic)
    here = await desk.clinic()
    entry = await services.handler.streams.latest(CalendarFeed, named.subject, clinic, row=True)
    if not here.active or not isinstance(entry.state, CalendarFeed) or not isinstance(entry.row, CalendarFeedRow):
        raise CalendarFeedOver
    entry.state.ensure_open(named.number)
    doctor = (await services.handler.streams.get(services.kinds.staff, entry.row.doctor_id, clinic)).state
    if not getattr(doctor, "active", False):
        raise CalendarFeedOver
    return entry.row.doctor_id


@get("/{token:str}/calendar.ics", operation_id="ReadCalendarFeed", summary="Show: a doctor's calendar, to calendar programs", opt={
    "public": True, "refusals": [CalendarFeedOver], "media": MEDIA})
async def read(desk: Desk, token: Token) -> Response[bytes]:
    """Visits and blocked time from a month ago to a year ahead, as RFC 5545 has them: what for and where, and no word about patients.

    What was cancelled is there as cancelled, so that programs take it off. `If-None-Match` is answered with 304 as long as nothing has changed.
    """
    no_query(desk.call.query())
    doctor, clinic = await doctor_of(desk, token), await desk.clinic()
    found = await occasions(desk.reader, doctor, day(dt.datetime.now(dt.UTC), clinic.zone), BUSY[clinic.language or "en"])
    tag = f'"{hashlib.blake2s(msgspec.json.encode([clinic.name, found]), digest_size=16).hexdigest()}"'
    if desk.call.headers.get(b"if-none-match") == tag.encode():
        return Response(b"", status_code=304, headers={**SECRET, "etag": tag})
    text = await asyncio.to_thread(written, "PUBLISH", found, dt.datetime.now(dt.UTC), clinic.name, REFRESH)
    return Response(text.encode(), media_type=MEDIA, headers={**SECRET, "etag": tag, "content-disposition": 'inline; filename="calendar.ics"'})


router = Router("/api/v1", tags=["Scheduling"], route_handlers=[
    Router("/calendar-feeds", route_handlers=[read]),
    Router("/protected/calendar-feeds", route_handlers=[browse("/", CalendarFeedRow, by=["doctor_id", "opened_at.."], sort="-opened_at"), address, opened, closed]),
])
