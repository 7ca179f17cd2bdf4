"""Many questions at once over a few database connections.

How it works: a lane is one connection in pipeline mode whose socket the event loop watches. A question is sent at once, behind those still
unanswered, as `set_config('app.clinic', ..., true)`, the prepared statement and a sync: one implicit transaction of its own, so the tenant's setting
holds for this question alone and an error spoils no other. Answers come in the order of the questions. Lanes keep themselves connected.
psycopg supplies libpq, the adapters and the errors; its cursors and pool, which cost three times as much per question, are left out.

What may go wrong: a slow question delays those behind it on its lane (each goes to the lane with the fewest waiting, and `statement_timeout` ends it). A
broken connection fails what was on it with `ReadUnavailable` unless it may be asked again. A rebuilt read model invalidates prepared statements:
they are prepared anew, once. A server that answers nothing at all is given up after `HUNG` seconds.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import structlog
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import set_json_loads

from domain.kit import Refused

SETTINGS = "set enable_seqscan = off; set statement_timeout = '10s'; set jit = off"
TENANT = b"tenant"
SET_TENANT = b"select set_config('app.clinic', $1, true)"
STATEMENTS = 400  # prepared per lane
HUNG = 15.0  # seconds
SOUND = {"22", "23"}  # the values were at fault, not the statement
STALE = {"0A000", "26000"}  # a cached plan whose result changed; a statement that is gone

log = structlog.get_logger(__name__)

Record = tuple[Any, ...]


class ReadUnavailable(Refused):
    """The database cannot be reached just now. Try again in a moment."""

    status = 503


class LostError(Exception):
    """The connection broke while the question was on its way."""


class _Asked:
    __slots__ = ("answer", "results", "since", "sql")

    def __init__(self, sql: str, answer: "asyncio.Future[Answer]", since: float) -> None:
        self.sql = sql
        self.answer = answer
        self.since = since
        self.results: list[pq.abc.PGresult] = []


class Answer(NamedTuple):
    """Column names and rows."""

    columns: tuple[str, ...]
    rows: list[Record]


class Lane:
    """One connection that is kept up."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._pg: pq.abc.PGconn | None = None
        self._asked: deque[_Asked] = deque()
        self._lost = asyncio.Event()
        self.up = asyncio.Event()
        self._known: dict[str, bytes] = {}
        self._made = 0
        self._said = True
        self._columns: dict[str, tuple[str, ...]] = {}

    @property
    def waiting(self) -> int:
        """How many questions are unanswered."""
        return len(self._asked)

    async def keep(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled."""
        pause = 0.05
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=5, application_name=self._name)
                await connection.execute(SETTINGS)
                self._start(connection)
                pause = 0.05
                await self._watch()
            except psycopg.Error as error:
                if self._said:
                    self._said = False
                    log.warning("database unreachable", lane=self._name, error=type(error).__name__)
            finally:
                self._stop()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _watch(self) -> None:
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(1.0):
                    await self._lost.wait()
            except TimeoutError:
                if self._asked and time.monotonic() - self._asked[0].since > HUNG:
                    return

    def _start(self, connection: psycopg.AsyncConnection[Any]) -> None:
        set_json_loads(msgspec.json.decode, connection)
        self._connection = connection
        self._transformer = Transformer(connection)
        self._pg = pg = connection.pgconn
        pg.prepare(TENANT, SET_TENANT)
        pg.nonblocking = 1
        pg.enter_pipeline_mode()
        self._said = True
        self._lost.clear()
        self._loop = asyncio.get_running_loop()
        self._socket = pg.socket
        self._loop.add_reader(self._socket, self._readable)
        self.up.set()

    def _stop(self) -> None:
        self.up.clear()
        if (pg := self._pg) is None:
            return
        self._pg = None
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        pg.finish()
        self._known.clear()
        self._columns.clear()
        asked, self._asked = self._asked, deque()
        for one in asked:
            if not one.answer.done():
                one.answer.set_exception(LostError())

    def ask(self, clinic: bytes | None, sql: str, params: Sequence[Any]) -> "asyncio.Future[Answer]":
        """Send a question; the future is its answer."""
        pg = self._pg
        if pg is None:
            raise LostError
        answer: asyncio.Future[Answer] = self._loop.create_future()
        values = [self._dump(p) for p in params]
        try:
            name = self._known.get(sql) or self._prepare(pg, sql)
            if clinic is not None:
                pg.send_query_prepared(TENANT, (clinic,))
            pg.send_query_prepared(name, values, result_format=1)
            pg.pipeline_sync()
        except psycopg.Error:
            self._lost.set()
            raise LostError from None
        self._asked.append(_Asked(sql, answer, time.monotonic()))
        self._flush()
        return answer

    def _prepare(self, pg: pq.abc.PGconn, sql: str) -> bytes:
        if len(self._known) >= STATEMENTS:
            oldest = next(iter(self._known))
            pg.send_query_params(b"deallocate " + self._known.pop(oldest), None)
            self._columns.pop(oldest, None)
        self._made += 1
        name = b"s%d" % self._made
        pg.send_prepare(name, numbered(sql))
        self._known[sql] = name
        return name

    def _dump(self, value: Any) -> bytes | None:
        if dump := DUMPS.get(type(value)):
            return dump(value)
        if value is None:
            return None
        if type(value) is list and (written := array(value)) is not None:
            return written
        return bytes(self._transformer.get_dumper(value, PyFormat.TEXT).dump(value) or b"")

    def _flush(self) -> None:
        if (pg := self._pg) is None:
            return
        try:
            if pg.flush():
                self._loop.add_writer(self._socket, self._flush)
            else:
                self._loop.remove_writer(self._socket)
        except psycopg.Error:
            self._lost.set()

    def _readable(self) -> None:
        pg = self._pg
        if pg is None:
            return
        try:
            pg.consume_input()
            while self._asked and not pg.is_busy():
                if (result := pg.get_result()) is not None:
                    self._take(result)
            pg.notifies()
        except psycopg.Error:
            self._lost.set()

    def _take(self, result: pq.abc.PGresult) -> None:
        if result.status != pq.ExecStatus.PIPELINE_SYNC:
            self._asked[0].results.append(result)
            return
        asked = self._asked.popleft()
        if asked.answer.done():  # nobody waits any more
            return
        try:
            asked.answer.set_result(self._read(asked))
        except Exception as error:  # noqa: BLE001 - it is the asker's to handle
            asked.answer.set_exception(error)

    def _read(self, asked: _Asked) -> Answer:
        for result in asked.results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                error = psycopg.errors.error_from_result(result)
                if (error.sqlstate or "")[:2] not in SOUND:  # preparing it again would leave the old one in the server for ever
                    self._known.pop(asked.sql, None)
                    self._columns.pop(asked.sql, None)
                raise error
        result = asked.results[-1]
        if (columns := self._columns.get(asked.sql)) is None:
            columns = self._columns[asked.sql] = tuple((result.fname(i) or b"").decode() for i in range(result.nfields))
        self._transformer.set_pgresult(result)
        return Answer(columns, self._transformer.load_rows(0, result.ntuples, tuple))


class Lanes:
    """All lanes of a process."""

    def __init__(self, url: str, *, size: int = 4, name: str = "reader") -> None:
        self._lanes = [Lane(url, f"{name}-{n}") for n in range(1, size + 1)]
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, patience: float = 5.0) -> None:
        """Start connecting; return when the first lane is up, or in any case after `patience` seconds."""
        self._tasks = [asyncio.create_task(lane.keep()) for lane in self._lanes]
        waits = [asyncio.create_task(lane.up.wait()) for lane in self._lanes]
        await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def close(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def up(self) -> bool:
        """Is any lane connected?"""
        return any(lane.up.is_set() for lane in self._lanes)

    async def ask(self, clinic: UUID | None, sql: str, params: Sequence[Any] = (), *, again: bool = True) -> Answer:
        """Answer a question (placeholders are %s) as one clinic sees it; `again` allows it to be asked twice."""
        tenant = None if clinic is None else str(clinic).encode()
        for last in (not again, True):
            lanes = [lane for lane in self._lanes if lane.up.is_set()]
            if not lanes:
                raise ReadUnavailable
            try:
                return await min(lanes, key=_waiting).ask(tenant, sql, params)
            except LostError:
                if last:
                    raise ReadUnavailable from None
            except psycopg.Error as error:
                if error.sqlstate not in STALE:
                    raise
                if last:
                    raise
        raise ReadUnavailable


def _waiting(lane: Lane) -> int:
    return lane.waiting


_PLACEHOLDER = re.compile(r"%(%|s)")
_NUMBERED: dict[str, bytes] = {}


def numbered(sql: str) -> bytes:
    """Return a statement with $1, $2, ... where it had %s."""
    if (found := _NUMBERED.get(sql)) is None:
        parts: list[str] = []
        n = 0
        for piece in _PLACEHOLDER.split(sql):
            if piece == "s" and len(parts) % 2:
                n += 1
                parts.append(f"${n}")
            else:
                parts.append(piece)
        found = _NUMBERED[sql] = "".join(parts).encode()
    return found


DUMPS: dict[type, Callable[[Any], bytes]] = {
    UUID: lambda v: str(v).encode(),
    str: str.encode,
    int: lambda v: b"%d" % v,
    bool: lambda v: b"t" if v else b"f",
    bytes: lambda v: b"\\x" + v.hex().encode(),
    date: lambda v: v.isoformat().encode(),
    datetime: lambda v: v.isoformat().encode(),
}
QUOTED: dict[type, Callable[[Any], bytes]] = {
    UUID: lambda v: v.hex.encode(),
    bytes: lambda v: b'"\\\\x' + v.hex().encode() + b'"',
    str: lambda v: b'"' + v.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"',
}
ELEMENTS = {**DUMPS, **QUOTED}


def array(values: list[Any]) -> bytes | None:
    """Return a flat list as Postgres writes arrays, which takes psycopg several times as long; None if it is not so simple."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds <= ELEMENTS.keys():
        return None
    found = b"{" + b",".join([b"NULL" if value is None else ELEMENTS[type(value)](value) for value in values]) + b"}"
    return None if b"\0" in found else found
