"""Figures for whoever asks how the clinic does: doctors' performance, growth, lifetime value, retention, and where patients come from."""

from datetime import date
from typing import Literal

from msgspec import field

from domain.kit import Frozen, StaffId
from domain.kit.sources import Source

Format = Literal["json", "csv"]
Bucket = Literal["day", "month"]
Cohorting = Literal["month", "source"]


class Performance(Frozen):
    """What a doctor did, on all those days together, or on one of them or in one month (its first day) if asked so.

    `booked` counts whatever stood or stands there, whatever became of it; rates are shares of it. Minutes: `bookedMinutes` were set aside for all of them,
    `completedMinutes` for those that were completed; `chairMinutes`, `waitMinutes` and `lateStarts` were measured with the `measured` of these. `patients` are different ones who were seen,
    `newPatients` those whose first visit in the clinic was with this doctor then. Money as in the analytics of revenue (`credited` with what was written off), null for whoever may not see it.
    """

    doctor_id: StaffId
    day: date | None = None
    month: date | None = None
    booked: int
    completed: int
    cancelled: int
    late_cancelled: int
    no_show: int
    cancellation_rate: float
    no_show_rate: float
    booked_minutes: int
    completed_minutes: int
    chair_minutes: int
    wait_minutes: int
    late_starts: int
    measured: int
    patients: int
    new_patients: int
    billed: int | None
    voided: int | None
    credited: int | None
    collected: int | None
    refunded: int | None


class DoctorPerformance(Frozen):
    """What doctors did from the first day to the last, both included. The id 0 is what was sold without a doctor."""

    since: date = field(name="from")
    until: date = field(name="to")
    currency: str
    items: list[Performance]


class Growth(Frozen):
    """One day, or one month (its first day; of the first and the last only what lies within the days asked for).

    `newPatients` were registered then, `total` is how many had been by its end. `active` are the different patients who were seen, of whom it was the first visit for `firstVisits`;
    the others, `returning`, had been seen before.
    """

    day: date | None = None
    month: date | None = None
    new_patients: int
    total: int
    visits: int
    active: int
    first_visits: int
    returning: int


class PatientGrowth(Frozen):
    """How the number of patients grew from the first day to the last, both included."""

    since: date = field(name="from")
    until: date = field(name="to")
    items: list[Growth]


class Value(Frozen):
    """What patients came to so far. `came` are those who were seen at least once; averages are over `patients`, rounded to the minor unit, half away from zero."""

    patients: int
    came: int
    visits: int
    billed: int
    voided: int
    credited: int
    collected: int
    refunded: int
    received: int
    average_received: int
    average_visits: float


class ValueGroup(Value):
    """The patients of one month of the first visit (its first day; null: never seen), or of one source (null: not said)."""

    month: date | None = None
    source: Source | None = None


class LifetimeValue(Value):
    """What all patients came to so far, those included who were forgotten since."""

    currency: str
    groups: list[ValueGroup]


class CohortCell(Frozen):
    """How many of a cohort were seen so many months after the month of their first visit."""

    since: int
    patients: int
    share: float


class Cohort(Frozen):
    """The patients whose first completed visit lay in a month of the clinic (its first day), and how many of them were seen in it and in each month after."""

    month: date
    patients: int
    months: list[CohortCell]


class CohortLine(Frozen):
    """One cell of the table, as a line of a sheet."""

    month: date
    patients: int
    since: int
    seen: int
    share: float


class RetentionCohorts(Frozen):
    """Monthly cohorts, the earliest first."""

    items: list[Cohort]


class SourceFigures(Frozen):
    """The patients who heard of the clinic in one way (null: not said), and what they came to so far. Money is null for whoever may not see it."""

    source: Source | None
    patients: int
    share: float
    came: int
    visits: int
    billed: int | None
    voided: int | None
    credited: int | None
    received: int | None
    average_received: int | None


class ReferralSources(Frozen):
    """Where the patients come from who were registered on those days."""

    since: date | None = field(name="from")
    until: date | None = field(name="to")
    currency: str
    items: list[SourceFigures]
