"""What may be seen of the days on which a clinic is closed."""

import datetime as dt
from typing import ClassVar

from domain.closed_days import ClosedDay
from domain.kit import Frozen, Id
from schemas.kit import Row


class ClosedDaysRow(Row):
    """Which public holidays a clinic keeps, on which of them it works all the same, and when else it is closed."""

    table: ClassVar[str] = "closed_days"
    permission: ClassVar[str] = "settings.working_hours.manage"
    id: Id
    country: str | None
    part: str | None
    worked: list[dt.date]
    added: list[ClosedDay]


class ClosedDaysOfYear(Frozen):
    """The days of a year on which the clinic is closed, in order, and why."""

    year: int
    items: list[ClosedDay]


class HolidayCountry(Frozen):
    """A country whose public holidays are known, and its parts that have some of their own."""

    country: str
    parts: list[str]


class HolidayCountries(Frozen):
    """The countries whose public holidays are known, by their codes."""

    items: list[HolidayCountry]
