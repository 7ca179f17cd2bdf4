"""The description of the API and of its events, for programs and for people."""

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.params import FromPath

from domain.kit import NotFound
from gateway.kit import catalogue
from gateway.kit.answer import HTML
from gateway.kit.document import Json, document

TITLE = "Anamnesis API"
EVENTS = "Anamnesis events"
VERSION = "1"
SCHEMA = "application/schema+json"
KEPT = {"cache-control": "public, max-age=60"}
WORDS = (
    "An event-sourced backend for clinics. Sign in at POST /api/v1/auth/signin and send the access token as a Bearer token; it belongs to one "
    "clinic, and whatever is another clinic's does not exist for it.\n\n"
    "What changes something answers with the thing as it is now, an ETag to insist on that version (If-Match), and an X-Position; a read that sends "
    "it waits until it shows the change. An Idempotency-Key makes such a request safe to repeat for a day. Lists come in pages: take `next` as "
    "the `cursor` of the page after. Money is in integer minor units of the clinic's currency, time in UTC unless it says local.\n\n"
    "Every error has the same shape: `error` says what to do, `code` is for programs, `details` where there is more to say, `requestId` to quote."
)


def described(app: Litestar) -> Json:
    """Return the OpenAPI document of an app."""
    return document(app, title=TITLE, version=VERSION, words=WORDS)


@cache
def _bytes(app: Litestar) -> bytes:
    return msgspec.json.encode(described(app))


@get("/schema/openapi.json", include_in_schema=False, opt={"public": True})
async def schema(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Show the OpenAPI document."""
    return Response(_bytes(request.app), media_type="application/json", headers=KEPT)


def heard() -> Json:
    """Return the AsyncAPI document: who can hear of what happens, where, and how it looks."""
    return catalogue.asyncapi(title=EVENTS, version=VERSION)


@cache
def _heard() -> bytes:
    return msgspec.json.encode(heard())


@cache
def _schemas() -> bytes:
    return msgspec.json.encode(catalogue.schemas())


@get("/asyncapi.json", include_in_schema=False, opt={"public": True})
async def asyncapi() -> Response[bytes]:
    """Show the AsyncAPI document."""
    return Response(_heard(), media_type="application/json", headers=KEPT)


@get("/schemas", operation_id="GetEventSchemas", summary="Get the JSON Schema of all events", opt={"public": True, "media": SCHEMA})
async def event_schemas() -> Response[bytes]:
    """Get the JSON Schema (2020-12) of all events.

    It fits any `data` of the event stream and of a webhook; `$defs` has each event by its name (what it says) and by `<name>Message` (with the envelope).
    """
    return Response(_schemas(), media_type=SCHEMA, headers=KEPT)


@get("/schemas/{name:str}", operation_id="GetEventSchema", opt={"public": True, "media": SCHEMA, "refusals": (NotFound,)})
async def event_schema(name: FromPath[str]) -> Response[bytes]:
    """Get the JSON Schema (2020-12) of one event's message, complete in itself."""
    if (found := catalogue.schema(name)) is None:
        raise NotFound(kind="events", id=name)
    return Response(msgspec.json.encode(found), media_type=SCHEMA, headers=KEPT)


@get("/docs", include_in_schema=False, opt={"public": True})
async def docs() -> Response[bytes]:
    """Show the description as a page; it needs nothing from elsewhere."""
    page = files("gateway.kit").joinpath("docs.html").read_bytes()
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    return Response(page, media_type=HTML.decode(), headers={"content-security-policy": policy})


events = Router("/api/v1/events", tags=["Events"], route_handlers=[event_schemas, event_schema])
