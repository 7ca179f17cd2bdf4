"""HTTP on the wire: head and body of an answer leave in one packet, and an event goes to a thousand readers without waking a task for each.

How it works: uvicorn writes the head of an answer and then its body, and uvloop sends each at once, two system calls where one would do: a seventh of all
the time of a small answer. `Cork` holds the head back until the body comes, or until the loop's next turn. A request's scope has its connection among
the extensions (`LINE`), so that a stream may `push` what is already framed as a chunk straight to the socket. Given to uvicorn as `http=Protocol`.

What may go wrong: whatever is held must leave before the connection is closed, hence `close`. A reader who does not read makes uvloop's buffer grow;
`push` says no once it is above its mark, and the stream waits in its own, bounded, queue.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LINE = "anamnesis.line"
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

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {LINE: self}  # type: ignore[dict-item]

    def push(self, framed: bytes) -> bool:
        """Send a chunk of a running answer at once, unless the reader is behind."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(framed)
        return True
