"""Pages from JetStream, for as long as it can be trusted.

How it works. One ephemeral pull consumer without acks, for all partitions that the process holds, beginning with what is new; one standing pull request is always
open, refilled while there is room, so what a slow projector has not taken stays in the stream. Why not durable consumers with acks: the position in
Postgres is the only ack that counts, it is what a restarted projector goes on from, and whatever is missing before the first new page is read from
Postgres at the same speed. So there is nothing to redeliver, no sequence to reconcile after a purge, and every doubt has one answer: attach anew.

What may go wrong. The consumer may vanish (restart, purged or deleted stream), the connection may be silent, the relay may be down: `alive` turns false
within about a second, and the projector reads Postgres until it is true again.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from itertools import count

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from projections.kit.pages import subject_of
from workers.kit.bus import HEARTBEAT, SILENT_SECONDS, STREAM, Bus

BATCH = 256  # messages asked for at a time
ROOM = 512  # messages held here at most before asking for more
NANO = 10**9
EXPIRES_SECONDS = 20
IDLE_SECONDS = 1.0
SILENCE = 3.0
RETRY_SECONDS = 0.25
STATUS, LEFT = "Status", "Nats-Pending-Messages"


class Feed:
    """The partitions' pages, as they come."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.bus = bus
        self.name = name
        self.pages: deque[Msg] = deque()
        self.arrived = asyncio.Event()
        self.partitions: frozenset[int] = frozenset()
        self.consumer = ""
        self._numbers = count(1)
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._left = 0
        self._heard = self._beat = self._tried = float("-inf")

    async def start(self) -> None:
        """Listen for the relay's heartbeat."""
        await self.bus.hear(HEARTBEAT, self._on_heartbeat)

    @property
    def alive(self) -> bool:
        """Whether pages can be relied on to come."""
        now = time.monotonic()
        return bool(self.consumer) and self.bus.up and now - self._beat < SILENT_SECONDS and now - self._heard < SILENCE

    async def attach(self, partitions: frozenset[int]) -> bool:
        """See to it that these partitions' pages come; return whether it began anew, so that what came before must be read elsewhere."""
        now = time.monotonic()
        sound = partitions == self.partitions and self.consumer and now - self._heard < SILENCE
        if sound or not self.bus.up or not partitions or now - self._tried < RETRY_SECONDS:
            return False
        self._tried = now
        await self.detach()
        try:
            await self._attach(partitions)
        except (NatsError, OSError, TimeoutError):
            await self.detach()
            return False
        return True

    async def detach(self) -> None:
        """Forget the consumer and what came from it."""
        self.consumer, self.partitions, self._left = "", frozenset(), 0
        self.pages.clear()
        if self._subscription:
            with suppress(NatsError, OSError):
                await self._subscription.unsubscribe()
            self._subscription = None

    async def refill(self) -> None:
        """Keep a pull request open while there is room."""
        if self.consumer and self._left <= BATCH // 4 and len(self.pages) < ROOM:
            self._left += BATCH
            wish = {"batch": BATCH, "expires": EXPIRES_SECONDS * NANO, "idle_heartbeat": int(IDLE_SECONDS * NANO)}
            await self.bus.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self.consumer}", msgspec.json.encode(wish), reply=self._inbox)

    async def _attach(self, partitions: frozenset[int]) -> None:
        client = self.bus.client
        self._inbox = client.new_inbox()
        self._subscription = await client.subscribe(self._inbox, cb=self._on_page, pending_msgs_limit=-1, pending_bytes_limit=-1)
        config = ConsumerConfig(
            name=f"{self.name}-{next(self._numbers)}", deliver_policy=DeliverPolicy.NEW, ack_policy=AckPolicy.NONE, inactive_threshold=30,
            mem_storage=True, num_replicas=1, filter_subjects=[subject_of(p) for p in sorted(partitions)],
        )
        made = await client.jetstream(timeout=1).add_consumer(STREAM, config)
        self.consumer, self.partitions, self._heard = made.name, partitions, time.monotonic()
        await self.refill()

    async def _on_page(self, message: Msg) -> None:
        self._heard = time.monotonic()
        status = (message.headers or {}).get(STATUS)
        if status is None:
            self.pages.append(message)
            self._left -= 1
        elif status == "408":  # a pull request ran out
            self._left -= int((message.headers or {}).get(LEFT, BATCH))
        elif status != "100":  # no heartbeat: the consumer is gone, or nobody answers
            self.consumer = ""
        await self.refill()
        self.arrived.set()

    async def _on_heartbeat(self, message: Msg) -> None:
        self._beat = time.monotonic()
