"""Days and diaries: what a front desk looks at to find a free hour.

How it works. A day is an index from the first day of the history; a time of day is minutes of the wall clock; a diary holds each day as one integer with a bit for
every five minutes, so that finding a free stretch is a few shifts. Clinics work by daylight, when no zone changes its clocks, so a minute
of the day is found from that day's noon.

What may go wrong. A time before dawn would be an hour off on the two days the clocks change: nothing here happens before 05:00.
"""

from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from random import Random
from typing import NamedTuple

from domain.kit import zone

UNIT = 5  # minutes
NOON = 12 * 60
WHOLE = (1 << 24 * 60 // UNIT) - 1


class Calendar:
    """The days of one clinic's history, and some weeks beyond."""

    def __init__(self, first: date, days: int, zone_name: str, closed: frozenset[date], weekdays: frozenset[int]) -> None:
        there = zone(zone_name)
        self.dates = [first + timedelta(days=n) for n in range(days)]
        self.noons = [int(datetime.combine(on, time(12), there).timestamp()) for on in self.dates]
        self.open = [on.weekday() in weekdays and on not in closed for on in self.dates]
        self._index = {on: n for n, on in enumerate(self.dates)}

    def at(self, day: int, minute: int) -> int:
        """Return the instant, in seconds, of a time of day."""
        return self.noons[day] + (minute - NOON) * 60

    def day(self, instant: int) -> int:
        """Return the day of an instant."""
        return bisect_right(self.noons, instant + NOON * 60) - 1

    def minute(self, instant: int) -> int:
        """Return the time of day of an instant."""
        return NOON + (instant - self.noons[self.day(instant)]) // 60

    def index(self, on: date) -> int:
        """Return the day of a date."""
        return self._index[on]

    def opening(self, day: int) -> int:
        """Return this day, or the first one after it on which the clinic is open."""
        while day < len(self.open) - 1 and not self.open[day]:
            day += 1
        return day


class Slot(NamedTuple):
    """A stretch of a diary."""

    day: int
    start: int  # minutes of the day
    minutes: int
    mask: int


class Diary:
    """One doctor's time: the hours of each day, and what is taken of them."""

    def __init__(self, days: int, *, grid: int, before: int = 0, after: int = 0) -> None:
        self.hours = [0] * days
        self.taken = [0] * days
        self.squeezed = [0] * days  # by overbookings, which lie over others and go without them
        self.grid = sum(1 << unit for unit in range(0, 24 * 60 // UNIT, grid // UNIT))
        self.before = before // UNIT
        self.after = after // UNIT

    def find(self, day: int, minutes: int, *, earliest: int = 0) -> Slot | None:
        """Return the first free visit of that length which starts on the grid, at or after a time of day."""
        open_ = self.hours[day]
        if not open_:
            return None
        units, free = minutes // UNIT, WHOLE & ~(self.taken[day] | self.squeezed[day])
        starts = runs(open_, units) & (runs(free, self.before + units + self.after) << self.before) & self.grid
        starts &= -1 << earliest // UNIT
        return self.slot(day, first(starts) * UNIT, minutes) if starts else None

    def slot(self, day: int, start: int, minutes: int) -> Slot:
        """Return the stretch that a visit takes, buffers included."""
        length = self.before + minutes // UNIT + self.after
        return Slot(day, start, minutes, ((1 << length) - 1) << (start // UNIT - self.before))

    def take(self, slot: Slot, *, squeeze: bool = False) -> None:
        """Write a visit in."""
        (self.squeezed if squeeze else self.taken)[slot.day] |= slot.mask

    def free(self, slot: Slot, *, squeeze: bool = False) -> None:
        """Strike a visit out."""
        (self.squeezed if squeeze else self.taken)[slot.day] &= ~slot.mask


def hours_mask(hours: list[tuple[int, int]]) -> int:
    """Return the bits of working hours, given in minutes."""
    return sum(((1 << (end - start) // UNIT) - 1) << start // UNIT for start, end in hours)


def runs(bits: int, length: int) -> int:
    """Return the bits from which so many in a row are set."""
    have = 1
    while have < length:
        step = min(have, length - have)
        bits &= bits >> step
        have += step
    return bits


def first(bits: int) -> int:
    """Return the number of the lowest bit."""
    return (bits & -bits).bit_length() - 1


def some_minute(rng: Random, start: int, end: int) -> int:
    """Return a time of day."""
    return start + int(rng.random() * (end - start))
