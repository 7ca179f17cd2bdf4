"""Proving history from the command line: verify, sign, export.

What may go wrong. An export into a folder that holds something already is refused, for nobody should wonder which files belong together.
"""

from pathlib import Path
from uuid import UUID

from rich.console import Console

from anamnesis.installation import Installation
from anamnesis.progress import bars, table
from anamnesis.store import head
from anamnesis.trouble import Trouble
from commands.kit.evidence import Evidence, heads_of
from commands.kit.heads import Seal, kept, outside
from commands.kit.proof import pages, snapshot
from commands.kit.verify import verify as verify_store
from gateway.app import MODULES
from projections.kit.keys import KeyRing
from workers.kit.notary import Notary

CONSOLE = Console(stderr=True, soft_wrap=True)


def verify(installation: Installation, clinic: UUID | None) -> bool:
    """Hold history against all that vouches for it; whether everything fits."""
    settings = installation.settings("owner")
    with snapshot(settings.database_url) as conn, bars(CONSOLE) as shown:
        public = Seal(settings.audit_key).public
        verdict = verify_store(conn, settings.mac_key, public, settings.heads, clinic, lambda at, of: shown("events", at, of))
    if verdict.findings:
        table(verdict.findings)
    CONSOLE.print(f"{verdict.events:,} events of {verdict.clinics:,} clinics up to position {verdict.position:,}; {verdict.heads:,} signed heads.")
    CONSOLE.print("History is what was written." if not verdict.found else f"[red]{verdict.found:,} findings.[/]")
    return not verdict.found


def sign(installation: Installation) -> None:
    """Sign the heads that have moved."""
    settings = installation.settings("owner")
    notary = Notary(settings.database_url, settings.mac_key, Seal(settings.audit_key), settings.heads)
    heads = notary.round()
    table({"clinic": one.clinic, "position": one.position, "events": one.events, "hash": one.hash.hex()} for one in heads)
    if notary.broken:
        raise Trouble(f"{len(notary.broken)} clinics were not signed, for their history does not check out: anamnesis audit verify")


def export(installation: Installation, folder: Path, clinic: UUID | None, *, personal: bool) -> None:
    """Write the auditor's export."""
    assert MODULES  # which knows every event
    if folder.exists() and any(folder.iterdir()):
        raise Trouble(f"{folder} is not empty")
    settings = installation.settings("owner")
    ring = KeyRing(settings.kek)
    evidence, clinics, last = Evidence(folder), set(), 0
    with snapshot(settings.database_url) as conn, bars(CONSOLE) as shown:
        upto = head(conn)
        for page in pages(conn, clinic, upto=upto):
            if personal:
                ring.warm_sync(conn, (UUID(bytes=line.person) for line in page if line.person))
            evidence.add(page, ring.key_of if personal else None)
            clinics |= {UUID(bytes=line.clinic) for line in page}
            last = page[-1].position
            shown("events", last, upto)
        heads = [*kept(conn, clinic), *(one for _, one in outside(settings.heads) if one)]
    evidence.close(heads_of(heads, clinics, last), Seal(settings.audit_key).public)
    CONSOLE.print(f"{evidence.events:,} events in {folder}. To check them there: python3 verify.py")


def public_key(installation: Installation) -> str:
    """Return the public key in hexadecimal, and its name."""
    seal = Seal(installation.settings("owner").audit_key)
    return f"{seal.public.hex()}  Ed25519  {seal.name}"
