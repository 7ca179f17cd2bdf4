"""The book of rebuilds: what was asked for and by whom, how far it is, what came of it.

How it works. A rebuild has a row, whether somebody typed it beside the installation or a superadmin asked for it over REST; a builder takes up what was asked for over REST
(`workers.kit.builder`). Whoever carries one out writes down its phase and share twice a second, and reads there whether it is to end: it ends at the next page of
events, and what is done is kept for the next one to go on from. One may be open at a time; whether somebody is at it is known by the lock that `rebuild` holds.

What may go wrong. A process that dies leaves a row that says `running` while nobody holds the lock: what was asked for over REST is taken up again, `TRIES` times at most;
what was typed is closed as failed, for whoever typed it has seen it end.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from domain.kit import PLATFORM
from projections.kit.build import OPTIONS, Outcome, Progress, RebuildError, Report
from projections.kit.reading import Reader
from projections.kit.rebuild import REBUILD_LOCK, back, rebuild

TRIES = 5
BEAT_SECONDS = 0.5
SHOWN = ("name", "version", "events", "kept", "rows", "parked", "seconds", "compared", "differing", "logic_changed")

SQL = f"""
create table if not exists rebuilds (
    id uuid primary key, clinic_id uuid not null default '{PLATFORM}', position bigint not null default 0, kind text not null check (kind in ('rebuild', 'back')),
    read_models jsonb not null, clinic uuid, jobs bigint not null, fresh boolean not null, asked_by uuid, asked_at timestamptz not null default now(),
    status text not null check (status in ('asked', 'running', 'done', 'failed', 'cancelled')), tries int not null default 0, started_at timestamptz, ended_at timestamptz,
    phase text, read_model text, percent bigint not null default 0, remaining_seconds bigint, cancelled_by uuid, cancelling boolean not null default false,
    problem text, outcomes jsonb not null default '[]'
);
create unique index if not exists rebuilds_open on rebuilds ((true)) where status in ('asked', 'running');
alter table rebuilds enable row level security;
alter table rebuilds force row level security;
drop policy if exists owner on rebuilds;
create policy owner on rebuilds to anamnesis_owner using (true) with check (true);
drop policy if exists platform on rebuilds;
create policy platform on rebuilds for select to anamnesis_gateway using ((select current_setting('app.clinic', true)) = '{PLATFORM}');
grant select on rebuilds to anamnesis_gateway;

create or replace function ask_rebuild(asked uuid, of_kind text, models jsonb, of_clinic uuid, at_once bigint, anew boolean, who uuid) returns uuid
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    insert into rebuilds (id, kind, read_models, clinic, jobs, fresh, asked_by, status)
        select asked, of_kind, models, of_clinic, at_once, anew, who, 'asked' where current_setting('app.clinic', true) = '{PLATFORM}' on conflict do nothing;
    return (select r.id from rebuilds r where r.status in ('asked', 'running'));
end $$;
create or replace function cancel_rebuild(which uuid, who uuid) returns boolean
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    update rebuilds r set cancelling = true, cancelled_by = coalesce(r.cancelled_by, who), ended_at = case when r.status = 'asked' then clock_timestamp() end,
        status = case when r.status = 'asked' then 'cancelled' else r.status end
    where r.id = which and r.status in ('asked', 'running') and current_setting('app.clinic', true) = '{PLATFORM}';
    return found;
end $$;
revoke all on function ask_rebuild, cancel_rebuild from public;
grant execute on function ask_rebuild, cancel_rebuild to anamnesis_gateway;
"""  # noqa: S608 - constants of ours
WISH = "id, kind, read_models, clinic, jobs, fresh"
BEGIN = f"""
insert into rebuilds ({WISH}, status, started_at) values (%s, %s, %s, %s, %s, %s, 'running', clock_timestamp()) on conflict do nothing
"""  # noqa: S608
BEAT = "update rebuilds set phase = %s, read_model = %s, percent = %s, remaining_seconds = %s where id = %s returning cancelling"
SETTLE = """
update rebuilds set status = %s, problem = %s, outcomes = %s, ended_at = clock_timestamp(), remaining_seconds = null, phase = null, read_model = null,
    percent = case when %s = 'done' then 100 else percent end
where id = %s
"""


def install(conn: Connection[Any]) -> None:
    """Make the table, or bring it up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Wish(NamedTuple):
    """What is to be done: rebuild read models (all when none is named), or one clinic's rows in them; or let one's version before serve again."""

    id: UUID
    kind: Literal["rebuild", "back"]
    read_models: list[str]
    clinic: UUID | None = None
    jobs: int = 1
    fresh: bool = False


class Cancelled(Exception):  # not an error
    """Somebody has said that it is to end."""


async def ask(reader: Reader, wish: Wish, who: UUID) -> UUID:
    """Ask for a rebuild; return its id, or that of the one that is open already."""
    models = json.dumps(wish.read_models)
    found = await reader.ask(
        "select ask_rebuild(%s, %s, %s::jsonb, %s, %s, %s, %s)", (wish.id, wish.kind, models, wish.clinic, wish.jobs, wish.fresh, who))
    return UUID(str(found.rows[0][0]))


async def cancel(reader: Reader, which: UUID, who: UUID) -> bool:
    """Have a rebuild end; False if it has ended."""
    return bool((await reader.ask("select cancel_rebuild(%s, %s)", (which, who))).rows[0][0])


def typed(owner_url: str, kek: bytes, wish: Wish, progress: Progress) -> Report:
    """Carry out at once what somebody has typed."""
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn:
        values = wish._replace(read_models=Jsonb(wish.read_models))  # type: ignore[arg-type]
        if not conn.execute(BEGIN, values).rowcount:
            next_wish(conn)  # closes what nobody is at
            if not conn.execute(BEGIN, values).rowcount:
                message = "another rebuild is under way, or asked for"
                raise RebuildError(message)
    return carry_out(owner_url, kek, wish, progress)


def next_wish(conn: Connection[Any]) -> Wish | None:
    """Return what is to be done next, marked as begun; close what was left by a process that has ended."""
    with conn.transaction():
        found = conn.execute(f"select status, asked_by, tries, {WISH} from rebuilds where status in ('asked', 'running') for update").fetchone()  # noqa: S608
        if found is None:
            return None
        status, asked_by, tries, *wish = found
        if status == "running":
            if conn.execute("select pg_try_advisory_xact_lock(%s)", (REBUILD_LOCK,)).fetchone() != (True,):
                return None
            if asked_by is None or tries >= TRIES:
                _settle(conn, wish[0], "failed", "its process ended before its work was done; the next rebuild goes on from there")
                return None
        if asked_by is None:
            return None
        conn.execute("update rebuilds set status = 'running', tries = tries + 1, started_at = coalesce(started_at, clock_timestamp()) where id = %s", (wish[0],))
        return Wish(*wish)


def carry_out(owner_url: str, kek: bytes, wish: Wish, progress: Progress | None = None) -> Report:
    """Do what is wished, telling the book, and `progress` if there is one; raises what `rebuild` raises, or `Cancelled`."""
    with psycopg.connect(owner_url, autocommit=True, options=OPTIONS) as conn:
        say = Telling(conn, wish, progress)
        try:
            if wish.kind == "back":
                report = back(owner_url, wish.read_models[0], kek=kek, progress=say)
            else:
                report = rebuild(owner_url, wish.read_models, kek=kek, clinic=wish.clinic, jobs=wish.jobs, fresh=wish.fresh, progress=say)
        except (Cancelled, KeyboardInterrupt):
            _settle(conn, wish.id, "cancelled", None)
            raise
        except Exception as error:
            _settle(conn, wish.id, "failed", str(error) if isinstance(error, RebuildError) else f"a fault: {type(error).__name__}")
            raise
        shown = [field for field in msgspec.structs.fields(Outcome) if field.name in SHOWN]
        _settle(conn, wish.id, "done", None, [{field.encode_name: getattr(outcome, field.name) for field in shown} for outcome in report.outcomes])
        return report


class Telling:
    """Takes the progress of a rebuild, writes it down now and then, and passes it on."""

    def __init__(self, conn: Connection[Any], wish: Wish, beside: Progress | None) -> None:
        self.conn = conn
        self.wish = wish
        self.beside = beside
        self.began = self.last = time.monotonic()
        self.told = ("", "")
        self.shares = dict.fromkeys(wish.read_models, 0.0)

    def __call__(self, name: str, phase: str, done: int, total: int) -> None:
        """Note how far a read model is; raise `Cancelled` if it is to end."""
        if self.beside:
            self.beside(name, phase, done, total)
        if name in self.shares:
            self.shares[name] = done / max(done, total, 1) if phase == "replay" else 1.0
        now, share = time.monotonic(), sum(self.shares.values()) / max(1, len(self.shares))
        if (name, phase) == self.told and now - self.last < BEAT_SECONDS:
            return
        self.told, self.last = (name, phase), now
        remaining = round((now - self.began) * (1 - share) / share) if share else None
        found = self.conn.execute(BEAT, (phase, name, int(100 * share), remaining, self.wish.id)).fetchone()
        if found and found[0]:
            raise Cancelled


def _settle(conn: Connection[Any], which: UUID, status: str, problem: str | None, outcomes: Sequence[dict[str, Any]] = ()) -> None:
    conn.execute(SETTLE, (status, problem, msgspec.json.encode(outcomes).decode(), status, which))
