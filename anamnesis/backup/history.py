"""The part of a backup that never changes: events, in files of some hundred thousand, and the signed heads.

How it works. Each file is one COPY in Postgres's binary format, compressed; it goes out and comes in without an event being looked at. A further backup writes files for what is
new. A thread compresses while the next rows arrive. What is about persons is sealed in the events, and stays so.

What may go wrong. Positions have no gaps; where one is missing nothing is written, for history has been tampered with.
"""

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from anamnesis.backup.manifest import File, Manifest, Segment, digest, put
from anamnesis.trouble import Trouble
from commands.kit.heads import KEPT, Head

Progress = Callable[[int, int], None]

EVENTS = 200_000  # of a file
BATCH = 1 << 20
LEVEL, GZIP = 1, 31
OVERLAP = timedelta(minutes=10)  # a head that was signed earlier may have been stored later
COLUMNS = """
select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
"""


def columns_of(conn: Connection[Any], table: str) -> list[str]:
    """Return the columns of a table that can be written."""
    return [name for (name,) in conn.execute(COLUMNS, (table,)).fetchall()]


def listed(columns: list[str]) -> sql.Composed:
    """Return columns as they stand in a statement."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def write_events(conn: Connection[Any], folder: Path, columns: list[str], after: int, upto: int, progress: Progress) -> Iterator[Segment]:
    """Write the events behind one position up to another; yield each file."""
    for first in range(after + 1, upto + 1, EVENTS):
        last = min(upto, first + EVENTS - 1)
        name = f"events-{first:012}-{last:012}.gz"
        wanted = sql.SQL("copy (select {} from stored_events where notification_id between {} and {} order by notification_id) to stdout (format binary)")
        found = _write(conn, wanted.format(listed(columns), sql.Literal(first), sql.Literal(last)), folder / name, partial(_tell, progress, first, upto))
        if found != last - first + 1:
            raise Trouble(f"of positions {first} to {last} only {found} are there: anamnesis audit verify")
        (latest,) = conn.execute("select max(recorded_at) from stored_events where notification_id between %s and %s", (first, last)).fetchone() or (None,)
        file = _file(folder / name)
        progress(last, upto)
        yield Segment(name=name, bytes=file.bytes, sha256=file.sha256, first=first, last=last, latest=latest or datetime.now(UTC))


def write_heads(conn: Connection[Any], folder: Path, since: datetime | None) -> tuple[File | None, datetime | None]:
    """Write the heads that were signed since; return the file, if there are any, and when the last was signed."""
    found = conn.execute(f"{KEPT} where %s::timestamptz is null or signed_at > %s order by signed_at, clinic_id", (since, since and since - OVERLAP)).fetchall()
    heads = [Head(*line) for line in found]
    if not heads or heads[-1].signed_at == since:
        return None, since
    path = folder / f"heads-{heads[-1].signed_at:%Y%m%dT%H%M%S%f}.gz"
    packed = zlib.compressobj(LEVEL, wbits=GZIP)
    with path.with_name(path.name + ".new").open("wb") as file:
        for head in heads:
            file.write(packed.compress(head.line().encode() + b"\n"))
        file.write(packed.flush())
    put(path.with_name(path.name + ".new"), path)
    return _file(path), heads[-1].signed_at


def read_heads(folder: Path, manifest: Manifest, upto: int) -> Iterator[Head]:
    """Yield the signed heads of a backup, those up to a position."""
    for file in manifest.signatures:
        text = b"".join(pieces(folder / file.name)).decode()
        yield from (head for head in map(Head.read, text.splitlines()) if head.position <= upto)


def pieces(path: Path) -> Iterator[bytes]:
    """Yield what a compressed file holds."""
    unpacked = zlib.decompressobj(wbits=GZIP)
    with path.open("rb") as file:
        while piece := file.read(BATCH // 4):
            yield unpacked.decompress(piece)
    yield unpacked.flush()


def _tell(progress: Progress, first: int, upto: int, rows: int) -> None:
    progress(first + rows, upto)


def _write(conn: Connection[Any], statement: sql.Composed, path: Path, progress: Callable[[int], None]) -> int:
    """Write what a COPY gives, compressed; return how many lines that was."""
    packed, fresh, rows = zlib.compressobj(LEVEL, wbits=GZIP), path.with_name(path.name + ".new"), 0
    with fresh.open("wb") as file, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(bytes)
        with conn.cursor() as cursor:
            with cursor.copy(statement) as copy:
                batch, size = [], 0
                for line in copy:
                    batch.append(bytes(line))
                    size += len(line)
                    rows += 1
                    if size >= BATCH:
                        file.write(under_way.result())
                        under_way = pool.submit(packed.compress, b"".join(batch))
                        batch, size = [], 0
                        progress(rows)
            file.write(under_way.result())
            file.write(packed.compress(b"".join(batch)) + packed.flush())
            rows = cursor.rowcount
    put(fresh, path)
    return rows


def _file(path: Path) -> File:
    return File(name=path.name, bytes=path.stat().st_size, sha256=digest(path))
