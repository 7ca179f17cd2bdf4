"""The application: Litestar, with a short way for the routes that carry the load.

How it works: `Gateway` is a Litestar app. At start it notes every handler that carries a `Route`, by the same path patterns; such a request goes straight
to its route: about 10 microseconds of ours instead of about 70. Everything else (odd handlers, unknown addresses, other methods) takes Litestar's way. Both ways begin
with the same question who asks, end in the same error shape, carry the same request id and are counted alike.

What may go wrong: a handler that forgets to protect itself is protected: whoever is not signed in gets no further than handlers marked `public`.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import Message, Receive, Scope, Send

from commands.kit.errors import RateLimited
from commands.kit.receipt import NOBODY
from domain.kit import Refused
from gateway.kit.call import BODY_LIMIT, Call
from gateway.kit.desk import Desk
from gateway.kit.errors import code, explain
from gateway.kit.languages import DEFAULT
from gateway.kit.metrics import Series
from gateway.kit.routes import Route
from gateway.kit.services import Services

Served = tuple[Route, str, Series, bool]  # the last: whether it answers clinics whose subscription has run out
_UNKNOWN: Any = object()
FORBIDDEN = 403


class Node:
    """A step of a path: literal steps first, then a parameter."""

    __slots__ = ("methods", "names", "parameter", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.methods: dict[str, Served] = {}
        self.names: tuple[tuple[str, Any], ...] = ()


class ShortWay:
    """Finds the route of a request."""

    def __init__(self) -> None:
        self._root = Node()
        self._plain: dict[tuple[str, str], Served | None] = {}

    def add(self, method: str, components: list[Any], template: str, served: Served) -> None:
        """Note a route; components are Litestar's, strings or parameter definitions."""
        node, names = self._root, []
        for component in components:
            if isinstance(component, str):
                node = node.steps.setdefault(component, Node())
            else:
                node.parameter = node = node.parameter or Node()
                names.append((component.name, component.parser))
        node.methods[method] = served
        node.names = tuple(names)
        if not names:
            self._plain[method, template] = served

    def skip(self, method: str, template: str) -> None:
        """Note an address without parameters that is Litestar's, so that no parameter of ours takes it."""
        self._plain[method, template] = None

    def find(self, method: str, path: str) -> tuple[Served, dict[str, Any]] | None:
        """Return the route and the values of its path's parameters; None if Litestar should see to it."""
        if (served := self._plain.get((method, path), _UNKNOWN)) is not _UNKNOWN:
            return (served, {}) if served is not None else None
        node, values = self._root, []
        for step in path.split("/"):
            if not step:
                continue
            following = node.steps.get(step)
            if following is None:
                if (following := node.parameter) is None:
                    return None
                values.append(step)
            node = following
        if (served := node.methods.get(method)) is None or len(values) != len(node.names):
            return None
        try:
            return served, {name: parse(value) if parse else value for (name, parse), value in zip(node.names, values, strict=True)}
        except ValueError:
            return None


class Gateway(Litestar):
    """The app; `services` is what every request leans on."""

    services: Services

    def __init__(self, services: Services, **options: Any) -> None:
        super().__init__(
            lifespan=[_lifespan], guards=[admitted], dependencies={"desk": desk}, exception_handlers={Exception: _explained},
            request_max_body_size=BODY_LIMIT, logging_config=None, **options)
        self.lean_on(services)

    def lean_on(self, services: Services) -> None:
        """Answer with these services from now on; addresses, which take long to learn, stay."""
        self.services = self.state.services = services
        self.short = ShortWay()
        for found in self.routes:
            for method, (handler, _) in getattr(found, "route_handler_map", {}).items():
                if how := handler.opt.get("route"):
                    served = (how, f"{method} {found.path_format}", services.metrics.route(method, found.path_format), bool(handler.opt.get("lapsed")))
                    self.short.add(method, found.path_components, found.path_format, served)
                elif not found.path_parameters:
                    self.short.skip(method, found.path_format)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        found = self.short.find(scope["method"], scope["path"])
        if found is None:
            await self._long_way(scope, receive, send)
            return
        started = time.perf_counter()
        (how, template, series, lapsed), params = found
        call = Call(scope, receive, self.services, template, params)
        if (spans := self.services.spans).on:
            with spans.request(template, call.headers, call.request_id):
                status = await self._answered(how, call, send, lapsed=lapsed)
        else:
            status = await self._answered(how, call, send, lapsed=lapsed)
        series.count(status, time.perf_counter() - started)

    async def _answered(self, how: Route, call: Call, send: Send, *, lapsed: bool) -> int:
        try:
            call.arrive()
            await how.admit(call)
            call.ensure_served(lapsed=lapsed)
            answer = await how.run(call)
        except Exception as error:  # noqa: BLE001 - every error has an answer
            answer = explain(error, call.request_id.decode(), language=call.language)
            if answer.status == FORBIDDEN and isinstance(error, Refused):
                call.refused(code(type(error)))
        if answer.stream is not None:
            return await answer.stream(call, send)
        await answer.send(send, call.marks)
        return answer.status

    async def _long_way(self, scope: Any, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Call(scope, receive, self.services)
        scope.setdefault("state", {})["call"] = call
        scope["client"], scope["scheme"] = (call.address, 0), "https" if self.services.proxies.secure(scope, call.headers) else "http"
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *call.marks, *position(call, message)]
            await send(message)

        try:
            call.arrive()
        except RateLimited as refused:
            await explain(refused, call.request_id.decode(), language=call.language).send(sending, [])
        else:
            if (spans := self.services.spans).on:
                with spans.request(scope["method"], call.headers, call.request_id):
                    await super().__call__(scope, receive, sending)
            else:
                await super().__call__(scope, receive, sending)
        template = scope.get("path_template") if "route_handler" in scope else "unrouted"
        self.services.metrics.route(scope["method"], template or "unrouted").count(status, time.perf_counter() - started)


def position(call: Call, message: Any) -> list[tuple[bytes, bytes]]:
    """Return the header by which the next read sees what a request has changed, unless its answer has it already."""
    told = any(name.lower() == b"x-position" for name, _ in message.get("headers", ()))
    return [(b"x-position", b"%d" % call.written)] if call.written and not told else []


async def admitted(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let nobody in who is not signed in, unless the handler is public; and require the handler's permission, if it names one."""
    call = call_of(connection.scope)
    if handler.opt.get("public"):
        call.who = NOBODY
        return
    call.route = f"{connection.scope.get('method')} {connection.scope.get('path_template')}"
    await call.admit()
    call.ensure_served(lapsed=bool(handler.opt.get("lapsed")))
    if permission := handler.opt.get("permission"):
        call.require(permission)
    else:
        call.ensure_somebody()


async def desk_of(request: Request[Any, Any, Any]) -> Desk:
    """Return the desk at which an odd handler works."""
    call = call_of(request.scope)
    if request.method != "GET":
        call.took(await request.body())
    return Desk(call, await call.reader())


desk = Provide(desk_of)


def call_of(scope: Scope) -> Call:
    """Return the call of a request that takes Litestar's way."""
    call: Call = scope["state"]["call"]
    return call


def _explained(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    call = request.scope["state"].get("call")
    answer = explain(error, call.request_id.decode() if call else "", int(request.headers.get("content-length", "0")), call.language if call else DEFAULT)
    if call and answer.status == FORBIDDEN and isinstance(error, Refused):
        call.refused(code(type(error)))
    headers = {k.decode(): v.decode() for k, v in answer.headers}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=answer.media.decode())


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    services: Services = app.state.services
    await services.open()
    try:
        yield
    finally:
        await services.close()
