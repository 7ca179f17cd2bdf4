"""HTTP on the wire: head and body of an answer leave in one packet.

How it works: uvicorn writes the head of an answer and then its body, and uvloop sends each at once, two system calls where one would do: a seventh of all
the time of a small answer. `Cork` holds the head back until the body comes, or until the loop's next turn. Given to uvicorn as `http=Protocol`.

What may go wrong: whatever is held must leave before the connection is closed, hence `close`.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1."


class Cork:
    """A transport that waits with the head of an answer."""

    __slots__ = ("_held", "_loop", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._write = transport.write
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send, or hold the head of an answer."""
        if self._held:
            held, self._held = self._held, b""
            self._write(held + data)
        elif data[:7] == _HEAD:
            self._held = data
            self._loop.call_soon(self._let_go)
        else:
            self._write(data)

    def _let_go(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._write(held)

    def close(self) -> None:
        """Send what is held, and close."""
        self._let_go()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on a corked transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Cork(transport, self.loop))  # type: ignore[arg-type]
