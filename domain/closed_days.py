"""Closed days: when nobody works at a clinic, by its country's public holidays and by its own word.

A doctor who works on such a day all the same says so by an exception for that date.
"""

from datetime import date
from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, State, Text, only
from domain.kit.holidays import countries, holidays_of

Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 code of the country whose public holidays are kept.", examples=["NL"])]
Part = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,6}$", description="ISO 3166-2 code of the part of it, without the country.", examples=["CT"])]


class ClosedDay(Frozen):
    """A day on which the clinic is closed, and why."""

    on: date
    name: Text


class Closing(Frozen):
    """Which public holidays a clinic keeps, on which of them it works all the same, and when else it is closed."""

    country: Country | None = None
    part: Part | None = None
    worked: Annotated[list[date], Meta(max_length=400)] = field(default_factory=list)
    added: Annotated[list[ClosedDay], Meta(max_length=400)] = field(default_factory=list)


class ClosedDaysSet(Event, Closing): ...


ClosedDaysEvent = ClosedDaysSet


class HolidaysUnknown(Invalid):
    """The public holidays of that country, or of that part of it, are not known here. Leave it out, and name the days yourself."""


class ClosedTwice(Invalid):
    """Each day is named once: as closed, or as worked although it is a holiday."""


class ClosedDays(State):
    """When a clinic is closed; never, until it says so."""

    kind: ClassVar[str] = "closed_days"
    closing: Closing = Closing()

    def evolve(self, event: ClosedDaysEvent) -> Self:
        return replace(self, closing=Closing(**only(Closing, event)))

    def __contains__(self, on: object) -> bool:
        return isinstance(on, date) and self.closing != Closing() and on in self.of(on.year)

    def of(self, year: int) -> dict[date, str]:
        """Return the days of a year on which nobody works, and what they are called."""
        kept = holidays_of(self.closing.country, self.closing.part, year) if self.closing.country else {}
        days = {on: name for on, name in kept.items() if on not in self.closing.worked}
        return dict(sorted({**days, **{one.on: one.name for one in self.closing.added if one.on.year == year}}.items()))

    def set(self, wanted: Closing) -> list[Event]:
        if not known(wanted.country, wanted.part):
            raise HolidaysUnknown
        named = [*wanted.worked, *(one.on for one in wanted.added)]
        if len(named) != len({*named}):
            raise ClosedTwice
        closing = Closing(country=wanted.country, part=wanted.part, worked=sorted(wanted.worked), added=sorted(wanted.added, key=lambda one: one.on))
        return [] if closing == self.closing else [ClosedDaysSet(**only(Closing, closing))]


def known(country: str | None, part: str | None) -> bool:
    """Say whether the public holidays of a country, or of a part of it, are known; none is kept of no country."""
    if country is None:
        return part is None
    return country in (found := countries()) and part in {None, *found[country]}


def closed_days_of(clinic: UUID) -> UUID:
    """Return the id under which it is kept when a clinic is closed."""
    return uuid5(clinic, "closed-days")
