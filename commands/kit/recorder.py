"""The event store as the `eventsourcing` library knows it: its recorder contract over our append function.

The asynchronous path (`writer`, `streams`) and this one write the same table through the same function, so the library's tools, and the test cases that its wheel
ships, hold for the store that clinics use. The snapshot recorder is the library's own, on its own table.

What may go wrong: the library's stock insert takes a table lock and a NOTIFY per append, and its `enable_db_functions` takes no lock at all and skips events; neither is used here.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresApplicationRecorder, PostgresDatastore

from commands.kit import writer as w
from commands.kit.arrays import packed, register
from commands.kit.ids import new_id
from commands.kit.schema import install
from commands.kit.writer import ARRAYS, CALL, NewEvent, Save, parameters
from domain.kit import PLATFORM


class StoreRecorder(PostgresApplicationRecorder):
    """The library's application recorder on `stored_events`; events written so belong to the platform."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self.sql_create_statements.clear()  # the tables are `schema.install`'s

    def create_table(self) -> None:
        """Create the store's tables and function."""
        with self.datastore.get_connection() as conn:
            install(conn)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append in one call; raise IntegrityError if any of the versions is already there."""
        if not stored_events:
            return []
        events = [NewEvent(e.originator_id, e.originator_version, e.topic, "", PLATFORM, None, b"", e.state) for e in stored_events]  # type: ignore[arg-type]
        save = Save(command=new_id(), clinic=PLATFORM, actor=PLATFORM, correlation=PLATFORM, events=events, expected=[])
        columns, entangled = parameters([save])
        with self.datastore.get_connection() as conn:
            register(conn)
            try:
                # the careful way: it looks at each version, where the hopeful one relies on what was expected
                row = conn.execute(CALL, [False, entangled, *packed(ARRAYS, columns)], binary=True).fetchone()
            except psycopg.IntegrityError as error:  # twice in one call
                raise IntegrityError(str(error)) from error
        assert row is not None
        if row["outcome"] != w.SAVED:
            message = "a version of that originator is already stored"
            raise IntegrityError(message)
        return list(range(row["first_position"], row["first_position"] + len(events)))


class SnapshotRecorder(PostgresAggregateRecorder):
    """The library's aggregate recorder, for snapshots that its own tools take."""
