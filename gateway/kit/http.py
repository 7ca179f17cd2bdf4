"""HTTP on the wire: head and body of an answer leave in one packet, and an event goes to a thousand readers without waking a task for each.

How it works: uvicorn writes the head of an answer and then its body, and uvloop sends each at once, two system calls where one would do: a seventh of all
the time of a small answer. `Cork` holds the head back until the body comes, or until the loop's next turn. A request's scope has its connection among
the extensions (`LINE`), so that a stream may `push` what is already framed as a chunk straight to the socket; `answered` sends an ordinary answer in one piece.
Given to uvicorn as `http=Protocol`. `Server` is uvicorn's, except that at its end the readers of event streams are let go before requests are waited for: theirs never end.

What may go wrong: whatever is held must leave before the connection is closed, hence `close`. A reader who does not read makes uvloop's buffer grow;
`push` says no once it is above its mark, and the stream waits in its own, bounded, queue.
"""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

LINE = "anamnesis.line"
_HEAD = b"HTTP/1."
_END = b"\r\n\r\n"
HEAD_LIMIT = 64 << 10  # bytes of a request's head, which nobody has signed
HEAD_SECONDS = 30.0


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

    def whole(self, data: bytes) -> None:
        """Send an answer that is complete."""
        self._let_go()
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


def answered(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
    """Send a whole answer at once, past the two ASGI messages, which cost as much as all the rest of it; say no where anything is out of the ordinary."""
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive:
        return False
    lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
    head = b"".join(lines)
    if cycle.scope["method"] == "HEAD" or head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.whole(STATUS_LINE[status] + head + b"\r\n" + body)  # type: ignore[attr-defined]
    cycle.message_event.set()
    cycle.on_response()
    return True


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on a corked transport, for heads that are not endless and come within a time."""

    _heading = True
    _head = 0
    _tail = b""  # of a head that has not ended yet
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Cork(transport, self.loop))  # type: ignore[arg-type]
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def data_received(self, data: bytes) -> None:
        if self._heading:
            end = (self._tail + data).find(_END)  # a body may come in the same piece, and is not the head's
            self._head += len(data) if end < 0 else end
            if self._head > HEAD_LIMIT:
                self.send_400_response("The head of the request is too long.")
                return
        super().data_received(data)
        self._tail = data[1 - len(_END):] if self._heading else b""
        if self._heading and self._late is None:  # only a head that comes in pieces costs a timer
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        self._heading = False
        self._in_time()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def on_message_begin(self) -> None:
        self._heading, self._head = True, 0
        super().on_message_begin()
        self.scope["extensions"] = {LINE: self}  # type: ignore[dict-item]

    def push(self, framed: bytes) -> bool:
        """Send a chunk of a running answer at once, unless the reader is behind."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(framed)
        return True


class Server(uvicorn.Server):
    """Serves a gateway."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go whoever only listens, then wait for what is being answered."""
        self.config.app.services.hub.release()  # type: ignore[union-attr]  # it is the gateway
        await super().shutdown(sockets)
