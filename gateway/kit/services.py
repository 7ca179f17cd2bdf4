"""What every request leans on: one of each per process, opened at start and closed at the end."""

import asyncio
from typing import Any
from uuid import UUID

from nats.aio.msg import Msg

from commands.kit.accounts import AccountDisabled, Accounts
from commands.kit.codes import Codes
from commands.kit.doors import Doors
from commands.kit.handling import Handler
from commands.kit.objects import objects_at
from domain.kit import PLATFORM, State
from gateway.kit.bus import APPLIED, EVENTS, HEARTBEAT, SESSIONS, Bus, Watermarks, session_of
from gateway.kit.errors import ReadBehind
from gateway.kit.gate import Gate
from gateway.kit.hub import Hub
from gateway.kit.metrics import Metrics
from gateway.kit.proxies import Proxies
from gateway.kit.rates import rates_of
from gateway.kit.stripe import Stripe
from gateway.kit.tokens import Keys
from gateway.kit.tracing import Spans
from projections.kit.reading import Reader, Reading
from projections.kit.stored import Stored

POLLS = (0.005, 0.015, 0.03)  # seconds between looks at the tracked position; the last repeats
BEHIND_SECONDS = 5.0
TRACKED = "select t.position, h.position from projector_tracking t cross join store_head h where t.grp = 'live' and t.partition = %s::smallint"
STAFF = {"admin", "doctor", "receptionist"}  # roles that end when somebody is removed


class Services:
    """The gateway's parts; `settings` has database_url, nats_url, mac_key, bus_key, kek, signing_key and objects."""

    def __init__(self, settings: Any, clinic_state: type[State], staff_state: type[State]) -> None:
        self.settings = settings
        self.clinic_state = clinic_state
        self.staff_state = staff_state
        self.standing = frozenset({clinic_state.kind, staff_state.kind})  # what may be done hangs on these
        self.metrics = Metrics()
        self.spans = Spans()
        self.watermarks = Watermarks()
        self.reading = Reading(settings.database_url)
        self.accounts = Accounts(self.reading.lanes, settings.mac_key)
        self.objects = objects_at(settings.objects)
        self.codes = Codes(self.reading.lanes, settings.kek)
        self.doors = Doors(self.reading.lanes, settings.mac_key)
        self.rates = rates_of(settings, self.reading.lanes)
        self.proxies = Proxies(getattr(settings, "proxies", ""))
        self.keys = Keys(settings.signing_key)
        self.gate = Gate(self.keys, self.accounts.alive, self._clinic, self._standing)
        self.stripe = Stripe(getattr(settings, "stripe_key", ""), getattr(settings, "stripe_url", ""))
        self.bus = Bus(settings.nats_url)
        self.hub = Hub(self.reading, settings.bus_key)
        self.handler: Handler = None  # type: ignore[assignment]
        self._looked_at: set[UUID] = set()  # clinics and staff as they are since the feed is alive

    async def open(self) -> None:
        """Connect to everything; what is not there is awaited in the background."""
        await self.reading.open()
        self.handler = await Handler.open(self.settings, clinic_state=self.clinic_state, lanes=self.reading.lanes)
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

    async def close(self) -> None:
        """Let go of everything."""
        await self.rates.close()
        await self.hub.close()
        await self.bus.close()
        if self.handler:
            await self.handler.close()
        self.accounts.close()
        self.spans.close()
        await self.stripe.close()
        await self.objects.close()
        await self.reading.close()

    async def reader(self, clinic: UUID, position: int = 0) -> Reader:
        """Return a clinic's reader, once the read models have reached a position."""
        reader = await self.reading.of(clinic)
        if position:
            for partition in range(await self.reading.partitions()) if clinic == PLATFORM else (reader.partition,):  # the platform's sees all clinics' rows
                if self.watermarks.reached.get(partition, 0) < position:
                    await self._caught_up(partition, position)
        return reader

    async def end_session(self, session: UUID) -> None:
        """End a session here and tell the others."""
        self.gate.end(session)
        self.hub.end(session)
        await self.bus.say(SESSIONS, session.bytes)

    async def _caught_up(self, partition: int, position: int) -> None:
        loop = asyncio.get_running_loop()
        deadline, polls = loop.time() + BEHIND_SECONDS, iter(POLLS)
        reached, pause = self.watermarks.wait(partition, position), POLLS[0]
        while not reached.done():
            pause = next(polls, pause)
            await asyncio.wait([reached], timeout=pause)
            if reached.done():
                return
            rows = (await self.reading.lanes.ask(None, TRACKED, (partition,))).rows
            tracked, head = rows[0] if rows else (0, 0)
            self.watermarks.move(partition, tracked)
            if loop.time() > deadline or position > head:  # nobody was ever given a position beyond the head: not worth waiting for
                reached.cancel()
                self.watermarks.give_up(partition)
                raise ReadBehind(position=position)

    async def _clinic(self, clinic: UUID) -> Any:
        await self._fresh(clinic)
        return await self.handler.clinic(clinic)

    async def _fresh(self, stream: UUID) -> None:
        """See to it that a stream is not remembered from before the feed could tell of its changes."""
        if stream in self._looked_at and self.gate.listening:
            return
        if len(self._looked_at) > 10_000:  # noqa: PLR2004 - they are soon looked at again
            self._looked_at.clear()
        if self.gate.listening:
            self._looked_at.add(stream)
        await self.handler.streams.drop(stream)

    async def _standing(self, clinic: UUID, role: str, subject: UUID | None) -> str:
        """Return the role somebody has by now: what a member of staff is outranks what the account was made for."""
        if subject is None or role not in STAFF:
            return role
        await self._fresh(subject)
        member: Any = await self.handler.streams.get(self.staff_state, subject, clinic)
        if not member.version:
            return role
        if not member.state.active:
            raise AccountDisabled
        return str(member.state.role)

    async def _beat(self, _: Msg) -> None:
        if not self.gate.listening:
            self._looked_at.clear()
        self.gate.beat()

    async def _ended(self, message: Msg) -> None:
        if session := session_of(message):
            self.gate.end(session)
            self.hub.end(session)

    def _noticed(self, stored: Stored) -> None:
        """See to it that nothing rests on what a clinic or a member of staff was before: permissions hang on plan and role."""
        if stored.kind not in {self.clinic_state.kind, self.staff_state.kind}:
            return
        known = self.handler.streams.cached(stored.stream, stored.clinic)
        if known is not None and known.version < stored.version:
            self.handler.streams.forget(stored.stream)
        self._looked_at.discard(stored.stream)
        self.gate.forget()
        if stored.version > 1:  # nobody's standing was any other before it began
            self.hub.end_of(stored.stream)
