"""Pages of other websites: what a browser must be told before it lets one of them send something here, and see the answer.

How it works. Nobody's page is let in unless an address says so: a browser shows an answer to a page only if the answer names the page's website (`allow`), errors included,
and asks beforehand, without the request's own headers and body, whether it may send at all (`preflight`). An address that stands open decides for whom; what it takes are no
cookies, so `Access-Control-Allow-Credentials` is never said.

What may go wrong: this keeps browsers from serving other pages, and nobody from anything else. Whatever is not a browser says what origin it likes.
"""

from collections.abc import Mapping

from gateway.kit.answer import Headers
from gateway.kit.call import Call

SECONDS = 600  # for which a browser remembers what it was told beforehand
EXPOSED = b"Retry-After, X-Request-Id"


def origin_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return from which website's page a request comes; None if it is no page's."""
    given = headers.get(b"origin")
    return given.decode("latin-1") if given is not None else None


def allow(call: Call, origin: str) -> None:
    """Let a website's page see the answer, whatever it will be."""
    call.shown = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"access-control-expose-headers", EXPOSED), (b"vary", b"Origin")]


def preflight(origin: str, method: str, headers: str) -> Headers:
    """Return what a browser is told that asks whether a page may send something."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")), (b"access-control-allow-methods", method.encode()),
        (b"access-control-allow-headers", headers.encode()), (b"access-control-max-age", b"%d" % SECONDS),
    ]
