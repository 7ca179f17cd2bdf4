"""A row as it was: its stream's events up to a moment, folded by the projection that maintains it today.

What may go wrong: only a row that is one stream's own can be told so; what is personal is read with today's keys, so whoever was erased
stays erased in the past as well.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.keys import SELECT, KeyRing
from projections.kit.reading import Reader
from projections.kit.stored import COLUMNS, Stored, fact_of
from schemas.kit import Row

UPTO = {
    int: "notification_id <= %s",
    datetime: "recorded_at <= %s",
}


class Past(NamedTuple):
    """A row as it was, and the position of the last event it rests on."""

    row: Row
    position: int


def told(row: type[Row]) -> Projection | None:
    """Return the projection if the row's past can be told: it is one stream's own."""
    projection = PROJECTIONS.get(row.table)
    return projection if projection is not None and projection.key is None and projection.row is row else None


async def past(reader: Reader, keys: KeyRing, projection: Projection, stream: UUID, moment: int | datetime) -> Past | None:
    """Return the row of a stream as it was at a position or instant; None if it was not there."""
    sql = (
        f"select {COLUMNS} from stored_events where originator_id = %s and clinic_id = %s and {UPTO[type(moment)]} "  # noqa: S608
        "order by originator_version"
    )
    events = [Stored(*record) for record in (await reader.ask(sql, (stream, reader.clinic, moment))).rows]
    if wanted := keys.missing(event.person for event in events):
        keys.learn((await reader.ask(SELECT, (wanted,))).rows, wanted)
    row: Row | None = None
    for event in events:
        if event.topic in projection.topics:
            row = projection.next(row, fact_of(event, keys.key_of), (stream,))
    return None if row is None else Past(row, events[-1].position)
