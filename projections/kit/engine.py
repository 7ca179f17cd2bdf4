"""The projection engine: a batch of stored events becomes rows, exactly once.

How it works. A batch costs two round trips. The first moves the tracked positions (the fence: nothing happens unless epoch and position are what this
process thinks) and loads every row the batch touches; the fold runs in memory; the second writes each final row once and commits. The fence
comes first, so what is loaded is what the fence protects. The same `fold` serves rebuilds. What is personal is opened only for read models that declare
a personal column: the others could keep it where no erasure looks for it.

What may go wrong, by class (`trouble`):
- transient (connection, deadlock, disk full, restart): the batch is tried again from the positions that are really there;
- data (a handler's bug, a body that does not decode, a value Postgres cannot hold): the fact's stream is parked for that projection, later events of that stream
  are parked behind it, everything else goes on. A failure that only shows when writing is found by halving the batch;
- structural (missing column or table, no privilege, an event this release does not know, anything unheard of): halt, loudly. Parking would lose data.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import AsyncConnection

from domain.kit import Fact
from domain.kit.codec import UnknownEventError, classes
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.erasing import blank_rows, erased
from projections.kit.keys import KeyRing
from projections.kit.rows import Change, FullKey, RowMapper, mapper_of
from projections.kit.stored import Stored, fact_of
from projections.kit.tables import LIVE, fingerprint
from projections.kit.tracking import FENCE, Held
from schemas.kit import Row

MAX_EVENTS = 1000  # of one transaction
Trouble = Literal["transient", "data", "structural"]
Touch = tuple[Fact, list[FullKey]]
Park = Callable[[Fact, Exception | None], None]
FIRST = 1  # version of a stream's first event
BEHIND = "behind a parked event"

PARK = """
insert into parked_events (projection, stream, position, partition, clinic_id, topic, error)
select * from json_to_recordset(%s::json)
    as given(projection text, stream uuid, position bigint, partition smallint, clinic_id uuid, topic text, error text)
on conflict do nothing
"""
PARKED = "select distinct projection, stream from parked_events where state = 'parked'"
ACTIVE = "select name, fingerprint, built from read_models where active"
GENERATION = "select generation from read_model_state"


class FenceLostError(Exception):
    """The tracked position or the epoch is not what this process thought: nothing was written."""


class ChangedError(Exception):
    """A read model was swapped or a parked stream released: look again before writing."""


class StructuralError(Exception):
    """Something that no retry and no parking can mend."""


class NotReadyError(Exception):
    """Read models await a rebuild, or belong to another release."""


class Batch(NamedTuple):
    """Events of some partitions, each partition's complete and in order, and how far each partition moves: from, to."""

    events: Sequence[Stored]
    moves: dict[int, tuple[int, int]]

    def halves(self) -> "tuple[Batch, Batch]":
        """Return two batches that do the same."""
        middle = len(self.events) // 2
        first, second = self.events[:middle], self.events[middle:]
        reached = {p: before for p, (before, _) in self.moves.items()} | {e.partition: e.position for e in first}
        return (
            Batch(first, {p: (before, reached[p]) for p, (before, _) in self.moves.items()}),
            Batch(second, {p: (reached[p], upto) for p, (_, upto) in self.moves.items()}),
        )


class Parked(NamedTuple):
    """An event that a projection could not take."""

    projection: str
    stream: UUID
    position: int
    partition: int
    clinic_id: UUID
    topic: str
    error: str


def trouble(error: BaseException) -> Trouble:
    """Say what kind of failure this is."""
    if isinstance(error, StructuralError | UnknownEventError):
        return "structural"
    if not isinstance(error, psycopg.Error):
        return "transient" if isinstance(error, OSError | TimeoutError) else "data"
    state = error.sqlstate
    if state is None:
        return "data" if isinstance(error, psycopg.DataError) else "transient"
    if state[:2] in {"08", "40", "53", "55", "57", "58"} or "cached plan" in str(error):
        return "transient"
    return "data" if state[:2] in {"22", "23", "44"} else "structural"


def explain(error: BaseException) -> str:
    """Return a failure in one line."""
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"[:300].replace("\0", "")


def fold(projection: Projection, touched: Iterable[Touch], rows: dict[FullKey, Row | None], park: Park) -> dict[FullKey, Change]:
    """Fold facts into rows, which are changed in place, and return the final changes.

    A fact that fails is told to `park` with its error, and the later ones of its stream with None; neither leaves anything behind.
    """
    changes: dict[FullKey, Change] = {}
    stopped: set[UUID] = set()
    step = _alone if projection.key is None else _together
    for fact, keys in touched:
        if stopped and fact.id in stopped:
            park(fact, None)
            continue
        try:
            after = step(projection, fact, keys, rows)
        except Exception as error:  # noqa: BLE001 - a handler's bug, whatever it is, stops its stream and nothing else
            stopped.add(fact.id)
            park(fact, error)
            continue
        for key, row in after:
            rows[key] = row
            changes[key] = Change(key, row, fact.position)
    return changes


def _alone(projection: Projection, fact: Fact, keys: list[FullKey], rows: dict[FullKey, Row | None]) -> Sequence[tuple[FullKey, Row | None]]:
    key = keys[0]
    before = rows.get(key)
    row = projection.function(before, fact)
    return () if row is before else ((key, row),)


def _together(projection: Projection, fact: Fact, keys: list[FullKey], rows: dict[FullKey, Row | None]) -> Sequence[tuple[FullKey, Row | None]]:
    after = []
    for key in keys:
        before = rows.get(key)
        row = projection.function(before, fact, key[1:])
        if row is not before:
            after.append((key, row))
    return after


@cache
def opens(projection: Projection) -> bool:
    """Say whether a projection is given what is personal: its row declares where that ends up."""
    return any(column.personal for column in projection.table.columns)


def touches(projection: Projection, fact: Fact) -> list[FullKey]:
    """Return the full keys of the rows that a fact touches, each once."""
    if projection.key is None:
        return [(fact.clinic, fact.id)]
    keys = [(fact.clinic, *key) for key in projection.key(fact)]
    return keys if len(keys) < 2 else list(dict.fromkeys(keys))  # noqa: PLR2004


class Work:
    """What one projection does with one batch."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.mapper: RowMapper = mapper_of(projection.row)
        self.touched: list[Touch] = []

    def keys(self) -> set[FullKey]:
        """The rows to load: none that this projection always makes anew, nor a stream's own before its first event."""
        if self.projection.fresh:
            return set()
        alone = self.projection.key is None
        return {key for fact, keys in self.touched if not (alone and fact.version == FIRST) for key in keys}


class Engine:
    """Applies batches on one connection, for one group of projections."""

    def __init__(self, conn: AsyncConnection[Any], ring: KeyRing, group: str = LIVE, projections: dict[str, Projection] | None = None) -> None:
        self.conn = conn
        self.ring = ring
        self.group = group
        self.projections = PROJECTIONS if projections is None else projections
        self.generation = 0
        self.parked: set[tuple[str, UUID]] = set()
        self.wanted: dict[str, list[Projection]] = {topic: [] for topic in classes()}
        for projection in self.projections.values():
            for topic in projection.topics:
                self.wanted[topic].append(projection)

    async def look(self) -> None:
        """Learn which versions are active and what is parked; raise `NotReadyError` if this release may not write them."""
        generation = await self._one(GENERATION)
        active = {name: (known, built) for name, known, built in await (await self.conn.execute(ACTIVE)).fetchall()}
        missing = [n for n, p in self.projections.items() if active.get(n) != (fingerprint(p.row), True)]
        if missing:
            raise NotReadyError(", ".join(sorted(missing)))
        self.parked = set(await (await self.conn.execute(PARKED)).fetchall())
        self.generation = generation

    async def apply(self, batch: Batch, held: dict[int, Held]) -> dict[int, int]:
        """Write a batch; return the new positions. Failures of data are parked; every other one is raised with nothing written."""
        try:
            return await self._transaction(batch, held, careful=len(batch.events) == 1)
        except (FenceLostError, ChangedError):
            await self._rollback()
            raise
        except Exception as error:
            await self._rollback()
            if trouble(error) != "data":
                raise
            if len(batch.events) <= 1:
                raise StructuralError(explain(error)) from error
        first, second = batch.halves()
        await self.apply(first, held)
        between = {p: h._replace(position=first.moves[p][1]) if p in first.moves else h for p, h in held.items()}
        return await self.apply(second, between)

    async def _transaction(self, batch: Batch, held: dict[int, Held], *, careful: bool) -> dict[int, int]:
        gone = erased(batch.events)
        for person in gone:
            self.ring.forget(person)
        await self.ring.warm(self.conn, (e.person for e in batch.events))
        parked: list[Parked] = []
        newly: set[tuple[str, UUID]] = set()
        works = self._sort(batch, parked, newly)
        loaded = await self._begin(batch, held, works)
        writes = [(work, self._fold(work, rows, parked, newly, batch)) for work, rows in zip(works, loaded, strict=True)]
        if careful:
            await self._write_carefully(writes, batch.events[0], parked, newly)
            writes = []
        elif gone:
            await self._write_all(writes)
            writes = []
        if gone:
            await blank_rows(self.conn, self.projections.values(), gone)
        await self._commit(writes, parked)
        self.parked |= newly
        return {p: upto for p, (_, upto) in batch.moves.items()}

    def _sort(self, batch: Batch, parked: list[Parked], newly: set[tuple[str, UUID]]) -> list[Work]:
        """Decode what is wanted and give each projection its facts; what cannot be decoded is parked."""
        works: dict[str, Work] = {}
        for stored in batch.events:
            try:
                wanting = self.wanted[stored.topic]
            except KeyError:
                message = f"this release does not know the event {stored.topic} at position {stored.position}"
                raise StructuralError(message) from None
            facts: dict[bool, Fact] = {}  # closed and, for those who may, opened
            for projection in wanting:
                stream = (projection.name, stored.stream)
                if (self.parked or newly) and (stream in self.parked or stream in newly):
                    parked.append(_parked(projection, stored, BEHIND))
                    continue
                try:
                    opened = stored.person is not None and opens(projection)
                    fact = facts.get(opened) or facts.setdefault(opened, fact_of(stored, self.ring.key_of if opened else None))
                    keys = touches(projection, fact)
                except Exception as error:  # noqa: BLE001 - see the header: data
                    parked.append(_parked(projection, stored, explain(error)))
                    newly.add(stream)
                    continue
                if keys:
                    work = works.get(projection.name)
                    if work is None:
                        work = works[projection.name] = Work(projection)
                    work.touched.append((fact, keys))
        return list(works.values())

    async def _begin(self, batch: Batch, held: dict[int, Held], works: list[Work]) -> list[dict[FullKey, Row | None]]:
        """First round trip: move the fence, load the rows."""
        moves = [{"partition": p, "epoch": held[p].epoch, "before": b, "upto": u} for p, (b, u) in batch.moves.items()]
        cursors = []
        async with self.conn.pipeline():
            await self.conn.execute("begin")
            fence = await self.conn.execute(FENCE, (msgspec.json.encode(moves).decode(), self.group))
            state = await self.conn.execute(GENERATION)
            for work in works:
                wanted = work.keys()
                cursors.append(await self._load(work, wanted) if wanted else None)
        if fence.rowcount != len(moves):
            raise FenceLostError
        if await state.fetchone() != (self.generation,):
            raise ChangedError
        loaded: list[dict[FullKey, Row | None]] = []
        for work, cursor in zip(works, cursors, strict=True):
            kept = map(work.mapper.kept, await cursor.fetchall()) if cursor else ()
            loaded.append({k.key: k.row for k in kept})
        return loaded

    async def _load(self, work: Work, keys: set[FullKey]) -> psycopg.AsyncCursor[Any]:
        return await self.conn.execute(work.mapper.load_sql(work.projection.name), (work.mapper.keys(keys),), binary=True)

    def _fold(
        self, work: Work, rows: dict[FullKey, Row | None], parked: list[Parked], newly: set[tuple[str, UUID]], batch: Batch,
    ) -> list[Change]:
        """Fold one projection's facts; a fact that fails parks its stream, from there on."""
        projection = work.projection

        def park(fact: Fact, error: Exception | None) -> None:
            stored = next(e for e in batch.events if e.position == fact.position)
            parked.append(_parked(projection, stored, explain(error) if error else BEHIND))
            newly.add((projection.name, fact.id))

        return list(fold(projection, work.touched, rows, park).values())

    async def _commit(self, writes: list[tuple[Work, list[Change]]], parked: list[Parked]) -> None:
        """Second round trip: write the final rows, commit."""
        async with self.conn.pipeline():
            await self._write_all(writes)
            if parked:
                await self.conn.execute(PARK, (msgspec.json.encode([p._asdict() for p in parked]).decode(),))
            await self.conn.execute("commit")

    async def _write_all(self, writes: list[tuple[Work, list[Change]]]) -> None:
        for work, changes in writes:
            await self._write(work, changes)

    async def _write(self, work: Work, changes: list[Change]) -> None:
        name, mapper = work.projection.name, work.mapper
        write = mapper.insert_sql if work.projection.fresh else mapper.upsert_sql
        if kept := [c for c in changes if c.row is not None]:
            await self.conn.execute(write(name), mapper.encoded(kept))
        if gone := [c.key for c in changes if c.row is None]:
            await self.conn.execute(mapper.delete_sql(name), (mapper.keys(gone),))

    async def _write_carefully(
        self, writes: list[tuple[Work, list[Change]]], stored: Stored, parked: list[Parked], newly: set[tuple[str, UUID]],
    ) -> None:
        """Write one event's rows projection by projection; the one that cannot take it is parked."""
        for work, changes in writes:
            await self.conn.execute("savepoint one")
            try:
                await self._write(work, changes)
            except Exception as error:
                if trouble(error) != "data":
                    raise
                await self.conn.execute("rollback to savepoint one")
                parked.append(_parked(work.projection, stored, explain(error)))
                newly.add((work.projection.name, stored.stream))

    async def _rollback(self) -> None:
        if not self.conn.closed:
            try:
                await self.conn.rollback()
            except psycopg.Error:
                await self.conn.close()

    async def _one(self, statement: str) -> Any:
        found = await (await self.conn.execute(statement)).fetchone()
        return found[0] if found else None


def _parked(projection: Projection, stored: Stored, error: str) -> Parked:
    return Parked(projection.name, stored.stream, stored.position, stored.partition, stored.clinic, stored.topic, error)
