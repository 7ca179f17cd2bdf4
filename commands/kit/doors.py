"""Doors at which somebody may try only so often, counted exactly: whatever can be guessed, and whatever costs us something before anybody is known.

How it works: an attempt is a row, written before what was tried is looked at and struck off when it was right, so a thousand guesses at once are still ten.
One function counts and writes under two advisory locks (of the subject, then of the network address), so that it is exact however many gateways
there are. A guess is about a subject: all its guesses count together, be they passwords, codes or PINs, but being right strikes off only those of its own
purpose; whoever knows a password gets no fresh ten codes with it. Subjects and addresses are kept as MACs.

    attempt = await doors.guess("password", email, address)     # AccountLocked if there were too many
    ...
    await doors.right(attempt)                                  # the guess was right

    await doors.enter(FEEDS, address)                           # RateLimited if there were too many; every one counts

What may go wrong: guesses from many network addresses lock a subject for everybody, or else a botnet would have them all; but not where its owner has been
right within the last month, so nobody is locked out for good by somebody else. Behind a proxy that hides addresses all are one.
"""

import hashlib
import hmac
from typing import Any, NamedTuple

from psycopg import Connection

from commands.kit.errors import RateLimited
from domain.kit import Refused
from projections.kit.lanes import Lanes


class AccountLocked(Refused):
    """Too many failed sign-ins. Wait for the time given in `details`, then try again."""

    status = 423


class Door(NamedTuple):
    """How often within so many seconds: from one address, about one subject from one address, and about one subject from everywhere."""

    name: str
    seconds: int
    address: int
    subject: int = 0
    everywhere: int = 0


GUESSING = Door("guessing", 900, address=50, subject=10, everywhere=100)
DEMOS = Door("demos", 3600, address=5)
SIGNUPS = Door("signups", 3600, address=10)
REFERRALS = Door("referrals", 3600, address=10)
REFERRAL_LINKS = Door("referral-links", 3600, address=100)  # what counts for an address is the link
LEADS = Door("leads", 3600, address=20)
LEAD_FORMS = Door("lead-forms", 3600, address=200)  # what counts for an address is the form
LEAD_REPLIES = Door("lead-replies", 3600, address=3)  # and here the e-mail address that would be written to, which anybody may have typed
MESSAGE_LINKS = Door("message-links", 3600, address=1000)  # mail programs ask for many people at once, from few addresses
ARRIVALS = Door("arrivals", 900, address=60)  # everybody in a waiting room may come from one address
ARRIVALS_OF = Door("arrivals of", 900, address=10)  # what counts for an address is the clinic and the day of birth that somebody says
FEEDS = Door("feeds", 900, address=30)
CHECKS = Door("portal checks", 900, address=60)  # by whoever asks, wherever from: no list of addresses is to be had by asking

SQL = """
create table if not exists door_attempts (
    id bigint generated always as identity primary key, door text collate "C" not null, purpose text collate "C" not null,
    subject bytea, address bytea not null, at timestamptz not null default clock_timestamp()
);
create index if not exists door_attempts_subject on door_attempts (subject, door, at) where subject is not null;
create index if not exists door_attempts_address on door_attempts (address, door, at);
create index if not exists door_attempts_at on door_attempts (at);
create table if not exists door_homes (subject bytea not null, address bytea not null, at timestamptz not null, primary key (subject, address));

create or replace function door_enter(
    of_door text, of_purpose text, of_subject bytea, of_address bytea, seconds int, wide int, narrow int, everywhere int,
    out attempt bigint, out seconds_left int
) language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare since timestamptz; oldest timestamptz; found timestamptz;
begin
    if of_subject is not null then perform pg_advisory_xact_lock(7020051, hashtext(of_door || encode(of_subject, 'hex'))); end if;
    perform pg_advisory_xact_lock(7020052, hashtext(of_door || encode(of_address, 'hex')));
    since := clock_timestamp() - make_interval(secs => seconds);
    select a.at into oldest from door_attempts a where a.address = of_address and a.door = of_door and a.at > since
    order by a.at desc offset wide - 1 limit 1;
    if of_subject is not null then
        select a.at into found from door_attempts a where a.subject = of_subject and a.door = of_door and a.address = of_address and a.at > since
        order by a.at desc offset narrow - 1 limit 1;
        oldest := greatest(oldest, found);
        if not exists (select from door_homes h where h.subject = of_subject and h.address = of_address and h.at > now() - interval '30 days') then
            select a.at into found from door_attempts a where a.subject = of_subject and a.door = of_door and a.at > since
            order by a.at desc offset everywhere - 1 limit 1;
            oldest := greatest(oldest, found);
        end if;
    end if;
    if oldest is not null then
        seconds_left := greatest(1, ceil(extract(epoch from oldest - since)));
        return;
    end if;
    insert into door_attempts (door, purpose, subject, address) values (of_door, of_purpose, of_subject, of_address) returning id into attempt;
    if attempt % 256 = 0 then
        delete from door_attempts a where a.id in (select x.id from door_attempts x where x.at < now() - interval '1 hour' limit 5000 for update skip locked);
        delete from door_homes h where h.at < now() - interval '30 days';
    end if;
    seconds_left := 0;
end $$;

create or replace function door_right(this bigint) returns void
language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare r door_attempts;
begin
    select a.* into r from door_attempts a where a.id = this;
    if not found then return; end if;
    delete from door_attempts a
    where a.subject = r.subject and a.address = r.address and a.door = r.door and a.purpose = r.purpose and a.id <= this;
    insert into door_homes as h (subject, address, at) values (r.subject, r.address, now())
    on conflict (subject, address) do update set at = excluded.at where h.at < excluded.at - interval '1 day';
end $$;

revoke all on door_attempts, door_homes from public;
revoke all on function door_enter, door_right from public;
grant execute on function door_enter, door_right to anamnesis_gateway;
"""

ENTER = "select * from door_enter(%s, %s, %s::bytea, %s, %s::int, %s::int, %s::int, %s::int)"


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Doors:
    """All doors, as a gateway sees them."""

    def __init__(self, lanes: Lanes, key: bytes) -> None:
        self._lanes = lanes
        self._key = hmac.digest(key, b"doors", hashlib.sha256)

    async def guess(self, purpose: str, subject: str, address: str, door: Door = GUESSING) -> int:
        """Note a guess about a subject before looking at it; gives what `right` wants, or refuses."""
        attempt, left = await self._entered(door, purpose, subject, address)
        if attempt is None:
            raise AccountLocked(retry_after=left)
        return attempt

    async def right(self, attempt: int) -> None:
        """Note that a guess was right: it and the wrong ones before it from there do not count."""
        await self._lanes.ask(None, "select door_right(%s::bigint)", (attempt,), again=False)

    async def enter(self, door: Door, address: str) -> None:
        """Count somebody through a door, or refuse."""
        attempt, left = await self._entered(door, "", None, address)
        if attempt is None:
            raise RateLimited(retry_after=left, limit=door.address, window=door.seconds)

    async def _entered(self, door: Door, purpose: str, subject: str | None, address: str) -> tuple[int | None, int]:
        about = None if subject is None else self._hidden(subject)
        asked = (door.name, purpose, about, self._hidden(address), door.seconds, door.address, door.subject or 1, door.everywhere or 1)
        attempt, left = (await self._lanes.ask(None, ENTER, asked, again=False)).rows[0]
        return attempt, left

    def _hidden(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), hashlib.sha256)
