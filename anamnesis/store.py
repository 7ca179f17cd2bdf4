"""Looking into the event store from the command line, as its owner and without any key: personal data stays sealed."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from anamnesis.trouble import Trouble

COLUMNS = """notification_id as position, recorded_at, topic as event, stream_kind as kind, originator_id as stream,
    originator_version as version, clinic_id as clinic, partition, actor, event_id, command_id, correlation_id, causation_id"""
LINE = "{position:>10}  {recorded_at:%Y-%m-%d %H:%M:%S.%f}  {event:<28} {kind}/{stream} v{version}  clinic {clinic}  by {actor}"
PAUSE = 0.25
PAGE = 1000


def is_empty(owner_url: str) -> bool:
    """Has nothing ever happened here?"""
    with psycopg.connect(owner_url) as connection:
        return head(connection) == 0


def head(connection: psycopg.Connection[Any]) -> int:
    """The position of the newest event."""
    row = connection.execute("select position from store_head").fetchone()
    return int(row[0]) if row else 0


def tail(owner_url: str, last: int, *, follow: bool) -> Iterator[str]:
    """The newest events, one line each; with `follow`, those to come as well, until the caller stops asking."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        position = max(head(connection) - last, 0)
        while True:
            events = _after(connection, position)
            yield from (LINE.format(**event) for event in events)
            if events:
                position = events[-1]["position"]
            elif follow:
                time.sleep(PAUSE)
            else:
                return


def show(owner_url: str, position: int) -> str:
    """One event as JSON: the envelope, then the body as it is stored."""
    query = f"select {COLUMNS}, mac, hash, state from stored_events where notification_id = %s"  # noqa: S608 - constants
    with psycopg.connect(owner_url, row_factory=dict_row) as connection:
        event = connection.execute(query, [position]).fetchone()
    if not event:
        raise Trouble(f"there is no event at position {position}")
    body = msgspec.json.decode(event.pop("state"))
    hexadecimal = {name: event.pop(name).hex() for name in ("mac", "hash")}
    return msgspec.json.format(msgspec.json.encode({**event, **hexadecimal, "body": body}), indent=2).decode()


def _after(connection: psycopg.Connection[Any], position: int) -> list[dict[str, Any]]:
    query = f"select {COLUMNS} from stored_events where notification_id > %s order by notification_id limit {PAGE}"  # noqa: S608 - constants
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, [position]).fetchall()
