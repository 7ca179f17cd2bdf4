"""The ledger of erasures, kept outside the database: so that a restore from an older backup knows whom to forget again.

How it works. A line is the event that erased somebody, as it is stored, with whatever was saved together with it; it tells ids, a reason and no name. The notary appends to
`<folder>/erasures.ndjson`, within seconds, in the folder where signed heads lie. A restore stores these events anew, behind what it has restored, and the store's own trigger destroys
the keys as it did the first time. A line is believed by its MAC.

What may go wrong. Lines that are lost bring people back: keep the folder where it does not burn with the database.
"""

import hmac
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from commands.kit.arrays import packed, register
from commands.kit.ids import mac_content
from commands.kit.writer import ARRAYS, CALL, SAVED, NewEvent, Save, parameters
from domain.kit.codec import erasing
from projections.kit.stored import COLUMNS, EPOCH, Stored

NAME = "erasures.ndjson"
TOGETHER = 20  # positions within which the rest of a save is looked for
FIND = "select {columns} from stored_events where topic = any(%s) and notification_id > %s order by notification_id"
REST = "select {columns} from stored_events where notification_id > %s and notification_id <= %s and command_id = %s order by notification_id"
STANDS = "select max(originator_version), coalesce(bool_or(event_id = %s), false) from stored_events where originator_id = %s"


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """An event as it was stored."""

    position: int
    stream: UUID
    version: int
    topic: str
    clinic: UUID
    kind: str
    event_id: UUID
    command: UUID
    correlation: UUID
    causation: UUID | None
    actor: UUID
    person: UUID | None
    recorded_us: int
    mac: bytes
    body: bytes

    @classmethod
    def of(cls, stored: Stored) -> "Line":
        """Return the line of a stored event."""
        return cls(**{name: getattr(stored, name) for name in cls.__struct_fields__})

    def genuine(self, mac_key: bytes) -> bool:
        """Say whether one of our processes wrote it."""
        content = mac_content(self.event_id, self.clinic, self.stream, self.version, self.topic, self.actor, self.command, self.body)
        return hmac.compare_digest(hmac.digest(mac_key, content, "sha256"), self.mac)


class Erased(msgspec.Struct, frozen=True):
    """An erasure: the event that destroys keys, and what was saved with it."""

    event: Line
    rest: list[Line] = []


def erasures(conn: Connection[Any], after: int = 0) -> list[Erased]:
    """Return the erasures behind a position; every event must be known."""
    found = [Stored(*line) for line in conn.execute(FIND.format(columns=COLUMNS), (list(erasing()), after)).fetchall()]
    return [Erased(Line.of(one), [Line.of(other) for other in _rest(conn, one)]) for one in found]


def _rest(conn: Connection[Any], one: Stored) -> list[Stored]:
    lines = conn.execute(REST.format(columns=COLUMNS), (one.position, one.position + TOGETHER, one.command)).fetchall()
    return [other for other in (Stored(*line) for line in lines) if other.topic not in erasing()]


def append(folder: Path, found: Iterable[Erased]) -> None:
    """Add to the ledger of a folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / NAME).open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)  # a crash may have cut the last line short
        for erased in found:
            file.write(msgspec.json.encode(erased) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Erased]:
    """Return what the ledger of a folder says; a line that was cut short by a crash is not one."""
    if not (path / NAME).exists():
        return []
    lines = (path / NAME).read_bytes().split(b"\n")
    return [msgspec.json.decode(line, type=Erased) for line in lines[:-1] if line]


def apply(conn: Connection[Any], found: Iterable[Erased], mac_key: bytes) -> int:
    """Erase again whoever history does not say was erased; return how many erasures that took. `conn` is the owner's, in autocommit."""
    register(conn)
    done = 0
    for erased in found:
        line = erased.event
        version, known = _stands(conn, line)
        if known:
            continue
        events = [_again(line, version + 1, mac_key)]
        expected = [(line.stream, version, version + 1)]
        for other in erased.rest:
            version, known = _stands(conn, other)
            if version and not known:
                events.append(_again(other, version + 1, mac_key))
                expected.append((other.stream, version, version + 1))
        _save(conn, line, events, expected)
        done += 1
    return done


def _stands(conn: Connection[Any], line: Line) -> tuple[int, bool]:
    version, known = conn.execute(STANDS, (line.event_id, line.stream)).fetchone() or (0, False)
    return version or 0, known


def _again(line: Line, version: int, mac_key: bytes) -> NewEvent:
    content = mac_content(line.event_id, line.clinic, line.stream, version, line.topic, line.actor, line.command, line.body)
    return NewEvent(line.stream, version, line.topic, line.kind, line.event_id, line.person, hmac.digest(mac_key, content, "sha256"), line.body)


def _save(conn: Connection[Any], line: Line, events: list[NewEvent], expected: list[tuple[UUID, int, int]]) -> None:
    save = Save(
        command=line.command, clinic=line.clinic, actor=line.actor, correlation=line.correlation, causation=line.causation, events=events, expected=expected,
        recorded_at=EPOCH + timedelta(microseconds=line.recorded_us))
    columns, entangled = parameters([save])
    (outcome, *_) = conn.execute(CALL, [False, entangled, *packed(ARRAYS, columns)], binary=True).fetchone() or (None,)
    if outcome != SAVED:
        message = f"the erasure of event {line.event_id} could not be stored (outcome {outcome})"
        raise RuntimeError(message)
