"""Where a clinic's clocks live on the web: it moves to another zone, and all that is to come with it."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import json

from commands.kit.receipt import house
from commands.zones import ChangeClinicZone, Moved, NoteClocksSet, set_clocks
from domain.kit import PLATFORM, Refused, ZoneUnknown
from domain.kit import zone as known_zone
from gateway.kit import Desk
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.kit.reading import Wanted
from projections.zones import astray
from schemas.clinics import CurrentClinic
from schemas.zones import ClocksSet

AT_ONCE = 20.0  # seconds that are waited for; what is not done by then is done by whoever looks next
STRAGGLERS = timedelta(hours=1)  # in which a process that had not heard of it may have booked by the old clocks
MANY = 100  # clinics of a page

DryRun = Annotated[bool, QueryParameter(name="dryRun", description="Say how much would be moved, and do nothing.")]


@put("/{id:uuid}/zone", operation_id="ChangeClinicZone", opt={"permission": ChangeClinicZone.permission, "refusals": [*refusals_of(ChangeClinicZone), ZoneUnknown]})
async def change(desk: Desk, data: JSONBody[ChangeClinicZone], id: FromPath[UUID], dry_run: DryRun = False) -> Response[ClocksSet]:  # noqa: A002
    """Move a clinic to another time zone.

    What people were told stands: appointments, blocked and held time that are to come are at the same time on the wall, and their instants, reminders, calendars and free slots follow. What
    is over stays as it was, and so do the days of all figures. What overlaps something else by then is kept, and listed among the conflicts; patients who
    were written when their appointment is are written anew, for the letter named the zone. Until all is done, which is a matter of seconds, nothing new is booked.
    """
    no_query(desk.call.query(), ("dryRun",))
    await desk.within(id)
    if dry_run:
        desk.require(ChangeClinicZone.permission)
        known_zone(data.zone)
        found = await astray(desk.reader, datetime.now(UTC), data.zone)
        return Response(ClocksSet(clinic=id, zone=data.zone, dry_run=True, moved=len(found), overlapping=[], done=False))
    receipt = await desk.handle(data, id)
    services = desk.call.services
    moved, done = Moved(position=receipt.position), False
    with suppress(TimeoutError):
        async with asyncio.timeout(AT_ONCE):
            moved, done = await follow(services, id, moved), True
    told = ClocksSet(clinic=id, zone=data.zone, dry_run=False, moved=moved.things, overlapping=sorted(moved.overlapping), done=done)
    return Response(told, headers={"etag": f'"{receipt.version}"', "x-position": str(moved.position)})


async def follow(services: Services, clinic: UUID, moved: Moved) -> Moved:
    """Move what is astray in a clinic until nothing is, and note that."""
    while found := await astray(await services.reader(clinic, moved.position), datetime.now(UTC)):
        moved += (more := await set_clocks(services.handler, clinic, found))
        if not more.things:  # somebody else has moved them, and the lists do not know yet
            break
    receipt = await services.handler.handle(NoteClocksSet(moved=moved.things, overlapping=len(moved.overlapping)), house(PLATFORM, clinic), id=clinic)
    return moved._replace(position=max(moved.position, receipt.position))


async def tend(services: Services) -> None:
    """Go on where somebody was interrupted, and look again for what was booked by the old clocks; however many gateways look, each thing is moved once."""
    reader = await services.reader(PLATFORM, 0)
    unset, lately = (("clocks_set", "=", False),), (("zone_changed_at", ">", datetime.now(UTC) - STRAGGLERS),)
    for which in (unset, lately):
        page = await reader.page(CurrentClinic, Wanted(which, "id", limit=MANY))
        for line in json.decode(page.items, type=list[CurrentClinic]):
            with suppress(Refused):
                await follow(services, line.id, Moved())


router = Router("/api/v1/protected/clinics", tags=["Clinics"], route_handlers=[change])
