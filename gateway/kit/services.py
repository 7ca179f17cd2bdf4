"""What every request leans on: one of each per process, opened at start and closed at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any
from uuid import UUID

import structlog
from nats.aio.msg import Msg
from psycopg import Error

from commands.kit.codes import Codes
from commands.kit.doors import Doors
from commands.kit.erasure import Erasures
from commands.kit.handling import Handler
from commands.kit.keys import Uses
from commands.kit.links import LastingLinks, Links
from commands.kit.objects import objects_at
from commands.kit.origins import Origins
from commands.kit.sightings import Sightings
from commands.kit.staging import Staging
from commands.kit.stays import Stays
from commands.kit.vault import Vault
from domain.kit import PLATFORM, Refused
from gateway.kit.bus import APPLIED, EVENTS, HEARTBEAT, SESSIONS, Bus, Watermarks, session_of
from gateway.kit.cookies import Cookies
from gateway.kit.errors import ReadBehind
from gateway.kit.gate import Gate
from gateway.kit.hub import Hub
from gateway.kit.members import Kinds, Members
from gateway.kit.metrics import Metrics
from gateway.kit.narrator import Narrator
from gateway.kit.proxies import Proxies
from gateway.kit.rates import rates_of
from gateway.kit.stripe import Stripe
from gateway.kit.tokens import Keys
from gateway.kit.tracing import Spans
from projections.kit.erasing import erased
from projections.kit.reading import Reader, Reading
from projections.kit.stored import Stored
from projections.kit.tables import LIVE, PARTITION

CHORE_SECONDS = 60
POLLS = (0.005, 0.015, 0.03)  # seconds between looks at the tracked position; the last repeats
BEHIND_SECONDS = 5.0
TRACKED = f"select t.position, h.position from projector_tracking t cross join store_head h where t.grp = '{LIVE}' and t.partition = %s::smallint"  # noqa: S608
LEVEL = (  # a partition of which no clinic has had a later event is as far as the store: nobody waits for its next look at the store
    f"select case when exists (select from chain_heads c where c.position > t.position and {PARTITION.format(clinic='c.clinic_id', partitions='s.partitions')} = t.partition) "  # noqa: S608
    "then t.position else h.position end, h.position "
    f"from projector_tracking t cross join store_head h cross join store_settings s where t.grp = '{LIVE}' and t.partition = %s::smallint"
)

log = structlog.get_logger(__name__)

Chore = Callable[["Services"], Awaitable[None]]


class Services:
    """The gateway's parts; `settings` has database_url, nats_url, mac_key, bus_key, kek, signing_key and objects."""

    def __init__(self, settings: Any, kinds: Kinds, chores: Sequence[Chore] = ()) -> None:
        self.settings = settings
        self.chores = chores
        self.kinds = kinds
        self.metrics = Metrics()
        self.spans = Spans()
        self.watermarks = Watermarks()
        self.reading = Reading(settings.database_url)
        self.stays = Stays(self.reading.lanes, settings.mac_key)
        self.vault = Vault(self.reading.lanes, settings.kek)
        self.origins = Origins(self.reading.lanes)
        self.sightings = Sightings(self.reading.lanes, settings.mac_key)
        self.staging = Staging(self.reading.lanes)
        self.objects = objects_at(settings.objects)
        self.codes = Codes(self.reading.lanes, settings.kek)
        self.links = Links(settings.mac_key)
        self.lasting = LastingLinks(settings.kek)
        self.uses = Uses(self.reading.lanes)
        self.erasures = Erasures(self.reading.lanes, self._erased)
        self.doors = Doors(self.reading.lanes, settings.mac_key)
        self.rates = rates_of(settings, self.reading.lanes)
        self.proxies = Proxies(getattr(settings, "proxies", ""))
        self.keys = Keys(settings.signing_key)
        self.cookies = Cookies(settings.mac_key)
        self.members = Members(kinds, lambda: self.gate.listening, self.vault)
        self.gate = Gate(self.keys, self.stays.alive, self.members.who, self.members.key)
        self.narrator = Narrator(getattr(settings, "ai_url", ""), getattr(settings, "ai_model", ""), getattr(settings, "ai_key", ""))
        self.stripe = Stripe(getattr(settings, "stripe_key", ""), getattr(settings, "stripe_url", ""))
        self.bus = Bus(settings.nats_url)
        self.hub = Hub(self.reading, settings.bus_key, settings.kek)
        self.handler: Handler = None  # type: ignore[assignment]
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tending: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where this installation answers on the web, as its links say."""
        return str(getattr(self.settings, "public_url", "") or "http://127.0.0.1:8000").rstrip("/")

    async def open(self) -> None:
        """Connect to everything; what is not there is awaited in the background."""
        await self.reading.open()
        self.handler = self.members.handler = await Handler.open(self.settings, clinic_state=self.kinds.clinic, lanes=self.reading.lanes)
        self.hub.noticed = self._noticed
        self.hub.fed = lambda: self.gate.listening
        self.bus.hear(APPLIED, self.watermarks.heard)
        self.bus.hear(HEARTBEAT, self._beat)
        self.bus.hear(SESSIONS, self._ended)
        self.bus.hear(EVENTS, self.hub.heard)
        self.bus.returned = self.gate.doubt
        await self.bus.open()
        await self.hub.open()
        await self.rates.open()
        self._tending = asyncio.create_task(self._tend())
        await self.uses.open()
        await self.erasures.open()

    async def close(self) -> None:
        """Let go of everything."""
        if self._tending:
            self._tending.cancel()
        await self.rates.close()
        await self.uses.close()
        await self.erasures.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        await self.hub.close()
        await self.bus.close()
        if self.handler:
            await self.handler.close()
        self.vault.close()
        self.spans.close()
        await self.narrator.close()
        await self.stripe.close()
        await self.objects.close()
        await self.reading.close()

    async def _tend(self) -> None:
        """Do what is to be done again and again: every gateway does, so whatever it is must bear being done twice at once."""
        while True:
            await asyncio.sleep(CHORE_SECONDS)
            for chore in self.chores:
                try:
                    await chore(self)
                except (Refused, Error, OSError) as error:
                    log.warning("a chore failed", chore=getattr(chore, "__name__", ""), error=type(error).__name__)

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something after the answer, which must not tell by its time whether there was anything to do."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("what was left for later failed", error=type(error).__name__)

    async def reader(self, clinic: UUID, position: int = 0) -> Reader:
        """Return a clinic's reader, once the read models have reached a position."""
        reader = await self.reading.of(clinic)
        if position:
            everywhere = clinic == PLATFORM  # whose reader sees all clinics' rows
            for partition in range(await self.reading.partitions()) if everywhere else (reader.partition,):
                if self.watermarks.reached.get(partition, 0) < position:
                    await self._caught_up(partition, position, LEVEL if everywhere else TRACKED)
        return reader

    async def end_session(self, session: UUID) -> None:
        """End a session here and tell the others."""
        self.gate.end(session)
        self.hub.end(session)
        await self.bus.say(SESSIONS, session.bytes)

    async def _caught_up(self, partition: int, position: int, tracked_by: str) -> None:
        loop = asyncio.get_running_loop()
        deadline, polls = loop.time() + BEHIND_SECONDS, iter(POLLS)
        reached, pause = self.watermarks.wait(partition, position), POLLS[0]
        while not reached.done():
            pause = next(polls, pause)
            await asyncio.wait([reached], timeout=pause)
            if reached.done():
                return
            rows = (await self.reading.lanes.ask(None, tracked_by, (partition,))).rows
            tracked, head = rows[0] if rows else (0, 0)
            self.watermarks.move(partition, tracked)
            if loop.time() > deadline or position > head:  # nobody was ever given a position beyond the head: not worth waiting for
                reached.cancel()
                self.watermarks.give_up(partition)
                raise ReadBehind(position=position)

    async def _beat(self, _: Msg) -> None:
        if not self.gate.listening:
            self.members.doubt()
        self.gate.beat()

    async def _ended(self, message: Msg) -> None:
        if session := session_of(message):
            self.gate.end(session)
            self.hub.end(session)

    def _erased(self, persons: Iterable[UUID]) -> None:
        self.handler.erase(persons)

    def _noticed(self, stored: Stored) -> None:
        """See to it that nothing rests on what a clinic, a person or a template was before, nor on a key that is destroyed."""
        if persons := erased([stored]):
            self.handler.erase(persons)
        if self.kinds.words.isdisjoint((stored.kind, stored.topic)):
            return
        self.members.noticed(stored.stream, stored.clinic, stored.version)
        self.gate.forget()
        if stored.kind == self.kinds.template.kind:
            self.hub.end_in(stored.clinic)
        if stored.version > 1:  # nobody's standing was any other before it began
            self.hub.end_of(stored.stream)
