"""Taking a backup, while everything goes on.

How it works. One moment of the database is looked at: how far history goes, each clinic's head, who was erased, and all of the key store. The key store's file is finished first, then
the events that are new, and the manifest last. So whatever the manifest names has its keys, whenever it is interrupted.
"""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection
from rich.console import Console

from anamnesis import __version__
from anamnesis.backup import history, keystore
from anamnesis.backup.manifest import Manifest, alone
from anamnesis.installation import Installation
from anamnesis.progress import Bars, bars
from anamnesis.settings import Settings
from anamnesis.trouble import Trouble
from commands.kit.heads import Seal
from commands.kit.ledger import erasures
from commands.kit.proof import snapshot
from commands.kit.restorations import unfinished
from projections.kit.tables import load

CONSOLE = Console(stderr=True, soft_wrap=True)
PARTED = "{folder} holds another history than this database{why}: choose a new folder"


class Seen(NamedTuple):
    """The moment that is backed up."""

    position: int
    hash: str
    partitions: int
    columns: list[str]
    heads: dict[Any, tuple[int, str]]
    erasures: list[Any]


def back_up(installation: Installation, folder: Path, keys: Path) -> Manifest:
    """Bring a backup up to now: history into one folder, the key store into another."""
    apart(folder, keys)
    load()
    settings = installation.settings("owner")
    seal = Seal(settings.audit_key)
    with alone(folder), alone(keys):
        before = Manifest.read(folder, seal)
        with snapshot(settings.database_url) as conn:
            seen = _look(conn)
            if before:
                _ensure_continued(conn, folder, before, seen)
            fresh = keystore.write(conn, keys, settings.kek, seen.position)
        keystore.replace(fresh)
        with psycopg.connect(settings.database_url, autocommit=True) as conn, bars(CONSOLE) as shown:
            manifest = _history(conn, folder, before, seen, settings, seal, shown)
        manifest.write(folder, seal)
        _tidy(folder, manifest)
    new = manifest.position - (before.position if before else 0)
    CONSOLE.print(f"{new:,} new events in {folder}, {manifest.position:,} in all; the key store is in {keys / keystore.NAME}. Keep the two, and the secrets, apart.")
    return manifest


def apart(folder: Path, keys: Path) -> None:
    """Refuse to put history and keys into one place."""
    one, other = folder.resolve(), keys.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise Trouble("the key store must not lie with the history that it opens: name another folder with --keys")


def _look(conn: Connection[Any]) -> Seen:
    if unfinished(conn):
        raise Trouble("a restore into this database was begun and not finished: there is nothing to back up")
    position, partitions = conn.execute("select h.position, s.partitions from store_head h, store_settings s").fetchone() or (0, 0)
    heads = {clinic: (at, hash_.hex()) for clinic, at, hash_ in conn.execute("select clinic_id, position, hash from chain_heads").fetchall()}
    return Seen(position, _hash(conn, position), partitions, history.columns_of(conn, "stored_events"), heads, erasures(conn))


def _hash(conn: Connection[Any], position: int) -> str:
    (found,) = conn.execute("select hash from stored_events where notification_id = %s", (position,)).fetchone() or (b"",)
    return bytes(found).hex()


def _ensure_continued(conn: Connection[Any], folder: Path, before: Manifest, seen: Seen) -> None:
    """Refuse to add to a backup what does not follow from it."""
    if before.position > seen.position:
        raise Trouble(PARTED.format(folder=folder, why=f", which ends at {seen.position:,} and not behind {before.position:,}"))
    if _hash(conn, before.position) != before.hash:
        raise Trouble(PARTED.format(folder=folder, why=f": at {before.position:,} the two have parted"))
    if before.columns != seen.columns or before.partitions != seen.partitions:
        raise Trouble(f"{folder} was begun by a release whose events have other columns: choose a new folder")


def _history(conn: Connection[Any], folder: Path, before: Manifest | None, seen: Seen, settings: Settings, seal: Seal, shown: Bars) -> Manifest:
    after = before.position if before else 0
    segments = [*history.write_events(conn, folder, seen.columns, after, seen.position, lambda at, of: shown("events", at, of))]
    signatures, signed_until = history.write_heads(conn, folder, before.signed_until if before else None)
    return Manifest(
        release=__version__, position=seen.position, hash=seen.hash, taken_at=datetime.now(UTC), partitions=seen.partitions, columns=seen.columns,
        segments=[*(before.segments if before else ()), *segments], signatures=[*(before.signatures if before else ()), *([signatures] if signatures else ())],
        signed_until=signed_until, heads=seen.heads, erasures=seen.erasures, mac_key=named(settings.mac_key), audit_key=seal.name)


def named(key: bytes) -> str:
    """Return by what a key is told from others."""
    return sha256(b"anamnesis key " + key).hexdigest()[:16]


def _tidy(folder: Path, manifest: Manifest) -> None:
    """Remove what an interrupted backup wrote and no manifest names."""
    named_files = {file.name for file in (*manifest.segments, *manifest.signatures)}
    for path in (*folder.glob("events-*.gz"), *folder.glob("heads-*.gz")):
        if path.name not in named_files:
            path.unlink()
