"""The builder as a process: it makes read models anew when a superadmin asks."""

from typing import Protocol

from workers.kit.builder import Builder


class Settings(Protocol):
    """What a builder must be told: the owner's way into the database, for it makes tables, and the key that opens what is personal."""

    @property
    def database_url(self) -> str: ...
    @property
    def kek(self) -> bytes: ...


async def main(settings: Settings) -> None:
    """Run until cancelled."""
    await Builder(settings.database_url, settings.kek).run()
