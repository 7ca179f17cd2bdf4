"""What deciding a command leans on: cached streams, the writer, persons' keys, and the pipelined lanes that they read through."""

import asyncio
import hmac
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar
from uuid import UUID

import psycopg

from commands.kit import writer as w
from commands.kit.command import Holding
from commands.kit.counters import Counters
from commands.kit.errors import Erased
from commands.kit.ids import resource
from commands.kit.streams import Streams
from commands.kit.writer import Outcome, Writer
from domain.kit import PLATFORM, State, TimeClaim
from projections.kit.keys import INSERT, SELECT, KeyRing
from projections.kit.lanes import Lanes, ReadUnavailable
from projections.kit.reading import Reader
from schemas.kit import Row

LOGGED = "select request_hash, stream, version, position from command_log where command_id = %s"

HOLDER = "select o from claim_holder(%s) o where o is not null"
HOLDERS = "select place, holder, since, upto from time_holders(%s::uuid[], %s::timestamptz[], %s::timestamptz[])"
TENANT_OF = "select t from stream_tenant(%s) t where t is not null"

FORGET = "select forget_commands(%s)"
FORGET_SECONDS = 60.0
PORTION = 2_000  # commands forgotten at once

R = TypeVar("R", bound=Row)


def address_key(mac_key: bytes, email: str) -> str:
    """Return the keyed hash of an e-mail address, which is compared without regard to case and width."""
    folded = unicodedata.normalize("NFKC", email).strip().casefold()
    return hmac.digest(hmac.digest(mac_key, b"addresses", "sha256"), folded.encode(), "sha256").hex()[:32]


class Store:
    """The event store as one process uses it: streams, writer, keys."""

    def __init__(self, settings: Any, lanes: Lanes, clinic_state: type[State]) -> None:
        self.lanes = lanes
        self.keys = KeyRing(settings.kek)
        self.streams = Streams(lanes, self.keys)
        self.writer = Writer(settings.database_url)
        self.counters = Counters(lanes)
        self.clinic_state = clinic_state
        self._mac_key: bytes = settings.mac_key
        self._own_lanes = False
        self._forgetting: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Any, *, clinic_state: type[State], lanes: Lanes | None = None) -> Self:
        """Return it ready; `settings` has database_url, mac_key and kek. Without `lanes` it reads through its own."""
        store = cls(settings, lanes or Lanes(settings.database_url, size=2, name="loader"), clinic_state)
        if lanes is None:
            store._own_lanes = True
            await store.lanes.open()
        await store.writer.open()
        store._forgetting = asyncio.create_task(store._forget())
        return store

    async def close(self) -> None:
        """Flush and stop."""
        if self._forgetting:
            self._forgetting.cancel()
        await self.writer.close()
        if self._own_lanes:
            await self.lanes.close()

    async def clinic(self, clinic: UUID) -> Any:
        """Return the clinic's own state: name, zone, currency, plan."""
        return (await self.streams.get(self.clinic_state, clinic, clinic)).state

    async def known(self, clinic: UUID, kind: str, stream: UUID) -> bool:
        """Say whether the clinic has a stream of that kind and id."""
        return await self.streams.kind(stream, clinic) == kind

    async def tenant_of(self, stream: UUID) -> UUID | None:
        """Return whose stream that is; only for those who may look beyond one clinic."""
        rows = (await self.lanes.ask(None, TENANT_OF, (stream,))).rows
        return rows[0][0] if rows else None

    async def find(self, row: type[R], clinic: UUID, equals: dict[str, Any]) -> list[R]:
        """Return rows of a read model of one clinic, where each named column equals its value."""
        return await Reader(self.lanes, clinic, 0).find(row, **equals)

    async def ensure_keys(self, clinic: UUID, persons: set[UUID]) -> None:
        """See that each of these persons has a key, making those that are missing."""
        if not (wanted := [p for p in persons if self.keys.key_of(p) is None]):
            return
        minted = [self.keys.mint(p) for p in wanted]
        await self.lanes.ask(clinic, INSERT, (wanted, [clinic] * len(wanted), [self.keys.name] * len(wanted), minted))
        self.keys.learn((await self.lanes.ask(clinic, SELECT, (wanted,))).rows, wanted)
        if any(self.keys.key_of(p) is None for p in wanted):
            raise Erased

    async def learn_keys(self, clinic: UUID, persons: Iterable[UUID]) -> None:
        """Learn the keys of these persons, where there are any."""
        if wanted := self.keys.missing(persons):
            self.keys.learn((await self.lanes.ask(clinic, SELECT, (wanted,))).rows, wanted)

    def erase(self, persons: Iterable[UUID]) -> None:
        """Forget what this process knows of persons whose keys have been destroyed."""
        for person in persons:
            self.keys.forget(person)
        self.streams.blind()

    def address_key(self, email: str) -> str:
        """Return the keyed hash by which an e-mail address is known where it must not be told."""
        return address_key(self._mac_key, email)

    async def holder(self, scope: str, key: str, clinic: UUID = PLATFORM) -> UUID | None:
        """Return the stream that holds a unique claim just now."""
        rows = (await self.lanes.ask(None, HOLDER, (resource(clinic, scope, key.encode()),))).rows
        return rows[0][0] if rows else None

    async def holders(self, claims: Sequence[TimeClaim], clinic: UUID) -> list[list[Holding]]:
        """Return for each of these times who holds any of it just now."""
        things = [resource(clinic, claim.kind, claim.id.bytes) for claim in claims]
        rows = (await self.lanes.ask(None, HOLDERS, (things, [claim.start for claim in claims], [claim.end for claim in claims]))).rows
        found: list[list[Holding]] = [[] for _ in claims]
        for place, *held in rows:
            found[place - 1].append(Holding(*held))
        return found

    def mac(self, content: bytes) -> bytes:
        """Return the MAC of an event's `mac_content`."""
        return hmac.digest(self._mac_key, content, "sha256")

    async def logged(self, command_id: UUID) -> tuple[bytes | None, Outcome] | None:
        """Return the request hash and the outcome of an earlier command of this id."""
        rows = (await self.lanes.ask(None, LOGGED, (command_id,))).rows
        if not rows:
            return None
        request_hash, stream, version, position = rows[0]
        return request_hash, Outcome(w.SEEN, None, None, stream, version, position, 0)

    async def _forget(self) -> None:
        """Forget commands that nobody will repeat any more; without the database, later."""
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            with suppress(ReadUnavailable, psycopg.Error):
                while (await self.lanes.ask(None, FORGET, (PORTION,))).rows[0][0] >= PORTION:  # noqa: ASYNC110 - others go first
                    await asyncio.sleep(0.1)
