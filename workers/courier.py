"""The courier as a process: it answers events with letters, and sends them."""

import asyncio
import secrets
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol
from uuid import UUID

import workers
from commands.kit.codes import Codes
from domain.email_templates import EmailTemplate, choose, template_of
from domain.kit import PLATFORM
from domain.kit.letters import Language, Wording
from projections.kit.keys import KeyRing
from projections.kit.lanes import Lanes
from projections.kit.tables import load
from workers.kit import outbox, policies
from workers.kit.bus import Bus
from workers.kit.outbox import Outbox
from workers.kit.post import transport
from workers.kit.rounds import Rounds
from workers.kit.writing import Look, Writing


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


async def main(settings: Settings) -> None:
    """Run until cancelled."""
    load()
    known()
    name = f"courier-{secrets.token_hex(6)}"
    lanes = Lanes(settings.database_url, size=1, name=name)
    await lanes.open()
    writing = Writing(
        Look(lanes, KeyRing(settings.kek)), Codes(lanes, settings.kek), transport(settings.smtp_url, settings.data_dir / "mail"), words,
        address=settings.address, mail_from=settings.mail_from)
    sending = Outbox(settings.database_url, writing.deliver, name)
    try:
        async with Bus(settings.nats_url, "courier") as bus, asyncio.TaskGroup() as group:
            group.create_task(sending.run())
            group.create_task(Rounds(settings.database_url, bus, name, queued=sending.ring.set).run())
    finally:
        await lanes.close()
