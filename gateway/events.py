"""The clinic's events as they happen."""

from litestar import Router, post

from domain.kit import Frozen
from gateway.kit import Desk
from gateway.kit.stream import stream
from schemas.events import VIEWED

# kinds in which everybody hears whatever is about themselves
MINE = frozenset({"accounts", "sessions", "staff"})
RESUMED = (
    "Reconnect with `Last-Event-ID` (or `lastEventId`) and nothing is lost or repeated. `types` (event names, separated by commas), `entityType` and `entityId` narrow it down. "
    "With `personal=true` sealed fields are there as well, of events whose row in detail you may read; they are null once the person's key is destroyed. An event `resync` says that "
    "you were too slow, or have seen what is no more since a restore from a backup: read afresh and connect again. The stream ends when the access token expires. The schemas of all events are at `/api/v1/events/schemas`."
)


class Ticket(Frozen):
    """A ticket that opens an event stream once."""

    ticket: str
    expires_in: int = 30


@post("/tickets", operation_id="TakeStreamTicket", opt={"permission": "self"})
async def take_ticket(desk: Desk) -> Ticket:
    """Take a ticket for an event stream: browsers cannot send a header with an EventSource.

    Open `clinic-events?ticket=...` or `live-feed?ticket=...` with it within half a minute; it works once.
    """
    desk.require("self")
    assert desk.who.session is not None
    return Ticket(ticket=await desk.call.services.stays.ticket(desk.who.session))


router = Router("/api/v1/protected/sse", tags=["Events"], route_handlers=[
    stream("/clinic-events", VIEWED, operation_id="ClinicEvents", summary="Listen to the clinic's events", description=(
        "Server-sent events: `id` is the position, `event` the event's name, `data` its envelope and content without what is sealed. "
        f"You receive the events of what you may view; patients those about themselves. {RESUMED}")),
    take_ticket,
])
feed = Router("/api/v1/protected/notifications", tags=["Events"], route_handlers=[
    stream("/live-feed", VIEWED, MINE, operation_id="LiveFeed", summary="Listen to what concerns yourself", description=(
        "Server-sent events as in `/sse/clinic-events`, but only those that concern you: of what is yours or names you (a doctor's appointments and hours, a patient's own "
        f"bills), of your account and of its sessions. {RESUMED}")),
])
