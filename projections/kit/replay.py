"""Replaying history for one read model, as fast as one process can.

How it works. Events come from Postgres in windows of position, the next one fetched by a thread while this one is folded; only the wanted topics, with a
decoder per topic. The function is given a `Recalled` fact that takes its fields from the line when asked, and is used again for the next line: making a
thousand million objects is what a replay would otherwise spend its time on. The same goes for the cyclic collector, which is off meanwhile (it
costs a factor of 2.6). Only the barest columns are fetched at first; a function that asks for more of the envelope makes the replay begin again with them.
Rows that rest are packed to bytes, about half a KB each, so that memory stays bounded. Final rows are written once, by COPY.

What may go wrong. A fact that fails is parked as live (`engine.fold` says the same in other words; a law compares the two). A row that Postgres
cannot hold ends the replay with its key.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection, Cursor

from domain.kit import Event
from domain.kit.codec import _decoder, decode
from projections.kit.declare import ALL, Projection
from projections.kit.engine import BEHIND, Parked, StructuralError, explain, opens
from projections.kit.keys import KeyRing
from projections.kit.rows import KeyMismatchError, RowMapper, mapper_of

PAGE = 5_000  # events of a window, about: more of them leave the processor's cache, and cost a quarter more
WIDEST = 50_000  # positions of a window, at most
HOT = 50_000  # rows kept as structs; more than that, and those at rest are packed
READER = "-c timezone=UTC -c jit=off -c enable_seqscan=off -c default_transaction_read_only=on"
Y2K = datetime(2000, 1, 1, tzinfo=UTC)  # Postgres counts microseconds from here

POSITION, TOPIC, CLINIC, BODY, STREAM, STREAM_BYTES, VERSION, TIME, PERSON, EVENT_ID, PARTITION = range(11)
KIND, ACTOR, COMMAND, CORRELATION, CAUSATION, HASH, MAC = range(11, 18)
BARE = "notification_id, topic, uuid_send(clinic_id), state"
LEAN = f"{BARE}, null::int, uuid_send(originator_id), null::int, timestamptz_send(recorded_at)"
SLIM = (
    f"{BARE}, originator_id, uuid_send(originator_id), originator_version, timestamptz_send(recorded_at), person, "
    "case when person is not null then event_id end, partition"
)
WHOLE = f"{SLIM}, stream_kind, actor, command_id, correlation_id, causation_id, hash, mac"

Line = tuple[Any, ...]
Skips = frozenset[tuple[UUID, int]]
Rows = dict[Any, list[Any]]  # key -> row and the position of its last change, changed in place: finding it once is enough
Progress = Callable[[int], None]


class EnvelopeWanted(BaseException):  # not an Exception: no handler of errors may take it for one
    """The function asks for a column that was not fetched."""


def _wanted(_: Any) -> Any:
    raise EnvelopeWanted


class Recalled:
    """A fact, read when asked; the barest."""

    __slots__ = ("event", "line")
    clinics: dict[bytes, UUID] = {}  # noqa: RUF012 - ids, the same for all
    line: Line
    event: Event
    position = property(lambda self: self.line[POSITION])
    clinic = property(lambda self: clinic_of(self.line[CLINIC]))
    id = version = recorded_at = kind = actor = command = correlation = causation = hash = mac = property(_wanted)


class RecalledLean(Recalled):
    """A fact that also knows its stream and its time."""

    __slots__ = ()
    id = property(lambda self: UUID(bytes=self.line[STREAM_BYTES]))
    recorded_at = property(lambda self: Y2K + timedelta(0, 0, int.from_bytes(self.line[TIME], "big", signed=True)))


class RecalledSlim(RecalledLean):
    """A fact with what most projections ask for, and with what is needed to open what is sealed and to park what fails."""

    __slots__ = ()
    id = property(lambda self: self.line[STREAM])
    version = property(lambda self: self.line[VERSION])


class RecalledWhole(RecalledSlim):
    """A fact with its whole envelope."""

    __slots__ = ()
    kind = property(lambda self: self.line[KIND])
    actor = property(lambda self: self.line[ACTOR])
    command = property(lambda self: self.line[COMMAND])
    correlation = property(lambda self: self.line[CORRELATION])
    causation = property(lambda self: self.line[CAUSATION])
    hash = property(lambda self: self.line[HASH])
    mac = property(lambda self: self.line[MAC])


WAYS: tuple[tuple[str, type[Recalled]], ...] = ((BARE, Recalled), (LEAN, RecalledLean), (SLIM, RecalledSlim), (WHOLE, RecalledWhole))


class Only(NamedTuple):
    """Of which events: those of some partitions, of one clinic, recorded by an instant; of all when nothing is said."""

    partitions: tuple[int, ...] | None = None
    clinic: UUID | None = None
    instant: datetime | None = None

    @property
    def condition(self) -> str:
        """What it adds to a statement."""
        parts = [" and partition = any(%s::smallint[])"] if self.partitions is not None else []
        return "".join([*parts, *([" and clinic_id = %s"] if self.clinic else []), *([" and recorded_at <= %s"] if self.instant else [])])

    @property
    def params(self) -> tuple[Any, ...]:
        """The parameters of that."""
        parts = [list(self.partitions)] if self.partitions is not None else []
        return (*parts, *([self.clinic] if self.clinic else []), *([self.instant] if self.instant else []))


EVERYTHING = Only()


class Replayed(NamedTuple):
    """What a replay came to."""

    events: int
    rows: int
    parked: list[Parked]


class Shelf:
    """The rows of a replay by clinic and key; those at rest are packed."""

    def __init__(self, mapper: RowMapper) -> None:
        self.hot: defaultdict[bytes, Rows] = defaultdict(dict)
        self.cold: dict[bytes, dict[Any, bytes]] = {}
        self.limit = HOT
        self._encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
        self._decode = msgspec.msgpack.Decoder(tuple[mapper.row, int]).decode  # type: ignore[name-defined]

    def settle(self, before: int) -> None:
        """Pack what has not changed since a position, if there is much."""
        if sum(map(len, self.hot.values())) <= self.limit:
            return
        for clinic, rows in self.hot.items():
            cold = self.cold.setdefault(clinic, {})
            resting = [key for key, kept in rows.items() if kept[1] <= before]
            for key in resting:
                cold[key] = self._encode(rows.pop(key))
        self.limit = max(HOT, 2 * sum(map(len, self.hot.values())))

    def take(self, clinic: bytes, key: Any) -> list[Any] | None:
        """Return a packed row, which is packed no more."""
        packed = self.cold[clinic].pop(key, None) if clinic in self.cold else None
        return list(self._decode(packed)) if packed else None

    def rows(self) -> Iterator[tuple[UUID, Any, Any, int]]:
        """Return all rows: clinic, key, row and position."""
        for clinic, rows in self.hot.items():
            of = clinic_of(clinic)
            for key, (row, position) in rows.items():
                yield of, key, row, position
        for clinic, packed in self.cold.items():
            of = clinic_of(clinic)
            for key, kept in packed.items():
                row, position = self._decode(kept)
                yield of, key, row, position


class Replay:
    """One projection's way through history."""

    def __init__(self, projection: Projection, ring: KeyRing, skips: Skips, fact: Recalled) -> None:
        self.projection = projection
        self.ring = ring
        self.skips = skips
        self.mapper = mapper_of(projection.row)
        self.shelf = Shelf(self.mapper)
        self.parked: list[Parked] = []
        self.stopped: set[UUID] = set()
        self.events = 0
        self.fact: Any = fact
        self._keys_of: Any = projection.key
        self.bare = not isinstance(fact, RecalledSlim)
        self._decoders: dict[str, Callable[[bytes], Any]] = {topic: _decoder(topic)[1] for topic in projection.topics}

    def feed(self, lines: list[Line]) -> None:
        """Fold lines in the order of position."""
        self.events += len(lines)
        if self.skips:
            lines = [line for line in lines if (line[STREAM], line[POSITION]) not in self.skips]
        if self.projection.key is None:
            self._alone(lines)
        else:
            self._together(lines)

    def _alone(self, lines: list[Line]) -> None:
        """One stream, one row: keyed by the stream's bytes, which hash faster than its id."""
        fact, function, hot, cold, decoders = self.fact, self.projection.function, self.shelf.hot, self.shelf.cold, self._decoders
        stopped, opened = self.stopped, opens(self.projection)
        for line in lines:
            if stopped and line[STREAM] in stopped:
                self._park(line, None)
                continue
            key, rows = line[STREAM_BYTES], hot[line[CLINIC]]
            kept = rows.get(key)
            if kept is None and cold:
                kept = self._warm(rows, line[CLINIC], key)
            before = kept[0] if kept else None
            try:
                fact.line = line
                fact.event = self._open(line) if opened and line[PERSON] is not None else decoders[line[TOPIC]](line[BODY])
                row = function(before, fact)
            except Exception as error:  # noqa: BLE001 - a handler's bug, whatever it is, stops its stream and nothing else
                self._park(line, error)
                continue
            if row is not before:
                _put(rows, key, kept, row, line[POSITION])

    def _together(self, lines: list[Line]) -> None:
        """Many streams, one row: all rows that a fact touches, or none. What is said here twice would cost a tenth if it were said once."""
        fact, function, hot, cold, decoders = self.fact, self.projection.function, self.shelf.hot, self.shelf.cold, self._decoders
        stopped, opened, keys_of = self.stopped, opens(self.projection), self._keys_of
        for line in lines:
            if stopped and line[STREAM] in stopped:
                self._park(line, None)
                continue
            rows = hot[line[CLINIC]]
            try:
                fact.line = line
                fact.event = self._open(line) if opened and line[PERSON] is not None else decoders[line[TOPIC]](line[BODY])
                keys = keys_of(fact)
                if type(keys) is tuple and len(keys) == 1 and not cold:
                    key = keys[0]
                    kept = rows.get(key)
                    before = kept[0] if kept else None
                    row = function(before, fact, key)
                    after = None
                else:
                    after = self._several(rows, line, keys)
            except Exception as error:  # noqa: BLE001 - as above
                self._park(line, error)
                continue
            if after is not None:
                for key, kept, row in after:
                    _put(rows, key, kept, row, line[POSITION])
            elif row is not before:
                _put(rows, key, kept, row, line[POSITION])

    def _several(self, rows: Rows, line: Line, keys: Iterable[Any]) -> list[tuple[Any, list[Any] | None, Any]]:
        after = []
        for key in dict.fromkeys(keys):
            kept = rows.get(key) or self._warm(rows, line[CLINIC], key)
            before = kept[0] if kept else None
            row = self.projection.function(before, self.fact, key)
            if row is not before:
                after.append((key, kept, row))
        return after

    def _warm(self, rows: Rows, clinic: bytes, key: Any) -> list[Any] | None:
        kept = self.shelf.take(clinic, key)
        if kept is not None:
            rows[key] = kept
        return kept

    def _open(self, line: Line) -> Event:
        return decode(line[TOPIC], line[BODY], event_id=line[EVENT_ID], person=line[PERSON], key_of=self.ring.key_of)

    def _park(self, line: Line, error: Exception | None) -> None:
        if self.bare:
            raise EnvelopeWanted
        self.stopped.add(line[STREAM])
        why = explain(error) if error else BEHIND
        name = self.projection.name
        self.parked.append(Parked(name, line[STREAM], line[POSITION], line[PARTITION], clinic_of(line[CLINIC]), line[TOPIC], why))


def replay(
    url: str, conn: Connection[Any], projection: Projection, table: str, upto: int, ring: KeyRing, skips: Skips, progress: Progress, only: Only = EVERYTHING,
) -> Replayed:
    """Fill a fresh table, through `conn` and in one transaction, with what a read model is after all events, or `only` some, up to a position."""
    few = 2 if skips or opens(projection) else 1 if projection.key is None else 0
    with resting_collector():
        for columns, fact in WAYS[few:]:
            with suppress(EnvelopeWanted), conn.transaction():
                return _replay(url, conn, Replay(projection, ring, skips, fact()), table, upto, progress, columns, only)
    raise AssertionError


def _replay(url: str, conn: Connection[Any], work: Replay, table: str, upto: int, progress: Progress, columns: str, only: Only) -> Replayed:
    written = 0
    for lines, reached in windows(url, work.projection, upto, columns, only):
        if opens(work.projection):
            work.ring.warm_sync(conn, {line[PERSON] for line in lines})
        work.feed(lines)
        if work.projection.fresh:
            written += write(conn, work.mapper, table, work.shelf.rows())
            work.shelf.hot.clear()
        work.shelf.settle(reached - 2 * WIDEST)
        progress(reached)
    written += write(conn, work.mapper, table, work.shelf.rows())
    return Replayed(work.events, written, work.parked)


def windows(url: str, projection: Projection, upto: int, columns: str, only: Only = EVERYTHING) -> Iterator[tuple[list[Line], int]]:
    """Yield the wanted lines of the store up to a position, window by window, each with its end."""
    every = projection.of is ALL  # an unknown event must be met, not left out
    wanted = "" if every else " and topic = any(%s)"
    within = f"notification_id > %s and notification_id <= %s{wanted}{only.condition}"
    statement = f"select {columns} from stored_events where {within} order by notification_id"  # noqa: S608
    which = (*(() if every else (sorted(projection.topics),)), *only.params)

    def read(conn: Connection[Any], after: int, until: int) -> list[Line]:
        return conn.execute(statement, (after, until, *which), binary=True).fetchall()

    with psycopg.connect(url, autocommit=True, options=READER) as conn, ThreadPoolExecutor(1) as pool:
        after, width = 0, PAGE
        until = min(upto, width)
        coming = pool.submit(read, conn, after, until)
        while after < upto:
            after, begun = until, after
            lines = coming.result()
            width = max(1000, min(WIDEST, 2 * width, width * PAGE // max(1, len(lines)))) if after - begun >= width else width
            until = min(upto, after + width)
            coming = pool.submit(read, conn, after, until)
            if every and (unknown := {line[TOPIC] for line in lines} - projection.topics):
                message = f"this release does not know the events {', '.join(sorted(unknown))}"
                raise StructuralError(message)
            yield lines, after
        coming.result()


def write(conn: Connection[Any], mapper: RowMapper, table: str, rows: Iterable[tuple[UUID, Any, Any, int]]) -> int:
    """Write fresh rows by COPY; return how many."""
    written = 0
    cursor: Cursor[Any] = conn.cursor()
    with cursor.copy(mapper.copy_sql(table)) as copy:
        copy.set_types(mapper.copy_types)
        for clinic, key, row, position in rows:
            own = mapper.own_key(row)
            if own != key and (type(key) is not bytes or own[0].bytes != key):
                message = f"{mapper.table.name}: asked for {key}, got the row {own}"
                raise KeyMismatchError(message)
            try:
                copy.write_row(mapper.copied(clinic, row, position))
            except Exception as error:
                message = f"{mapper.table.name}: the row {own} cannot be written: {explain(error)}"
                raise StructuralError(message) from error
            written += 1
    return written


def _put(rows: Rows, key: Any, kept: list[Any] | None, row: Any, position: int) -> None:
    if row is None:
        rows.pop(key, None)
    elif kept is None:
        rows[key] = [row, position]
    else:
        kept[0], kept[1] = row, position


def clinic_of(raw: bytes) -> UUID:
    """Return a clinic's id, always the same object."""
    known = Recalled.clinics.get(raw)
    if known is None:
        known = Recalled.clinics[raw] = UUID(bytes=raw)
    return known


@contextmanager
def resting_collector() -> Iterator[None]:
    """Keep the cyclic collector off: it would walk over millions of live rows again and again, and they hold no cycles."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


