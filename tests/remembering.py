"""Facts put straight into a database's read models, to ask the SQL of a module without running anything else."""

from contextlib import asynccontextmanager
from uuid import UUID, uuid5

import psycopg

from domain.kit import Fact
from domain.kit.codec import encode
from projections.kit import PROJECTIONS, tables
from projections.kit.reading import Reading
from projections.kit.rows import Change, mapper_of

STORED = """
insert into stored_events (originator_id, originator_version, topic, state, notification_id, clinic_id, stream_kind, event_id, actor, recorded_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
KEY = b"k" * 32


def rows_of(*facts: Fact) -> dict[str, dict]:
    """Fold facts into every read model there is: rows by table and key."""
    tables_ = {name: {} for name in PROJECTIONS}
    for fact in facts:
        for name, projection in PROJECTIONS.items():
            if type(fact.event).__name__ in projection.topics:
                for key in projection.keys(fact):
                    tables_[name][fact.clinic, *key] = projection.next(tables_[name].get((fact.clinic, *key)), fact, key)
    return tables_


def remember(database, *facts: Fact) -> None:
    """Store facts and write the rows they make."""
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        tables.install(owner)
        for fact in facts:
            event_id = uuid5(fact.id, str(fact.version))
            body = encode(fact.event, event_id=event_id, person=fact.id, key=KEY)
            owner.execute(STORED, (fact.id, fact.version, type(fact.event).__name__, body, fact.position, fact.clinic, fact.kind, event_id,
                                   fact.actor, fact.recorded_at))
    keep(database, *facts)


def keep(database, *facts: Fact) -> None:
    """Write the rows that facts make, which are in the store."""
    with psycopg.connect(database.url("projector"), autocommit=True) as projector:
        for name, rows in rows_of(*facts).items():
            mapper = mapper_of(PROJECTIONS[name].row)
            changes = [Change(key, row, 1) for key, row in rows.items() if row is not None]
            if changes:
                projector.execute(mapper.upsert_sql(name), mapper.encoded(changes))


@asynccontextmanager
async def reading(database, clinic: UUID):
    """A clinic's reader, logged in as the gateway is."""
    source = Reading(database.url("gateway"))
    await source.open()
    try:
        yield await source.of(clinic)
    finally:
        await source.close()
