"""What goes back: status, bytes and headers, written to the server without anything in between."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar.types import Send

from gateway.kit.http import answered

JSON = b"application/json"
TEXT = b"text/plain"
HTML = b"text/html"

BODILESS = {204, 304}

Headers = list[tuple[bytes, bytes]]
Stream = Callable[[Any, Send], Awaitable[int]]


class Answer(NamedTuple):
    """An answer that is ready to be sent."""

    status: int
    body: bytes
    headers: Headers
    media: bytes = JSON
    stream: Stream | None = None  # an answer that goes on writes itself

    async def send(self, send: Send, marks: Headers) -> None:
        """Send it, marked with what every answer bears."""
        headers = [*marks, *self.headers]
        if self.status not in BODILESS:
            headers += (b"content-type", self.media), (b"content-length", b"%d" % len(self.body))
        if answered(send, self.status, headers, self.body):
            return
        start: Any = {"type": "http.response.start", "status": self.status, "headers": headers}
        body: Any = {"type": "http.response.body", "body": self.body}
        await send(start)
        await send(body)
