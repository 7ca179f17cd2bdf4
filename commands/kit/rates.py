"""How much each account and each network address has asked for, as all gateways know it together.

How it works: a debt is the time until everything asked for so far is paid off at the allowed rate (the generic cell rate algorithm). Each gateway counts in its own
memory and brings what is new here once a second, for all its clients in one call; the answer is what everybody together has asked for.

What may go wrong: between two calls a gateway does not know what the others let through, so a client that uses several at once may get a second's worth
more from each. The table is not logged: after a crash of the database every debt is forgiven.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from projections.kit.lanes import Lanes

SQL = """
create unlogged table if not exists rate_debts (key bytea primary key, until timestamptz not null);
create index if not exists rate_debts_until on rate_debts (until);

create or replace function rates_settle(keys bytea[], seconds float8[]) returns table (asked bytea, debt float8)
language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare at timestamptz := clock_timestamp();
begin
    return query
        insert into rate_debts as r (key, until) select k, at + make_interval(secs => s) from unnest(keys, seconds) as u (k, s) order by k
        on conflict on constraint rate_debts_pkey do update set until = greatest(r.until, at) + (excluded.until - at)
        returning r.key, extract(epoch from r.until - at)::float8;
    delete from rate_debts r where r.key in (select x.key from rate_debts x where x.until < at limit 1000 for update skip locked);
end $$;

revoke all on rate_debts from public;
revoke all on function rates_settle from public;
grant execute on function rates_settle to anamnesis_gateway;
"""


def install(conn: Connection[Any]) -> None:
    """Make table and function, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


async def settle(lanes: Lanes, keys: Sequence[bytes], seconds: Sequence[float]) -> dict[bytes, float]:
    """Bring what was asked for; return what everybody together owes, by key."""
    found = await lanes.ask(None, "select * from rates_settle(%s::bytea[], %s::float8[])", (list(keys), list(seconds)), again=False)
    return {bytes(key): debt for key, debt in found.rows}
