"""Signed heads: a clinic's chain up to here, vouched for with a key that is not in the database, and kept outside of it too.

How it works. The notary looks at what every clinic has added since its last signed head: only if each hash and MAC is right does it sign the new one (Ed25519, RFC 8032)
over one line of text, `STATEMENT`. A signed head lies in `signed_heads`, for the API, and is appended to `<folder>/<year>-<month>.jsonl`, which should lie where whoever
administers the database cannot write. What was signed before cannot be made to fit a changed history by anybody without the key. `head_wishes` asks for one at once.

What may go wrong. What does not check out is not signed: it is written down in `proof_findings`, shown in /health and logged, until somebody has looked at it.
Removed files or rows weaken only themselves: `verify` reads both.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from psycopg import Connection

SQL = """
create table if not exists signed_heads (
    clinic_id uuid not null, position bigint not null, events bigint not null, hash bytea not null, signed_at timestamptz not null, key text not null,
    signature bytea not null, primary key (clinic_id, position, key)
);
create table if not exists head_keys (key text primary key, public bytea not null, since timestamptz not null default now());
create table if not exists head_wishes (clinic_id uuid primary key, wished_at timestamptz not null default now());
create table if not exists proof_findings (
    position bigint not null, kind text not null, clinic_id uuid, said text not null, found_at timestamptz not null default now(),
    primary key (position, kind)
);
alter table signed_heads enable row level security;
alter table signed_heads force row level security;
drop policy if exists owner on signed_heads;
create policy owner on signed_heads to anamnesis_owner using (true) with check (true);
drop policy if exists notary on signed_heads;
create policy notary on signed_heads to anamnesis_notary using (true) with check (true);
drop policy if exists tenant on signed_heads;
create policy tenant on signed_heads for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));
drop policy if exists reader on stored_events;
create policy reader on stored_events for select to anamnesis_relay, anamnesis_projector, anamnesis_courier, anamnesis_notary using (true);

create or replace function wish_head(of_clinic uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    insert into head_wishes (clinic_id) values (of_clinic) on conflict do nothing;
$$;
create or replace function proof_health(out findings bigint, out first_position bigint, out signed_at timestamptz)
language sql stable security definer set search_path = public, pg_temp as $$
    select (select count(*) from proof_findings), (select min(position) from proof_findings), (select max(h.signed_at) from signed_heads h);
$$;
revoke all on signed_heads, head_keys, head_wishes, proof_findings from public;
revoke all on function wish_head, proof_health from public;
grant usage on schema public to anamnesis_notary;
grant select on signed_heads, head_keys to anamnesis_gateway;
grant execute on function wish_head, proof_health to anamnesis_gateway;
grant select on stored_events, store_head, store_settings, chain_heads to anamnesis_notary;
grant select, insert on signed_heads, head_keys, proof_findings to anamnesis_notary;
grant select, delete on head_wishes to anamnesis_notary;
"""
STATEMENT = "anamnesis head 1 clinic {clinic} position {position} events {events} hash {hash} at {at}"
KEEP = "insert into signed_heads (clinic_id, position, events, hash, signed_at, key, signature) values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing"
SHOW = "insert into head_keys (key, public) values (%s, %s) on conflict do nothing"
KEPT = "select clinic_id, position, events, hash, signed_at, key, signature from signed_heads"


def install(conn: Connection[Any]) -> None:
    """Make the tables, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Head(NamedTuple):
    """A clinic's chain up to a position: how many events that is, and the last one's hash; signed."""

    clinic: UUID
    position: int
    events: int
    hash: bytes
    signed_at: datetime
    key: str
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """What is signed."""
        at = self.signed_at.astimezone(UTC).isoformat(timespec="microseconds")
        return STATEMENT.format(clinic=self.clinic, position=self.position, events=self.events, hash=self.hash.hex(), at=at).encode()

    def line(self) -> str:
        """Return it as a line of a file."""
        return json.dumps({
            "clinic": str(self.clinic), "position": self.position, "events": self.events, "hash": self.hash.hex(),
            "signedAt": self.signed_at.astimezone(UTC).isoformat(timespec="microseconds"), "key": self.key, "signature": self.signature.hex()})

    @classmethod
    def read(cls, line: str) -> Self:
        """Return the head that a line of a file says."""
        said = json.loads(line)
        return cls(
            UUID(said["clinic"]), said["position"], said["events"], bytes.fromhex(said["hash"]), datetime.fromisoformat(said["signedAt"]), said["key"],
            bytes.fromhex(said["signature"]))


class Seal:
    """The key that signs heads."""

    def __init__(self, pem: str) -> None:
        key = load_pem_private_key(pem.encode(), None)
        assert isinstance(key, Ed25519PrivateKey)
        self._key = key
        self.public = key.public_key().public_bytes_raw()
        self.name = key_name(self.public)

    def sign(self, clinic: UUID, position: int, events: int, hash_: bytes, at: datetime) -> Head:
        """Vouch for a head."""
        head = Head(clinic, position, events, hash_, at, self.name)
        return head._replace(signature=self._key.sign(head.statement))

    def vouch(self, said: bytes) -> bytes:
        """Sign something else."""
        return self._key.sign(said)

    def vouched(self, said: bytes, signature: bytes) -> bool:
        """Say whether this key signed it."""
        return _signed(self.public, signature, said)


def key_name(public: bytes) -> str:
    """Return by what a public key is told from others."""
    return sha256(public).hexdigest()[:16]


def genuine(head: Head, public: bytes) -> bool:
    """Say whether a head was signed with the key."""
    return _signed(public, head.signature, head.statement)


def _signed(public: bytes, signature: bytes, said: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, said)
    except InvalidSignature:
        return False
    return True


def kept(conn: Connection[Any], clinic: UUID | None = None) -> list[Head]:
    """Return the signed heads in the database."""
    where, params = (" where clinic_id = %s", (clinic,)) if clinic else ("", ())
    return [Head(*record) for record in conn.execute(f"{KEPT}{where} order by position", params).fetchall()]


def show(conn: Connection[Any], seal: Seal) -> None:
    """Let it be known which public key heads are signed with from now on."""
    conn.execute(SHOW, (seal.name, seal.public))


def keep(conn: Connection[Any], folder: Path, heads: list[Head]) -> None:
    """Put signed heads into the folder first, and into the database."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for head in heads:
        with (folder / f"{head.signed_at:%Y-%m}.jsonl").open("a", encoding="ascii") as file:
            file.write(head.line() + "\n")
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(KEEP, heads)


def outside(folder: Path) -> Iterator[tuple[str, Head | None]]:
    """Yield the heads in the folder, each with its file and line; None where a line cannot be read."""
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield f"{file.name}:{number}", Head.read(line)
                except (ValueError, KeyError, TypeError):
                    yield f"{file.name}:{number}", None
