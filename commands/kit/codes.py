"""Codes that prove an address or a person once: link tokens and six digits, for a purpose and a subject.

How it works: these are ordinary tables, for secrets are never events. A link token is 256 random bits, of which the SHA-256 is kept; whoever shows it names its
subject by that alone. Six digits can be guessed, so they are kept as a MAC made with a server key, belong to a subject that must be named, and
bear five tries, each counted before it is looked at. A new number makes the older one of its purpose and subject void; link tokens live beside each other until
they are withdrawn. To redeem is to delete: of any number of redeemers one wins.

    token = await codes.issue("password.reset", account, 1800)
    await codes.peek("password.reset", token)      # the account, as often as one likes
    await codes.redeem("password.reset", token)    # the account, once; then None

What may go wrong: five tries a number are many once numbers can be had for nothing, so whoever lets a stranger ask for one limits how often. A redeemer whose
connection breaks may have used the code up without learning so; the person asks for another. Expired rows lie about until somebody issues something.
"""

import hashlib
import hmac
import re
import secrets
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from projections.kit.keys import keks
from projections.kit.lanes import Lanes

TRIES = 5  # of one number
LONGEST = 128  # characters that are worth a look
_BYTES = 32
_STREAM = re.compile(r"[0-9a-f]{32}")

SQL = """
create table if not exists link_codes (
    hash bytea primary key, purpose text not null, subject uuid not null, clinic_id uuid, expires_at timestamptz not null
);
create index if not exists link_codes_subject on link_codes (subject, purpose);
create index if not exists link_codes_expiry on link_codes (expires_at);
create table if not exists digit_codes (
    purpose text not null, subject uuid not null, mac bytea not null, tries int not null default 0, expires_at timestamptz not null,
    primary key (purpose, subject)
);
create index if not exists digit_codes_expiry on digit_codes (expires_at);

create or replace function codes_sweep() returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from link_codes l where l.hash in (select x.hash from link_codes x where x.expires_at < now() limit 100 for update skip locked);
    delete from digit_codes d where (d.purpose, d.subject) in (
        select x.purpose, x.subject from digit_codes x where x.expires_at < now() limit 100 for update skip locked);
$$;

create or replace function link_issue(this bytea, for_purpose text, of_subject uuid, of_clinic uuid, seconds int) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select codes_sweep();
    insert into link_codes (hash, purpose, subject, clinic_id, expires_at)
    values (this, for_purpose, of_subject, of_clinic, now() + make_interval(secs => seconds));
$$;

create or replace function link_peek(this bytea, for_purpose text) returns table (subject uuid, clinic_id uuid)
language sql stable security definer set search_path = public, pg_temp as $$
    select l.subject, l.clinic_id from link_codes l where l.hash = this and l.purpose = for_purpose and l.expires_at > now();
$$;

create or replace function link_redeem(this bytea, for_purpose text) returns table (subject uuid, clinic_id uuid)
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from link_codes l where l.hash = this and l.purpose = for_purpose and l.expires_at > now() returning l.subject, l.clinic_id;
$$;

create or replace function digits_issue(for_purpose text, of_subject uuid, this bytea, seconds int) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select codes_sweep();
    insert into digit_codes as d (purpose, subject, mac, expires_at) values (for_purpose, of_subject, this, now() + make_interval(secs => seconds))
    on conflict (purpose, subject) do update set mac = excluded.mac, tries = 0, expires_at = excluded.expires_at;
$$;

create or replace function digits_try(for_purpose text, of_subject uuid, most int) returns bytea
language sql volatile security definer set search_path = public, pg_temp as $$
    update digit_codes d set tries = d.tries + 1
    where d.purpose = for_purpose and d.subject = of_subject and d.expires_at > now() and d.tries < most returning d.mac;
$$;

create or replace function digits_spend(for_purpose text, of_subject uuid, this bytea) returns boolean
language sql volatile security definer set search_path = public, pg_temp as $$
    with spent as (delete from digit_codes d where d.purpose = for_purpose and d.subject = of_subject and d.mac = this returning 1)
    select exists (select from spent);
$$;

create or replace function codes_withdraw(for_purpose text, of_subject uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from link_codes l where l.subject = of_subject and l.purpose = for_purpose;
    delete from digit_codes d where d.purpose = for_purpose and d.subject = of_subject;
$$;

revoke all on link_codes, digit_codes from public;
revoke all on function codes_sweep, link_issue, link_peek, link_redeem, digits_issue, digits_try, digits_spend, codes_withdraw from public;
grant execute on function link_issue, link_peek, link_redeem, digits_issue, digits_try, digits_spend, codes_withdraw to anamnesis_gateway;
grant execute on function link_issue, digits_issue to anamnesis_courier;
"""


class Borne(NamedTuple):
    """What a token of an address says: the stream that it is about, and the token proper."""

    stream: UUID
    token: str


def bearing(stream: UUID, token: str) -> str:
    """Return a token that also names a stream, for whoever keeps tokens under ids from which the stream does not follow."""
    return f"{stream.hex}.{token}"


def borne(text: str) -> Borne | None:
    """Return what such a token says; None if it is none."""
    name, _, token = text.partition(".")
    return Borne(UUID(name), token) if _STREAM.fullmatch(name) else None


class Whose(NamedTuple):
    """What a link token stands for."""

    subject: UUID
    clinic: UUID | None


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Codes:
    """Single-use codes; `key` is a server key, from which this takes one of its own."""

    def __init__(self, lanes: Lanes, key: bytes) -> None:
        self._lanes = lanes
        self._key = hmac.digest(keks(key)[0], b"single-use codes", hashlib.sha256)

    async def issue(self, purpose: str, subject: UUID, seconds: int, clinic: UUID | None = None) -> str:
        """Return a new link token for a subject, good once and for so many seconds."""
        token = secrets.token_urlsafe(_BYTES)
        await self._ask("select link_issue(%s, %s, %s, %s, %s::int)", _hash(token), purpose, subject, clinic, seconds)
        return token

    async def peek(self, purpose: str, token: str) -> UUID | None:
        """Return the subject of a token that could be redeemed now."""
        whose = await self.whose(purpose, token)
        return whose.subject if whose else None

    async def whose(self, purpose: str, token: str) -> Whose | None:
        """Return subject and clinic of a token that could be redeemed now."""
        return await self._link("select * from link_peek(%s, %s)", purpose, token)

    async def redeem(self, purpose: str, token: str) -> UUID | None:
        """Use a token up and return its subject; None for everybody but the first."""
        whose = await self._link("select * from link_redeem(%s, %s)", purpose, token)
        return whose.subject if whose else None

    async def issue_digits(self, purpose: str, subject: UUID, seconds: int) -> str:
        """Return six new digits for a subject; the ones before are void."""
        code = f"{secrets.randbelow(1_000_000):06}"
        await self._ask("select digits_issue(%s, %s, %s, %s::int)", purpose, subject, self._mac(purpose, subject, code), seconds)
        return code

    async def check_digits(self, purpose: str, subject: UUID, code: str) -> bool:
        """Say whether these are a subject's digits; a look costs one of their five tries and leaves them good."""
        return await self._tried(purpose, subject, code) is not None

    async def redeem_digits(self, purpose: str, subject: UUID, code: str) -> bool:
        """Use a subject's digits up; False if they are wrong, old, used or were tried five times."""
        mac = await self._tried(purpose, subject, code)
        return mac is not None and bool((await self._ask("select digits_spend(%s, %s, %s)", purpose, subject, mac))[0][0])

    async def _tried(self, purpose: str, subject: UUID, code: str) -> bytes | None:
        mac = (await self._ask("select digits_try(%s, %s, %s::int)", purpose, subject, TRIES))[0][0] or b""
        return mac if hmac.compare_digest(mac, self._mac(purpose, subject, code[:LONGEST])) else None

    async def withdraw(self, purpose: str, subject: UUID) -> None:
        """Make whatever a subject has been given for a purpose void."""
        await self._ask("select codes_withdraw(%s, %s)", purpose, subject)

    async def _link(self, sql: str, purpose: str, token: str) -> Whose | None:
        if len(token) > LONGEST:
            return None
        rows = await self._ask(sql, _hash(token), purpose)
        return Whose(*rows[0]) if rows else None

    async def _ask(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return (await self._lanes.ask(None, sql, params, again=False)).rows

    def _mac(self, purpose: str, subject: UUID, code: str) -> bytes:
        return hmac.digest(self._key, b"\0".join((purpose.encode(), subject.bytes, code.encode())), hashlib.sha256)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
