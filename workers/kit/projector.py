"""The projector: keeps the read models level with the store.

How it works. It leases partitions (`projections.kit.tracking`) and applies batches of up to a thousand events (`projections.kit.engine`) from one of two
sources: pages from JetStream while the feed is alive, else the store itself, polled. A page's `prev` beyond the tracked position is a gap, and the range is read from
Postgres; a page not beyond it is dropped; a page whose MAC does not fit is treated as absent. What the last message of a burst would have
brought is missed by no later `prev`: so a partition that has stood still for a second is compared with the store. After each commit the position is
announced, for those who wait to read their own writes.

What may go wrong. Everything transient ends in reading the positions anew and going on from Postgres. A lost epoch ends the work on that partition. What is
structural ends the process, loudly; its supervisor tries again. If the read models await a rebuild or belong to another release, it waits, holding nothing.
"""

import asyncio
import secrets
import time
from typing import Any

import psycopg
import structlog
from nats.aio.msg import Msg
from psycopg import AsyncConnection

from projections.kit.engine import MAX_EVENTS, Batch, ChangedError, Engine, FenceLostError, NotReadyError, explain, trouble
from projections.kit.keys import KeyRing
from projections.kit.pages import LAST, ForgedError, Page, unpack
from projections.kit.stored import COLUMNS, Stored
from projections.kit.tracking import CONNECT, SETTINGS, Leases
from workers.kit.bus import Bus, Pace, Said, applied
from workers.kit.ending import heed
from workers.kit.feed import Feed

TICK_SECONDS = 0.5  # between looks at the leases
STILL_SECONDS = 1.0  # a partition without news for so long is compared with the store
POLL_SECONDS = 0.03  # between looks at the store while there is no feed
STEPS = ((200.0, 0.002), (1500.0, 0.005), (3000.0, 0.01))
READ = (
    f"select {COLUMNS} from stored_events where notification_id > %s and notification_id <= %s and partition = any(%s::smallint[]) "  # noqa: S608
    "order by notification_id limit %s"
)

log = structlog.get_logger()


class Projector:
    """One process's work on the read models."""

    def __init__(self, database_url: str, bus: Bus, bus_key: bytes, ring: KeyRing) -> None:
        self.database_url = database_url
        self.bus = bus
        self.bus_key = bus_key
        self.ring = ring
        self.leases = Leases(f"projector-{secrets.token_hex(6)}")
        self.feed = Feed(bus, self.leases.owner)
        self.pace = Pace(*STEPS)
        self.say = Said(worker="projector")
        self.behind = True  # something may be missing that only Postgres has
        self.fresh: dict[int, float] = {}  # when a partition last had news
        self.ticked = float("-inf")
        self.nudged = float("-inf")
        self.forged = self.gaps = 0

    async def run(self) -> None:
        """Work for ever; only what is structural ends it."""
        await self.feed.start()
        pause = 0.05
        while True:
            heed()
            began = time.monotonic()
            try:
                await self._connected()
            except Exception as error:
                if trouble(error) != "transient":
                    log.critical("projector.halted", error=explain(error))
                    raise
                self.say("projector.interrupted", "warning", error=type(error).__name__)
            pause = 0.05 if time.monotonic() - began > 5 else min(2 * pause, 1.0)  # noqa: PLR2004
            await asyncio.sleep(pause)

    async def _connected(self) -> None:
        async with await AsyncConnection.connect(
            self.database_url, autocommit=True, options=SETTINGS, application_name=self.leases.owner, prepare_threshold=0, **CONNECT,
        ) as conn:
            engine = Engine(conn, self.ring)
            self.ticked, self.behind = float("-inf"), True
            try:
                await self._ready(conn, engine)
                while True:
                    await self._round(conn, engine)
            except asyncio.CancelledError:
                await self._leave(conn)
                raise

    async def _leave(self, conn: AsyncConnection[Any]) -> None:
        """Hand the partitions back, if the connection still serves."""
        try:
            async with asyncio.timeout(1):
                await conn.rollback()
            async with asyncio.timeout(1):
                await self.leases.leave(conn)
        except (psycopg.Error, TimeoutError):
            log.debug("projector.lease_runs_out")

    async def _ready(self, conn: AsyncConnection[Any], engine: Engine) -> None:
        """Wait, holding nothing, until this release may write the active versions."""
        while True:
            heed()
            try:
                await engine.look()
            except NotReadyError as error:
                self.say("projector.waits_for_rebuild", "error", read_models=str(error))
                await self.leases.release(conn)
                await asyncio.sleep(TICK_SECONDS)
            else:
                return

    async def _round(self, conn: AsyncConnection[Any], engine: Engine) -> None:
        heed()
        await self._tick(conn)
        if not self.leases.held:
            await asyncio.sleep(TICK_SECONDS / 2)
            return
        self.say("projector.working", partitions=sorted(self.leases.held))
        try:
            if batch := await self._next(conn):
                await self._settle(engine, batch)
        except FenceLostError:
            self.say("projector.fence_lost", "warning")
            self.ticked, self.behind = float("-inf"), True
        except ChangedError:
            await self._ready(conn, engine)
            self.ticked, self.behind = float("-inf"), True

    async def _tick(self, conn: AsyncConnection[Any]) -> None:
        """Look after the leases and the feed."""
        now = time.monotonic()
        if now - self.ticked >= TICK_SECONDS:
            self.ticked = now
            await self.leases.tick(conn)
        if await self.feed.attach(frozenset(self.leases.held)):
            self.behind = True

    async def _next(self, conn: AsyncConnection[Any]) -> Batch | None:
        """Return what is to be applied next, from the feed or from the store."""
        if self.behind or not self.feed.alive:
            return await self._poll(conn)
        if not self.feed.pages:
            self.feed.arrived.clear()
            try:
                async with asyncio.timeout(TICK_SECONDS / 2):
                    await self.feed.arrived.wait()
            except TimeoutError:
                return await self._still(conn)
        await self.pace.linger()
        batch = self._from_feed()
        await self.feed.refill()
        return batch or await self._still(conn)

    async def _poll(self, conn: AsyncConnection[Any]) -> Batch | None:
        batch = await self._from_store(conn, list(self.leases.held))
        if batch and batch.events:
            return batch
        await asyncio.sleep(POLL_SECONDS)
        if batch and time.monotonic() - self.nudged < STILL_SECONDS:  # other projectors' events: no reason to write often
            return None
        self.nudged = time.monotonic()
        return batch

    async def _still(self, conn: AsyncConnection[Any]) -> Batch | None:
        """Compare partitions without news with the store."""
        now = time.monotonic()
        still = [p for p in self.leases.held if now - self.fresh.get(p, 0.0) >= STILL_SECONDS]
        return await self._from_store(conn, still) if still else None

    async def _from_store(self, conn: AsyncConnection[Any], partitions: list[int]) -> Batch | None:
        """Read what follows the tracked positions; whoever is level with the store is moved to its head."""
        held = {p: self.leases.held[p].position for p in partitions}
        lowest, head = min(held.values()), await _head(conn)
        lines: list[tuple[Any, ...]] = []
        if head > lowest:
            lines = await (await conn.execute(READ, (lowest, head, partitions, MAX_EVENTS), binary=True)).fetchall()
        upto = head if len(lines) < MAX_EVENTS else lines[-1][0]
        if upto >= head:
            self.behind = False
            self.fresh.update(dict.fromkeys(partitions, time.monotonic()))
        moves = {p: (at, upto) for p, at in held.items() if upto > at}
        events = [stored for stored in (Stored(*line) for line in lines) if stored.position > held[stored.partition]]
        return Batch(events, moves) if moves else None

    def _from_feed(self) -> Batch | None:
        """Take pages until there are enough events for a transaction."""
        events: list[Stored] = []
        moves: dict[int, tuple[int, int]] = {}
        while self.feed.pages and len(events) < MAX_EVENTS:
            message = self.feed.pages.popleft()
            partition = int(message.subject.rpartition(".")[2])
            held = self.leases.held.get(partition)
            if held is None:
                continue
            begun, at = moves.get(partition, (held.position, held.position))
            if page := self._page(message, partition, at):
                events += [e for e in page.events if e.position > at] if page.prev < at else page.events
                moves[partition] = (begun, page.last)
                self.fresh[partition] = time.monotonic()
        return Batch(events, moves) if moves else None

    def _page(self, message: Msg, partition: int, at: int) -> Page | None:
        """Return a page that goes on from a position; None if it is old, forged, or begins too late."""
        last = (message.headers or {}).get(LAST, "")
        if last.isdecimal() and int(last) <= at:
            return None
        try:
            page = unpack(message.data, message.headers, message.subject, self.bus_key)
        except ForgedError:
            self.forged += 1
            log.warning("projector.forged_page", partition=partition, count=self.forged)
            return None
        if page.prev > at:
            self.gaps += 1
            self.behind = True
            log.info("projector.gap", partition=partition, after=at, before=page.prev)
            return None
        return page if page.last > at else None

    async def _settle(self, engine: Engine, batch: Batch) -> None:
        """Apply, remember, announce."""
        moved = await engine.apply(batch, self.leases.held)
        self.leases.moved(moved)
        self.pace.saw(len(batch.events))
        for partition, position in moved.items():
            await self.bus.publish(applied(partition), b"%d" % position)


async def _head(conn: AsyncConnection[Any]) -> int:
    found = await (await conn.execute("select position from store_head")).fetchone()
    return int(found[0]) if found else 0
