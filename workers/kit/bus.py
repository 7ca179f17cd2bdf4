"""The connection to NATS, which may be down at any time.

How it works. `Bus` connects in the background and goes on trying for ever; `up` says whether it is there now. What is to be heard is declared once and
subscribed on every connection. Nobody waits for NATS: the relay rests, projectors read Postgres. A change of state is logged once.

What may go wrong. A half-open connection is noticed by pings after about ten seconds; whoever waits for an answer sets a limit of his own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

Hear = Callable[[Msg], Awaitable[None]]

STREAM = "EVENTS"
HINTS = "hints.committed"  # from whoever appended: a position is committed
HEARTBEAT = "control.heartbeat"  # from the relay, while it makes progress
HEARTBEAT_SECONDS = 0.25
SILENT_SECONDS = 1.0  # a feed without a heartbeat for so long is not trusted

log = structlog.get_logger()


def applied(partition: int) -> str:
    """Return the subject on which projectors say how far a partition's read models have come."""
    return f"applied.{partition}"


class Bus:
    """A connection to NATS that heals itself."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self.client = Client()
        self.said: bool | None = None
        self._hearing: list[tuple[str, Hear]] = []
        self._connecting: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether NATS is there, as far as is known."""
        return bool(self.client.is_connected)

    async def hear(self, subject: str, callback: Hear) -> None:
        """Call back for every message on a subject, from now on and after every reconnection."""
        self._hearing.append((subject, callback))
        if self.up:
            await self.client.subscribe(subject, cb=callback)

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None, reply: str = "") -> bool:
        """Send, or say that it could not be sent."""
        if not self.up:
            return False
        try:
            await self.client.publish(subject, payload, headers=headers, reply=reply)
        except (NatsError, OSError):
            return False
        return True

    async def ready(self) -> None:
        """Wait until NATS is there."""
        while not self.up:  # noqa: ASYNC110 - the client tells its state, not its changes
            await asyncio.sleep(0.05)

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect())
        await asyncio.sleep(0)  # a client that never began cannot be closed
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.said = False  # an end that is meant is no news
        if self._connecting:
            await _ended(self._connecting)
        try:
            async with asyncio.timeout(2):
                await self.client.close()
        except (NatsError, OSError, TimeoutError):
            log.debug("bus.close", name=self.name)

    async def _connect(self) -> None:
        while True:
            try:
                await self.client.connect(
                    self.url, name=self.name, connect_timeout=2, max_reconnect_attempts=-1, ping_interval=3,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]  # its annotation is too narrow
                    max_outstanding_pings=3, error_cb=self._failed, disconnected_cb=self._lost, reconnected_cb=self._there, pending_size=32 << 20,
                )
                break
            except (NatsError, OSError, TimeoutError) as error:
                await self._failed(error)
                await asyncio.sleep(0.25)
        for subject, callback in self._hearing:
            await self.client.subscribe(subject, cb=callback)
        await self._there()

    async def _failed(self, error: Exception) -> None:
        if self.up:
            log.warning("bus.error", name=self.name, error=type(error).__name__, text=str(error)[:200])
        else:
            await self._lost()

    async def _lost(self) -> None:
        self._say(up=False)

    async def _there(self) -> None:
        self._say(up=True)

    def _say(self, *, up: bool) -> None:
        if self.said is not up:
            self.said = up
            (log.info if up else log.warning)("bus.up" if up else "bus.down", name=self.name)


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task that may lose a cancellation: the client waits with `asyncio.wait_for`, which does so when a connection is refused at that very moment."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    await asyncio.gather(task, return_exceptions=True)


class Pace:
    """How long to wait for company: not at all when events are rare, up to a limit when each alone would cost a commit.

    Reacting at once to every hint costs a third of all throughput under load; waiting when it is quiet would only cost latency.
    """

    def __init__(self, *steps: tuple[float, float]) -> None:
        self.steps = steps  # (events per second from which it holds, seconds between two rounds)
        self.rate = 0.0
        self.last = time.monotonic()

    def saw(self, events: int) -> None:
        """Note a round of so many events."""
        now = time.monotonic()
        gone = max(now - self.last, 1e-4)
        weight = min(1.0, gone / 0.3)
        self.rate += weight * (events / gone - self.rate)
        self.last = now

    async def linger(self) -> None:
        """Wait until the next round is due."""
        interval = max((seconds for rate, seconds in self.steps if self.rate >= rate), default=0.0)
        rest = self.last + interval - time.monotonic()
        if rest > 0:
            await asyncio.sleep(rest)


class Said:
    """Logs a state once, when it changes."""

    def __init__(self, **about: Any) -> None:
        self.about = about
        self.state = ""

    def __call__(self, state: str, level: str = "info", **more: Any) -> None:
        if state != self.state:
            self.state = state
            getattr(log, level)(state, **self.about, **more)
