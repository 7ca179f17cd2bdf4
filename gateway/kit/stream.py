"""The address of the event stream: who may listen, from where on, and the writing of it."""

import asyncio
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.types import Receive, Send

from domain.kit import Forbidden
from domain.kit.codec import classes
from gateway.kit.answer import Answer
from gateway.kit.call import Call
from gateway.kit.errors import QueryInvalid, TokenInvalid
from gateway.kit.http import LINE
from gateway.kit.hub import Hub, Watcher, eyes_of
from gateway.kit.query import no_query
from gateway.kit.routes import Route
from gateway.kit.tokens import LIFETIMES, Claims

HEARTBEAT_SECONDS = 15.0
KNOWN = ("types", "entityType", "entityId", "lastEventId", "ticket")
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class StreamRoute(Route):
    """Events as they happen; `extra` names the view key of kinds that have no row of their own."""

    permission = ""

    def __init__(self, extra: dict[str, str]) -> None:
        self.extra = extra

    async def admit(self, call: Call) -> None:
        """Take a ticket instead of the header that browsers cannot send."""
        ticket = dict(call.query()).get("ticket")
        if ticket is None:
            await call.admit()
            return
        stay = await call.services.stays.redeem(ticket)
        if stay is None:
            raise TokenInvalid
        call.who = await call.services.members.who(Claims(
            stay.account, stay.clinic, stay.role, stay.id, stay.subject, 0, stay.client, stay.impersonator))

    async def run(self, call: Call) -> Answer:
        pairs = call.query()
        no_query(pairs, KNOWN)
        asked = dict(pairs)
        types = frozenset(t for name, text in pairs if name == "types" for t in text.split(",") if t) or None
        if types and (unknown := types - classes().keys()):
            raise QueryInvalid(field="types", problem=f"There is no event {min(unknown)}")
        entity = _uuid(asked["entityId"]) if "entityId" in asked else None
        eyes = eyes_of(call.who, self.extra, types=types, entity_type=asked.get("entityType"), entity_id=entity)
        if eyes.entity_type and eyes.entity_type not in eyes.kinds:
            raise Forbidden(entity_type=eyes.entity_type)
        after = call.headers.get(b"last-event-id", b"").decode("latin-1") or asked.get("lastEventId")
        line: Any = (call.scope.get("extensions") or {}).get(LINE)
        watcher = Watcher(call.who, eyes, _position(after) if after else None, line.push if line is not None else None)
        seconds = LIFETIMES["web"] if "ticket" in asked else call.services.gate.seconds_left(call.bearer)
        return Answer(200, b"", [], stream=_Writing(call.services.hub, watcher, seconds, self.heartbeat(call)))

    @staticmethod
    def heartbeat(call: Call) -> float:
        """Return the seconds of silence after which a comment is sent."""
        return float(getattr(call.services.settings, "heartbeat_seconds", HEARTBEAT_SECONDS))


class _Writing:
    """Writes a stream to its reader."""

    def __init__(self, hub: Hub, watcher: Watcher, seconds: float, heartbeat: float) -> None:
        self.hub = hub
        self.watcher = watcher
        self.seconds = seconds
        self.heartbeat = heartbeat

    async def __call__(self, call: Call, send: Send) -> int:
        headers = [*HEADERS, *call.marks]
        start: Any = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        gone = asyncio.create_task(_gone(call.receive, self.watcher))
        until = asyncio.get_running_loop().time() + self.seconds
        try:
            async for chunk in self.hub.follow(self.watcher, self.heartbeat, until):
                piece: Any = {"type": "http.response.body", "body": chunk, "more_body": True}
                await send(piece)
            end: Any = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(end)
        finally:
            gone.cancel()
        return 200


async def _gone(receive: Receive, watcher: Watcher) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    watcher.over = True
    watcher.rouse()


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise QueryInvalid(field="entityId", problem="Expected a UUID") from None


def _position(text: str) -> int:
    if not text.isdigit() or len(text) > 18:  # noqa: PLR2004 - what a bigint holds
        raise QueryInvalid(field="lastEventId", problem="Expected the id of an event: a whole number")
    return int(text)


def stream(path: str, extra: dict[str, str], **options: Any) -> HTTPRouteHandler:
    """Serve the clinic's events."""
    how = StreamRoute(extra)

    async def respond(
        types: FromQuery[str | None] = None, entityType: FromQuery[str | None] = None, entityId: FromQuery[UUID | None] = None,  # noqa: N803
        lastEventId: FromQuery[int | None] = None, ticket: FromQuery[str | None] = None,  # noqa: N803
    ) -> Response[bytes]:
        raise NotImplementedError((types, entityType, entityId, lastEventId, ticket))  # the short way never comes here

    opt = {"route": how, "permission": "", "media": "text/event-stream"}
    return get(path, opt=opt, operation_id="ClinicEvents", **options)(respond)
