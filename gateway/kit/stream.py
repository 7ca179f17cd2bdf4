"""The addresses of event streams: who may listen, from where on, and the writing of it."""

import asyncio
import re
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.types import Receive, Send

from commands.kit.handling import Who
from domain.kit import Forbidden
from domain.kit.codec import classes
from gateway.kit.answer import Answer
from gateway.kit.call import Call
from gateway.kit.errors import QueryInvalid, TokenInvalid, TooManyStreams
from gateway.kit.eyes import Eyes, eyes_of, opened_for, own_of
from gateway.kit.http import LINE
from gateway.kit.hub import Hub
from gateway.kit.query import no_query
from gateway.kit.routes import Route
from gateway.kit.tokens import LIFETIMES, Claims
from gateway.kit.watcher import Watcher

HEARTBEAT_SECONDS = 15.0
KNOWN = ("types", "entityType", "entityId", "lastEventId", "personal", "ticket")
MOST = 10  # streams that one account may have open in one process
_ID = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,6}))?")  # what a bigint holds
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class StreamRoute(Route):
    """Events as they happen; `extra` names the view key of kinds that have no row of their own.

    With `mine` it is a feed of the reader's own events: of these kinds he hears whatever concerns him, of the others what he may view as well.
    """

    def __init__(self, extra: dict[str, str], mine: frozenset[str] | None = None) -> None:
        self.extra = extra
        self.mine = mine
        self.permission = "" if mine is None else "self"

    async def admit(self, call: Call) -> None:
        """Take a ticket instead of the header that browsers cannot send."""
        ticket = dict(call.query()).get("ticket")
        if ticket is None:
            await call.admit()
        elif (stay := await call.services.stays.redeem(ticket)) is not None:
            call.who = await call.services.members.who(Claims(
                stay.account, stay.clinic, stay.role, stay.id, stay.subject, 0, stay.client, stay.impersonator))
        else:
            raise TokenInvalid
        if self.permission:
            call.require(self.permission)

    async def run(self, call: Call) -> Answer:
        pairs = call.query()
        no_query(pairs, KNOWN)
        asked = dict(pairs)
        hub, who, eyes = call.services.hub, call.who, self.eyes(call.who, pairs)
        own = None if self.mine is None else own_of(who, self.mine)
        if eyes.entity_type and eyes.entity_type not in eyes.kinds and not (own and eyes.entity_type in own.kinds):
            raise Forbidden(entity_type=eyes.entity_type)
        after = call.headers.get(b"last-event-id", b"").decode("latin-1") or asked.get("lastEventId")
        line: Any = (call.scope.get("extensions") or {}).get(LINE)
        position, history = _seen(after) if after else (None, 0)
        watcher = Watcher(who, eyes, position, line.push if line is not None else None, own, history)
        seconds = LIFETIMES["web"] if "ticket" in asked else call.services.gate.seconds_left(call.bearer)
        if hub.streams(who.actor) >= (most := getattr(call.services.settings, "streams_account", 0) or MOST):
            raise TooManyStreams(limit=most)
        return Answer(200, b"", [], stream=_Writing(hub, watcher, seconds, self.heartbeat(call)))  # nothing is awaited before he is counted

    def eyes(self, who: Who, pairs: list[tuple[str, str]]) -> Eyes:
        """Return what somebody may and wants to see."""
        asked = dict(pairs)
        types = frozenset(t for name, text in pairs if name == "types" for t in text.split(",") if t) or None
        if types and (unknown := types - classes().keys()):
            raise QueryInvalid(field="types", problem=f"There is no event {min(unknown)}")
        return eyes_of(
            who, self.extra, types=types, entity_type=asked.get("entityType"), entity_id=_uuid(asked["entityId"]) if "entityId" in asked else None,
            opened=opened_for(who) if _flag(asked.get("personal", "false")) else frozenset())

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
        with self.hub.entered(self.watcher):
            return await self._written(call, send)

    async def _written(self, call: Call, send: Send) -> int:
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


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise QueryInvalid(field="personal", problem="Expected true or false")
    return text == "true"


def _seen(text: str) -> tuple[int, int]:
    """Return the position of an id, and the restore after which it counts."""
    if not (said := _ID.fullmatch(text)):
        raise QueryInvalid(field="lastEventId", problem="Expected the id of an event: a whole number")
    return int(said[1]), int(said[2] or 0)


def stream(path: str, extra: dict[str, str], mine: frozenset[str] | None = None, *, operation_id: str, **options: Any) -> HTTPRouteHandler:
    """Serve the clinic's events, or with `mine` the caller's own."""
    how = StreamRoute(extra, mine)

    async def respond(
        types: FromQuery[str | None] = None, entityType: FromQuery[str | None] = None, entityId: FromQuery[UUID | None] = None,  # noqa: N803
        lastEventId: FromQuery[str | None] = None, personal: FromQuery[bool | None] = None, ticket: FromQuery[str | None] = None,  # noqa: N803
    ) -> Response[bytes]:
        raise NotImplementedError((types, entityType, entityId, lastEventId, personal, ticket))  # the short way never comes here

    opt = {"route": how, "permission": how.permission, "media": "text/event-stream", "refusals": (TooManyStreams,)}
    return get(path, opt=opt, operation_id=operation_id, **options)(respond)
