"""The rounds of a courier: when to look at what has happened.

How it works. The relay's heartbeat says how far it has published, four times a second; when that is news, it is looked at at once, else once a second. So a
courier costs nothing under load, and goes on without NATS.

What may go wrong. Of several couriers one at a time answers; the others find its row locked and come again. Trouble with the database is waited out.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import psycopg
import structlog
from nats.aio.msg import Msg
from psycopg import AsyncConnection

from projections.kit.lanes import ReadUnavailable
from projections.kit.tracking import CONNECT
from workers.kit.bus import HEARTBEAT, Bus, Said
from workers.kit.ending import heed
from workers.kit.policies import MAX_EVENTS

FLOOR_SECONDS = 1.0
OPTIONS = "-c timezone=UTC -c jit=off -c enable_seqscan=off -c idle_in_transaction_session_timeout=10s"

log = structlog.get_logger(__name__)


class Looking(Protocol):
    """Whatever looks at what has happened, on a connection of its own."""

    async def round(self) -> int | None:
        """Look at the next events; return how many there were, or None if another courier is at it."""


class Rounds:
    """Looks whenever something has happened; `queued` is told that there may be something to send."""

    def __init__(self, database_url: str, bus: Bus, name: str, looking: Callable[[AsyncConnection[Any]], Looking], queued: Callable[[], None]) -> None:
        self.database_url = database_url
        self.bus = bus
        self.name = name
        self.looking = looking
        self.queued = queued
        self.published = 0
        self.news = asyncio.Event()
        self.say = Said(worker="courier")

    async def run(self) -> None:
        """Work for ever."""
        await self.bus.hear(HEARTBEAT, self._beat)
        while True:
            heed()
            try:
                async with await AsyncConnection.connect(
                    self.database_url, autocommit=True, options=OPTIONS, application_name=self.name, **CONNECT,
                ) as conn:
                    await self._answer(conn)
            except (ReadUnavailable, psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                self.say("courier.interrupted", "warning", error=type(error).__name__)
                await asyncio.sleep(FLOOR_SECONDS)

    async def _answer(self, conn: AsyncConnection[Any]) -> None:
        looking = self.looking(conn)
        while True:
            heed()
            self.news.clear()
            events = await looking.round()
            self.say("courier.working")
            if events:
                self.queued()
            if events != MAX_EVENTS:
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(FLOOR_SECONDS):
                await self.news.wait()
        except TimeoutError:
            return

    async def _beat(self, message: Msg) -> None:
        published = int(msgspec.json.decode(message.data).get("position", 0))
        if published > self.published:
            self.published = published
            self.news.set()
