"""The relay: one leader reads the store in order and publishes pages to JetStream.

How it works. The leader holds an advisory lock on the connection it reads with, so losing the one is losing the other. It reads pages by position, packs each
partition's events of a page into messages of up to 64 KB, bodies still bytes, and publishes many at once. Acks come back on numbered
reply subjects. The cursor moves over pages whose messages, and all before them, are acked; every message says in `acked` how far that is, so that the next leader
finds in the stream's last messages where to go on and no cursor is stored. It wakes on a hint and polls as the floor.

What may go wrong. A missing ack, a lost connection, a deleted stream: what is in flight is forgotten and read again from the last contiguous ack. Readers know repeats by
their positions. After such a return `prev` is the position it returns to: perhaps later than that partition's last event, never earlier
than it may be; at worst a reader looks into Postgres for nothing. An old leader whose last messages arrive late does the same. An event too big for a message is left
out: `prev` shows the gap, and readers fetch it from Postgres.
"""

import asyncio
import time
from collections import deque
from typing import Any

import msgspec
import psycopg
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError
from psycopg import AsyncConnection

from projections.kit.pages import MESSAGE_ID, pack, subject_of
from projections.kit.stored import COLUMNS
from projections.kit.tables import LIVE
from projections.kit.tracking import CONNECT, SETTINGS
from workers.kit.bus import HEARTBEAT, HEARTBEAT_SECONDS, HINTS, STREAM, Bus, Pace, Said
from workers.kit.ending import heed

LEADER = 7020042  # the advisory lock
PAGE = 4000  # events a page
MESSAGE = 64 << 10  # bytes a message
ENVELOPE = 320  # bytes of an event beside its body, at most
IN_FLIGHT = 256  # messages
ACK_SECONDS = 3.0
POLL_SECONDS = 0.05
TRACEPARENT, ACKED = "traceparent", "acked"
IDS = {"originator_id", "clinic_id", "event_id", "command_id", "correlation_id", "causation_id", "actor", "person"}
# ids as 16 bytes: no UUID is made of what is only passed on
READ = (
    "select " + ", ".join(f"uuid_send({c})" if c in IDS else c for c in COLUMNS.split(", "))  # noqa: S608 - constants
    + f" from stored_events where notification_id > %s order by notification_id limit {PAGE}"
)
POSITION, PARTITION, EVENT_ID, CORRELATION, BODY = 0, 6, 7, 9, 16
STEPS = ((200.0, 0.005), (1000.0, 0.02), (3000.0, 0.04))  # a round costs the same for ten events as for a hundred

log = structlog.get_logger()
Line = tuple[Any, ...]


class StalledError(Exception):
    """Publishing cannot go on from where it is."""


class Flight:
    """A page on its way: how far it goes and which acks are missing."""

    def __init__(self, upto: int) -> None:
        self.upto = upto
        self.missing: set[int] = set()
        self.deadline = time.monotonic() + ACK_SECONDS


class Relay:
    """Publishes the store, while it is the leader."""

    def __init__(self, database_url: str, bus: Bus, bus_key: bytes) -> None:
        self.database_url = database_url
        self.bus = bus
        self.bus_key = bus_key
        self.acked = 0
        self.published = 0
        self.flights: deque[Flight] = deque()
        self.waiting: dict[int, Flight] = {}
        self.broken = ""
        self.origin = 0  # where this term began
        self.prevs: dict[int, int] = {}
        self.number = 0
        self.inbox = ""
        self.hinted = asyncio.Event()
        self.landed = asyncio.Event()
        self.pace = Pace(*STEPS)
        self.alive = 0.0  # when Postgres last answered
        self.say = Said(worker="relay")

    async def run(self) -> None:
        """Lead whenever possible, for ever."""
        self.inbox = self.bus.client.new_inbox()
        await self.bus.hear(HINTS, self._hint)
        await self.bus.hear(f"{self.inbox}.*", self._answered)
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                heed()
                try:
                    await self._campaign()
                except (psycopg.OperationalError, OSError, TimeoutError) as error:
                    self.say("relay.database_down", "warning", error=type(error).__name__)
                    await asyncio.sleep(0.25)
        finally:
            beating.cancel()

    async def _campaign(self) -> None:
        options = f"{SETTINGS} -c default_transaction_read_only=on"
        async with await AsyncConnection.connect(
            self.database_url, autocommit=True, options=options, application_name="relay", prepare_threshold=0, **CONNECT,
        ) as conn:
            while not await _value(conn, "select pg_try_advisory_lock(%s)", LEADER):
                heed()
                self.say("relay.standby")
                await asyncio.sleep(0.25)
            try:
                while True:
                    heed()
                    await self.bus.ready()
                    await self._lead(conn)
            finally:
                self.alive = 0.0

    async def _lead(self, conn: AsyncConnection[Any]) -> None:
        """Publish until something is in the way."""
        try:
            await self._ensure_stream()
            await self._resume(conn)
            self.say("relay.leading", position=self.acked)
            while True:
                await self._step(conn)
        except (StalledError, NatsError) as error:
            self.say("relay.interrupted", "warning", error=type(error).__name__, text=str(error)[:200])
            await self._pause(conn)

    async def _pause(self, conn: AsyncConnection[Any]) -> None:
        await asyncio.sleep(0.2)
        await conn.execute("select 1")  # a leader without a connection is none

    async def _step(self, conn: AsyncConnection[Any]) -> None:
        heed()
        self._check()
        if len(self.waiting) >= IN_FLIGHT:
            self.landed.clear()
            await _wait(self.landed)
            return
        self.hinted.clear()  # before reading, lest a hint during the read be lost
        lines = await (await conn.execute(READ, (self.published,), binary=True)).fetchall()
        self.alive = time.monotonic()
        self.pace.saw(len(lines))
        if lines:
            await self._publish(lines)
        else:
            await _wait(self.hinted)
        if len(lines) < PAGE:
            await self.pace.linger()

    async def _publish(self, lines: list[Line]) -> None:
        flight = Flight(lines[-1][POSITION])
        if flight.upto - self.published != len(lines):
            log.error("relay.gap_in_store", after=self.published, upto=flight.upto, events=len(lines))
        self.flights.append(flight)
        parts: dict[int, list[Line]] = {}
        for line in lines:
            parts.setdefault(line[PARTITION], []).append(line)
        for partition, mine in parts.items():
            await self._publish_part(partition, mine, flight)
        self.published = flight.upto
        self._land()

    async def _publish_part(self, partition: int, lines: list[Line], flight: Flight) -> None:
        start = size = 0
        for n, line in enumerate(lines):
            length = len(line[BODY]) + ENVELOPE
            if size and size + length > MESSAGE:
                await self._send(partition, lines[start:n], flight)
                start, size = n, 0
            size += length
        await self._send(partition, lines[start:], flight)

    async def _send(self, partition: int, lines: list[Line], flight: Flight) -> None:
        subject, prev, last = subject_of(partition), self.prevs.get(partition, self.origin), lines[-1][POSITION]
        self.prevs[partition] = last
        payload, headers = pack(lines, subject, prev, last, self.bus_key)
        if len(payload) > self.bus.client.max_payload - 1024:
            log.warning("relay.too_big", position=last, bytes=len(payload))
            return
        # with `prev`: after a return the same last position may end a longer page, which is no repeat
        headers[MESSAGE_ID] = f"{partition}-{prev}-{last}"
        headers[ACKED] = str(self.acked)
        if lines[0][CORRELATION] == lines[-1][CORRELATION]:
            headers[TRACEPARENT] = f"00-{lines[0][CORRELATION].hex()}-{lines[0][EVENT_ID][:8].hex()}-01"
        self.number += 1
        flight.missing.add(self.number)
        self.waiting[self.number] = flight
        if not await self.bus.publish(subject, payload, headers=headers, reply=f"{self.inbox}.{self.number}"):
            raise StalledError("NATS is down")

    async def _answered(self, message: Msg) -> None:
        """Take an ack; anything else on a reply subject is a failure."""
        number = int(message.subject.rpartition(".")[2])
        flight = self.waiting.pop(number, None)
        if flight is None:
            return
        if not message.data or b'"error"' in message.data:
            self.broken = message.data.decode(errors="replace") or "no stream takes the events"
        flight.missing.discard(number)
        self._land()
        self.landed.set()

    def _land(self) -> None:
        """Move the cursor over pages that are wholly acked."""
        while self.flights and not self.flights[0].missing and not self.broken:
            self.acked = self.flights.popleft().upto

    def _check(self) -> None:
        if self.broken:
            raise StalledError(self.broken)
        if self.flights and time.monotonic() > self.flights[0].deadline:
            raise StalledError("an ack is missing")

    async def _resume(self, conn: AsyncConnection[Any]) -> None:
        """Go on after the last position that is known to be in the stream, else after the lowest tracked one."""
        self.flights.clear()
        self.waiting.clear()
        self.broken = ""
        partitions = await _value(conn, "select partitions from store_settings")
        head = await _value(conn, "select position from store_head")
        known = [await self._last_acked(p) for p in range(partitions)]
        tracked = await _value(conn, "select coalesce(min(position), 0) from projector_tracking where grp = %s", LIVE)
        found = max((k for k in known if k is not None), default=tracked)
        self.acked = self.published = self.origin = min(head, max(found, self.acked))
        self.prevs.clear()

    async def _last_acked(self, partition: int) -> int | None:
        try:
            last = await self.bus.client.jetstream().get_msg(STREAM, subject=subject_of(partition), direct=True)
        except NotFoundError:
            return None
        return int((last.headers or {}).get(ACKED, 0))

    async def _ensure_stream(self) -> None:
        config = StreamConfig(
            name=STREAM, subjects=["events.*"], retention=RetentionPolicy.LIMITS, storage=StorageType.FILE, discard=DiscardPolicy.OLD,
            max_age=24 * 3600, max_bytes=2 << 30, duplicate_window=120, allow_direct=True, num_replicas=1,
        )
        stream = self.bus.client.jetstream()
        try:
            await stream.stream_info(STREAM)
        except NotFoundError:
            try:
                await stream.add_stream(config)
            except BadRequestError as error:
                raise StalledError(str(error)) from error

    async def _hint(self, message: Msg) -> None:
        self.hinted.set()

    async def _beat(self) -> None:
        """Say that the relay is alive, as long as it makes progress and not merely exists."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if time.monotonic() - self.alive < 2 * HEARTBEAT_SECONDS:
                await self.bus.publish(HEARTBEAT, msgspec.json.encode({"position": self.acked}))


async def _wait(event: asyncio.Event) -> None:
    """Wait for an event or for the next poll."""
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await event.wait()
    except TimeoutError:
        return


async def _value(conn: AsyncConnection[Any], statement: str, *values: Any) -> Any:
    found = await (await conn.execute(statement, values)).fetchone()
    return found[0] if found else None
