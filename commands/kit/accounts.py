"""Who may come in: accounts, their places in clinics, sessions, and the brakes on guessing.

How it works: these are ordinary tables, for secrets are never events. An account is an e-mail address and a password hash (argon2id); a membership is its role
in one clinic, and `subject` the staff member or patient it is there. The gateway owns none of these tables and cannot read them: it may call the
functions below, each of which does one thing. A refresh token is session, generation and a MAC made with a server key; the session keeps the SHA-256 of
the token in use. Using the one before within ten seconds (two tabs, an answer lost on the way) gives the same successor; using any older one means
that somebody has a copy, and ends the session.

What may go wrong: guessing, hence the door (`commands.kit.doors`) before each look at a password; an unknown address costs as much time as a known one.
"""

import asyncio
import hashlib
import hmac
import secrets
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from psycopg import Connection

from commands.kit.doors import Doors
from domain.kit import Refused
from projections.kit.lanes import Lanes

GRACE_SECONDS = 10
TICKET_SECONDS = 30
HASHERS = 2  # passwords checked at a time
CROWD = 64  # sign-ins that may wait for that
_DIGEST = 32
_HEAD = 20  # session and generation

SQL = """
create table if not exists accounts (
    id uuid primary key, email text collate "C" not null unique, password_hash text not null, created_at timestamptz not null default now(),
    disabled_at timestamptz
);
create table if not exists memberships (
    account uuid not null references accounts on delete cascade, clinic_id uuid not null, role text not null, subject uuid, name text,
    created_at timestamptz not null default now(), disabled_at timestamptz, primary key (account, clinic_id)
);
create table if not exists sessions (
    id uuid primary key, account uuid not null, clinic_id uuid not null, generation int not null default 0, refresh_hash bytea not null,
    opened_at timestamptz not null default now(), turned_at timestamptz not null default now(), expires_at timestamptz not null,
    ended_at timestamptz, foreign key (account, clinic_id) references memberships on delete cascade
);
create index if not exists sessions_account on sessions (account);

create table if not exists stream_tickets (hash bytea primary key, session uuid not null references sessions on delete cascade, expires_at timestamptz not null);

create or replace function signin_account(of_email text)
returns table (id uuid, password_hash text, disabled boolean, clinic_id uuid, role text, subject uuid, name text)
language sql stable security definer set search_path = public, pg_temp as $$
    select a.id, a.password_hash, a.disabled_at is not null or m.disabled_at is not null, m.clinic_id, m.role, m.subject, m.name
    from accounts a join memberships m on m.account = a.id where a.email = of_email order by m.disabled_at nulls first, m.created_at, m.clinic_id;
$$;

create or replace function session_open(this uuid, of_account uuid, of_clinic uuid, hash bytea) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    insert into sessions (id, account, clinic_id, refresh_hash, expires_at) values (this, of_account, of_clinic, hash, now() + interval '30 days');
$$;

create or replace function session_turn(
    this uuid, shown int, hash bytea, successor bytea, grace int,
    out outcome text, out account uuid, out clinic_id uuid, out role text, out subject uuid, out name text
) language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare s sessions;
begin
    select x.* into s from sessions x where x.id = this for update;
    if not found or s.ended_at is not null or s.expires_at < now() then outcome := 'ended'; return; end if;
    select m.account, m.clinic_id, m.role, m.subject, m.name into account, clinic_id, role, subject, name
    from memberships m join accounts a on a.id = m.account
    where m.account = s.account and m.clinic_id = s.clinic_id and m.disabled_at is null and a.disabled_at is null;
    if not found then outcome := 'ended'; return; end if;
    if shown = s.generation and hash = s.refresh_hash then
        update sessions x set generation = shown + 1, refresh_hash = successor, turned_at = clock_timestamp(), expires_at = now() + interval '30 days'
        where x.id = this;
        outcome := 'turned';
    elsif shown = s.generation - 1 and successor = s.refresh_hash and s.turned_at > clock_timestamp() - make_interval(secs => grace) then
        outcome := 'turned';
    else
        update sessions x set ended_at = now() where x.id = this;
        outcome := 'reused';
    end if;
end $$;

create or replace function session_end(this uuid) returns boolean
language sql volatile security definer set search_path = public, pg_temp as $$
    with ended as (update sessions s set ended_at = now() where s.id = this and s.ended_at is null returning 1) select exists (select from ended);
$$;

create or replace function session_alive(this uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from sessions s join memberships m on m.account = s.account and m.clinic_id = s.clinic_id join accounts a on a.id = s.account
        where s.id = this and s.ended_at is null and s.expires_at > now() and m.disabled_at is null and a.disabled_at is null);
$$;

create or replace function ticket_issue(this bytea, of_session uuid, seconds int) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from stream_tickets t where t.expires_at < now();
    insert into stream_tickets (hash, session, expires_at) values (this, of_session, now() + make_interval(secs => seconds));
$$;

create or replace function ticket_redeem(this bytea)
returns table (session uuid, account uuid, clinic_id uuid, role text, subject uuid, name text)
language sql volatile security definer set search_path = public, pg_temp as $$
    with taken as (delete from stream_tickets t where t.hash = this and t.expires_at > now() returning t.session)
    select s.id, m.account, m.clinic_id, m.role, m.subject, m.name
    from taken join sessions s on s.id = taken.session join memberships m on m.account = s.account and m.clinic_id = s.clinic_id
    where s.ended_at is null and s.expires_at > now() and m.disabled_at is null;
$$;

revoke all on accounts, memberships, sessions, stream_tickets from public;
revoke all on function signin_account, session_open, session_turn, session_end, session_alive, ticket_issue, ticket_redeem
    from public;
grant execute on function signin_account, session_open, session_turn, session_end, session_alive, ticket_issue, ticket_redeem
    to anamnesis_gateway;
"""


class CredentialsWrong(Refused):
    """E-mail address and password do not belong together. Check both and try again."""

    status = 401


class AccountDisabled(Refused):
    """This account has no access any more. Ask the clinic's administrator."""

    status = 403


class NoMember(Refused):
    """This account does not belong to that clinic. Sign in without a clinic, or with another one."""

    status = 403


class RefreshInvalid(Refused):
    """This refresh token cannot be used. Sign in again."""

    status = 401


class RefreshReused(Refused):
    """This refresh token was used before, so somebody may have copied it. The session has been ended; sign in again."""

    status = 401


class Crowded(Refused):
    """Too many people are signing in at this moment. Try again in a few seconds."""

    status = 503


class Member(NamedTuple):
    """An account in its place in a clinic."""

    account: UUID
    clinic: UUID
    role: str
    subject: UUID | None
    name: str | None


class Opened(NamedTuple):
    """A session that has just been opened or turned, and the refresh token to go on with."""

    session: UUID
    member: Member
    refresh: str


HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# what an unknown address is compared with, so that it costs the same time
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aG9tZWhlcmU$9sSzoGmUZiKDuCtMvcPhKWXmSM1mXCWVsv2GrAm0nSs"


def folded(email: str) -> str:
    """Return an e-mail address as it is compared."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


def create_account(
    conn: Connection[Any], *, email: str, clinic: UUID, role: str, password: str | None = None, password_hash: str | None = None,
    subject: UUID | None = None, name: str | None = None,
) -> UUID:
    """Give an address a place in a clinic; the account is made, or gets the new password, and keeps its id. `conn` is the owner's."""
    hashed = password_hash or HASHER.hash(password or "")
    with conn.transaction():
        found = conn.execute(
            "insert into accounts (id, email, password_hash) values (%s, %s, %s) "
            "on conflict (email) do update set password_hash = excluded.password_hash returning id", (uuid4(), folded(email), hashed)).fetchone()
        assert found is not None
        conn.execute(
            "insert into memberships (account, clinic_id, role, subject, name) values (%s, %s, %s, %s, %s) on conflict (account, clinic_id) "
            "do update set role = excluded.role, subject = excluded.subject, name = excluded.name, disabled_at = null",
            (found[0], clinic, role, subject, name))
    account: UUID = found[0]
    return account


class Accounts:
    """Signing in, going on, and signing out."""

    def __init__(self, lanes: Lanes, key: bytes) -> None:
        self._lanes = lanes
        self._doors = Doors(lanes, key)
        self._key = hmac.digest(key, b"refresh tokens", hashlib.sha256)
        self._threads = ThreadPoolExecutor(HASHERS, thread_name_prefix="passwords")
        self._turn = asyncio.Semaphore(HASHERS)
        self._crowd = 0

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def sign_in(self, email: str, password: str, address: str, clinic: UUID | None = None) -> Opened:
        """Open a session, in the given clinic or the account's first."""
        if self._crowd >= CROWD:
            raise Crowded
        self._crowd += 1
        try:
            async with self._turn:
                places = await self._checked(folded(email), password, address)
        finally:
            self._crowd -= 1
        return await self._open(_place(places, clinic))

    async def _checked(self, email: str, password: str, address: str) -> list[tuple[Any, ...]]:
        """Return the account's places if the password is right."""
        attempt = await self._doors.guess("password", email, address)
        places = (await self._lanes.ask(None, "select * from signin_account(%s)", (email,))).rows
        secret = places[0][1] if places else NOBODY
        right = await asyncio.get_running_loop().run_in_executor(self._threads, _verify, secret, password)
        if not right or not places:
            raise CredentialsWrong
        await self._doors.right(attempt)
        return places

    async def _open(self, member: Member) -> Opened:
        session = uuid4()
        token = self._token(session, 0)
        await self._row("select session_open(%s, %s, %s, %s)", session, member.account, member.clinic, _hash(token))
        return Opened(session, member, token)

    async def refresh(self, token: str) -> Opened:
        """Turn a session: a new refresh token for the old one."""
        session, generation = self._read(token)
        successor = self._token(session, generation + 1)
        outcome, *member = await self._row(
            "select * from session_turn(%s, %s::int, %s, %s, %s::int)", session, generation, _hash(token), _hash(successor), GRACE_SECONDS)
        if outcome == "reused":
            raise RefreshReused(session=session)
        if outcome != "turned":
            raise RefreshInvalid
        return Opened(session, Member(*member), successor)

    async def end(self, session: UUID) -> bool:
        """End a session; say whether it was open."""
        (ended,) = await self._row("select session_end(%s)", session)
        return bool(ended)

    async def alive(self, session: UUID) -> bool:
        """Say whether a session is open, and its account may still come in."""
        (alive,) = (await self._lanes.ask(None, "select session_alive(%s)", (session,))).rows[0]
        return bool(alive)

    async def ticket(self, session: UUID) -> str:
        """Return a ticket that opens an event stream once, within half a minute, for clients that can send no header."""
        ticket = secrets.token_urlsafe(_DIGEST)
        await self._row("select ticket_issue(%s, %s, %s::int)", _hash(ticket), session, TICKET_SECONDS)
        return ticket

    async def redeem(self, ticket: str) -> tuple[UUID, Member] | None:
        """Return whose ticket this is, once."""
        rows = (await self._lanes.ask(None, "select * from ticket_redeem(%s)", (_hash(ticket),), again=False)).rows
        return (rows[0][0], Member(*rows[0][1:])) if rows else None

    async def _row(self, sql: str, *params: Any) -> tuple[Any, ...]:
        return (await self._lanes.ask(None, sql, params, again=False)).rows[0]

    def _token(self, session: UUID, generation: int) -> str:
        head = session.bytes + generation.to_bytes(4, "big")
        return urlsafe_b64encode(head + hmac.digest(self._key, head, hashlib.sha256)).decode().rstrip("=")

    def _read(self, token: str) -> tuple[UUID, int]:
        """Return session and generation of a refresh token of ours."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (Base64Error, ValueError):
            raise RefreshInvalid from None
        head, mac = raw[:_HEAD], raw[_HEAD:]
        if len(raw) != _HEAD + _DIGEST or not hmac.compare_digest(mac, hmac.digest(self._key, head, hashlib.sha256)):
            raise RefreshInvalid
        return UUID(bytes=head[:16]), int.from_bytes(head[16:], "big")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _place(places: list[tuple[Any, ...]], clinic: UUID | None) -> Member:
    """Return the place that is wanted of an account's places."""
    wanted = [p for p in places if clinic is None or p[3] == clinic]
    if not wanted:
        raise NoMember(clinic=clinic)
    account, _, disabled, where, role, subject, name = wanted[0]
    if disabled:
        raise AccountDisabled
    return Member(account, where, role, subject, name)


def _verify(secret: str, password: str) -> bool:
    try:
        return HASHER.verify(secret, password)
    except (VerificationError, InvalidHashError):
        return False
