"""Rows as they were: their streams' events up to a moment, folded by the projection that maintains them today.

How it works. A moment is a position; an instant becomes the clinic's last position by then, found by halving, for recording times never decrease within a clinic. Which streams a
list of that moment may hold is known to whoever asks (`projections.trails`); theirs are read in portions and folded here, by the functions that make today's rows. Work on one
list is bounded by whoever asks as well: so many streams, then the question is refused or the page ends.

What may go wrong: what a table beside the events says (letters, deliveries) has no past. What is personal is read with today's keys, so whoever was erased
stays erased in the past as well. Folding takes some ten microseconds an event, hence the pauses, in which other requests have their turn.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from operator import ge, le, lt
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from domain.kit import Fact, State
from projections.kit.declare import PROJECTIONS, Key, Projection, installs
from projections.kit.engine import opens
from projections.kit.keys import SELECT, KeyRing
from projections.kit.reading import CursorInvalid, Page, Reader, Wanted
from projections.kit.stored import COLUMNS, Stored, fact_of
from schemas.kit import Row

PORTION = 100  # streams read at a time
TURN = 200  # events folded before others have their turn

R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=State)
Moment = int | datetime
Then = Callable[[Reader, KeyRing, Wanted, int], Awaitable[Page]]
"""How a list is asked for as it was at a position."""

UPTO = {
    int: "notification_id <= %s",
    datetime: "recorded_at <= %s",
}
COMPARED: dict[str, Callable[[Any, Any], bool]] = {">=": ge, "<=": le, "<": lt}

# runs as whoever asks, behind the tenants' wall
installs("""
create or replace function position_at(of_clinic uuid, moment timestamptz) returns bigint
language plpgsql stable set search_path = public, pg_temp set enable_seqscan = off as $$
declare
    low bigint := 0;
    high bigint := (select h.position from store_head h);
    middle bigint;
    at timestamptz;
begin
    while low < high loop
        middle := (low + high + 1) / 2;
        select e.recorded_at into at from stored_events e where e.clinic_id = of_clinic and e.notification_id <= middle order by e.notification_id desc limit 1;
        if not found or at <= moment then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return low;
end $$;
revoke all on function position_at from public;
grant execute on function position_at to anamnesis_gateway;
""")


class Past(NamedTuple):
    """A row as it was, and the positions of its stream's first event and of the last one it rests on."""

    row: Row
    position: int
    born: int


def told(row: type[Row]) -> Projection | None:
    """Return the projection if the row's past can be told: it is one stream's own, or such a row with something beside it."""
    for cls in row.__mro__:
        projection = PROJECTIONS.get(getattr(cls, "table", ""))
        if projection is not None and projection.key is None and projection.row is cls:
            return projection
    return None


def shaped(row: type[R], found: Row) -> R:
    """Return a past row in the form of one that has something beside it, which is not history's and reads null."""
    return found if isinstance(found, row) else row(**{name: getattr(found, name, None) for name in row.__struct_fields__})


async def position_at(reader: Reader, moment: Moment) -> int:
    """Return the position that a moment means for a clinic; none is beyond the head."""
    if isinstance(moment, int):
        return int((await reader.ask("select least(%s::bigint, position) from store_head", (moment,))).rows[0][0])
    return int((await reader.ask("select position_at(%s, %s)", (reader.clinic, moment))).rows[0][0])


async def past(reader: Reader, keys: KeyRing, projection: Projection, stream: UUID, moment: Moment) -> Past | None:
    """Return the row of a stream as it was at a position or instant; None if it was not there."""
    return (await pasts(reader, keys, projection, [stream], moment)).get(stream)


async def pasts(reader: Reader, keys: KeyRing, projection: Projection, streams: Iterable[UUID], moment: Moment) -> dict[UUID, Past]:
    """Return the rows of streams as they were, of those that were there."""
    found: dict[UUID, Past] = {}
    wanted = list(dict.fromkeys(streams))
    for at in range(0, len(wanted), PORTION):
        rows: dict[UUID, Row | None] = {}
        born: dict[UUID, int] = {}
        last: dict[UUID, int] = {}
        async for fact in facts_of(reader, keys, wanted[at : at + PORTION], moment, personal=opens(projection)):
            born.setdefault(fact.id, fact.position)
            last[fact.id] = fact.position
            if type(fact.event).__name__ in projection.topics:
                rows[fact.id] = projection.next(rows.get(fact.id), fact, (fact.id,))
        found |= {id_: Past(row, last[id_], born[id_]) for id_, row in rows.items() if row is not None}
    return found


async def parts(reader: Reader, keys: KeyRing, projection: Projection, stream: UUID, moment: Moment) -> list[Row]:
    """Return the rows that a stream alone made, as they were: an invoice's payments."""
    rows: dict[Key, Row | None] = {}
    async for fact in facts_of(reader, keys, [stream], moment, personal=opens(projection)):
        if type(fact.event).__name__ in projection.topics:
            rows |= {key: projection.next(rows.get(key), fact, key) for key in projection.keys(fact)}
    return [row for row in rows.values() if row is not None]


async def state_at(reader: Reader, keys: KeyRing, state: type[S], stream: UUID, moment: Moment) -> S:
    """Return a state as it was."""
    now = state()
    async for fact in facts_of(reader, keys, [stream], moment, personal=False):
        now = now.evolve(fact.event)
    return now


class Step(NamedTuple):
    """A row before an event and after it."""

    before: Row | None
    after: Row | None


async def neighbours(reader: Reader, keys: KeyRing, projections: Sequence[Projection], stream: UUID, positions: Iterable[int]) -> dict[int, list[Step]]:
    """Return, for each of these positions of a stream, its rows before and after: the stream is folded from its beginning."""
    wanted = set(positions)
    found: dict[int, list[Step]] = {position: [] for position in wanted}
    if not wanted:
        return found
    rows: dict[str, Row | None] = {}
    async for fact in facts_of(reader, keys, [stream], max(wanted), personal=any(opens(projection) for projection in projections)):
        for projection in projections:
            before = rows.get(projection.name)
            if type(fact.event).__name__ in projection.topics:
                rows[projection.name] = projection.next(before, fact, (stream,))
            if fact.position in wanted:
                found[fact.position].append(Step(before, rows.get(projection.name)))
    return found


async def facts_of(reader: Reader, keys: KeyRing, streams: Sequence[UUID], moment: Moment, *, personal: bool) -> AsyncIterator[Fact]:
    """Yield the facts of streams up to a moment, each stream's in their order; opened, if it is `personal`."""
    sql = (
        f"select {COLUMNS} from stored_events where originator_id = any(%s::uuid[]) and clinic_id = %s and {UPTO[type(moment)]} "  # noqa: S608
        "order by originator_id, originator_version"
    )
    events = [Stored(*record) for record in (await reader.ask(sql, (list(streams), reader.clinic, moment))).rows]
    if personal and (wanted := keys.missing(event.person for event in events)):
        keys.learn((await reader.ask(SELECT, (wanted,))).rows, wanted)
    for count, event in enumerate(events, 1):
        yield fact_of(event, keys.key_of if personal else None)
        if count % TURN == 0:
            await asyncio.sleep(0)


def fits(row: Row, conditions: Iterable[tuple[str, str, Any]]) -> bool:
    """Say whether a past row fulfils the conditions of a list, as Postgres would judge a present one."""
    for column, operator, value in conditions:
        has = getattr(row, column)
        if operator == "any":
            good = has in value
        elif operator == "=":
            good = has == value if value is not None else has is None
        else:
            good = has is not None and COMPARED[operator](has, value)
        if not good:
            return False
    return True


def cursor(position: int) -> str:
    """Return the cursor of a page that ends with what began at a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode({"born": position})).decode()


def after(text: str) -> int:
    """Return the position that a cursor holds."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, int])["born"]
    except (binascii.Error, ValueError, KeyError, msgspec.MsgspecError):
        raise CursorInvalid from None
