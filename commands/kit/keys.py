"""API keys as text, and when each was last used.

How it works: a key reads `ak_` and 48 bytes in base64url: 32 random ones, of which the vault keeps the SHA-256, and the id of its stream. So it is found by its
id, and recognised by comparing two hashes in constant time; whoever reads the database learns no key. That it was used is noted in memory and
written down every ten seconds, all keys in one call: it is for people who wonder whether a key is still needed, not for the books.

What may go wrong: a gateway that is killed forgets the uses of its last seconds.
"""

import asyncio
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from psycopg import Connection, Error

from domain.kit import Refused
from projections.kit.lanes import Lanes

PREFIX = "ak_"
SECONDS = 10.0  # between two notes
_ID, _SECRET = 16, 32

log = structlog.get_logger(__name__)

SQL = """
create table if not exists api_key_uses (id uuid primary key, clinic_id uuid not null, used_at timestamptz not null);
alter table api_key_uses enable row level security;
alter table api_key_uses force row level security;
drop policy if exists owner on api_key_uses;
create policy owner on api_key_uses to anamnesis_owner using (true) with check (true);
drop policy if exists tenant on api_key_uses;
create policy tenant on api_key_uses for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));

create or replace function api_keys_used(these uuid[], clinics uuid[], moments timestamptz[]) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    insert into api_key_uses as u (id, clinic_id, used_at) select k, c, m from unnest(these, clinics, moments) as n (k, c, m) order by k
    on conflict (id) do update set used_at = greatest(u.used_at, excluded.used_at);
$$;
revoke all on api_key_uses from public;
revoke all on function api_keys_used from public;
grant select on api_key_uses to anamnesis_gateway;
grant execute on function api_keys_used to anamnesis_gateway;
"""


def install(conn: Connection[Any]) -> None:
    """Make the table and its function, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Fresh(NamedTuple):
    """A key that has just been made: all there is to show, once."""

    text: str
    hashed: str

    @property
    def hint(self) -> str:
        """By which it is told from others: `ak_` and the next six characters."""
        return self.text[: len(PREFIX) + 6]


class Shown(NamedTuple):
    """A key that somebody shows: of which stream it claims to be, and the hash of what proves it."""

    id: UUID
    hashed: str

    def proves(self, kept: bytes) -> bool:
        """Say whether it is the one that is kept."""
        return hmac.compare_digest(self.hashed.encode(), kept)


def fresh(id: UUID) -> Fresh:  # noqa: A002
    """Return a new key of a stream."""
    secret = secrets.token_bytes(_SECRET)
    return Fresh(PREFIX + urlsafe_b64encode(secret + id.bytes).decode(), hashlib.sha256(secret).hexdigest())


def shown(text: str) -> Shown | None:
    """Return what a key says, if it reads like one."""
    try:
        said = urlsafe_b64decode(text.removeprefix(PREFIX)) if text.startswith(PREFIX) and text.isascii() else b""
    except Base64Error:
        return None
    if len(said) != _ID + _SECRET:
        return None
    return Shown(UUID(bytes=said[_SECRET:]), hashlib.sha256(said[:_SECRET]).hexdigest())


class Uses:
    """When each key was last used, as far as this process knows and has not told yet."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._new: dict[UUID, tuple[UUID, datetime]] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to write down."""
        self._task = asyncio.create_task(self._writing())

    async def close(self) -> None:
        """Write down the rest, and stop."""
        if self._task:
            self._task.cancel()
        await self.flush()

    def note(self, key: UUID, clinic: UUID) -> None:
        """Note that a key is being used."""
        self._new[key] = (clinic, datetime.now(UTC))

    async def flush(self) -> None:
        """Write down what is new; what fails is tried again with the next."""
        if not (taken := self._new):
            return
        self._new = {}
        clinics, moments = zip(*taken.values(), strict=True)
        try:
            await self._lanes.ask(
                None, "select api_keys_used(%s::uuid[], %s::uuid[], %s::timestamptz[])", (list(taken), list(clinics), list(moments)), again=False)
        except (Refused, Error, OSError):
            log.warning("uses of keys could not be written down", keys=len(taken))
            self._new = {**taken, **self._new}

    async def _writing(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await self.flush()
