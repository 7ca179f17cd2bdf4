"""The keys of persons: one AES-256 key each, under which whatever is about them is sealed.

How it works: `person_keys` holds each key wrapped by the key-encryption key (KEK), which is never in the database. A ring unwraps on first use and
remembers. A destroyed key is a row without bytes: it is remembered as None, and what it sealed reads as None for ever. There may be several KEKs: the first wraps, all
unwrap, and `rewrap` brings every key under the first, so that the others can be dropped; no event is touched.

What may go wrong: a ring that remembers a key after its erasure would keep the person alive in this process: `forget` drops it.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection, Connection

_NONCE = 12
KEK_BYTES = 32
PORTION = 1_000  # keys rewrapped in one transaction
SELECT = "select person, wrapped from person_keys where person = any(%s::uuid[])"
INSERT = (
    "insert into person_keys (person, clinic_id, kek, wrapped) select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bytea[]) "
    "on conflict (person) do nothing"
)


def keks(kek: bytes) -> list[bytes]:
    """Return the key-encryption keys of a setting, which holds them one behind the other: the first is in use."""
    return [kek[at : at + KEK_BYTES] for at in range(0, len(kek), KEK_BYTES)]


class KeyRing:
    """The keys this process knows."""

    def __init__(self, kek: bytes) -> None:
        self.name = sha256(keks(kek)[0]).hexdigest()[:8]
        self._wraps = [AESGCM(one) for one in keks(kek)]
        self._keys: dict[UUID, bytes | None] = {}

    def key_of(self, person: UUID) -> bytes | None:
        """Return a person's key; None if it is destroyed or was never made. Warm the ring first."""
        return self._keys.get(person)

    def missing(self, persons: Iterable[UUID | None]) -> list[UUID]:
        """Return who is not known yet."""
        return [p for p in {p for p in persons if p is not None} if p not in self._keys]

    def forget(self, person: UUID) -> None:
        """Drop a key from memory."""
        self._keys.pop(person, None)

    async def warm(self, conn: AsyncConnection[Any], persons: Iterable[UUID | None]) -> None:
        """Learn the keys of these persons."""
        if wanted := self.missing(persons):
            found = await conn.execute(SELECT, (wanted,))
            self.learn(await found.fetchall(), wanted)

    def warm_sync(self, conn: Connection[Any], persons: Iterable[UUID | None]) -> None:
        """Learn the keys of these persons, on a blocking connection."""
        if wanted := self.missing(persons):
            self.learn(conn.execute(SELECT, (wanted,)).fetchall(), wanted)

    def learn(self, rows: Iterable[tuple[UUID, bytes | None]], wanted: Iterable[UUID] = ()) -> None:
        """Remember rows of `person_keys`; those wanted and not there are remembered as having none."""
        for person in wanted:
            self._keys[person] = None
        for person, wrapped in rows:
            self._keys[person] = None if wrapped is None else self._unwrap(person, wrapped)

    def mint(self, person: UUID) -> bytes:
        """Return a new key, wrapped, for `INSERT`."""
        return self._wrapped(person, AESGCM.generate_key(256))

    def rewrapped(self, person: UUID, wrapped: bytes) -> bytes:
        """Return a wrapped key, wrapped by the first key-encryption key."""
        return self._wrapped(person, self._unwrap(person, wrapped))

    def _wrapped(self, person: UUID, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._wraps[0].encrypt(nonce, key, person.bytes)

    def _unwrap(self, person: UUID, wrapped: bytes) -> bytes:
        for wrap in self._wraps[:-1]:
            with suppress(InvalidTag):
                return wrap.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], person.bytes)
        return self._wraps[-1].decrypt(wrapped[:_NONCE], wrapped[_NONCE:], person.bytes)


def rewrap(conn: Connection[Any], ring: KeyRing) -> int:
    """Bring every person's key under the ring's first key-encryption key; return how many were not. `conn` is the owner's, in autocommit."""
    done = 0
    while lines := conn.execute("select person, wrapped from person_keys where kek <> %s and wrapped is not null limit %s", (ring.name, PORTION)).fetchall():
        with conn.transaction(), conn.cursor() as cursor:  # a key that is destroyed meanwhile stays so
            cursor.executemany(
                "update person_keys set wrapped = %s, kek = %s where person = %s and wrapped is not null",
                [(ring.rewrapped(person, wrapped), ring.name, person) for person, wrapped in lines])
        done += len(lines)
    return done
