"""The vault: secrets that events name by an id and never tell.

How it works: a secret is put under a fresh id first; then an event says that from now on this one counts. So the event is the only truth about which
password, seed, set of codes or key is in force, a crash between the two leaves a secret that nobody asks for, and replacing one needs no transaction
over both. What only has to be recognised is kept as a hash (passwords and PINs: argon2id); what must be read again is sealed with AES-256-GCM
under a key that is not in the database, bound to its id.

What may go wrong: a number that must never be used twice (the time step of a TOTP, a passkey's counter) is no event: `advance` moves it on in one statement, so that of
two who show the same at once one is too late. Orphans and what was replaced go when their account puts something else of the kind.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection

from domain.kit import Refused
from projections.kit.keys import keks
from projections.kit.lanes import Lanes

HASHERS = 2  # passwords looked at at a time
CROWD = 64  # that may wait for that
_NONCE = 12

SQL = """
create table if not exists vault (
    id uuid primary key, owner uuid not null, kind text collate "C" not null, secret bytea not null, counter bigint not null default 0,
    made_at timestamptz not null default now(), used_at timestamptz
);
create index if not exists vault_owner on vault (owner, kind);
create table if not exists vault_codes (id uuid not null references vault on delete cascade, hash bytea not null, primary key (id, hash));

create or replace function vault_put(this uuid, of_owner uuid, of_kind text, hidden bytea, keep uuid[]) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from vault v where v.owner = of_owner and v.kind = of_kind and v.id <> all(keep) and v.made_at < now() - interval '1 hour';
    insert into vault (id, owner, kind, secret) values (this, of_owner, of_kind, hidden);
$$;

create or replace function vault_get(this uuid) returns table (owner uuid, kind text, secret bytea, counter bigint)
language sql stable security definer set search_path = public, pg_temp as $$
    select v.owner, v.kind, v.secret, v.counter from vault v where v.id = this;
$$;

create or replace function vault_advance(this uuid, upto bigint) returns boolean
language sql volatile security definer set search_path = public, pg_temp as $$
    with moved as (update vault v set counter = upto, used_at = now() where v.id = this and v.counter < upto returning 1)
    select exists (select from moved);
$$;

create or replace function vault_codes_put(this uuid, hashes bytea[]) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    insert into vault_codes (id, hash) select this, unnest(hashes);
$$;

create or replace function vault_code_spend(this uuid, shown bytea) returns int
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    delete from vault_codes c where c.id = this and c.hash = shown;
    if not found then return null; end if;
    return (select count(*) from vault_codes c where c.id = this);
end $$;

create or replace function vault_drop(of_owner uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from vault v where v.owner = of_owner;
$$;

revoke all on vault, vault_codes from public;
revoke all on function vault_put, vault_get, vault_advance, vault_codes_put, vault_code_spend, vault_drop from public;
grant execute on function vault_put, vault_get, vault_advance, vault_codes_put, vault_code_spend, vault_drop to anamnesis_gateway;
"""


class Crowded(Refused):
    """Too many people are signing in at this moment. Try again in a few seconds."""

    status = 503


class Kept(NamedTuple):
    """A secret as the vault keeps it."""

    id: UUID
    owner: UUID
    kind: str
    secret: bytes
    counter: int


HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# what a secret that is not there is compared with, so that it costs the same time
NOTHING = b"$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aG9tZWhlcmU$9sSzoGmUZiKDuCtMvcPhKWXmSM1mXCWVsv2GrAm0nSs"


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Vault:
    """The secrets, as a process with the key sees them; `key` is a server key, from which this takes its own."""

    def __init__(self, lanes: Lanes, key: bytes) -> None:
        self._lanes = lanes
        self._seals = [AESGCM(hmac.digest(one, b"vault", hashlib.sha256)) for one in keks(key)]
        self._codes = [hmac.digest(one, b"vault codes", hashlib.sha256) for one in keks(key)]
        self._threads = ThreadPoolExecutor(HASHERS, thread_name_prefix="passwords")
        self._turn = asyncio.Semaphore(HASHERS)
        self._crowd = 0

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def put_password(self, owner: UUID, text: str, kind: str = "password", keep: Iterable[UUID | None] = ()) -> UUID:
        """Keep a password, or digits, by its hash; gives the id that an event may name. What of this kind is not in `keep` may go."""
        async with self.turn():
            hashed = await self._run(HASHER.hash, text)
        return await self.put_hash(owner, hashed, kind, keep)

    async def put_hash(self, owner: UUID, hashed: str, kind: str = "password", keep: Iterable[UUID | None] = ()) -> UUID:
        """Keep a password whose argon2id hash is known."""
        return await self._put(uuid4(), owner, kind, hashed.encode(), keep)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn: so many passwords are looked at at a time, and of a crowd beyond that nobody waits."""
        if self._crowd >= CROWD:
            raise Crowded
        self._crowd += 1
        try:
            async with self._turn:
                yield
        finally:
            self._crowd -= 1

    async def right(self, id: UUID | None, text: str) -> bool:  # noqa: A002
        """Say whether a text is the password kept under an id; a missing one takes as long. Wait for your turn first."""
        kept = await self.get(id) if id is not None else None
        return await self._run(_verify, kept.secret if kept else NOTHING, text) and kept is not None

    async def put_sealed(self, owner: UUID, secret: bytes, kind: str, keep: Iterable[UUID | None] = ()) -> UUID:
        """Keep what must be read again."""
        id_, nonce = uuid4(), os.urandom(_NONCE)
        return await self._put(id_, owner, kind, nonce + self._seals[0].encrypt(nonce, secret, id_.bytes), keep)

    async def unsealed(self, id: UUID) -> Kept | None:  # noqa: A002
        """Return what was sealed, readable."""
        if (kept := await self.get(id)) is None:
            return None
        return kept._replace(secret=self.opened(id, kept.secret))

    def opened(self, id: UUID, sealed: bytes) -> bytes:  # noqa: A002
        """Return what was sealed, by the key in use or one before."""
        for seal in self._seals[:-1]:
            with suppress(InvalidTag):
                return seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], id.bytes)
        return self._seals[-1].decrypt(sealed[:_NONCE], sealed[_NONCE:], id.bytes)

    def resealed(self, id: UUID, sealed: bytes) -> bytes:  # noqa: A002
        """Return what was sealed, sealed by the key in use."""
        nonce = os.urandom(_NONCE)
        return nonce + self._seals[0].encrypt(nonce, self.opened(id, sealed), id.bytes)

    async def put_codes(self, owner: UUID, codes: Iterable[str], kind: str, keep: Iterable[UUID | None] = ()) -> UUID:
        """Keep a set of codes of which each can be spent once."""
        id_ = await self._put(uuid4(), owner, kind, b"", keep)
        await self._ask("select vault_codes_put(%s, %s::bytea[])", id_, [self._code(self._codes[0], id_, code) for code in codes])
        return id_

    async def spend(self, id: UUID, code: str) -> int | None:  # noqa: A002
        """Use one of a set of codes up: how many are left, or None if it is none of them any more."""
        for key in self._codes:
            left: int | None = (await self._ask("select vault_code_spend(%s, %s)", id, self._code(key, id, code)))[0][0]
            if left is not None:
                return left
        return None

    async def get(self, id: UUID) -> Kept | None:  # noqa: A002
        """Return a secret as it is kept."""
        rows = await self._ask("select * from vault_get(%s)", id)
        return Kept(id, *rows[0]) if rows else None

    async def advance(self, id: UUID, upto: int) -> bool:  # noqa: A002
        """Move a secret's counter on; False if it is there already, so that whatever it counted was used."""
        return bool((await self._ask("select vault_advance(%s, %s::bigint)", id, upto))[0][0])

    async def drop(self, owner: UUID) -> None:
        """Forget all of somebody's secrets."""
        await self._ask("select vault_drop(%s)", owner)

    async def _put(self, id_: UUID, owner: UUID, kind: str, secret: bytes, keep: Iterable[UUID | None]) -> UUID:
        await self._ask("select vault_put(%s, %s, %s, %s, %s::uuid[])", id_, owner, kind, secret, [one for one in keep if one is not None])
        return id_

    @staticmethod
    def _code(key: bytes, id_: UUID, code: str) -> bytes:
        return hmac.digest(key, id_.bytes + code.encode(), hashlib.sha256)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _ask(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return (await self._lanes.ask(None, sql, params, again=False)).rows


def reseal(conn: Connection[Any], vault: Vault) -> int:
    """Seal anew, with the key in use, whatever must be read again; return how many. `conn` is the owner's, in autocommit."""
    lines = conn.execute("select id, secret from vault where length(secret) > %s and not starts_with(encode(secret, 'escape'), '$argon2')", (_NONCE,)).fetchall()
    done = 0
    for id_, secret in lines:
        try:
            fresh = vault.resealed(id_, secret)
        except InvalidTag:  # not sealed, but a hash of another kind
            continue
        done += conn.execute("update vault set secret = %s where id = %s and secret = %s", (fresh, id_, secret)).rowcount
    return done


def _verify(secret: bytes, text: str) -> bool:
    try:
        return HASHER.verify(secret, text)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
