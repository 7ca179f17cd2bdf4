"""Everything of a clinic, line by line, for it to take along: what is known of it now, and every event that led there.

How it works: first a line that says what follows, then the rows of every read model, then the events in their order, opened with the keys of the persons
they are about, each with its hash and MAC: with `stream`, `version` and `hash` the order can be proved to be ours. The position of the first
line is the last event's; what happens meanwhile is left for the next export.

What may go wrong: rows lie a little behind or ahead of that position; the events are the truth. Whoever was erased is missing in both.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from msgspec import json

from domain.kit import Fact
from projections.kit import PROJECTIONS
from projections.kit.keys import SELECT, KeyRing
from projections.kit.reading import Reader, Wanted
from projections.kit.stored import COLUMNS, Stored, fact_of
from schemas.audit import AuditRow
from schemas.kit import Row

PAGE = 500
FORMAT = 1
DERIVED: tuple[type[Row], ...] = (AuditRow,)  # says of each event what its own line says
NEXT = f"select {COLUMNS} from stored_events where clinic_id = %s and notification_id > %s and notification_id <= %s order by notification_id limit {PAGE}"  # noqa: S608
HEAD = "select coalesce(max(notification_id), 0) from stored_events where clinic_id = %s"


async def lines(reader: Reader, keys: KeyRing, at: datetime) -> AsyncIterator[bytes]:
    """Yield the export, some lines at a time."""
    ((head,),) = (await reader.ask(HEAD, (reader.clinic,))).rows
    yield _line({"export": FORMAT, "clinic": reader.clinic, "position": head, "takenAt": at})
    for table in sorted(PROJECTIONS):
        if PROJECTIONS[table].row not in DERIVED:
            async for page in rows(reader, PROJECTIONS[table].row):
                yield page
    async for page in events(reader, keys, head):
        yield page


async def rows(reader: Reader, row: type[Row]) -> AsyncIterator[bytes]:
    """Yield the rows of a read model, a page at a time."""
    cursor: str | None = None
    while True:
        page = await reader.page(row, Wanted((), row.key[0], limit=PAGE, cursor=cursor))
        yield b"".join(_line({"row": row.table, "value": value}) for value in json.decode(page.items))
        if (cursor := page.next) is None:
            return


async def events(reader: Reader, keys: KeyRing, head: int) -> AsyncIterator[bytes]:
    """Yield the clinic's events up to a position, a page at a time."""
    position = 0
    while found := [Stored(*record) for record in (await reader.ask(NEXT, (reader.clinic, position, head))).rows]:
        if wanted := keys.missing(event.person for event in found):
            keys.learn((await reader.ask(SELECT, (wanted,))).rows, wanted)
        yield b"".join(_line(told(fact_of(event, keys.key_of))) for event in found)
        position = found[-1].position


def told(fact: Fact) -> dict[str, Any]:
    """Return an event as the export tells it."""
    return {
        "event": type(fact.event).__name__, "position": fact.position, "recordedAt": fact.recorded_at, "stream": fact.id, "kind": fact.kind,
        "version": fact.version, "actor": fact.actor, "command": fact.command, "correlation": fact.correlation, "causation": fact.causation,
        "hash": b64encode(fact.hash).decode(), "mac": b64encode(fact.mac).decode(), "said": fact.event,
    }


def _line(value: dict[str, Any]) -> bytes:
    return json.encode(value) + b"\n"
