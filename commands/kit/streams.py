"""Streams as this process knows them: loaded, folded, cached by id and version.

How it works: `Streams.get` returns an entry (state, version, perhaps the row of its own read model) from the cache or from Postgres; loads that are asked for at the same
moment for the same clinic share a round trip. The cache is never trusted: every version that was relied on is checked again by the append function. Long streams
are snapshotted: the state struct as JSON, under its class's fingerprint, so that a changed class drops its snapshots. That a stream is not there is remembered as well, for those
who take its defaults then and guard it; to everybody else it is looked up again, for it may be there by now.

What may go wrong: row-level security hides another clinic's stream, so it looks like one that does not exist, which is the answer it should get. A state must not depend on
personal fields: they are None when a stream is loaded for deciding only.
"""

import asyncio
import hashlib
from collections import OrderedDict, defaultdict
from functools import cache
from typing import Any
from uuid import UUID

import msgspec

from domain.kit import State
from projections.kit import PROJECTIONS, Projection
from projections.kit.keys import SELECT, KeyRing
from projections.kit.lanes import Lanes
from projections.kit.stored import COLUMNS, Stored, fact_of
from schemas.kit import Row

CACHE = 50_000  # streams
MISSING = 10_000  # that are known not to be there
SNAPSHOT_EVERY = 200  # events

EVENTS = f"select {COLUMNS} from stored_events where originator_id = any(%s::uuid[]) order by originator_id, originator_version"  # noqa: S608
LATER = f"select {COLUMNS} from stored_events where originator_id = %s and originator_version > %s order by originator_version"  # noqa: S608
SNAPSHOT = "select originator_version, state from snapshots where originator_id = %s and topic = %s order by originator_version desc limit 1"
TAKE = """
insert into snapshots (originator_id, originator_version, topic, state, clinic_id) values (%s, %s, %s, %s::bytea, %s)
on conflict do nothing returning originator_id
"""


class Entry:
    """A stream as it stands in this process; `tail` is the last save it rests on, on the way or settled."""

    __slots__ = ("clinic", "kind", "row", "row_known", "state", "tail", "version")

    def __init__(self, clinic: UUID, kind: str, state: State, version: int = 0) -> None:
        self.clinic = clinic
        self.kind = kind
        self.state = state
        self.version = version
        self.row: Row | None = None
        self.row_known = version == 0
        self.tail: asyncio.Future[Any] | None = None


@cache
def fingerprint(state: type[State]) -> str:
    """Return the name under which snapshots of a state class are kept; it changes with its fields."""
    shape = repr(msgspec.json.schema(state)).encode()
    return f"{state.__name__}:{hashlib.sha256(shape).hexdigest()[:12]}"


@cache
def states() -> dict[str, type[State]]:
    """Return the state classes by kind; the modules that define them must have been imported."""
    return {cls.kind: cls for cls in State.__subclasses__()}


@cache
def own_projection(kind: str) -> Projection | None:
    """Return the projection that makes one row of one stream of this kind, if there is one."""
    found = PROJECTIONS.get(kind)
    return found if found is not None and found.key is None else None


class Streams:
    """All streams of all clinics, one door."""

    def __init__(self, lanes: Lanes, keys: KeyRing) -> None:
        self._lanes = lanes
        self.keys = keys
        self.capacity = CACHE  # an import may set more, and forget what it is done with
        self._cache: OrderedDict[UUID, Entry] = OrderedDict()
        self._missing: OrderedDict[UUID, Entry] = OrderedDict()
        self._waiting: defaultdict[UUID, dict[UUID, asyncio.Future[list[Stored]]]] = defaultdict(dict)
        self._tasks: set[asyncio.Task[None]] = set()

    def cached(self, stream: UUID, clinic: UUID) -> Entry | None:
        """Return the entry if this process has it; another clinic's is none."""
        entry = self._cache.get(stream)
        return entry if entry is not None and (entry.clinic is clinic or entry.clinic == clinic) else None

    def keep(self, stream: UUID, entry: Entry) -> None:
        """Remember an entry; the oldest goes, used or not, for keeping account of use would cost more than loading a popular one again."""
        self._cache[stream] = entry
        while len(self._cache) > self.capacity:
            self._cache.popitem(last=False)

    def missing(self, stream: UUID, clinic: UUID) -> Entry | None:
        """Return the entry of a stream that was not there when it was last looked for; only for a decision that guards it."""
        entry = self._missing.get(stream)
        return entry if entry is not None and not entry.version and entry.clinic == clinic else None

    def miss(self, stream: UUID, entry: Entry) -> None:
        """Remember that a stream is not there."""
        self._missing[stream] = entry
        while len(self._missing) > MISSING:
            self._missing.popitem(last=False)

    async def drop(self, stream: UUID) -> None:
        """Forget a stream, once its saves on the way have been decided."""
        self._missing.pop(stream, None)
        entry = self._cache.get(stream)
        if entry is None:
            return
        if entry.tail is not None and not entry.tail.done():
            await asyncio.wait([entry.tail])
        self._cache.pop(stream, None)

    def forget(self, stream: UUID, entry: Entry | None = None) -> None:
        """Forget a stream at once, or only if it is known as that entry."""
        if entry is None or self._cache.get(stream) is entry:
            self._cache.pop(stream, None)

    def blind(self) -> None:
        """Forget every row, for one may be about somebody who has just been erased; states hold nothing personal."""
        for entry in self._cache.values():
            if entry.row is not None:
                entry.row, entry.row_known = None, False

    async def get(self, state: type[State], stream: UUID, clinic: UUID, *, row: bool = False) -> Entry:
        """Return a stream's entry; version 0 if it has no events here or is of another kind. `row` also folds its own row, personal data included."""
        entry = self.cached(stream, clinic)
        if entry is not None and (entry.row_known or not row):
            return entry if entry.kind == state.kind else Entry(clinic, state.kind, state())
        loaded = await self._load(state, stream, clinic, row=row)
        newer = self.cached(stream, clinic)  # another task may have loaded it, or even written to it, meanwhile
        if newer is not None and newer.version >= loaded.version and (newer.row_known or not row):
            return newer
        if loaded.version:
            self.keep(stream, loaded)
        return loaded

    async def latest(self, state: type[State], stream: UUID, clinic: UUID, *, row: bool = False) -> Entry:
        """As `get`, but as the stream stands in the store this very moment: another process may have written to it."""
        await self.drop(stream)
        return await self.get(state, stream, clinic, row=row)

    async def kind(self, stream: UUID, clinic: UUID) -> str | None:
        """Return the kind of a stream of this clinic, or None."""
        if entry := self.cached(stream, clinic):
            return entry.kind
        events = await self._events(stream, clinic)
        if not events:
            return None
        if (state := states().get(events[0].kind)) is not None and self.cached(stream, clinic) is None:
            self.keep(stream, await self._folded(state, clinic, events, row=False))
        return events[0].kind

    async def row_at(self, stream: UUID, clinic: UUID, version: int) -> Row | None:
        """Return a stream's own row as it was at a version."""
        events = [e for e in await self._events(stream, clinic) if e.version <= version]
        state = states().get(events[0].kind) if events else None
        return (await self._folded(state, clinic, events, row=True)).row if state is not None else None

    async def projected(self, projection: Projection, stream: UUID, clinic: UUID) -> tuple[Row | None, int]:
        """Return what another projection than the kind's own makes of one stream as it is stored, personal data included, and at which version that is."""
        events = await self._events(stream, clinic)
        if self.keys.missing(e.person for e in events):
            await self._warm(clinic, events)
        row: Row | None = None
        for stored in events:
            if stored.topic in projection.topics:
                fact = fact_of(stored, self.keys.key_of)
                row = projection.next(row, fact, (fact.id,))
        return row, events[-1].version if events else 0

    async def _load(self, state: type[State], stream: UUID, clinic: UUID, *, row: bool) -> Entry:
        if not row and (short := await self._from_snapshot(state, stream, clinic)) is not None:
            return short
        events = await self._events(stream, clinic)
        if not events or events[0].kind != state.kind:
            return Entry(clinic, state.kind, state())
        return await self._folded(state, clinic, events, row=row)

    async def _folded(self, state: type[State], clinic: UUID, events: list[Stored], *, row: bool) -> Entry:
        projection = own_projection(state.kind)
        if row and projection is not None and self.keys.missing(e.person for e in events):
            await self._warm(clinic, events)
        entry = Entry(clinic, state.kind, state())
        for stored in events:
            fact = fact_of(stored, self.keys.key_of if row else None)
            entry.state = entry.state.evolve(fact.event)
            entry.version = fact.version
            if row and projection is not None and stored.topic in projection.topics:
                entry.row = projection.next(entry.row, fact, (fact.id,))
        entry.row_known = row
        return entry

    async def _warm(self, clinic: UUID, events: list[Stored]) -> None:
        wanted = self.keys.missing(e.person for e in events)
        self.keys.learn((await self._lanes.ask(clinic, SELECT, (wanted,))).rows, wanted)

    async def _from_snapshot(self, state: type[State], stream: UUID, clinic: UUID) -> Entry | None:
        if not state.snapshots:
            return None
        rows = (await self._lanes.ask(clinic, SNAPSHOT, (stream, fingerprint(state)))).rows
        if not rows:
            return None
        found = rows[0]
        later = (await self._lanes.ask(clinic, LATER, (stream, found[0]))).rows
        entry = Entry(clinic, state.kind, msgspec.json.decode(found[1], type=state), found[0])
        entry.row_known = False
        for record in later:
            fact = fact_of(Stored(*record))
            entry.state, entry.version = entry.state.evolve(fact.event), fact.version
        return entry

    def snapshot(self, stream: UUID, clinic: UUID, state: State, version: int, grown: int) -> None:
        """Keep a snapshot of what was stored, in the background, each time a stream that wants them grows past a multiple of SNAPSHOT_EVERY."""
        if state.snapshots and version // SNAPSHOT_EVERY != (version - grown) // SNAPSHOT_EVERY:
            task = asyncio.create_task(self._take(stream, clinic, state, version))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, stream: UUID, clinic: UUID, state: State, version: int) -> None:
        await self._lanes.ask(clinic, TAKE, (stream, version, fingerprint(type(state)), msgspec.json.encode(state), clinic))

    async def _events(self, stream: UUID, clinic: UUID) -> list[Stored]:
        """Return a stream's stored events; what is asked for in one turn of the loop travels together."""
        waiting = self._waiting[clinic]
        if stream not in waiting:
            waiting[stream] = asyncio.get_running_loop().create_future()
            if len(waiting) == 1:
                task = asyncio.create_task(self._fetch(clinic))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(waiting[stream])

    async def _fetch(self, clinic: UUID) -> None:
        await asyncio.sleep(0)  # let this turn's other readers join
        wanted = self._waiting.pop(clinic)
        try:
            records = (await self._lanes.ask(clinic, EVENTS, (list(wanted),))).rows
        except Exception as error:  # noqa: BLE001 - it is the readers' to handle
            for future in wanted.values():
                if not future.done():
                    future.set_exception(error)
            return
        found: defaultdict[UUID, list[Stored]] = defaultdict(list)
        for record in records:
            found[record[1]].append(Stored(*record))
        for stream, future in wanted.items():
            if not future.done():
                future.set_result(found[stream])
