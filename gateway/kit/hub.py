"""The clinics' events, live, to many readers at once.

How it works: one subscription per process takes the relay's pages. A clinic with readers has a channel, whose `position` says up to where its events have been
given out; events reach it in order and once, from a page or, where `prev` shows a gap, from the store. Without NATS, and once a second to be sure,
the store's head is compared and what is missing is read. An event is encoded once; readers with the same eyes (kinds, filters) are asked once whether
they may see it. A reader who is new reads the store up to the channel's position and then joins, with nothing awaited in between: no loss, no repeat.
Who is shown what is sealed shares nothing with others: his events are held as they are stored and opened when they leave. Who reads of himself alone has a feed (`feed`).

What may go wrong: how many streams somebody has open is counted by each process for itself.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog
from nats.aio.msg import Msg

from domain.kit import Refused
from gateway.kit.eyes import Eyes
from gateway.kit.feed import Feeds
from gateway.kit.source import PAGE, Source, framed
from gateway.kit.watcher import ANEW, Watcher
from projections.kit.pages import ForgedError, unpack
from projections.kit.reading import Reading
from projections.kit.shown import shown
from projections.kit.stored import Stored

LOOK_SECONDS = 1.0  # between looks at the store's head
POLL_SECONDS = 0.1  # the same while NATS is away
RETRY_MS = 1000  # until a reader whose line was cut comes back

log = structlog.get_logger(__name__)


class Channel:
    """One clinic's readers."""

    __slots__ = ("classes", "position")

    def __init__(self) -> None:
        self.position = -1  # not open yet
        self.classes: dict[Eyes, list[Watcher]] = {}


class Hub:
    """All channels of a process."""

    def __init__(self, reading: Reading, bus_key: bytes, kek: bytes) -> None:
        self._source = Source(reading, kek)
        self._key = bus_key
        self._feeds = Feeds(self._source)
        self._open: set[Watcher] = set()
        self._streams: Counter[UUID] = Counter()  # by who has them open
        self._channels: dict[UUID, Channel] = {}
        self._cursors: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._released = False
        self.noticed: Callable[[Stored], None] = lambda _: None
        self.fed: Callable[[], bool] = lambda: False

    async def open(self) -> None:
        """Start looking after what NATS may lose."""
        self._task = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        """Stop, and let every reader go."""
        if self._task:
            self._task.cancel()
        self.release()

    def release(self) -> None:
        """Let every reader go, and nobody stay who comes later; they come back to another process, or to the next."""
        self._released = True
        for watcher in list(self._open):
            watcher.rouse()

    @property
    def readers(self) -> int:
        """How many readers there are."""
        return len(self._open)

    def streams(self, actor: UUID) -> int:
        """Return how many streams somebody has open in this process."""
        return self._streams[actor]

    @contextmanager
    def entered(self, watcher: Watcher) -> Iterator[None]:
        """Count a reader as long as he is here."""
        self._open.add(watcher)
        self._streams[watcher.actor] += 1
        try:
            yield
        finally:
            self._open.discard(watcher)
            self._streams[watcher.actor] -= 1
            if not self._streams[watcher.actor]:
                del self._streams[watcher.actor]

    async def heard(self, message: Msg) -> None:
        """Take a page from the relay."""
        try:
            page = unpack(message.data, message.headers, message.subject, self._key)
        except ForgedError:
            log.warning("forged page", subject=message.subject)
            return
        for stored in page.events:
            self.noticed(stored)
        self._feeds.heard(page.events, page.last)
        async with self._lock:
            cursor = self._cursors.get(message.subject, -1)
            if page.last <= cursor:
                return
            if page.prev > cursor:  # whatever was missed, of whichever clinic, comes first
                for clinic in list(self._channels):
                    await self._fill(clinic, page.prev)
            wanted: dict[UUID, list[Stored]] = {}
            for stored in page.events:
                if stored.clinic in self._channels:
                    wanted.setdefault(stored.clinic, []).append(stored)
            for clinic, events in wanted.items():
                await self._give(clinic, events)
            self._cursors[message.subject] = page.last

    async def follow(self, watcher: Watcher, heartbeat: float, until: float) -> AsyncIterator[bytes]:
        """Yield what a reader is to be sent: first from the store, then live, until the loop's time `until` or his end."""
        loop = asyncio.get_running_loop()
        try:
            async for chunk in self._feeds.history(watcher) if watcher.own else self._history(watcher):
                yield chunk
            yield b"retry: %d\nid: %d%b\n\n" % (RETRY_MS, self.position(watcher), self._source.mark)
            while not (watcher.over or self._released) and (left := until - loop.time()) > 0:
                if not watcher.waiting and not watcher.held:
                    watcher.wake = loop.create_future()
                    watcher.busy = False
                    await asyncio.wait([watcher.wake], timeout=min(heartbeat, left))
                    watcher.busy = True
                full = watcher.full
                if chunk := await self._source.told(watcher.let_go(), watcher.eyes) if watcher.held else watcher.take():
                    yield chunk
                elif not (watcher.over or self._released):
                    yield b": heartbeat\nid: %d%b\n\n" % (self.position(watcher), self._source.mark)
                if full:
                    return
        finally:
            self.leave(watcher)

    async def _history(self, watcher: Watcher) -> AsyncIterator[bytes]:
        """Yield what a reader has missed; when it ends he has joined, with nothing awaited since the last look."""
        await self._source.learn()
        channel = await self._opened(watcher.clinic)
        if watcher.position >= 0 and await self._source.parted(watcher.position, watcher.history):
            watcher.position = -1
            yield ANEW % (channel.position, self._source.mark)
        while channel.position < watcher.position <= await self._source.head():  # another gateway has told him more than this one knows yet
            async with self._lock:
                if watcher.clinic in self._channels:
                    await self._fill(watcher.clinic, watcher.position)
            channel = await self._opened(watcher.clinic)
        if watcher.position < 0 or watcher.position > channel.position:
            watcher.position = channel.position
        while watcher.position < (top := channel.position):
            rows = await self._source.since(watcher.clinic, watcher.position, top)
            owners = await self._source.owned(watcher.clinic, rows) if watcher.eyes.owned else {}
            watcher.position = rows[-1].position if len(rows) == PAGE else top
            if seen := [stored for stored in rows if watcher.eyes.may_see(stored, owners.get(stored.stream, {}))]:
                yield await self._source.told(seen, watcher.eyes)
            channel = await self._opened(watcher.clinic)  # the last of the others may have left meanwhile
        channel.classes.setdefault(watcher.eyes, []).append(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Let a reader go."""
        if watcher.own is not None:
            self._feeds.leave(watcher)
            return
        channel = self._channels.get(watcher.clinic)
        if channel is None:
            return
        mates = channel.classes.get(watcher.eyes, [])
        if watcher in mates:
            mates.remove(watcher)
        if not mates:
            channel.classes.pop(watcher.eyes, None)
        if not channel.classes and channel.position >= 0:
            self._channels.pop(watcher.clinic, None)

    def end(self, session: UUID) -> None:
        """Let the readers of a session go."""
        for watcher in list(self._open):
            if watcher.session == session:
                watcher.over = True
                watcher.rouse()

    def end_of(self, subject: UUID) -> None:
        """Let go whoever reads as this member of staff; at the door it is decided whether they may come back."""
        for watcher in list(self._open):
            if watcher.eyes.subject == subject:
                watcher.over = True
                watcher.rouse()

    def end_in(self, clinic: UUID) -> None:
        """Let go whoever reads in a clinic, of which something has changed that permissions hang on; at the door it is decided what they hear from now on."""
        for watcher in list(self._open):
            if watcher.clinic == clinic:
                watcher.over = True
                watcher.rouse()

    def position(self, watcher: Watcher) -> int:
        """Return up to where a reader has been given everything."""
        if watcher.own is not None:
            return self._feeds.position(watcher.clinic)
        channel = self._channels.get(watcher.clinic)
        return channel.position if channel else 0

    async def _opened(self, clinic: UUID) -> Channel:
        async with self._lock:
            channel = self._channels.get(clinic)
            if channel is None:
                head = await self._source.head()  # every event up to here is committed and can be read
                channel = self._channels[clinic] = Channel()
                channel.position = head
        return channel

    async def _fill(self, clinic: UUID, upto: int) -> None:
        """Read from the store what no page has brought."""
        channel = self._channels[clinic]
        while channel.position < upto:
            rows = await self._source.since(clinic, channel.position, upto)
            await self._give(clinic, rows)
            if len(rows) < PAGE:
                channel.position = max(channel.position, upto)

    async def _give(self, clinic: UUID, events: Sequence[Stored]) -> None:
        channel = self._channels[clinic]
        fresh = [stored for stored in events if stored.position > channel.position]
        restricted = any(eyes.owned for eyes in channel.classes)
        owners = await self._source.owned(clinic, fresh) if restricted else {}
        for stored in fresh:
            message = chunk = b""
            for eyes, mates in channel.classes.items():
                if not eyes.may_see(stored, owners.get(stored.stream, {})):
                    continue
                if eyes.opened:
                    for watcher in mates:
                        watcher.hold(stored)
                    continue
                if not message:
                    message = framed(stored, shown(stored), self._source.mark)
                    chunk = b"%x\r\n%b\r\n" % (len(message), message)
                for watcher in mates:
                    watcher.give(message, chunk)
            channel.position = stored.position

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS if self.fed() else POLL_SECONDS)
            if not self._channels and not self._feeds:
                continue
            try:
                head = await self._source.head()
                self._feeds.reach(head)
                async with self._lock:
                    for clinic in list(self._channels):
                        await self._fill(clinic, head)
            except Refused:
                continue
            except Exception:
                log.exception("the event stream could not look at the store")
