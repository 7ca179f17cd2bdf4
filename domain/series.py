"""Series: numbers that must leave no gap, such as a clinic's invoices of one year."""

from typing import ClassVar, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, State


class NumberAllotted(Event):
    """The number belongs to whatever was saved together with this."""

    series: str
    year: int
    number: int


class Series(State):
    kind: ClassVar[str] = "series"
    snapshots: ClassVar[bool] = True  # a busy clinic issues thousands a year
    last: int = 0

    def evolve(self, event: NumberAllotted) -> Self:
        return replace(self, last=event.number)

    def allot(self, series: str, year: int) -> NumberAllotted:
        return NumberAllotted(series=series, year=year, number=self.last + 1)


def series_of(clinic: UUID, series: str, year: int) -> UUID:
    """Return the id of a clinic's series of one year."""
    return uuid5(clinic, f"{series}/{year}")


def printed(year: int, number: int) -> str:
    """Return a number as it stands on paper: 2026-000123."""
    return f"{year:04}-{number:06}"
