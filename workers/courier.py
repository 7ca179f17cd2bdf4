"""The courier as a process: it answers events with letters and sends them, and pushes events to webhooks."""

import asyncio
import secrets
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol
from uuid import UUID

import workers
from commands.kit.codes import Codes
from commands.kit.deliveries import Secrets
from commands.kit.links import LastingLinks
from commands.kit.vault import Vault
from domain.email_templates import EmailTemplate, choose, template_of
from domain.kit import PLATFORM
from domain.kit.addresses import networks
from domain.kit.letters import Language, Wording
from domain.patients import Patient, PatientPreferencesChanged
from projections.kit.keys import KeyRing
from projections.kit.lanes import Lanes
from projections.kit.tables import load
from workers.kit import outbox, policies
from workers.kit.bus import Bus
from workers.kit.fanout import Fanout
from workers.kit.outbox import Outbox
from workers.kit.outward import Outward
from workers.kit.policies import Answering, To
from workers.kit.post import transport
from workers.kit.pushing import MANY, Pushing
from workers.kit.rounds import Rounds
from workers.kit.writing import Look, Writing, last
from workers.webhooks import OWN, heard, told


class Settings(Protocol):
    """What a courier must be told."""

    @property
    def database_url(self) -> str: ...
    @property
    def nats_url(self) -> str: ...
    @property
    def kek(self) -> bytes: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def smtp_url(self) -> str: ...
    @property
    def mail_from(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def webhooks_private(self) -> str: ...


def install(conn: outbox.Owner) -> None:
    """Make the outbox, and let policies that are new begin at the head of the store."""
    known()
    with conn.transaction():
        outbox.install(conn)
        policies.install(conn, policies.POLICIES)


def known() -> None:
    """See to it that every policy is known: import all of `workers`."""
    for module in iter_modules(workers.__path__):
        import_module(f"workers.{module.name}")


async def words(look: Look, clinic: UUID, key: str, language: Language) -> Wording:
    """Return the words that count: the clinic's, the platform's, the program's."""
    own = await look.state(EmailTemplate, template_of(clinic, key), clinic)
    platform = await look.state(EmailTemplate, template_of(PLATFORM, key), PLATFORM)
    return choose(key, language, own, platform).wording


async def tongue(look: Look, to: To, clinic: UUID) -> str | None:
    """Return the language that somebody likes best, if they have said so: of a patient, as it was noted last under whichever of their records."""
    facts = await look.facts(to.id, clinic)
    if to.kind != Patient.kind:
        spoken: str | None = last([fact.event for fact in facts if fact.kind == to.kind], "language")
        return spoken
    records = Patient.replay(fact.event for fact in facts if fact.kind == Patient.kind).records
    facts += [fact for record in records for fact in await look.facts(record, clinic)]
    said = [(fact.recorded_at, fact.position, fact.event.language) for fact in facts if isinstance(fact.event, PatientPreferencesChanged)]
    return max(said)[2] if said else None


async def main(settings: Settings) -> None:
    """Run until cancelled."""
    load()
    known()
    name = f"courier-{secrets.token_hex(6)}"
    lanes = Lanes(settings.database_url, size=1, name=name)
    await lanes.open()
    look = Look(lanes, KeyRing(settings.kek))
    writing = Writing(
        look, Codes(lanes, settings.kek), transport(settings.smtp_url, settings.data_dir / "mail"), words,
        address=settings.address, mail_from=settings.mail_from, links=LastingLinks(settings.kek), tongue=tongue)
    sending = Outbox(settings.database_url, writing.deliver, name)
    outward = Outward(networks(settings.webhooks_private), MANY)
    claiming = Lanes(settings.database_url, size=1, name=f"{name}-webhooks")
    await claiming.open()
    pushing = Pushing(claiming, outward, Secrets(claiming, Vault(claiming, settings.kek)))
    looking = partial(Fanout, own=OWN, tell=partial(told, look), heard=partial(heard, look))
    try:
        async with Bus(settings.nats_url, "courier") as bus, asyncio.TaskGroup() as group:
            group.create_task(sending.run())
            group.create_task(pushing.run())
            group.create_task(Rounds(settings.database_url, bus, name, Answering, sending.ring.set).run())
            group.create_task(Rounds(settings.database_url, bus, name, looking, pushing.ring.set).run())
    finally:
        await outward.close()
        await claiming.close()
        await lanes.close()
