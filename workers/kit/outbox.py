"""The outbox: letters that are to be sent, and what became of them.

How it works. `letters` has a row per letter: which event and policy it comes from, its template, whom it is for, its state; no address, no name, no token. A sender
locks a row that is due (`for update skip locked`), has the letter written and sent while it holds the lock, and commits what became of it: `sent` once the mail
server took it, `delivered` if that is its destination (the local mailbox), `failed` if it never will be; a passing trouble puts it off, 30 seconds first, then
twice as long each time up to an hour, for three days. Any number of couriers share the work, each row one sender's at a time.

What may go wrong. A courier that dies between the server's yes and its own commit has sent a letter that is still queued: the lock goes with its connection, and
the letter is sent again at once, with the same Message-ID, by which mail programs tell that it is the same one. So it is at least once, and exactly once but for
such a death. What a mail server says may hold an address, which is struck out before it is kept. Letters are forgotten after 90 days.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from traceback import extract_tb
from typing import Any, Literal, NamedTuple
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection, Connection

from projections.kit.tracking import CONNECT
from workers.kit.ending import heed

SENDERS = 2  # letters that one courier sends at a time
FLOOR_SECONDS = 1.0  # between looks for letters that are due
SWEEP_SECONDS = 3600.0
SEND_SECONDS = 60.0
OPTIONS = "-c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout=90s"
FIRST, LONGEST, GIVE_UP = timedelta(seconds=30), timedelta(hours=1), timedelta(days=3)

SQL = """
create table if not exists letters (
    id uuid primary key, clinic_id uuid not null, clinic uuid generated always as (clinic_id) stored, position bigint not null, policy text not null, number int not null, template text not null,
    recipient_kind text, recipient uuid, language text, status text not null default 'queued' check (status in ('queued', 'sent', 'delivered', 'failed')),
    attempts bigint not null default 0, queued_at timestamptz not null default now(), due_at timestamptz not null default now(), settled_at timestamptz,
    error text
);
create index if not exists letters_due on letters (due_at) where status = 'queued';
create index if not exists letters_clinic on letters (clinic_id, queued_at);
create index if not exists letters_position on letters (position);
create index if not exists letters_age on letters (queued_at);
alter table letters enable row level security;
alter table letters force row level security;
drop policy if exists owner on letters;
create policy owner on letters to anamnesis_owner using (true) with check (true);
drop policy if exists courier on letters;
create policy courier on letters to anamnesis_courier using (true) with check (true);
drop policy if exists tenant on letters;
create policy tenant on letters for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));
drop policy if exists platform on letters;
create policy platform on letters for select to anamnesis_gateway using (
    (select current_setting('app.clinic', true)) = '00000000-0000-0000-0000-000000000000' and recipient_kind is distinct from 'patients');
grant select, insert, update, delete on letters to anamnesis_courier;
grant select on letters to anamnesis_gateway;

drop function if exists outbox_health();
create or replace function outbox_health(out queued bigint, out oldest_seconds float8, out overdue_seconds float8, out failed bigint)
language sql stable security definer set search_path = public, pg_temp as $$
    select count(*) filter (where status = 'queued'), coalesce(extract(epoch from now() - min(queued_at) filter (where status = 'queued')), 0)::float8,
        greatest(coalesce(extract(epoch from now() - min(due_at) filter (where status = 'queued')), 0), 0)::float8,
        count(*) filter (where status = 'failed' and settled_at > now() - interval '1 day')
    from letters where status = 'queued' or queued_at > now() - interval '4 days';
$$;
revoke all on function outbox_health from public;
grant execute on function outbox_health to anamnesis_gateway;
"""
CLAIM = """
select id, clinic_id, position, policy, number, template, recipient_kind, recipient, attempts, queued_at from letters
where status = 'queued' and due_at <= now() order by due_at limit 1 for update skip locked
"""
SETTLE = """
update letters set status = %s, language = coalesce(%s, language), attempts = attempts + 1, due_at = coalesce(%s, due_at), error = %s,
    settled_at = case when %s = 'queued' then null else clock_timestamp() end
where id = %s
"""
FORGET = "delete from letters where queued_at < now() - interval '90 days'"
_ADDRESS = re.compile(r"\S*@\S*")

log = structlog.get_logger(__name__)


class Queued(NamedTuple):
    """A letter as the outbox has it."""

    id: UUID
    clinic: UUID
    position: int
    policy: str
    number: int
    template: str
    recipient_kind: str | None
    recipient: UUID | None
    attempts: int
    queued_at: datetime


class Outcome(NamedTuple):
    """What became of a letter, and in which language it was."""

    state: Literal["sent", "delivered"]
    language: str


class UndeliverableError(Exception):
    """A letter that will never arrive."""


class NotNowError(Exception):
    """A letter that could not be sent for now."""


Deliver = Callable[[Queued], Awaitable[Outcome]]
Owner = Connection[Any]  # the owner's connection


def install(conn: Owner) -> None:
    """Make the table, or bring it up to date; `conn` is the owner's."""
    conn.execute(SQL)


class Outbox:
    """Sends what is due, on connections of its own."""

    def __init__(self, database_url: str, deliver: Deliver, name: str) -> None:
        self.database_url = database_url
        self.deliver = deliver
        self.name = name
        self.ring = asyncio.Event()  # there may be something
        self.stopping = False

    async def run(self) -> None:
        """Send until cancelled; a letter that is just being sent is finished first."""
        tasks = [asyncio.create_task(self._sending(n)) for n in range(SENDERS)]
        tasks.append(asyncio.create_task(self._sweeping()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)  # which, unlike gathering, cancels none of them
            for task in done:
                task.result()
        finally:
            self.stopping = True
            self.ring.set()
            tasks[-1].cancel()
            await asyncio.wait(tasks, timeout=5)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sending(self, number: int) -> None:
        while not self.stopping:
            try:
                async with await self._connect(number) as conn:
                    while not self.stopping:
                        if not await self.one(conn):
                            await self._rest()
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout, OSError) as error:
                log.warning("outbox.interrupted", error=type(error).__name__)
                await asyncio.sleep(FLOOR_SECONDS)

    async def _connect(self, number: int) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(
            self.database_url, autocommit=True, options=OPTIONS, application_name=f"{self.name}-{number}", **CONNECT)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(FLOOR_SECONDS):
                await self.ring.wait()
        except TimeoutError:
            return
        if not self.stopping:
            self.ring.clear()

    async def one(self, conn: AsyncConnection[Any]) -> bool:
        """Send one letter that is due; say whether there was one."""
        async with conn.transaction():
            found = await (await conn.execute(CLAIM)).fetchone()
            if found is None:
                return False
            await self._settle(conn, Queued(*found))
        return True

    async def _settle(self, conn: AsyncConnection[Any], letter: Queued) -> None:
        state: str
        state, language, due, error = "queued", None, None, None
        try:
            async with asyncio.timeout(SEND_SECONDS):
                state, language = await self.deliver(letter)
        except UndeliverableError as undeliverable:
            state, error = "failed", str(undeliverable)
        except (NotNowError, OSError, TimeoutError) as trouble:
            state, due, error = _put_off(letter, trouble)
        except psycopg.OperationalError:
            raise
        except Exception as bug:  # noqa: BLE001 - a letter that cannot be written costs itself alone
            state, error = "failed", type(bug).__name__
            log.warning("outbox.bug", letter=str(letter.id), at=[f"{frame.filename}:{frame.lineno}" for frame in extract_tb(bug.__traceback__)[-6:]])
        await conn.execute(SETTLE, (state, language, due, error and bare(error), state, letter.id))
        log.info("letter", letter=str(letter.id), template=letter.template, state=state, attempts=letter.attempts + 1, error=error and bare(error))

    async def _sweeping(self) -> None:
        """Forget old letters, now and then."""
        while True:
            heed()
            try:
                async with await self._connect(SENDERS) as conn:
                    await conn.execute(FORGET)
            except (psycopg.OperationalError, OSError) as error:
                log.warning("outbox.interrupted", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)


def _put_off(letter: Queued, trouble: BaseException) -> tuple[str, datetime | None, str]:
    """Return state, next attempt and reason of a letter that could not be sent."""
    now, words = datetime.now(UTC), str(trouble) or type(trouble).__name__
    if now - letter.queued_at > GIVE_UP:
        return "failed", None, f"given up: {words}"
    return "queued", now + min(FIRST * 2 ** min(letter.attempts, 10), LONGEST), words


def bare(text: str) -> str:
    """Return a line without addresses."""
    return _ADDRESS.sub("<address>", " ".join(text.split()))[:300]
