"""The part of a backup that is replaced as a whole: persons' keys and whatever else changes, in one sealed file.

How it works. All tables are read in one snapshot of the database, each as a COPY in text format, and put one behind the other. The file is put in the place of the one before only
when it is whole. The one before is gone then: a person who was erased meanwhile is in no file any more.

What may go wrong. A copy that somebody made of an older file still opens whoever was erased since. Keep few, and none for long.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from psycopg import Connection, sql

from anamnesis import __version__
from anamnesis.backup.history import columns_of, listed
from anamnesis.backup.manifest import put
from anamnesis.backup.sealed import Sealing, said_by, unsealed
from anamnesis.backup.tables import KEPT
from anamnesis.trouble import Trouble

NAME = "keys.sealed"
KIND = "anamnesis key store"
TABLE, ROWS, END = b"T", b"R", b"E"
BATCH = 256 << 10


class Heading(msgspec.Struct, frozen=True):
    """What comes next: a table's lines."""

    table: str
    columns: list[str]


class Told(msgspec.Struct, frozen=True, rename="camel"):
    """What the file says of itself in the clear."""

    kind: str
    release: str
    position: int  # up to which events it has the keys of
    taken_at: datetime
    kek: str = ""


def write(conn: Connection[Any], folder: Path, kek: bytes, position: int) -> Path:
    """Write the file beside the one that is there; `conn` sees one moment."""
    fresh = folder / f"{NAME}.new"
    told = Told(KIND, __version__, position, datetime.now(UTC))
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        sealing = Sealing(file, kek, {name: value for name, value in msgspec.to_builtins(told).items() if name != "kek"})
        for table, wanted in KEPT.items():
            if conn.execute("select to_regclass(%s)", (table,)).fetchone() == (None,):  # a release before this one has none
                continue
            _table(conn, sealing, table, wanted)
        sealing.write(_frame(END, b""))
        sealing.close()
        file.flush()
        os.fsync(file.fileno())
    return fresh


def replace(fresh: Path) -> None:
    """Put the new file in the place of the one before."""
    put(fresh, fresh.with_name(NAME))


def told(path: Path) -> Told:
    """Return what a file says of itself."""
    try:
        found = msgspec.convert(said_by(path), Told)
    except msgspec.ValidationError:
        raise Trouble(f"{path} is no backup of a key store") from None
    if found.kind != KIND:
        raise Trouble(f"{path} is no backup of a key store")
    return found


def load(conn: Connection[Any], path: Path, kek: bytes) -> dict[str, int]:
    """Fill the tables, which must be empty; return how many lines each has now. `conn` is the owner's, and nothing may be in its way."""
    found: dict[str, int] = {}
    frames = _frames(unsealed(path, kek))
    kind, content = next(frames, (END, b""))
    while kind == TABLE:
        heading = msgspec.json.decode(content, type=Heading)
        if heading.table not in KEPT or not set(heading.columns) <= set(columns_of(conn, heading.table)):
            raise Trouble(f"{path} has a table {heading.table} that this release cannot take: restore it with the release that wrote it, and upgrade then")
        wanted = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(heading.table), listed(heading.columns))
        with conn.cursor() as cursor:
            with cursor.copy(wanted) as copy:
                for kind, content in frames:
                    if kind != ROWS:
                        break
                    copy.write(content)
            found[heading.table] = cursor.rowcount
    if kind != END:
        raise Trouble(f"{path} is damaged")
    return found


def _table(conn: Connection[Any], sealing: Sealing, table: str, wanted: str) -> None:
    columns = columns_of(conn, table)
    sealing.write(_frame(TABLE, msgspec.json.encode(Heading(table, columns))))
    statement = sql.SQL("copy (select {} from {} where {}) to stdout").format(listed(columns), sql.Identifier(table), sql.SQL(wanted))
    batch, size = [], 0
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for line in copy:
            batch.append(bytes(line))
            size += len(line)
            if size >= BATCH:
                sealing.write(_frame(ROWS, b"".join(batch)))
                batch, size = [], 0
    if batch:
        sealing.write(_frame(ROWS, b"".join(batch)))


def _frame(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(8, "big") + content


def _frames(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= (head := 9) and len(waiting) >= (end := head + int.from_bytes(waiting[1:head], "big")):
            yield bytes(waiting[:1]), bytes(waiting[head:end])
            del waiting[:end]
