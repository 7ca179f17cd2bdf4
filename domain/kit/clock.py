"""Wall clocks: what a person was told is a local date and time in the clinic's IANA zone; the instant is derived from it.

What may go wrong: twice a year a local time happens twice (autumn) or not at all (spring). `instant` never guesses: it refuses a missing time,
and a repeated one unless `fold` says which (0 the first, 1 the second; PEP 495).
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from domain.kit.model import Invalid

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Clock = Annotated[str, Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$", description="Wall-clock time, 00:00 to 24:00.", examples=["09:00"])]
LocalTime = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$", description="Wall-clock time in the clinic's zone.", examples=["2026-03-29T09:00:00"])]

EARLIEST, LATEST = date(2, 1, 1), date(9998, 12, 31)  # nearer to the ends of the calendar a day has no beginning in UTC, or no end


class TimeMissing(Invalid):
    """That local time does not exist: the clocks go forward over it. Choose another time."""


class TimeRepeated(Invalid):
    """That local time happens twice: the clocks go back over it. Say which one with `fold` (0 the first, 1 the second) or give an offset."""


class ZoneUnknown(Invalid):
    """That is not an IANA time zone, such as Europe/Amsterdam."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone of that name, or refuse."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ZoneUnknown(zone=name) from error


def wall(moment: datetime, zone_name: str) -> datetime:
    """Return the local wall-clock time (naive, with fold) of an instant."""
    return moment.astimezone(zone(zone_name)).replace(tzinfo=None)


def instant(local: datetime, zone_name: str, fold: int | None = None) -> datetime:
    """Return the UTC instant of a local wall-clock time; an aware datetime is already one."""
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    there = zone(zone_name)
    first, second = (local.replace(tzinfo=there, fold=f).astimezone(UTC) for f in (0, 1))
    if first == second:
        return first
    if first > second:  # inside the gap the two readings cross
        raise TimeMissing(time=local.isoformat(), zone=zone_name)
    if fold is None:
        raise TimeRepeated(time=local.isoformat(), zone=zone_name)
    return second if fold else first


def day(moment: datetime, zone_name: str) -> date:
    """Return the clinic's day of an instant."""
    return moment.astimezone(zone(zone_name)).date()


def midnight(on: date, zone_name: str) -> datetime:
    """Return the instant at which a day of the clinic begins (where midnight is skipped, the first instant after it)."""
    naive = datetime.combine(on, time())
    there = zone(zone_name)
    first, second = (naive.replace(tzinfo=there, fold=f).astimezone(UTC) for f in (0, 1))
    if first <= second:
        return first
    # midnight falls into the gap: the day begins where the gap ends, which is where both readings, shifted, meet
    low, high = second - timedelta(hours=1), first + timedelta(hours=1)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (low, middle) if middle.astimezone(there).date() >= on else (middle, high)
    return high.replace(microsecond=0)


def span(first: date, last: date, zone_name: str) -> tuple[datetime, datetime]:
    """Return the half-open interval of instants covered by the clinic's days first..last, both included."""
    first, last = max(first, EARLIEST), min(last, LATEST)
    return midnight(first, zone_name), midnight(last + timedelta(days=1), zone_name)
