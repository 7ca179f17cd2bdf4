"""Destroying persons' keys, and everything else that is kept about them beside the events, in the transaction that stores the erasure.

How it works. A trigger on the store runs when an event that erases (`Erases`) is inserted: it destroys the keys, and deletes what the house tables hold of these persons:
sessions, secrets, codes and links, the network addresses of what they did, what errors of parked events may quote. So there is no moment at which the erasure is on record and
the key still there. What is in the log, the stream, snapshots and backups is sealed and stays; rows are blanked by the projector (`projections.kit.erasing`). Other
processes drop what they remember when the event reaches them, and in any case within a second: they ask who has been erased since.

What may go wrong. A gateway that answers a request at that very moment may still show what it has read a moment before. A backup of the key table brings keys back:
it is kept apart, and a restore applies every erasure that came after it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from psycopg import Connection, Error, sql

from domain.kit import Refused
from domain.kit.codec import erasing
from projections.kit.lanes import Lanes
from projections.kit.tables import load

SECONDS = 1.0  # between two questions who has been erased

log = structlog.get_logger(__name__)

SQL = """
create index if not exists person_keys_destroyed on person_keys (destroyed_at) where destroyed_at is not null;
create index if not exists origins_account on origins (account);

create or replace function erase_persons(these uuid[], of_clinic uuid) returns void
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    insert into person_keys as k (person, clinic_id, kek, wrapped, destroyed_at) select p, of_clinic, '', null, clock_timestamp() from unnest(these) p
    on conflict (person) do update set wrapped = null, destroyed_at = coalesce(k.destroyed_at, excluded.destroyed_at);
    delete from stays s where s.account = any(these) or s.subject = any(these);
    delete from vault v where v.owner = any(these);
    delete from link_codes l where l.subject = any(these);
    delete from digit_codes d where d.subject = any(these);
    update origins o set address = '', agent = '' where o.account = any(these);
    delete from snapshots n where n.originator_id = any(these);
    update parked_events e set error = 'erased' where e.stream = any(these);
    update import_lines i set sealed = null where i.patient = any(these) and i.sealed is not null;
end $$;
create or replace function on_erasure() returns trigger
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    perform erase_persons(array(
        select t.value::uuid from jsonb_each(convert_from(new.state, 'UTF8')::jsonb) m, jsonb_array_elements_text(m.value) t where m.key = 'persons'), new.clinic_id);
    return null;
end $$;

create or replace function traces_of(this uuid, of_clinic uuid, out keys bigint, out events jsonb, out sealed bigint, out sessions bigint, out secrets bigint, out links bigint,
    out addresses bigint, out destroyed_at timestamptz
) language sql stable security definer set search_path = public, pg_temp as $$
    with mine as (select e.topic, count(*) as n from stored_events e where e.clinic_id = of_clinic and e.person = this group by e.topic),
    held as (select count(*) filter (where k.wrapped is not null) as live, max(k.destroyed_at) as gone from person_keys k where k.person = this)
    select h.live, case when h.live > 0 then coalesce((select jsonb_object_agg(m.topic, m.n) from mine m), '{}') else '{}' end,
        (select coalesce(sum(m.n), 0) from mine m)::bigint, (select count(*) from stays s where s.account = this or s.subject = this),
        (select count(*) from vault v where v.owner = this),
        (select count(*) from link_codes l where l.subject = this) + (select count(*) from digit_codes d where d.subject = this),
        (select count(*) from origins o where o.account = this and o.address <> ''), h.gone
    from held h;
$$;
create or replace function erased_since(moment timestamptz) returns table (person uuid, destroyed_at timestamptz)
language sql stable security definer set search_path = public, pg_temp as $$
    select k.person, k.destroyed_at from person_keys k where k.destroyed_at > moment order by k.destroyed_at;
$$;
revoke all on function erase_persons, on_erasure, traces_of, erased_since from public;
grant execute on function traces_of, erased_since to anamnesis_gateway;
"""
TRIGGER = "create or replace trigger erasure after insert on stored_events for each row when (new.topic in ({topics})) execute function on_erasure()"


def install(conn: Connection[Any]) -> None:
    """Make functions and trigger, or bring them up to date; `conn` is the owner's."""
    load()
    topics = sql.SQL(", ").join(sql.Literal(topic) for topic in sorted(erasing()))
    with conn.transaction():
        conn.execute(SQL)
        conn.execute(sql.SQL(TRIGGER).format(topics=topics))


class TracesOf(NamedTuple):
    """What the house tables and the store hold of a person."""

    keys: int
    events: dict[str, int]
    sealed: int
    sessions: int
    secrets: int
    links: int
    addresses: int
    destroyed_at: datetime | None


async def traces_of(lanes: Lanes, records: Sequence[UUID], clinic: UUID) -> TracesOf:
    """Return what is kept about a person of a clinic, who may have several records."""
    each = [TracesOf(*(await lanes.ask(None, "select * from traces_of(%s, %s)", (record, clinic))).rows[0]) for record in records]
    events = sum((Counter(one.events) for one in each), Counter[str]())
    moments = [one.destroyed_at for one in each if one.destroyed_at]
    return TracesOf(
        keys=sum(one.keys for one in each), events=dict(events), sealed=sum(one.sealed for one in each), sessions=sum(one.sessions for one in each),
        secrets=sum(one.secrets for one in each), links=sum(one.links for one in each), addresses=sum(one.addresses for one in each),
        destroyed_at=max(moments, default=None))


class Erasures:
    """Asks every second who has been erased, and has this process forget them."""

    def __init__(self, lanes: Lanes, forget: Callable[[Iterable[UUID]], None]) -> None:
        self._lanes = lanes
        self._forget = forget
        self._since: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._asking())

    async def close(self) -> None:
        """Stop."""
        if self._task:
            self._task.cancel()

    async def look(self) -> None:
        """Ask once."""
        if self._since is None:
            self._since = (await self._lanes.ask(None, "select now() - interval '1 minute'")).rows[0][0]
        found = (await self._lanes.ask(None, "select * from erased_since(%s)", (self._since,))).rows
        if found:
            self._forget([person for person, _ in found])
            self._since = found[-1][1]

    async def _asking(self) -> None:
        while True:
            try:
                await self.look()
            except (Refused, Error, OSError) as error:
                log.warning("who was erased could not be asked", error=type(error).__name__)
            await asyncio.sleep(SECONDS)
