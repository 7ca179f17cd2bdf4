"""The notary as a process: it vouches for history while it is being written."""

from pathlib import Path
from typing import Protocol

from commands.kit.heads import Seal
from projections.kit.tables import load
from workers.kit.notary import Notary


class Settings(Protocol):
    """What a notary must be told."""

    @property
    def database_url(self) -> str: ...
    @property
    def mac_key(self) -> bytes: ...
    @property
    def audit_key(self) -> str: ...
    @property
    def heads(self) -> Path: ...


async def main(settings: Settings) -> None:
    """Run until cancelled."""
    load()
    await Notary(settings.database_url, settings.mac_key, Seal(settings.audit_key), settings.heads).run()
