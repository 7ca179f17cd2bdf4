"""The description of the API, for programs and for people."""

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get

from gateway.kit.answer import HTML
from gateway.kit.document import Json, document

TITLE = "Anamnesis API"
VERSION = "1"
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
    return Response(_bytes(request.app), media_type="application/json", headers={"cache-control": "public, max-age=60"})


@get("/docs", include_in_schema=False, opt={"public": True})
async def docs() -> Response[bytes]:
    """Show the description as a page; it needs nothing from elsewhere."""
    page = files("gateway.kit").joinpath("docs.html").read_bytes()
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    return Response(page, media_type=HTML.decode(), headers={"content-security-policy": policy})
