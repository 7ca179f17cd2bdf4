"""How visits follow each other."""

from datetime import timedelta
from typing import NamedTuple


class Pace(NamedTuple):
    """How long a visit takes, what is kept free around it, and how far its starts are apart: all in minutes."""

    minutes: int
    before: int = 0
    after: int = 0
    grid: int = 15

    @property
    def length(self) -> timedelta:
        return timedelta(minutes=self.minutes)

    @property
    def buffers(self) -> tuple[timedelta, timedelta]:
        return timedelta(minutes=self.before), timedelta(minutes=self.after)
