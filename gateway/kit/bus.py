"""The gateway's ear on NATS: how far the read models are, which sessions have ended, what has happened.

How it works: one connection, kept up for ever; without NATS the process works on, only slower: waiting for a position polls Postgres, ended sessions are
looked up, event streams poll the store. Messages on `events.*` are pages made by the relay and are believed only with their MAC.

What may go wrong: core NATS forgets whatever is sent while nobody listens, so nothing here is a fact by itself; each is a hint about Postgres.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

HEARTBEAT = "control.heartbeat"
SESSIONS = "control.sessions"
APPLIED = "applied.*"
EVENTS = "events.*"
HINTS = "hints.committed"
HINT_SECONDS = 0.005  # at most one hint in so long; each costs a system call and wakes two processes
CONNECT_SECONDS = 0.5
CLOSE_SECONDS = 2.0

log = structlog.get_logger(__name__)

OnMessage = Callable[[Msg], Awaitable[None]]


class Bus:
    """One process's connection to NATS."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._heard: dict[str, OnMessage] = {}
        self._hinted = False
        self._hinted_at = 0.0
        self._said: bool | None = None
        self._tried = asyncio.Event()
        self.ready = asyncio.Event()
        self.returned: Callable[[], None] = lambda: None  # called when messages may have been missed

    def hear(self, subject: str, listener: OnMessage) -> None:
        """Have a subject's messages given to a listener; say so before `open`."""
        self._heard[subject] = listener

    async def open(self) -> None:
        """Start connecting; return when that succeeded or failed once, or after a moment in any case."""
        self._task = asyncio.create_task(self._connect())
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._tried.wait()

    async def close(self) -> None:
        """Hang up. A client that is just reconnecting may end in the cancellation of a task of its own, or not at all."""
        self._said = False  # an end that is meant is no news
        if self._task:
            self._task.cancel()
        if self._client:
            closing = asyncio.ensure_future(self._client.close())
            await asyncio.wait([closing], timeout=CLOSE_SECONDS)
            closing.add_done_callback(_forgive)
            closing.cancel()

    @property
    def up(self) -> bool:
        """Is NATS there?"""
        return self._client is not None and self._client.is_connected

    async def say(self, subject: str, payload: bytes) -> None:
        """Publish a hint; without NATS it is lost, which hints must allow for."""
        if self._client is None or not self._client.is_connected:
            return
        try:
            await self._client.publish(subject, payload)
            await self._client.flush(timeout=1)
        except (NatsError, OSError, TimeoutError):
            log.warning("a hint was lost", subject=subject)

    def hint(self, position: int) -> None:
        """Tell the relay, soon, that something up to here is committed."""
        if self._hinted or not self.up:
            return
        self._hinted = True
        loop = asyncio.get_running_loop()
        loop.call_at(max(loop.time(), self._hinted_at + HINT_SECONDS), self._send_hint, position)

    def _send_hint(self, position: int) -> None:
        self._hinted = False
        self._hinted_at = asyncio.get_running_loop().time()
        if self._client is not None and self._client.is_connected:
            task = asyncio.ensure_future(self._client.publish(HINTS, b"%d" % position))
            task.add_done_callback(_forgive)

    async def _connect(self) -> None:
        pause = 0.1
        while self._client is None:
            try:
                self._client = await nats.connect(
                    self._url, name="gateway", max_reconnect_attempts=-1, reconnect_time_wait=0.25, connect_timeout=2,
                    ping_interval=5, max_outstanding_pings=2, error_cb=self._failed, disconnected_cb=self._lost, reconnected_cb=self._there,
                    pending_size=0)
            except (NatsError, OSError, TimeoutError):
                self._say(up=False)
                self._tried.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
        for subject, listener in self._heard.items():
            await self._client.subscribe(subject, cb=_guarded(listener), pending_msgs_limit=-1, pending_bytes_limit=64 << 20)
        await self._client.flush()
        self._say(up=True)
        self._tried.set()
        self.ready.set()

    async def _failed(self, error: Exception) -> None:
        if self.up:
            log.warning("nats error", error=type(error).__name__)
        else:
            self._say(up=False)
            self._tried.set()

    async def _lost(self) -> None:
        self._say(up=False)

    async def _there(self) -> None:
        self.returned()
        self._say(up=True)

    def _say(self, *, up: bool) -> None:
        if self._said is not up:
            self._said = up
            (log.info if up else log.warning)("nats is there" if up else "nats is away")


def _guarded(listener: OnMessage) -> OnMessage:
    async def listen(message: Msg) -> None:
        try:
            await listener(message)
        except Exception as error:
            log.exception("a message could not be taken", subject=message.subject, error=type(error).__name__)

    return listen


def _forgive(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()  # a lost hint is found by the relay's poll


class Watermarks:
    """How far the read models are, by partition, and who waits for them."""

    def __init__(self) -> None:
        self.reached: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._count = 0

    def move(self, partition: int, position: int) -> None:
        """Note a position that has been reached."""
        if position <= self.reached.get(partition, 0):
            return
        self.reached[partition] = position
        waiting = self._waiting.get(partition)
        while waiting and waiting[0][0] <= position:
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)

    def wait(self, partition: int, position: int) -> "asyncio.Future[None]":
        """Return a future that is done when the position has been reached."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.reached.get(partition, 0) >= position:
            future.set_result(None)
        else:
            self._count += 1
            heapq.heappush(self._waiting.setdefault(partition, []), (position, self._count, future))
        return future

    def give_up(self, partition: int) -> None:
        """Forget whoever waits no more."""
        waiting = self._waiting.get(partition, [])
        waiting[:] = [one for one in waiting if not one[2].done()]
        heapq.heapify(waiting)

    @property
    def waiters(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def heard(self, message: Msg) -> None:
        """Take a projector's word: `applied.<partition>` with the position in decimal."""
        self.move(int(message.subject.rpartition(".")[2]), int(message.data))


def session_of(message: Msg) -> UUID | None:
    """Return the session a message of `control.sessions` says has ended."""
    try:
        return UUID(bytes=message.data)
    except (ValueError, TypeError):
        return None

