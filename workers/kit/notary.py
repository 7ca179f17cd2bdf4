"""The notary's rounds: look at what was added, and vouch for it.

How it works. Every second it asks for wishes, and every minute for clinics whose chain has grown since their last signed head. What was added is read and checked, event
by event (`commands.kit.proof`), from the last head that this key has signed; only then is the new head signed and kept (`commands.kit.heads`). Where it
stopped is what its own folder and the database say, whichever is further and genuinely its own.

Each time it also writes down, in the folder, who has been erased since (`commands.kit.ledger`): a restore from an older backup must know.

What may go wrong. A clinic whose history does not check out gets no further head until the notary is started again; the findings are kept for /health and the log says so.
Two notaries sign twice, which hurts nobody.
"""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import Connection

from commands.kit import ledger
from commands.kit.heads import Head, Seal, genuine, keep, kept, outside, show
from commands.kit.proof import Walk, pages
from workers.kit.ending import heed

EVERY_SECONDS = 60.0
WISH_SECONDS = 1.0
OPTIONS = "-c timezone=UTC -c jit=off -c enable_seqscan=off"
FOUND = "insert into proof_findings (position, kind, clinic_id, said) values (%s, %s, %s, %s) on conflict do nothing"

log = structlog.get_logger(__name__)


class Notary:
    """Signs heads, on a connection of its own."""

    def __init__(self, database_url: str, mac_key: bytes, seal: Seal, folder: Path) -> None:
        self.database_url = database_url
        self.mac_key = mac_key
        self.seal = seal
        self.folder = folder
        self.last: dict[UUID, Head] = {}
        self.broken: set[UUID] = set()
        self.known = False
        self.written: set[UUID] | None = None  # the erasures that are in the ledger
        self.looked = 0  # the position up to which it was looked for others

    async def run(self) -> None:
        """Work until cancelled."""
        due = time.monotonic()
        while True:
            heed()
            every = time.monotonic() >= due
            try:
                await asyncio.to_thread(self.round, every=every)
                due = time.monotonic() + EVERY_SECONDS if every else due
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                log.warning("notary.interrupted", error=type(error).__name__)
            await asyncio.sleep(WISH_SECONDS)

    def round(self, *, every: bool = True) -> list[Head]:
        """Sign what is wished for, and if it is time whatever has grown; return the new heads."""
        with psycopg.connect(self.database_url, autocommit=True, options=OPTIONS) as conn:
            self.learn(conn)
            self.record(conn)
            wishes = {clinic for (clinic,) in conn.execute("select clinic_id from head_wishes").fetchall()}
            if not (every or wishes):
                return []
            parts = (conn.execute("select partitions from store_settings").fetchone() or (0,))[0]
            grown = conn.execute("select clinic_id, position, hash from chain_heads").fetchall()
            signed = [
                head for clinic, position, hash_ in grown
                if (every or clinic in wishes) and self._grown(clinic, position) and (head := self._vouch(conn, parts, clinic, position, hash_))
            ]
            keep(conn, self.folder, signed)
            conn.execute("delete from head_wishes where clinic_id = any(%s)", (list(wishes),))
        self.last.update({head.clinic: head for head in signed})
        if signed:
            log.info("heads.signed", heads=len(signed), position=max(head.position for head in signed))
        return signed

    def record(self, conn: Connection[Any]) -> None:
        """Write down who has been erased since the last look."""
        (head,) = conn.execute("select position from store_head").fetchone() or (0,)
        if self.written is None:
            self.written = {erased.event.event_id for erased in ledger.read(self.folder)}
        if head == self.looked:
            return
        if found := [erased for erased in ledger.erasures(conn, self.looked) if erased.event.event_id not in self.written]:
            ledger.append(self.folder, found)
            self.written |= {erased.event.event_id for erased in found}
        self.looked = head

    def learn(self, conn: Connection[Any]) -> None:
        """Find out, once, where it stopped; and say which key it signs with."""
        if self.known:
            return
        show(conn, self.seal)
        for head in [*kept(conn), *(head for _, head in outside(self.folder) if head)]:
            before = self.last.get(head.clinic)
            if head.key == self.seal.name and genuine(head, self.seal.public) and (before is None or before.position < head.position):
                self.last[head.clinic] = head
        self.known = True

    def _grown(self, clinic: UUID, position: int) -> bool:
        last = self.last.get(clinic)
        return clinic not in self.broken and (last is None or position != last.position)

    def _vouch(self, conn: Connection[Any], parts: int, clinic: UUID, position: int, hash_: bytes) -> Head | None:
        """Return the signed head of a clinic, unless what was added does not check out."""
        last, raw = self.last.get(clinic), clinic.bytes
        walk = Walk(self.mac_key, parts)
        if last is not None:
            walk.begin(raw, last.hash, last.position, last.events)
        for page in pages(conn, clinic, last.position if last else 0, position):
            walk.walk(page)
        if not walk.found and (walk.positions.get(raw), walk.hashes.get(raw)) != (position, hash_):
            walk.note(position, raw, "head", "the clinic's head in the database is not that of its last event, or lies before one that was signed")
        if not walk.found:
            return self.seal.sign(clinic, position, walk.counts[raw], hash_, datetime.now(UTC))
        self.broken.add(clinic)
        for finding in walk.findings:
            conn.execute(FOUND, (finding.position, finding.kind, finding.clinic, finding.said))
        log.error("history.broken", clinic=str(clinic), findings=walk.found, first=walk.findings[0].position)
        return None
