"""Holding the whole store, or one clinic's part, against everything that vouches for it.

How it works. In one snapshot of the database: every event's hash and MAC (`commands.kit.proof`), positions and versions without gaps, the heads in the database, the signed
heads in the database and in the folder outside, and the copies of hash and MAC that the audit log keeps. Each finding says where. Where only a signed head does not
fit, somebody with power over the database has computed a new chain: what was changed lies between the last head that fits and this one.

What may go wrong. Findings are many where much was changed: some thousands are kept, all are counted.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from commands.kit.heads import Head, genuine, kept, key_name, outside
from commands.kit.proof import Finding, Walk, pages

Progress = Callable[[int, int], None]  # position, of so many

GAPS = (
    "select originator_id, min(originator_version), max(originator_version), count(*), max(notification_id) from stored_events {where} "
    "group by originator_id having count(*) <> max(originator_version) or min(originator_version) <> 1 or count(distinct clinic_id) <> 1 "
    "or count(distinct stream_kind) <> 1 limit 1000"
)
COPIES = (
    "select coalesce(e.notification_id, a.seq), coalesce(e.clinic_id, a.clinic_id), e.notification_id is null, a.seq is null "
    "from (select * from stored_events where notification_id <= %(upto)s {events}) e "
    "full join (select clinic_id, seq, hash, mac from audit_log where seq <= %(upto)s {lines}) a on a.clinic_id = e.clinic_id and a.seq = e.notification_id "
    "where e.notification_id is null or a.seq is null or a.hash <> encode(e.hash, 'base64') or a.mac <> encode(e.mac, 'base64') order by 1 limit 1000"
)


class Verdict(NamedTuple):
    """What a verification came to."""

    events: int
    clinics: int
    heads: int
    position: int
    findings: list[Finding]
    found: int  # all, where more than are kept


class Signed:
    """The signed heads, and which of them fit as the walk passes by."""

    def __init__(self, public: bytes, walk: Walk) -> None:
        self.public = public
        self.walk = walk
        self.marks: dict[tuple[bytes, int], Head] = {}
        self.fits: dict[bytes, int] = {}
        self.count = 0

    def add(self, heads: Iterable[Head], where: str = "the database") -> None:
        """Take heads whose signature is right."""
        for head in heads:
            if head.key != key_name(self.public) or not genuine(head, self.public):
                self.walk.note(head.position, head.clinic.bytes, "signed", f"a head in {where} was not signed with our key")
                continue
            before = self.marks.setdefault((head.clinic.bytes, head.position), head)
            if before is head:
                self.count += 1
            elif (before.hash, before.events) != (head.hash, head.events):
                self.walk.note(head.position, head.clinic.bytes, "signed", f"two heads were signed for this position: see {where}")

    def passed(self, clinic: bytes, position: int) -> None:
        """Compare the head that was signed here, if one was, with what is here."""
        head = self.marks.pop((clinic, position), None)
        if head is None:
            return
        if (self.walk.hashes[clinic], self.walk.counts[clinic]) == (head.hash, head.events):
            self.fits[clinic] = position
            return
        said = f"the head signed at {head.signed_at.isoformat()} does not fit: what was changed lies after position {self.fits.get(clinic, 0)}"
        self.walk.note(position, clinic, "signed", said)

    def rest(self) -> None:
        """Note the heads whose events are not there."""
        for (clinic, position), head in self.marks.items():
            self.walk.note(position, clinic, "signed", f"the event of the head signed at {head.signed_at.isoformat()} is not there")


def verify(
    conn: Connection[Any], mac_key: bytes, public: bytes, folder: Path, clinic: UUID | None = None, progress: Progress | None = None,
) -> Verdict:
    """Return what is wrong with the store, or with one clinic's part of it; `conn` is in a transaction that sees one moment (`snapshot`)."""
    head, parts = conn.execute("select h.position, s.partitions from store_head h, store_settings s").fetchone() or (0, 0)
    walk = Walk(mac_key, parts, dense=clinic is None)
    signed = Signed(public, walk)
    signed.add(kept(conn, clinic))
    for where, found in outside(folder):
        if found is None:
            walk.note(0, None, "signed", f"{where} cannot be read")
        elif clinic in {None, found.clinic}:
            signed.add([found], where)
    for page in pages(conn, clinic):
        for line in page:
            walk.step(line)
            signed.passed(line.clinic, line.position)
        if progress:
            progress(walk.position, head)
    signed.rest()
    _heads(conn, walk, head, clinic)
    _streams(conn, walk, clinic)
    _copies(conn, walk, clinic)
    findings = sorted(set(walk.findings), key=lambda one: (one.position, one.kind))
    return Verdict(walk.events, len(walk.hashes), signed.count, walk.position, findings, walk.found)


def _heads(conn: Connection[Any], walk: Walk, head: int, clinic: UUID | None) -> None:
    """Compare with the heads that the append function keeps."""
    if clinic is None and head > walk.position:
        walk.note(walk.position + 1, None, "missing", f"positions {walk.position + 1} to {head} are not there")
    if clinic is None and head < walk.position:
        walk.note(head + 1, None, "head", f"there are events behind the store's head, which is {head}")
    where, params = (" where clinic_id = %s", (clinic,)) if clinic else ("", ())
    known = {of.bytes: (at, hash_) for of, at, hash_ in conn.execute(f"select clinic_id, position, hash from chain_heads{where}", params).fetchall()}  # noqa: S608
    for of in known.keys() | walk.hashes.keys():
        if (found := (walk.positions.get(of, 0), walk.hashes.get(of))) != known.get(of):
            at = min(found[0], known[of][0]) + 1 if of in known and known[of][0] != found[0] else found[0]
            walk.note(at, of, "head", "the clinic's head in the database is not that of its last event")


def _streams(conn: Connection[Any], walk: Walk, clinic: UUID | None) -> None:
    where, params = ("where clinic_id = %s", (clinic,)) if clinic else ("", ())
    for stream, first, last, count, position in conn.execute(GAPS.format(where=where), params).fetchall():
        walk.note(position, None, "missing", f"stream {stream} has {count} events, versions {first} to {last}, or is of several clinics or kinds")


def _copies(conn: Connection[Any], walk: Walk, clinic: UUID | None) -> None:
    """Compare with what the audit log copied when it saw the event."""
    if conn.execute("select to_regclass('audit_log')").fetchone() == (None,):
        return
    upto = (conn.execute("select coalesce(min(position), 0) from projector_tracking where grp = 'live'").fetchone() or (0,))[0]
    narrowed = "and clinic_id = %(clinic)s" if clinic else ""
    statement = COPIES.format(events=narrowed, lines=narrowed)
    for position, of, gone, unlisted in conn.execute(statement, {"upto": upto, "clinic": clinic}).fetchall():
        said = "the audit log has an event that is not there" if gone else "the audit log lacks it" if unlisted else "the audit log saw it with another hash or MAC"
        walk.note(position, of.bytes, "copy", said)
