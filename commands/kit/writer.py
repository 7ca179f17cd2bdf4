"""Group commit: concurrent saves queue; one writer flushes them together and tells each its own outcome.

How it works: while one batch is being flushed the next accumulates, so that batches grow with the load and a lone save waits for nobody. A batch has
at most 256 saves and 2,000 events, so that an import never stops a booking. The batch goes to `append_events` in one round trip.

What may go wrong: the connection breaks, or the server falls silent, around the commit, and nobody knows whether it happened. The same batch is sent again on a new connection;
the command ids tell which saves are already there. After five seconds of that, the callers get `Unavailable`, and may themselves send the command again.
A decision may rest on a save that is still on its way. If that one is not stored, another writer's event may have its version, and the number alone would not tell:
so each save names the ones it rests on (`Save.rests`) and falls with them.
"""

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg
import structlog
from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection, AsyncCursor

from commands.kit.arrays import packed, register
from commands.kit.errors import Unavailable

SAVED, SEEN, REUSED, MOVED, NAME_TAKEN, TIME_TAKEN, AGAIN = range(7)

MAX_SAVES = 256
MAX_EVENTS = 2_000
PATIENCE = 5.0  # seconds

log = structlog.get_logger(__name__)

ARRAYS = [  # the types of the arguments of `append_events`, in its order
    "uuid", "bytea", "uuid", "uuid", "uuid", "uuid", "timestamptz",  # saves
    "int", "int", "int", "int", "int", "int",  # where each save's part of the following ends
    "int", "uuid", "bigint", "text", "text", "uuid", "uuid", "bytea", "bytea",  # events
    "int", "uuid", "bigint", "bigint", "int",  # expected versions
    "uuid", "uuid", "uuid", "uuid",  # names taken, names freed
    "uuid", "timestamptz", "timestamptz", "uuid", "boolean", "timestamptz",  # times taken
    "uuid", "timestamptz", "uuid",  # times freed
    "int", "uuid", "bigint",  # whom nobody may have named since
]
CLAIM_ENDS = {NAME_TAKEN: 9, TIME_TAKEN: 11}  # the columns s_u and s_t
CALL = "select * from append_events(%s, %s, " + ", ".join(f"%s::{kind}[]" for kind in ARRAYS) + ")"  # noqa: S608 - names of ours


class NewEvent(Struct, frozen=True, gc=False):
    """An event ready to be written."""

    stream: UUID
    version: int
    topic: str
    kind: str
    id: UUID
    person: UUID | None
    mac: bytes
    body: bytes


class Slot(Struct, frozen=True, gc=False):
    """A time claim ready to be written."""

    kind: str
    resource: UUID
    start: datetime
    end: datetime
    forced: bool = False
    expires: datetime | None = None


class Save(Struct, frozen=True):
    """What one command wants written, all or nothing."""

    command: UUID
    clinic: UUID
    actor: UUID
    correlation: UUID
    events: list[NewEvent]
    expected: list[tuple[UUID, int, int]]  # stream, its version before and after (equal for a guard)
    rests: Sequence["asyncio.Future[Outcome] | None"] = ()  # for each of these the save on the way that made the version before, if there is one
    request_hash: bytes | None = None
    causation: UUID | None = None
    recorded_at: datetime | None = None
    names: Sequence[tuple[UUID, UUID]] = ()  # claim, owner
    names_freed: Sequence[tuple[UUID, UUID]] = ()
    slots: Sequence[tuple[UUID, Slot]] = ()  # owner, slot
    slots_freed: Sequence[tuple[UUID, Slot]] = ()
    unnamed: Sequence[tuple[UUID, int]] = ()  # ids that no event of the clinic after that position may name


class Outcome(Struct, frozen=True):
    """What became of a save; stream, version and last position also when it had been seen before."""

    status: int
    first: int | None
    recorded_us: int | None
    stream: UUID | None
    version: int | None
    position: int | None
    detail: int  # which claim (1-based, within this save) was in the way


FELL = Outcome(MOVED, None, None, None, None, None, 0)


def lost(rest: "asyncio.Future[Outcome] | None") -> bool:
    """Say whether a save was not stored, or nobody knows; a version that was decided on top of it never was."""
    return rest is not None and rest.done() and (rest.cancelled() or rest.exception() is not None or rest.result().status != SAVED)


def parameters(saves: Sequence[Save], places: Mapping["asyncio.Future[Outcome]", int] = MappingProxyType({})) -> tuple[list[Any], bool]:
    """Return the arguments of `append_events` and whether any stream occurs in two saves; `places` says where in the batch a save lies (1-based)."""
    columns: list[list[Any]] = [[] for _ in ARRAYS]
    (command, hashes, clinic, actor, correlation, causation, recorded, s_e, s_x, s_u, s_v, s_t, s_r,
     e_save, e_stream, e_version, e_topic, e_kind, e_id, e_person, e_mac, e_body,
     x_save, x_stream, x_before, x_after, x_rests, u_claim, u_owner, v_claim, v_owner,
     t_resource, t_start, t_end, t_owner, t_forced, t_expires, r_resource, r_start, r_owner, n_save, n_id, n_since) = columns
    written: set[UUID] = set()
    entangled = False
    for number, save in enumerate(saves, 1):
        command.append(save.command)
        hashes.append(save.request_hash)
        clinic.append(save.clinic)
        actor.append(save.actor)
        correlation.append(save.correlation)
        causation.append(save.causation)
        recorded.append(save.recorded_at)
        for event in save.events:
            e_save.append(number)
            e_stream.append(event.stream)
            e_version.append(event.version)
            e_topic.append(event.topic)
            e_kind.append(event.kind)
            e_id.append(event.id)
            e_person.append(event.person)
            e_mac.append(event.mac)
            e_body.append(event.body)
        x_rests.extend(places.get(rest, 0) if rest is not None else 0 for rest in save.rests or [None] * len(save.expected))
        for stream, before, after in save.expected:
            x_save.append(number)
            x_stream.append(stream)
            x_before.append(before)
            x_after.append(after)
            entangled = entangled or stream in written
        written.update(stream for stream, before, after in save.expected if after > before)
        for claim, owner in save.names:
            u_claim.append(claim)
            u_owner.append(owner)
        for claim, owner in save.names_freed:
            v_claim.append(claim)
            v_owner.append(owner)
        for owner, slot in save.slots:
            t_resource.append(slot.resource)
            t_start.append(slot.start)
            t_end.append(slot.end)
            t_owner.append(owner)
            t_forced.append(slot.forced)
            t_expires.append(slot.expires)
        for owner, slot in save.slots_freed:
            r_resource.append(slot.resource)
            r_start.append(slot.start)
            r_owner.append(owner)
        for named, since in save.unnamed:
            n_save.append(number)
            n_id.append(named)
            n_since.append(since)
        s_e.append(len(e_save))
        s_x.append(len(x_save))
        s_u.append(len(u_claim))
        s_v.append(len(v_claim))
        s_t.append(len(t_resource))
        s_r.append(len(r_resource))
    return columns, entangled


def crossed(saves: Sequence[Save]) -> bool:
    """Say whether a save gives back a claim that an earlier one takes; the hopeful way, which gives everything back first, would keep it."""
    taken: set[tuple[UUID, UUID] | tuple[UUID, UUID, datetime]] = set()
    for save in saves:
        freed = [*save.names_freed, *((slot.resource, owner, slot.start) for owner, slot in save.slots_freed)]
        if not taken.isdisjoint(freed):
            return True
        taken.update(save.names, ((slot.resource, owner, slot.start) for owner, slot in save.slots))
    return False


class Writer:
    """The one place where this process writes events."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._conn: AsyncConnection[Any] | None = None
        self._cursor: AsyncCursor[Any] | None = None
        self._queue: deque[tuple[Save, asyncio.Future[Outcome]]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._collided = False
        self.flushes = 0
        self.after_flush: list[Any] = []  # callables given the last position

    async def open(self) -> None:
        """Start flushing."""
        self._task = asyncio.create_task(self._run(), name="writer")

    async def close(self) -> None:
        """Flush what is queued and stop."""
        while self._queue:
            await asyncio.wait([self._queue[-1][1]])
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop()

    async def save(self, save: Save) -> Outcome:
        """Queue a save and return what became of it."""
        return await self.put(save)

    def put(self, save: Save) -> asyncio.Future[Outcome]:
        """Queue a save; the order of calls is the order of decisions."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((save, future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._flush(self._batch())

    def _batch(self) -> list[tuple[Save, asyncio.Future[Outcome]]]:
        batch: list[tuple[Save, asyncio.Future[Outcome]]] = []
        events = 0
        while self._queue and len(batch) < MAX_SAVES and events < MAX_EVENTS:
            entry = self._queue.popleft()
            if not entry[1].cancelled():
                batch.append(entry)
                events += len(entry[0].events)
        return batch

    def _standing(self, batch: list[tuple[Save, asyncio.Future[Outcome]]]) -> list[tuple[Save, asyncio.Future[Outcome]]]:
        """Return what may still be stored: not what rests on a save of an earlier batch that was not."""
        standing = []
        for save, future in batch:
            if not any(map(lost, save.rests)):
                standing.append((save, future))
            elif not future.done():
                future.set_result(FELL)
        return standing

    async def _flush(self, queued: list[tuple[Save, asyncio.Future[Outcome]]]) -> None:
        if not (batch := self._standing(queued)):
            return
        try:
            outcomes = await self._send([save for save, _ in batch], {future: place for place, (_, future) in enumerate(batch, 1)})
        except Unavailable as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(Unavailable(**error.details))
            return
        except psycopg.Error as error:  # ours to mend: a bug in a save must not stop the others
            await self._alone(batch, error)
            return
        top = 0
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            top = max(top, outcome.position or 0) if outcome.status == SAVED else top
            if not future.done():
                future.set_result(outcome)
        for call in self.after_flush:
            if top:
                call(top)

    async def _alone(self, batch: list[tuple[Save, asyncio.Future[Outcome]]], error: psycopg.Error) -> None:
        """Send each save of a batch that Postgres refused by itself, so that only the bad one fails."""
        log.error("a batch was refused", error=type(error).__name__, saves=len(batch), message=str(error).splitlines()[0])
        if len(batch) == 1:
            if not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for entry in batch:
            await self._flush([entry])

    async def _send(self, saves: Sequence[Save], places: Mapping["asyncio.Future[Outcome]", int]) -> list[Outcome]:
        columns, entangled = parameters(saves, places)
        # after a collision the next batch likely has one too: go the careful way at once
        twins = len({save.command for save in saves}) < len(saves)
        hopeful = not self._collided and not twins and not (entangled and crossed(saves))
        deadline = time.monotonic() + PATIENCE
        while True:
            hung = asyncio.get_running_loop().call_later(PATIENCE, self._hang_up)
            try:
                cursor = self._cursor or await self._connect()
                await cursor.execute(CALL, [hopeful, entangled, *packed(ARRAYS, columns)], prepare=True)
                rows = await cursor.fetchall()
                break
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                await self._drop()
                if time.monotonic() > deadline:
                    log.warning("events cannot be stored", error=type(error).__name__)
                    raise Unavailable from error
                await asyncio.sleep(0.05)
            finally:
                hung.cancel()
        self.flushes += 1
        outcomes = [Outcome(*row) for row in rows]
        for number, outcome in enumerate(outcomes):
            if number and outcome.status in (NAME_TAKEN, TIME_TAKEN):  # Postgres counts claims over the whole batch
                ends = columns[CLAIM_ENDS[outcome.status]]
                outcomes[number] = replace(outcome, detail=outcome.detail - ends[number - 1])
        self._collided = any(o.status in (NAME_TAKEN, TIME_TAKEN) for o in outcomes)
        return outcomes

    async def _connect(self) -> AsyncCursor[Any]:
        self._conn = await AsyncConnection.connect(self._url, autocommit=True, connect_timeout=5, application_name="writer")
        register(self._conn)
        self._cursor = self._conn.cursor(binary=True)
        return self._cursor

    def _hang_up(self) -> None:
        """Break a connection on which no answer comes: whoever waits for one is told at once."""
        if self._conn is not None and not self._conn.closed:
            with socket.socket(fileno=os.dup(self._conn.fileno())) as line, suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    async def _drop(self) -> None:
        conn, self._conn, self._cursor = self._conn, None, None
        if conn is not None:
            await asyncio.gather(conn.close(), return_exceptions=True)
