"""Numbers that rise and are given out once, where a gap does no harm: a clinic's patients are numbered so, while invoices, which may leave none, have a series.

How it works. One row for each clinic and series holds the last number given out; a statement of its own takes the next ones for all who want one at that moment, before their
commands are decided. Nobody waits for anybody else's decision: a hundred thousand people can be taken in at one gateway while the desk registers somebody at another one. The
commit need not reach the disk by itself: whatever is stored with a number is committed later, and takes the row's change with it.

What may go wrong. A command that is decided again, repeated or refused has taken its number in vain, and the next one is higher. A table that is older than the events, as after a
restore from other sources, would give a number twice: so what is numbered also claims its number.
"""

import asyncio
from collections import deque
from typing import Any
from uuid import UUID

from psycopg import Connection

from projections.kit.lanes import Lanes

SQL = """
create table if not exists counters (clinic_id uuid not null, series text collate "C" not null, last bigint not null, primary key (clinic_id, series))
    with (fillfactor = 50);

create or replace function take_numbers(of_clinic uuid, of_series text, count int) returns bigint
language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare
    found bigint;
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into counters as c (clinic_id, series, last) values (of_clinic, of_series, count)
        on conflict (clinic_id, series) do update set last = c.last + excluded.last returning c.last into found;
    return found;
end $$;

revoke all on counters from public;
revoke all on function take_numbers from public;
grant execute on function take_numbers to anamnesis_gateway;
"""
TAKE = "select take_numbers(%s::uuid, %s::text, %s::int)"


def install(conn: Connection[Any]) -> None:
    """Make table and function, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Counters:
    """Takes numbers, for one process: those who ask in one turn of its loop are served by one statement."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._waiting: dict[tuple[UUID, str], list[asyncio.Future[int]]] = {}
        self._stock: dict[tuple[UUID, str], deque[int]] = {}
        self._taking: set[asyncio.Task[None]] = set()

    async def reserve(self, clinic: UUID, series: str, count: int) -> None:
        """Take so many numbers beforehand, for those who must not wait when they ask; what nobody asks for is a gap."""
        last = await self._taken(clinic, series, count)
        self._stock.setdefault((clinic, series), deque()).extend(range(last - count + 1, last + 1))

    async def next(self, clinic: UUID, series: str) -> int:
        """Return the next number of a clinic's series."""
        if stock := self._stock.get((clinic, series)):
            return stock.popleft()
        mine: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault((clinic, series), [])
        waiting.append(mine)
        if len(waiting) == 1:
            taking = asyncio.ensure_future(self._take(clinic, series, waiting))
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)
        return await mine

    async def _take(self, clinic: UUID, series: str, waiting: list[asyncio.Future[int]]) -> None:
        await asyncio.sleep(0)  # let this turn's other ones join
        del self._waiting[clinic, series]
        try:
            last = await self._taken(clinic, series, len(waiting))
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            for one in waiting:
                if not one.done():
                    one.set_exception(error)
            return
        for number, one in enumerate(waiting, last - len(waiting) + 1):
            if not one.done():
                one.set_result(number)

    async def _taken(self, clinic: UUID, series: str, count: int) -> int:
        return int((await self._lanes.ask(None, TAKE, (clinic, series, count), again=False)).rows[0][0])
