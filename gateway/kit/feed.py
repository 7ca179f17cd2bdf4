"""One's own events, live: what concerns a reader in his clinic, and his account, which belongs to none.

How it works: a clinic with such readers has a feed. It is woken by the relay's pages, or by a look at the store's head, and reads what has come since from the store: the clinic's
events and, in the same order of positions, those of its readers' accounts, which are the platform's. So there is one `id` for both, and whoever resumes by it
loses nothing of either. Feeds read in tasks of their own, so that the stream of the clinic's events, which everybody shares, never waits for them.

What may go wrong: a reader joins under the feed's lock, for a batch that was read before he came knows nothing of his account.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

import structlog

from domain.kit import PLATFORM, Refused
from gateway.kit.eyes import Owners
from gateway.kit.source import PAGE, Source
from gateway.kit.watcher import ANEW, Watcher
from projections.kit.stored import Stored

PAUSE_SECONDS = 0.1  # while the store cannot be read

log = structlog.get_logger(__name__)


class Feed:
    """One clinic's readers of their own events."""

    __slots__ = ("clinic", "lock", "position", "target", "task", "watchers", "woken")

    def __init__(self, clinic: UUID, head: int) -> None:
        self.clinic = clinic
        self.position = self.target = head
        self.watchers: list[Watcher] = []
        self.lock = asyncio.Lock()
        self.woken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def accounts(self) -> set[UUID]:
        """Whose they are."""
        return {watcher.own.account for watcher in self.watchers if watcher.own is not None}

    def reach(self, position: int) -> None:
        """Have everything up to here given out."""
        if position > self.target:
            self.target = position
            self.woken.set()


class Feeds:
    """All feeds of a process."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._feeds: dict[UUID, Feed] = {}
        self._lock = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._feeds)

    def heard(self, events: Sequence[Stored], last: int) -> None:
        """Wake whoever a page of the relay may concern."""
        if self._feeds:
            clinics = {stored.clinic for stored in events}
            streams = {stored.stream for stored in events if stored.clinic == PLATFORM}
            for clinic, feed in self._feeds.items():
                if clinic in clinics or (streams and not streams.isdisjoint(feed.accounts)):
                    feed.reach(last)

    def reach(self, head: int) -> None:
        """Have all feeds reach the store's head."""
        for feed in self._feeds.values():
            feed.reach(head)

    def position(self, clinic: UUID) -> int:
        """Return up to where a clinic's feed has given out."""
        feed = self._feeds.get(clinic)
        return feed.position if feed else 0

    async def history(self, watcher: Watcher) -> AsyncIterator[bytes]:
        """Yield what a reader has missed; when it ends he has joined."""
        await self._source.learn()
        feed = await self._opened(watcher.clinic)
        if watcher.position >= 0 and await self._source.parted(watcher.position, watcher.history):
            watcher.position = -1
            yield ANEW % (feed.position, self._source.mark)
        if watcher.position < 0 or watcher.position > feed.position:
            watcher.position = feed.position
        while True:
            while watcher.position < (top := feed.position):
                rows, owners, watcher.position = await self._rows(watcher.clinic, [watcher], watcher.position, top)
                if heard := [stored for stored in rows if _hears(watcher, stored, owners)]:
                    yield await self._source.told(heard, watcher.eyes)
            async with feed.lock:
                if self._feeds.get(watcher.clinic) is feed and watcher.position == feed.position:
                    feed.watchers.append(watcher)
                    feed.task = feed.task or asyncio.create_task(self._run(feed))
                    return
            feed = await self._opened(watcher.clinic)  # the last of the others may have left meanwhile

    def leave(self, watcher: Watcher) -> None:
        """Let a reader go."""
        feed = self._feeds.get(watcher.clinic)
        if feed is None:
            return
        if watcher in feed.watchers:
            feed.watchers.remove(watcher)
        if not feed.watchers:
            del self._feeds[watcher.clinic]
            if feed.task is not None:
                feed.task.cancel()

    async def _opened(self, clinic: UUID) -> Feed:
        async with self._lock:
            feed = self._feeds.get(clinic)
            if feed is None:
                feed = self._feeds[clinic] = Feed(clinic, await self._source.head())
        return feed

    async def _run(self, feed: Feed) -> None:
        while self._feeds.get(feed.clinic) is feed:
            if feed.position >= feed.target:
                feed.woken.clear()
                await feed.woken.wait()
            try:
                await self._advance(feed)
            except Refused:
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                log.exception("a feed could not read the store")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _advance(self, feed: Feed) -> None:
        async with feed.lock:
            rows, owners, upto = await self._rows(feed.clinic, feed.watchers, feed.position, feed.target)
            for stored in rows:
                for watcher in feed.watchers:
                    if _hears(watcher, stored, owners):
                        watcher.hold(stored)
            feed.position = upto

    async def _rows(self, clinic: UUID, watchers: Iterable[Watcher], after: int, upto: int) -> tuple[list[Stored], dict[UUID, Owners], int]:
        """Return the next events of a clinic and of its readers' accounts, whose they are, and up to where they reach."""
        rows = await self._source.since(clinic, after, upto)
        upto = rows[-1].position if len(rows) == PAGE else upto
        owners = await self._source.owned(clinic, rows)
        if clinic != PLATFORM:
            accounts = {watcher.own.account for watcher in watchers if watcher.own is not None}
            more = await self._source.of(accounts, PLATFORM, after, upto)
            upto = more[-1].position if len(more) == PAGE else upto
            rows = sorted([*(stored for stored in rows if stored.position <= upto), *more], key=lambda stored: stored.position)
        return rows, owners, upto


def _hears(watcher: Watcher, stored: Stored, owners: dict[UUID, Owners]) -> bool:
    return watcher.own is not None and watcher.own.hears(watcher.eyes, stored, owners.get(stored.stream, {}))
