"""The auditor's export (`commands.kit.evidence`) as a download: a ZIP that is made while it is sent.

How it works: the clinic's events up to a fixed position are read a page at a time, once for the lines and once for the table, since a ZIP is written one file after
another. Pages are put into words and compressed in a thread. Nothing is kept but the page in hand and a digest per file. History up to a position never changes, so no snapshot is
held open while a slow reader takes his time. What is about persons stays sealed; opened it is only given out by the command line.

What may go wrong: a line that is cut leaves a ZIP without its directory, which no program opens.
"""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from zipfile import ZIP_DEFLATED, ZipFile

from commands.kit.evidence import README, known_by, record, tabled, told, verifier
from commands.kit.heads import KEPT, Head
from commands.kit.proof import COLUMNS, Line
from projections.kit.reading import Reader

PAGE = 1000
HEAD = "select coalesce(max(notification_id), 0) from stored_events where clinic_id = %s"
NEXT = f"select {COLUMNS} from stored_events where clinic_id = %s and notification_id > %s and notification_id <= %s order by notification_id limit {PAGE}"  # noqa: S608
SIGNED = f"{KEPT} where clinic_id = %s and (position, key) > (%s, %s) and position <= %s order by position, key limit {PAGE}"
KEYS = "select public from head_keys order by since desc"


class Sink:
    """Where a ZIP is written to, and taken from."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take what is written."""
        self._waiting.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is written waits to be taken."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        waiting, self._waiting = self._waiting, []
        return b"".join(waiting)


async def bundle(reader: Reader) -> AsyncIterator[bytes]:
    """Yield the export of the reader's clinic."""
    sink, digests = Sink(), dict[str, str]()
    ((upto,),) = (await reader.ask(HEAD, (reader.clinic,))).rows
    with ZipFile(sink, "w", ZIP_DEFLATED) as made:  # type: ignore[call-overload]  # it need not be a file to be written
        for name, parts in (
            ("README.txt", one(README.encode())), ("verify.py", one(verifier())), ("public-key.txt", keys(reader)), ("heads.jsonl", heads(reader, upto)),
            ("events.jsonl", lines(reader, upto)), ("events.csv", table(reader, upto)),
        ):
            digest = sha256()
            with made.open(name, "w", force_zip64=True) as file:
                async for part in parts:
                    digest.update(part)
                    await asyncio.to_thread(file.write, part)
                    yield sink.take()
            digests[name] = digest.hexdigest()
        made.writestr("MANIFEST.sha256", "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)))
    yield sink.take()


async def one(whole: bytes) -> AsyncIterator[bytes]:
    """Yield a file that is there."""
    yield whole


async def keys(reader: Reader) -> AsyncIterator[bytes]:
    """Yield the public keys that heads were signed with, the newest first."""
    yield "".join(known_by(public) for (public,) in (await reader.ask(KEYS, ())).rows).encode()


async def heads(reader: Reader, upto: int) -> AsyncIterator[bytes]:
    """Yield the signed heads up to a position."""
    after, key = 0, ""
    while found := [Head(*said) for said in (await reader.ask(SIGNED, (reader.clinic, after, key, upto))).rows]:
        after, key = found[-1].position, found[-1].key
        yield "".join(head.line() + "\n" for head in found).encode()


async def lines(reader: Reader, upto: int) -> AsyncIterator[bytes]:
    """Yield the events up to a position, a line each."""
    async for page in pages(reader, upto):
        yield await asyncio.to_thread(lambda page=page: "".join(told(record(line)) for line in page).encode())  # type: ignore[misc]


async def table(reader: Reader, upto: int) -> AsyncIterator[bytes]:
    """Yield their envelopes as a table."""
    first = True
    async for page in pages(reader, upto):
        yield (await asyncio.to_thread(tabled, page, first=first)).encode()
        first = False


async def pages(reader: Reader, upto: int) -> AsyncIterator[list[Line]]:
    """Yield the events up to a position, a page at a time."""
    after = 0
    while page := [Line(*said) for said in (await reader.ask(NEXT, (reader.clinic, after, upto))).rows]:
        yield page
        after = page[-1].position
