"""The relay as a process: it tells everybody what has happened in the clinics."""

from typing import Protocol

from workers.kit.bus import Bus
from workers.kit.relay import Relay


class Settings(Protocol):
    """What a relay must be told."""

    @property
    def database_url(self) -> str: ...
    @property
    def nats_url(self) -> str: ...
    @property
    def bus_key(self) -> bytes: ...


async def main(settings: Settings) -> None:
    """Run until cancelled."""
    async with Bus(settings.nats_url, "relay") as bus:
        await Relay(settings.database_url, bus, settings.bus_key).run()
