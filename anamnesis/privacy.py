"""Forgetting a person from the command line, with what only the owner of the database and of the data directory can do.

How it works. The command is the same that REST takes, decided by the same rules; when every read model has applied it, the tables that held the person are vacuumed and
analysed, so that neither dead row versions nor the planner's statistics keep a name, and letters to the person are removed from the local mailbox.

What may go wrong. Without a running projector it says that it cannot see the end; the erasure stands all the same, and the projector will apply it.
"""

import asyncio
import mailbox
from typing import cast
from uuid import UUID

import psycopg
from msgspec.structs import replace
from rich.console import Console

from anamnesis.installation import Installation
from anamnesis.progress import table
from anamnesis.trouble import Trouble
from commands.erasures import ErasePatient, ErasePerson
from commands.kit import Command
from commands.kit.erasure import TracesOf, traces_of
from commands.kit.handling import Handler
from commands.kit.receipt import PLATFORMER
from commands.kit.vault import Vault, reseal
from domain.erasures import PersonKind
from domain.kit import Refused
from gateway.app import KINDS
from gateway.kit.errors import sentence
from gateway.kit.services import TRACKED
from projections.erasures import records_of
from projections.kit.declare import PROJECTIONS
from projections.kit.erasing import about, readable, replayed
from projections.kit.keys import KeyRing
from projections.kit.keys import rewrap as rewrap_keys
from projections.kit.lanes import Lanes
from projections.kit.reading import Reading
from projections.kit.replays import relations
from projections.kit.tables import load, versions
from schemas.erasures import ErasureRow

CONSOLE = Console(stderr=True, soft_wrap=True)
PATIENCE_SECONDS = 30.0


def erase(installation: Installation, person: UUID, kind: str, reason: str, *, dry_run: bool, despite_retention: bool) -> None:
    """Forget a person, or only say what there is of them."""
    load()
    command: Command = ErasePerson(kind=cast("PersonKind", kind), person_id=person, reason=reason)
    if kind == "patients":
        command = ErasePatient(patient_id=person, reason=reason, despite_retention=despite_retention)
    try:
        records, before, left = asyncio.run(_erase(installation, person, command, dry_run=dry_run))
    except Refused as refused:
        raise Trouble(sentence(type(refused))) from refused
    table({"what": what, "found": found, "left": left.get(what, 0)} for what, found in before.items())
    if dry_run:
        CONSOLE.print("Nothing was done.")
        return
    _scour(installation.database_urls["owner"])
    letters = sum(_unpost(installation, record) for record in records)
    CONSOLE.print(f"{person} is forgotten; the tables are vacuumed, {letters} letters removed from the local mailbox.")


async def _erase(installation: Installation, person: UUID, command: Command, *, dry_run: bool) -> tuple[list[UUID], dict[str, int], dict[str, int]]:
    """Return the records of a person, what was found, and what is left."""
    settings = installation.settings("gateway")
    reading = Reading(settings.database_url)
    await reading.open()
    handler = await Handler.open(settings, clinic_state=KINDS.clinic, lanes=reading.lanes)
    try:
        clinic = await handler.tenant_of(person)
        if clinic is None:
            raise Trouble(f"there is nobody of the id {person}")
        records = await records_of(await reading.of(clinic), person)
        before = await _traces(reading, records, clinic)
        if dry_run:
            return records, before, before
        receipt = await handler.handle(command, replace(PLATFORMER, clinic=clinic))
        if isinstance(receipt.row, ErasureRow) and receipt.row.status == "refused":
            until = f" until {receipt.row.until}" if receipt.row.until else ""
            raise Trouble(f"these records must stay{until} ({receipt.row.because}); that it was asked for is on record. Periods yield to --despite-retention, holds do not")
        await _applied(reading, clinic, receipt.position)
        return records, before, await _traces(reading, records, clinic)
    finally:
        await handler.close()
        await reading.close()


async def _traces(reading: Reading, records: list[UUID], clinic: UUID) -> dict[str, int]:
    found: TracesOf = await traces_of(reading.lanes, records, clinic)
    rows = await readable(await reading.of(clinic), records)
    replays = sum([await replayed(await reading.of(clinic), record) for record in records])
    return {
        "keys": found.keys, "events that can be read": sum(found.events.values()), **{f"rows of {name}": count for name, count in rows.items()},
        "rows in replays": replays, "sessions": found.sessions, "secrets": found.secrets, "links": found.links, "addresses": found.addresses,
    }


async def _applied(reading: Reading, clinic: UUID, position: int) -> None:
    reader = await reading.of(clinic)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await reading.lanes.ask(None, TRACKED, (reader.partition,))).rows[0][0] < position:  # noqa: ASYNC110 - another process moves it
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Trouble("the key is destroyed, but the read models have not applied it yet: is a projector running? Repeat this when one is") from None


def _scour(owner_url: str) -> None:
    """Leave neither dead row versions nor statistics that keep a value."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for version in versions(owner):
            if version.active and (projection := PROJECTIONS.get(version.name)) and about(projection.row):
                owner.execute(f"vacuum (analyze) {version.table}")
        for relation in relations(owner):
            owner.execute(f"vacuum (analyze) {relation}")
        owner.execute("vacuum (analyze) person_keys, origins, parked_events, stays, vault")


def _unpost(installation: Installation, person: UUID) -> int:
    """Remove the letters to a person from the local mailbox; return how many."""
    with psycopg.connect(installation.database_urls["owner"], autocommit=True) as owner:
        sent = {str(letter) for (letter,) in owner.execute("select id from letters where recipient = %s", (person,)).fetchall()}
    folder = installation.data_dir / "mail"
    if not sent or not folder.exists():
        return 0
    box = mailbox.Maildir(folder, create=False)
    gone = [key for key, letter in box.items() if str(letter["Message-ID"]).strip("<> ").partition("@")[0] in sent]
    for key in gone:
        box.remove(key)
    return len(gone)


def rewrap(installation: Installation) -> None:
    """Bring everything under the first key-encryption key."""
    kek = installation.settings("owner").kek
    with psycopg.connect(installation.database_urls["owner"], autocommit=True) as owner:
        keys = rewrap_keys(owner, KeyRing(kek))
        secrets = reseal(owner, Vault(Lanes(""), kek))
    CONSOLE.print(f"{keys:,} persons' keys and {secrets:,} secrets are under the first key. When every process has been started with it: anamnesis privacy rotate-key --drop")


def ensure_rewrapped(installation: Installation) -> None:
    """Refuse to go on while a key needs one of those before."""
    ring = KeyRing(installation.settings("owner").kek)
    with psycopg.connect(installation.database_urls["owner"], autocommit=True) as owner:
        (left,) = owner.execute("select count(*) from person_keys where kek <> %s and wrapped is not null", (ring.name,)).fetchone() or (0,)
    if left:
        raise Trouble(f"{left} persons' keys are still wrapped by a key before: anamnesis privacy rewrap")
