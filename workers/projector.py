"""The projector as a process: it keeps what is remembered level with what has happened."""

from typing import Protocol

from projections.kit.keys import KeyRing
from projections.kit.tables import load
from workers.kit.bus import Bus
from workers.kit.projector import Projector


class Settings(Protocol):
    """What a projector must be told."""

    @property
    def database_url(self) -> str: ...
    @property
    def nats_url(self) -> str: ...
    @property
    def bus_key(self) -> bytes: ...
    @property
    def kek(self) -> bytes: ...


async def main(settings: Settings) -> None:
    """Run until cancelled; what only a person can mend ends it with an error."""
    load()
    async with Bus(settings.nats_url, "projector") as bus:
        await Projector(settings.database_url, bus, settings.bus_key, KeyRing(settings.kek)).run()
