"""Restoring: an installation as it was at a moment, in an empty place, without anybody who was erased since.

How it works. Everything is looked at before anything is touched: signature, checksums, keys, whether the place is empty. Then a mark is written that lets nobody begin there
(`commands.kit.restorations`); the key store comes first, then the events, whose trigger destroys the keys of whoever they erase; heads, claims and cursors follow from the
events (`anamnesis.backup.standing`). Later erasures, which the backup, the ledger or the key store know of, are stored anew at the end. Then the whole is verified as an
auditor would, read models are made, and the mark goes.

What may go wrong. Whatever does leaves the mark, and the next restore begins again from nothing. A moment is the last position before the first event that was recorded later.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, sql
from rich.console import Console

from anamnesis.backup import history, keystore, standing
from anamnesis.backup.manifest import Manifest, Segment
from anamnesis.backup.place import alone_in
from anamnesis.backup.tables import HISTORY, KEPT
from anamnesis.backup.taking import named
from anamnesis.installation import Installation
from anamnesis.migrations import migrate
from anamnesis.progress import Bars, bars
from anamnesis.settings import Settings
from anamnesis.store import head
from anamnesis.trouble import Trouble
from anamnesis.upkeep import furnish
from commands.kit import ledger
from commands.kit.heads import KEEP, Seal, outside
from commands.kit.ledger import Erased
from commands.kit.reclaim import reclaim
from commands.kit.restorations import begin, finish, unfinished
from commands.kit.verify import verify
from projections.kit.tables import load
from workers.courier import known

CONSOLE = Console(stderr=True, soft_wrap=True)
OPTIONS = "-c timezone=UTC -c jit=off -c synchronous_commit=off -c maintenance_work_mem=256MB -c work_mem=64MB"
HEADS_AT_ONCE = 5_000
CLEAR = """
do $$ declare t record; begin
    for t in select c.relname, c.relkind from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v') loop
        execute format('drop %s if exists public.%I cascade', case t.relkind when 'r' then 'table' else 'view' end, t.relname);
    end loop;
end $$
"""
LATER = """{keys} was written at {at:%Y-%m-%d %H:%M} UTC. Whoever was erased since would come back with it. Name the folder where erasures are on record \
outside the database (by default `heads` in the data directory of the installation that was backed up) with --erasures FOLDER; \
or say --no-later-erasures if you are sure that there were none"""


class Wish(NamedTuple):
    """What is to be restored."""

    folder: Path
    keys: Path
    until: int | datetime | None
    erasures: list[Path]
    none_later: bool


class Given(NamedTuple):
    """What has been looked at and found good."""

    manifest: Manifest
    erasures: list[Erased]


def restore(installation: Installation, wish: Wish) -> None:
    """Restore into an installation that does not run."""
    given = look(installation.settings("owner"), wish)
    with alone_in(installation):
        put(installation, wish, given)


def put(installation: Installation, wish: Wish, given: Given) -> int:
    """Restore what has been looked at into a database that is at hand; return the last position of the history that was restored."""
    load()
    known()
    settings = installation.settings("owner")
    url = installation.database_urls["owner"]
    _ensure_empty(url)
    migrate(url, restoring=True)
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as conn, bars(CONSOLE) as shown:
        begin(conn)
        _open(conn)
        keystore.load(conn, wish.keys / keystore.NAME, settings.kek)
        position = _events(conn, wish, given.manifest, shown)
        standing.settle(conn, position)
        _ensure_heads(conn, given.manifest, position)
        with psycopg.connect(url, autocommit=True, options=OPTIONS) as reading:
            claims = reclaim(conn, reading, lambda done: shown("claims", done))
        shown("claims", claims, claims)
        again = ledger.apply(conn, given.erasures, settings.mac_key)
        conn.execute("analyze")
        _verify(conn, settings, shown)
    migrate(url, restoring=True)  # which puts the walls up again
    with bars(CONSOLE) as shown:
        furnish(url, settings.kek, shown)
    with psycopg.connect(url, autocommit=True) as conn:
        finish(conn, position)
    CONSOLE.print(f"Restored {position:,} of {given.manifest.position:,} events; {again:,} later erasures were applied. Everybody signs in anew; what waited to be sent is listed as failed.")
    return position


def moment(text: str | None) -> int | datetime | None:
    """Return the position or the instant that somebody typed."""
    if text is None or text.isdecimal():
        return int(text) if text else None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Trouble(f"{text} is neither a position nor an instant such as 2026-02-01T18:00:00+01:00") from None
    if found.tzinfo is None:
        raise Trouble(f"say how far {text} is from UTC, as in {text}+01:00, or {text}Z for UTC itself")
    return found


def look(settings: Settings, wish: Wish) -> Given:
    """Look at everything before anything is touched."""
    seal = Seal(settings.audit_key)
    if (manifest := Manifest.read(wish.folder, seal)) is None:
        raise Trouble(f"{wish.folder} holds no backup that was finished")
    if manifest.mac_key != named(settings.mac_key):
        raise Trouble("these events were written under another MAC key than the one among the secrets given")
    told = keystore.told(wish.keys / keystore.NAME)
    if told.position < manifest.position:
        raise Trouble(
            f"{wish.keys / keystore.NAME} is older than the history (it goes up to {told.position:,}, the history to {manifest.position:,}): take the newest key store")
    if isinstance(wish.until, int) and not 0 < wish.until <= manifest.position:
        raise Trouble(f"the backup has positions 1 to {manifest.position:,}")
    if any(outside(settings.heads)):
        raise Trouble(
            f"{settings.heads} has signed heads of a history that may have gone further than the one to be restored: "
            "name a new folder with ANAMNESIS_HEADS, and this one with --erasures; keep it, for it is evidence")
    found = [*manifest.erasures, *_on_record(wish, settings, manifest, told.taken_at)]
    for file in (*manifest.segments, *manifest.signatures):
        file.check(wish.folder)
    return Given(manifest, sorted(found, key=lambda one: one.event.recorded_us))


def _on_record(wish: Wish, settings: Settings, manifest: Manifest, written: datetime) -> list[Erased]:
    """Return what the ledgers say, or refuse to go on without one."""
    if not wish.erasures and not wish.none_later:
        raise Trouble(LATER.format(keys=wish.keys / keystore.NAME, at=written.astimezone(UTC)))
    found: list[Erased] = []
    for folder in wish.erasures:
        signed = [head for _, head in outside(folder) if head]
        if not signed:
            raise Trouble(f"{folder} is not a folder where erasures are on record: no signed head lies there")
        if not wish.none_later and max(head.position for head in signed) < manifest.position and max(head.signed_at for head in signed) < written:
            raise Trouble(f"{folder} is older than the backup: take it as it was last, or say --no-later-erasures as well")
        lines = ledger.read(folder)
        if not all(one.event.genuine(settings.mac_key) and all(other.genuine(settings.mac_key) for other in one.rest) for one in lines):
            raise Trouble(f"{folder / ledger.NAME} has lines that this installation did not write")
        found += lines
    return found


def _ensure_empty(url: str) -> None:
    """Refuse a place where anything has happened; what an interrupted restore left is cleared away."""
    with psycopg.connect(url, autocommit=True) as conn:
        if unfinished(conn):
            CONSOLE.print("A restore was begun here and not finished; it begins again from nothing.")
            conn.execute(CLEAR)
            return
        if conn.execute("select to_regclass('store_head')").fetchone() == (None,):
            return
        if events := head(conn):
            raise Trouble(f"there are {events:,} events in this database already: restore into an empty one, or into another data directory")
        if any(conn.execute(sql.SQL("select 1 from {} limit 1").format(sql.Identifier(table))).fetchone() for table in ("person_keys", "vault")):
            raise Trouble("this database is not empty: restore into another one, or into another data directory")


def _open(conn: Connection[Any]) -> None:
    """Let the owner fill tables by COPY, which walls between clinics forbid; and empty what migration put there."""
    for table in (*HISTORY, *KEPT):
        conn.execute(sql.SQL("alter table {} no force row level security").format(sql.Identifier(table)))
    conn.execute("delete from policies")


def _events(conn: Connection[Any], wish: Wish, manifest: Manifest, shown: Bars) -> int:
    """Store the events up to the moment; return the last position."""
    conn.execute("update store_settings set partitions = %s", (manifest.partitions,))
    conn.execute("delete from projector_tracking where partition >= %s", (manifest.partitions,))
    conn.execute(
        "insert into projector_tracking (grp, partition) select 'live', generate_series(0, %s - 1) on conflict do nothing", (manifest.partitions,))
    upto = wish.until if isinstance(wish.until, int) else manifest.position
    columns = history.listed(manifest.columns)
    for segment in manifest.segments:
        if segment.first > upto:
            break
        if segment.last > upto or (isinstance(wish.until, datetime) and segment.latest > wish.until):
            upto = _cut(conn, wish, segment, columns, upto)
            break
        _copy(conn, "stored_events", columns, wish.folder / segment.name)
        shown("events", segment.last, upto)
    shown("events", upto, upto)
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(KEEP, [*history.read_heads(wish.folder, manifest, upto)])
    return upto


def _cut(conn: Connection[Any], wish: Wish, segment: Segment, columns: sql.Composed, upto: int) -> int:
    """Store the part of a file that lies before the moment; return its last position."""
    conn.execute("create temporary table cut (like stored_events)")
    _copy(conn, "cut", columns, wish.folder / segment.name)
    if isinstance(wish.until, datetime):
        (later,) = conn.execute("select min(notification_id) from cut where recorded_at > %s", (wish.until,)).fetchone() or (None,)
        upto = later - 1 if later is not None else upto
    conn.execute(sql.SQL("insert into stored_events ({0}) select {0} from cut where notification_id <= {1}").format(columns, sql.Literal(upto)))
    conn.execute("drop table cut")
    return upto


def _copy(conn: Connection[Any], table: str, columns: sql.Composed, path: Path) -> None:
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(sql.Identifier(table), columns)
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in history.pieces(path):
            copy.write(piece)


def _ensure_heads(conn: Connection[Any], manifest: Manifest, position: int) -> None:
    """Compare each clinic's last event with what it was."""
    here = {clinic: (at, hash_.hex()) for clinic, at, hash_ in conn.execute("select clinic_id, position, hash from chain_heads").fetchall()}
    if wrong := [clinic for clinic, head in manifest.heads.items() if head[0] <= position and here.get(clinic) != head]:
        raise Trouble(f"the history of clinic {wrong[0]} is not what was backed up")


def _verify(conn: Connection[Any], settings: Settings, shown: Bars) -> None:
    """Hold what was restored against its hashes, MACs and signed heads."""
    verdict = verify(conn, settings.mac_key, Seal(settings.audit_key).public, settings.heads, None, lambda at, of: shown("verified", at, of))
    if verdict.found:
        first = verdict.findings[0]
        raise Trouble(f"what was restored is not what was written: {verdict.found:,} findings, the first at position {first.position}: {first.said}")
