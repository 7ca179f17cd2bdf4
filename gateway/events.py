"""The clinic's events as they happen."""

from litestar import Router, post

from domain.kit import Frozen
from gateway.kit import Desk
from gateway.kit.stream import stream

# the view keys of what has no row of its own name
VIEWED = {
    "clinics": "appointments.view",
    "schedules": "appointments.view",
    "blocks": "appointments.view",
    "series": "audit.logs.view",
}


class Ticket(Frozen):
    """A ticket that opens the event stream once."""

    ticket: str
    expires_in: int = 30


@post("/tickets", operation_id="TakeStreamTicket", opt={"permission": "self"})
async def take_ticket(desk: Desk) -> Ticket:
    """Take a ticket for the event stream: browsers cannot send a header with an EventSource.

    Open `clinic-events?ticket=...` with it within half a minute; it works once.
    """
    desk.require("self")
    assert desk.who.session is not None
    return Ticket(ticket=await desk.call.services.stays.ticket(desk.who.session))


router = Router("/api/v1/protected/sse", tags=["Events"], route_handlers=[
    stream("/clinic-events", VIEWED, summary="Listen to the clinic's events", description=(
        "Server-sent events: `id` is the position, `event` the event's name, `data` its envelope and content without what is sealed. Reconnect with "
        "`Last-Event-ID` (or `lastEventId`) and nothing is lost or repeated. You receive the events of what you may view; patients those about "
        "themselves. `types` (event names, separated by commas), `entityType` and `entityId` narrow it down. An event `resync` says that you were too "
        "slow: read afresh and connect again. The stream ends when the access token expires.")),
    take_ticket,
])
