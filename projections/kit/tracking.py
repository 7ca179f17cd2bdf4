"""Who maintains the read models, and how far they have come.

How it works. `projector_tracking` has one row per group and partition: the position up to which every event of that partition is in the read models,
and who may move it. A projector leases partitions; each change of owner raises the epoch. Every batch moves the position with a
compare-and-set on epoch and position in the same transaction as the rows, so of two projectors that both think they own a partition one writes
nothing. Members announce themselves; each takes its fair share and hands back what is beyond it. A lease is free when it has run out, was handed back, or its owner's session
(known by its application name) is gone, so a killed projector is replaced at once.

Who is about to write the whole history (a demo) has the projectors rest: all partitions are leased to its session, and free again with it.

What may go wrong. A process that is stopped while its transaction is open holds the row's lock: the server ends such a session after a few
seconds (`SETTINGS`). A lost lease is noticed at the next batch or tick, whichever comes first, and never by trusting a clock.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection, Connection

from projections.kit.tables import LIVE

LEASE = "3 seconds"
# rows and fence are lost together, and the gap heals: so commits need not wait for the disk; plans must not be made for empty tables
SETTINGS = (
    "-c synchronous_commit=off -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off -c timezone=UTC -c plan_cache_mode=force_generic_plan "
    "-c idle_in_transaction_session_timeout=5s"
)
# a server that does not answer is given up within seconds
CONNECT: dict[str, Any] = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}

ANNOUNCE = f"""
insert into projector_members (owner, grp, seen_until) values (%(owner)s, %(grp)s, clock_timestamp() + interval '{LEASE}')
on conflict (owner) do update set seen_until = excluded.seen_until
"""  # noqa: S608
FORGET = "delete from projector_members where seen_until < clock_timestamp() - interval '1 minute'"
RENEW = f"""
update projector_tracking t set leased_until = clock_timestamp() + interval '{LEASE}', updated_at = clock_timestamp(),
    current_at = case when t.position >= (select h.position from store_head h) then clock_timestamp() else t.current_at end
where t.grp = %(grp)s and t.owner = %(owner)s returning t.partition, t.epoch, t.position
"""  # noqa: S608
SHARE = """
select ceil(count(*)::numeric / greatest(1, (
    select count(*) from projector_members m where m.grp = %(grp)s and m.seen_until > clock_timestamp()
    and exists (select from pg_stat_activity a where a.application_name = m.owner))))::int
from projector_tracking where grp = %(grp)s
"""
CLAIM = f"""
update projector_tracking t set owner = %(owner)s, epoch = t.epoch + 1, leased_until = clock_timestamp() + interval '{LEASE}'
where t.grp = %(grp)s and t.partition in (
    select f.partition from projector_tracking f where f.grp = %(grp)s and f.owner is distinct from %(owner)s and (
        f.owner is null or f.leased_until < clock_timestamp() or not exists (select from pg_stat_activity a where a.application_name = f.owner))
    order by f.partition limit %(room)s for update skip locked)
returning t.partition, t.epoch, t.position
"""  # noqa: S608
RELEASE = """
update projector_tracking set owner = null, leased_until = null where grp = %(grp)s and owner = %(owner)s and partition = any(%(partitions)s::smallint[])
"""
REST = "update projector_tracking set owner = %s, epoch = epoch + 1, leased_until = 'infinity' where grp = %s"
WAKE = "update projector_tracking set owner = null, leased_until = null where owner = %s and grp = %s"
FENCE = f"""
update projector_tracking t
set position = m.upto, leased_until = clock_timestamp() + interval '{LEASE}', current_at = clock_timestamp(), updated_at = clock_timestamp()
from json_to_recordset(%s::json) m(partition smallint, epoch bigint, before bigint, upto bigint)
where t.grp = %s and t.partition = m.partition and t.epoch = m.epoch and t.position = m.before
"""  # noqa: S608
HEALTH = """
select t.partition, h.position, t.position, h.position - t.position,
    case when t.position < h.position then extract(epoch from clock_timestamp() - t.current_at)::float8 else 0::float8 end,
    t.owner, (select count(*) from parked_events p where p.partition = t.partition and p.state = 'parked')
from projector_tracking t cross join store_head h where t.grp = %s order by t.partition
"""


class Held(NamedTuple):
    """A partition as its owner knows it."""

    epoch: int
    position: int


class PartitionHealth(NamedTuple):
    """How far a partition's read models have come."""

    partition: int
    head: int
    tracked: int
    lag: int
    stalled_seconds: float  # without progress while the head moved; 0 when level
    owner: str | None
    parked: int


class Leases:
    """The partitions that this process may move."""

    def __init__(self, owner: str, group: str = LIVE) -> None:
        self.owner = owner
        self.group = group
        self.held: dict[int, Held] = {}

    async def tick(self, conn: AsyncConnection[Any]) -> bool:
        """Renew what is held, hand back what is beyond the fair share, claim what is free; say whether the set of partitions changed."""
        before = {p: h.epoch for p, h in self.held.items()}
        me = {"owner": self.owner, "grp": self.group}
        await conn.execute(ANNOUNCE, me)
        if not self.held:
            await conn.execute(FORGET)
        self.held = await self._lines(conn, RENEW, me)
        share = await self._share(conn, me)
        if len(self.held) > share:
            await self.release(conn, sorted(self.held)[share:])
        elif len(self.held) < share:
            self.held |= await self._lines(conn, CLAIM, {**me, "room": share - len(self.held)})
        return before != {p: h.epoch for p, h in self.held.items()}

    async def release(self, conn: AsyncConnection[Any], partitions: list[int] | None = None) -> None:
        """Hand partitions back, all of them unless said otherwise."""
        gone = list(self.held) if partitions is None else partitions
        await conn.execute(RELEASE, {"owner": self.owner, "grp": self.group, "partitions": gone})
        self.held = {p: h for p, h in self.held.items() if p not in gone}

    async def leave(self, conn: AsyncConnection[Any]) -> None:
        """Hand everything back and be no member any more."""
        await self.release(conn)
        await conn.execute("delete from projector_members where owner = %s", (self.owner,))

    def moved(self, moves: dict[int, int]) -> None:
        """Remember committed positions."""
        for partition, position in moves.items():
            self.held[partition] = self.held[partition]._replace(position=position)

    @property
    def lowest(self) -> int:
        """The position up to which all held partitions are done."""
        return min((h.position for h in self.held.values()), default=0)

    async def _share(self, conn: AsyncConnection[Any], me: dict[str, str]) -> int:
        found = await (await conn.execute(SHARE, me)).fetchone()
        return int(found[0]) if found else 0

    async def _lines(self, conn: AsyncConnection[Any], statement: str, values: dict[str, Any]) -> dict[int, Held]:
        found = await (await conn.execute(statement, values)).fetchall()
        return {partition: Held(epoch, position) for partition, epoch, position in found}


async def health(conn: AsyncConnection[Any], group: str = LIVE) -> list[PartitionHealth]:
    """Return progress, partition by partition."""
    return [PartitionHealth(*line) for line in await (await conn.execute(HEALTH, (group,))).fetchall()]


def health_sync(conn: Connection[Any], group: str = LIVE) -> list[PartitionHealth]:
    """Return progress, on a blocking connection."""
    return [PartitionHealth(*line) for line in conn.execute(HEALTH, (group,)).fetchall()]


@contextmanager
def resting(owner_url: str, group: str = LIVE) -> Iterator[None]:
    """Keep every projector from working, as long as this lasts and this process lives: a lease without its session is free."""
    owner = f"rest-{secrets.token_hex(6)}"
    with psycopg.connect(owner_url, autocommit=True, application_name=owner) as conn:
        conn.execute(REST, (owner, group))
        try:
            yield
        finally:
            with suppress(psycopg.OperationalError):  # without its session nobody rests any more
                conn.execute(WAKE, (owner, group))
