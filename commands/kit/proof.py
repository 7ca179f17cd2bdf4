"""Checking that history is what was written: each event's hash and MAC, the order and completeness of all.

How it works. `append_events` chains a SHA-256 per clinic over envelope and stored bytes, and gives positions without gaps; the process that wrote an event made a MAC
with a key that is not in the database. A `Walk` computes both again, in Python and with nothing of the database's functions, going on each time from
the hash that is stored: so each finding is where something was changed, and not everywhere behind it. Whoever can write to the database can also compute a new
chain over what he has changed: the MAC finds what he has written, a gap what he has removed, and a head that was signed before (`commands.kit.heads`)
what he has put in another order.

What may go wrong. Without the MAC's key (another machine) only the chain is checked. What was written after the last signed head and removed from the end with
all heads turned back is seen only by whoever has it elsewhere: the audit log, a subscriber, the next signed head's number.
"""

import hmac
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection

from commands.kit.ids import uuid_of

PAGE = 5_000
Y2K_US = 946_684_800_000_000  # Postgres counts microseconds from 2000 on
OPTIONS = "-c timezone=UTC -c jit=off -c default_transaction_read_only=on"
FINDINGS = 10_000  # more are counted, not kept

# the order is that of the fields of `Line`; ids travel as bytes, which is what they are hashed as
COLUMNS = (
    "notification_id, uuid_send(originator_id), originator_version, topic, uuid_send(clinic_id), stream_kind, partition, uuid_send(event_id), "
    "uuid_send(command_id), uuid_send(correlation_id), uuid_send(causation_id), uuid_send(actor), uuid_send(person), timestamptz_send(recorded_at), mac, hash, state"
)


class Line(NamedTuple):
    """An event as it is stored, ids as bytes."""

    position: int
    stream: bytes
    version: int
    topic: str
    clinic: bytes
    kind: str
    partition: int
    event_id: bytes
    command: bytes
    correlation: bytes
    causation: bytes | None
    actor: bytes
    person: bytes | None
    recorded: bytes  # microseconds since 2000, 8 bytes
    mac: bytes
    hash: bytes
    body: bytes

    @property
    def recorded_us(self) -> int:
        """When it was recorded, in microseconds since 1970."""
        return int.from_bytes(self.recorded, "big", signed=True) + Y2K_US

    def content(self) -> bytes:
        """Return what the chain covers of it."""
        topic, kind = self.topic.encode(), self.kind.encode()
        return b"".join((
            self.position.to_bytes(8, "big"), self.stream, self.version.to_bytes(8, "big"), len(topic).to_bytes(4, "big"), topic, self.clinic,
            len(kind).to_bytes(4, "big"), kind, self.event_id, self.command, self.correlation, self.causation or b"", b"|", self.actor,
            self.person or b"", b"|", self.recorded_us.to_bytes(8, "big", signed=True), self.mac, self.body))

    def signed(self) -> bytes:
        """Return what its MAC is made over."""
        return b"".join((
            self.event_id, self.clinic, self.stream, self.version.to_bytes(8, "big"), self.actor, self.command, self.topic.encode(), b"\0", self.body))


class Finding(NamedTuple):
    """Something that is not as it was written, and where."""

    position: int
    clinic: UUID | None
    kind: str  # changed, chain, missing, order, head, signed, copy
    said: str


def start_of(clinic: bytes) -> bytes:
    """Return from what a clinic's chain begins."""
    return sha256(clinic).digest()


class Walk:
    """Goes over lines in order of position and notes what is wrong; `dense` if every position must be there (all clinics, from the first on)."""

    def __init__(self, mac_key: bytes | None, partitions: int | None = None, *, dense: bool = False, after: int = 0) -> None:
        self._mac_key = mac_key
        self._partitions = partitions
        self._dense = dense
        self.position = after
        self.events = 0
        self.hashes: dict[bytes, bytes] = {}
        self.positions: dict[bytes, int] = {}
        self.counts: dict[bytes, int] = {}
        self._times: dict[bytes, int] = {}
        self.findings: list[Finding] = []
        self.found = 0

    def note(self, position: int, clinic: bytes | None, kind: str, said: str) -> None:
        """Note that something is wrong."""
        self.found += 1
        if len(self.findings) < FINDINGS:
            self.findings.append(Finding(position, uuid_of(clinic) if clinic else None, kind, said))

    def begin(self, clinic: bytes, hash_: bytes, position: int, events: int) -> None:
        """Go on in a clinic's chain from a head that is known to be right."""
        self.hashes[clinic], self.positions[clinic], self.counts[clinic] = hash_, position, events

    def step(self, line: Line) -> None:
        """Look at the next event."""
        position, clinic = line.position, line.clinic
        if self.events and position <= self.position:
            self.note(position, clinic, "order", "two events are at this position")
        elif self._dense and position != self.position + 1:
            self.note(self.position + 1, None, "missing", f"positions {self.position + 1} to {position - 1} are not there")
        before = self.hashes.get(clinic) or start_of(clinic)
        if sha256(before + line.content()).digest() != line.hash:
            self.note(position, clinic, "chain", "its hash does not follow from the event before and its own content")
        if self._mac_key is not None and not hmac.compare_digest(hmac.digest(self._mac_key, line.signed(), "sha256"), line.mac):
            self.note(position, clinic, "changed", "it is not what one of our processes wrote: its MAC is another")
        if self._partitions and line.partition != clinic[15] % self._partitions:
            self.note(position, clinic, "changed", "it is in another partition than its clinic")
        moment = line.recorded_us
        if moment < self._times.get(clinic, moment):
            self.note(position, clinic, "order", "it was recorded before the event in front of it")
        self._times[clinic] = moment
        self.hashes[clinic], self.positions[clinic] = line.hash, position
        self.counts[clinic] = self.counts.get(clinic, 0) + 1
        self.position = position
        self.events += 1

    def walk(self, lines: Iterable[Line]) -> None:
        """Look at all of these."""
        for line in lines:
            self.step(line)


def pages(conn: Connection[Any], clinic: UUID | None = None, after: int = 0, upto: int | None = None) -> Iterator[list[Line]]:
    """Yield the stored events, of one clinic or of all, in order of position."""
    where = "notification_id > %s" + (" and clinic_id = %s" if clinic else "") + (" and notification_id <= %s" if upto is not None else "")
    statement = f"select {COLUMNS} from stored_events where {where} order by notification_id limit {PAGE}"  # noqa: S608
    while True:
        params: Sequence[Any] = [after, *([clinic] if clinic else []), *([upto] if upto is not None else [])]
        page = [Line(*record) for record in conn.execute(statement, params, binary=True).fetchall()]
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].position


@contextmanager
def snapshot(url: str) -> Iterator[Connection[Any]]:
    """Give a connection that sees the database as it is at this moment, and changes nothing."""
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as conn, conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        yield conn
