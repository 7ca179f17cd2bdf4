"""One reader of a stream: what waits for him.

How it works: what all with the same eyes are given alike comes as bytes and goes straight to the socket if nothing waits before it. What is opened for one reader alone is held as it is
stored and made into bytes when it leaves, so that nothing waits opened: a key that is destroyed meanwhile opens nothing any more.

What may go wrong: a reader slower than his clinic would fill our memory: past `LIMIT` bytes he is told to `resync` and let go.
"""

import asyncio
from collections.abc import Callable

from commands.kit.handling import Who
from gateway.kit.eyes import Eyes, Own
from projections.kit.stored import Stored

LIMIT = 1 << 20  # bytes that may wait for a reader
RESYNC = b"event: resync\ndata: {}\n\n"
ANEW = b"id: %d%b\n" + RESYNC  # with the id from which somebody goes on who has seen what has not happened here


class Watcher:
    """One reader of events."""

    __slots__ = ("actor", "busy", "clinic", "eyes", "full", "held", "history", "over", "own", "position", "push", "session", "size", "waiting", "wake")

    def __init__(self, who: Who, eyes: Eyes, after: int | None, push: Callable[[bytes], bool] | None = None, own: Own | None = None, history: int = 0) -> None:
        self.actor = who.actor
        self.clinic = who.clinic
        self.session = who.session
        self.eyes = eyes
        self.own = own
        self.position = -1 if after is None else after
        self.history = history  # the restore after which that position counts
        self.waiting: list[bytes] = []
        self.held: list[Stored] = []
        self.size = 0
        self.full = False
        self.over = False
        self.wake: asyncio.Future[None] | None = None
        self.push = None if own or eyes.opened else push  # straight to the socket, framed
        self.busy = True  # something is being written that must come first

    def give(self, message: bytes, framed: bytes) -> None:
        """Put an event before the reader, or the word that he was too slow."""
        if self.full or self.over or (self.push is not None and not self.busy and not self.waiting and self.push(framed)):
            return
        self.waiting.append(message)
        self._grow(len(message))

    def hold(self, stored: Stored) -> None:
        """Put an event before the reader that is made into bytes when they leave."""
        if self.full or self.over:
            return
        self.held.append(stored)
        self._grow(len(stored.body))

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > LIMIT:
            self.full = True
            self.held.clear()
            self.waiting[:] = [RESYNC]
        self.rouse()

    def rouse(self) -> None:
        """Wake whoever writes to the reader."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    def take(self) -> bytes:
        """Return what waits for the reader."""
        waiting = self.waiting
        if not waiting:
            return b""
        self.waiting = []
        self.size = 0
        return waiting[0] if len(waiting) == 1 else b"".join(waiting)

    def let_go(self) -> list[Stored]:
        """Return what is held for the reader."""
        held, self.held = self.held, []
        self.size = 0
        return held
