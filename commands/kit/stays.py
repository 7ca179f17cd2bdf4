"""Who is in: the tables behind sessions, their refresh tokens, and tickets for event streams.

How it works: that a session begins and ends is told by its stream; what it takes to go on is a secret and lies here. A refresh token is session, generation and a MAC
made with a server key; the session keeps the SHA-256 of the token in use. Using the one before again within ten seconds, from the same address and program (an
answer that was lost on the way), gives the same successor; any other reuse means that somebody has a copy, and ends the session. The gateway owns
none of these tables and cannot read them: it may call the functions below, each of which does one thing.

What may go wrong: a session is ended here first and its event follows; a process that dies in between leaves an end that nobody told. `untold` finds
those, and the events that are then written have ids that follow from the session, so that none is told twice.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from domain.kit import Refused
from projections.kit.lanes import Lanes

GRACE_SECONDS = 10
TICKET_SECONDS = 30
_DIGEST = 32
_HEAD = 20  # session and generation

SQL = """
do $$ begin
    if exists (select from information_schema.columns where table_schema = 'public' and table_name = 'sessions' and column_name = 'generation') then
        drop table sessions cascade;
    end if;
    drop table if exists memberships;
    if exists (select from information_schema.columns where table_schema = 'public' and table_name = 'accounts' and column_name = 'password_hash') then
        drop table accounts;
    end if;
end $$;

create table if not exists stays (
    id uuid primary key, account uuid not null, clinic_id uuid not null, role text not null, subject uuid, client text not null, proofs text[] not null,
    impersonator uuid, before uuid, reason text, generation int not null default 0, refresh_hash bytea not null, turned_by bytea not null default '', lifetime int not null,
    address text not null, agent text not null, opened_at timestamptz not null default now(), turned_at timestamptz not null default now(),
    expires_at timestamptz not null, ended_at timestamptz, ended_why text, told boolean not null default true
);
create index if not exists stays_account on stays (account) where ended_at is null;
create index if not exists stays_untold on stays (id) where not told;
create table if not exists stay_tickets (hash bytea primary key, stay uuid not null references stays on delete cascade, expires_at timestamptz not null);

create or replace function stay_open(
    this uuid, of_account uuid, of_clinic uuid, of_role text, of_subject uuid, with_client text, by_proofs text[], by_impersonator uuid, after uuid,
    why text, hash bytea, seconds int, from_address text, from_agent text
) returns void language sql volatile security definer set search_path = public, pg_temp as $$
    delete from stays s where s.id in (
        select x.id from stays x where x.account = of_account and x.told and (x.ended_at < now() - interval '30 days' or x.expires_at < now()) limit 100);
    insert into stays (id, account, clinic_id, role, subject, client, proofs, impersonator, before, reason, refresh_hash, lifetime, expires_at, address, agent)
    values (this, of_account, of_clinic, of_role, of_subject, with_client, by_proofs, by_impersonator, after, why, hash, seconds,
        now() + make_interval(secs => seconds), from_address, from_agent);
$$;

create or replace function stay_turn(
    this uuid, shown int, hash bytea, successor bytea, grace int, who bytea, out outcome text
) language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare s stays;
begin
    select x.* into s from stays x where x.id = this for update;
    if not found or s.ended_at is not null or s.expires_at < now() then outcome := 'ended'; return; end if;
    if shown = s.generation and hash = s.refresh_hash then
        update stays x set generation = shown + 1, refresh_hash = successor, turned_at = clock_timestamp(), turned_by = who,
            expires_at = now() + make_interval(secs => s.lifetime)
        where x.id = this;
        outcome := 'turned';
    elsif shown = s.generation - 1 and successor = s.refresh_hash and who = s.turned_by
            and s.turned_at > clock_timestamp() - make_interval(secs => grace) then
        outcome := 'turned';
    else
        update stays x set ended_at = now(), ended_why = 'refresh-reused', told = false where x.id = this;
        outcome := 'reused';
    end if;
end $$;

create or replace function stay_get(this uuid) returns table (
    id uuid, account uuid, clinic_id uuid, role text, subject uuid, client text, proofs text[], impersonator uuid, before uuid, open boolean
) language sql stable security definer set search_path = public, pg_temp as $$
    select s.id, s.account, s.clinic_id, s.role, s.subject, s.client, s.proofs, s.impersonator, s.before, s.ended_at is null and s.expires_at > now()
    from stays s where s.id = this;
$$;

create or replace function stays_of(of_account uuid) returns table (
    id uuid, clinic_id uuid, role text, client text, proofs text[], impersonator uuid, address text, agent text, opened_at timestamptz, turned_at timestamptz
) language sql stable security definer set search_path = public, pg_temp as $$
    select s.id, s.clinic_id, s.role, s.client, s.proofs, s.impersonator, s.address, s.agent, s.opened_at, s.turned_at
    from stays s where s.account = of_account and s.ended_at is null and s.expires_at > now() order by s.turned_at desc limit 200;
$$;

create or replace function stay_end(this uuid, why text) returns boolean
language sql volatile security definer set search_path = public, pg_temp as $$
    with over as (update stays s set ended_at = now(), ended_why = why, told = false where s.id = this and s.ended_at is null returning 1)
    select exists (select from over);
$$;

create or replace function stays_end(of_account uuid, of_clinic uuid, but uuid, why text) returns table (id uuid, clinic_id uuid)
language sql volatile security definer set search_path = public, pg_temp as $$
    update stays s set ended_at = now(), ended_why = why, told = false
    where s.account = of_account and s.ended_at is null and (of_clinic is null or s.clinic_id = of_clinic) and s.id is distinct from but
    returning s.id, s.clinic_id;
$$;

create or replace function stays_untold(most int) returns table (id uuid, clinic_id uuid, account uuid, why text)
language sql stable security definer set search_path = public, pg_temp as $$
    select s.id, s.clinic_id, s.account, s.ended_why from stays s where not s.told and s.ended_at < now() - interval '5 seconds' limit most;
$$;

create or replace function stay_told(this uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    update stays s set told = true where s.id = this;
$$;

create or replace function stay_alive(this uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (select from stays s where s.id = this and s.ended_at is null and s.expires_at > now());
$$;

create or replace function ticket_issue(this bytea, of_stay uuid, seconds int) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from stay_tickets t where t.expires_at < now();
    insert into stay_tickets (hash, stay, expires_at) values (this, of_stay, now() + make_interval(secs => seconds));
$$;

create or replace function ticket_redeem(this bytea) returns uuid
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from stay_tickets t where t.hash = this and t.expires_at > now() returning t.stay;
$$;

revoke all on stays, stay_tickets from public;
revoke all on function stay_open, stay_turn, stay_get, stays_of, stay_end, stays_end, stays_untold, stay_told, stay_alive, ticket_issue, ticket_redeem
    from public;
grant execute on function stay_open, stay_turn, stay_get, stays_of, stay_end, stays_end, stays_untold, stay_told, stay_alive, ticket_issue, ticket_redeem
    to anamnesis_gateway;
"""


class RefreshInvalid(Refused):
    """This refresh token cannot be used. Sign in again."""

    status = 401


class RefreshReused(Refused):
    """This refresh token was used before, so somebody may have copied it. The session has been ended; sign in again."""

    status = 401


class Stay(NamedTuple):
    """A session: whose, where, as whom, by what proofs, and who acts for them, if another person does."""

    id: UUID
    account: UUID
    clinic: UUID
    role: str
    subject: UUID | None
    client: str
    proofs: list[str]
    impersonator: UUID | None = None
    before: UUID | None = None
    open: bool = True


class Listed(NamedTuple):
    """An open session as its owner sees it."""

    id: UUID
    clinic: UUID
    role: str
    client: str
    proofs: list[str]
    impersonator: UUID | None
    address: str
    agent: str
    opened_at: datetime
    turned_at: datetime


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Stays:
    """The sessions; `key` is a server key, from which this takes its own."""

    def __init__(self, lanes: Lanes, key: bytes) -> None:
        self._lanes = lanes
        self._key = hmac.digest(key, b"refresh tokens", hashlib.sha256)

    async def open(self, stay: Stay, seconds: int, *, address: str, agent: str, reason: str | None = None) -> str:
        """Open a session that ends by itself after so many seconds without a refresh; gives its first refresh token."""
        token = self._token(stay.id, 0)
        await self._row(
            "select stay_open(%s, %s, %s, %s, %s, %s, %s::text[], %s, %s, %s, %s, %s::int, %s, %s)", stay.id, stay.account, stay.clinic, stay.role,
            stay.subject, stay.client, stay.proofs, stay.impersonator, stay.before, reason, _hash(token), seconds, address, agent)
        return token

    async def turn(self, token: str, *, address: str, agent: str) -> tuple[Stay, str]:
        """Return the session of a refresh token, and the token to go on with."""
        session, generation = self._read(token)
        successor, who = self._token(session, generation + 1), self._mac(f"{address}\n{agent}".encode())
        (outcome,) = await self._row(
            "select stay_turn(%s, %s::int, %s, %s, %s::int, %s)", session, generation, _hash(token), _hash(successor), GRACE_SECONDS, who)
        if outcome == "reused":
            raise RefreshReused(session=session)
        if outcome != "turned" or (stay := await self.get(session)) is None:
            raise RefreshInvalid
        return stay, successor

    async def get(self, id: UUID) -> Stay | None:  # noqa: A002
        """Return a session."""
        rows = (await self._lanes.ask(None, "select * from stay_get(%s)", (id,))).rows
        return Stay(*rows[0]) if rows else None

    async def of(self, account: UUID) -> list[Listed]:
        """Return somebody's open sessions, the one used last first."""
        return [Listed(*row) for row in (await self._lanes.ask(None, "select * from stays_of(%s)", (account,))).rows]

    async def end(self, session: UUID, why: str) -> bool:
        """End a session; say whether it was open."""
        (ended,) = await self._row("select stay_end(%s, %s)", session, why)
        return bool(ended)

    async def end_all(self, account: UUID, why: str, *, clinic: UUID | None = None, but: UUID | None = None) -> list[tuple[UUID, UUID]]:
        """End somebody's sessions, all or those in one clinic, but for one; gives each with its clinic."""
        return (await self._lanes.ask(None, "select * from stays_end(%s, %s, %s, %s)", (account, clinic, but, why), again=False)).rows

    async def untold(self, most: int = 100) -> list[tuple[UUID, UUID, UUID, str]]:
        """Return sessions whose end no event tells yet: id, clinic, account, why."""
        return (await self._lanes.ask(None, "select * from stays_untold(%s::int)", (most,))).rows

    async def told(self, session: UUID) -> None:
        """Note that an event tells of a session's end."""
        await self._row("select stay_told(%s)", session)

    async def alive(self, session: UUID) -> bool:
        """Say whether a session is open."""
        return bool((await self._lanes.ask(None, "select stay_alive(%s)", (session,))).rows[0][0])

    async def ticket(self, session: UUID) -> str:
        """Return a ticket that opens an event stream once, within half a minute, for clients that can send no header."""
        ticket = secrets.token_urlsafe(_DIGEST)
        await self._row("select ticket_issue(%s, %s, %s::int)", _hash(ticket), session, TICKET_SECONDS)
        return ticket

    async def redeem(self, ticket: str) -> Stay | None:
        """Return whose ticket this is, once."""
        (session,) = await self._row("select ticket_redeem(%s)", _hash(ticket))
        stay = await self.get(session) if session else None
        return stay if stay and stay.open else None

    async def _row(self, sql: str, *params: Any) -> tuple[Any, ...]:
        return (await self._lanes.ask(None, sql, params, again=False)).rows[0]

    def _mac(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, hashlib.sha256)

    def _token(self, session: UUID, generation: int) -> str:
        head = session.bytes + generation.to_bytes(4, "big")
        return urlsafe_b64encode(head + self._mac(head)).decode().rstrip("=")

    def _read(self, token: str) -> tuple[UUID, int]:
        """Return session and generation of a refresh token of ours."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (Base64Error, ValueError):
            raise RefreshInvalid from None
        head, mac = raw[:_HEAD], raw[_HEAD:]
        if len(raw) != _HEAD + _DIGEST or not hmac.compare_digest(mac, self._mac(head)):
            raise RefreshInvalid
        return UUID(bytes=head[:16]), int.from_bytes(head[16:], "big")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
