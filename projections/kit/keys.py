"""The keys of persons: one AES-256 key each, under which whatever is about them is sealed.

How it works: `person_keys` holds each key wrapped by the key-encryption key (KEK), which is never in the database. A ring unwraps on first use and
remembers. A destroyed key is a row without bytes: it is remembered as None, and what it sealed reads as None for ever.

What may go wrong: a ring that remembers a key after its erasure would keep the person alive in this process: `forget` drops it.
"""

import os
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection, Connection

_NONCE = 12
SELECT = "select person, wrapped from person_keys where person = any(%s::uuid[])"
INSERT = (
    "insert into person_keys (person, clinic_id, kek, wrapped) select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bytea[]) "
    "on conflict (person) do nothing"
)


class KeyRing:
    """The keys this process knows."""

    def __init__(self, kek: bytes, name: str = "k1") -> None:
        self.name = name
        self._wrap = AESGCM(kek)
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
            self._keys[person] = None if wrapped is None else self._wrap.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], person.bytes)

    def mint(self, person: UUID) -> bytes:
        """Return a new key, wrapped, for `INSERT`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._wrap.encrypt(nonce, AESGCM.generate_key(256), person.bytes)
