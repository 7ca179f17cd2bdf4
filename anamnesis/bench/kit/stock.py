"""The library's own recorder, untouched, on a table of its own: what group commit is compared with.

How it works. `PostgresApplicationRecorder` as it comes, in a schema of its own beside the store's tables: an insert under a table lock with a NOTIFY, one commit per
append, a thread per client and a connection for each, as its documentation has it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

SCHEMA = "stock"
TABLE = "stock_events"

Recorder = PostgresApplicationRecorder


@contextmanager
def recorder(owner_url: str, connections: int) -> Iterator[Recorder]:
    """A fresh stock recorder with so many connections; its table goes when it ends."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"create schema if not exists {SCHEMA}")
    try:
        with opened(owner_url, connections) as made:
            yield made
    finally:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(f"drop schema {SCHEMA} cascade")


@contextmanager
def opened(owner_url: str, connections: int) -> Iterator[Recorder]:
    """A stock recorder on the schema that is there."""
    parts = conninfo_to_dict(owner_url)
    with PostgresDatastore(
        dbname=str(parts["dbname"]), host=str(parts["host"]), port=str(parts.get("port", 5432)), user=str(parts["user"]),
        password=str(parts["password"]), schema=SCHEMA, pool_size=connections,
    ) as datastore:
        made = PostgresApplicationRecorder(datastore, events_table_name=TABLE)
        made.create_table()
        yield made


def booking(body: bytes, stream: UUID | None = None) -> StoredEvent:
    """An event as the recorder takes it: the first of a fresh stream."""
    return StoredEvent(originator_id=stream or uuid4(), originator_version=1, topic="AppointmentBooked", state=body)


def count(recorder: Recorder) -> int:
    """How many events lie in its table."""
    with recorder.datastore.transaction() as cursor:
        row: Any = cursor.execute(f"select count(*) from {SCHEMA}.{TABLE}").fetchone()  # noqa: S608
    return int(row["count"])
