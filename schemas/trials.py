"""What may be seen of trials: who tries the software, and who stays."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen
from schemas.kit import Row


class TrialRow(Row):
    """A clinic that has tried the software."""

    table: ClassVar[str] = "trials"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    id: UUID
    started_on: date
    until: date | None
    running: bool
    converted_on: date | None = None
    plan: str

    indexes: ClassVar[tuple[str, ...]] = ("started_on",)


class TrialMonth(Frozen):
    """What became of trials in one month: a trial counts where it started, where it became a subscription, and where it ran out."""

    month: date  # its first day
    started: int
    converted: int
    expired: int


class TrialInsights(Frozen):
    """Trials so far: how many run, how many of those that are over became subscriptions (in basis points), and how many days it took in the median."""

    months: list[TrialMonth]
    started: int
    running: int
    converted: int
    expired: int
    conversion_rate: int | None
    median_days: int | None
