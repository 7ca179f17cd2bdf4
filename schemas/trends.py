"""Trends of appointments: how many, when, how long ahead, and what became of them."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, field

from domain.kit import Frozen, StaffId
from schemas.reports import Visits

TrendBy = Literal["day", "week", "month", "quarter", "year", "weekday", "hour", "lead-time", "status", "doctor"]
Fate = Literal["upcoming", "completed", "cancelled", "no-show"]
Lead = Literal["same-day", "1-7", "8-14", "15-30", "31-90", "90+"]
LEADS: tuple[Lead, ...] = ("same-day", "1-7", "8-14", "15-30", "31-90", "90+")


class Trend(Visits):
    """The appointments of one part: days, a weekday (1 is Monday), an hour of the day, how many days ahead they were booked, what became of them, or a doctor.

    `count` is how many there are of the status that was asked for, or of all.
    """

    since: date | None = field(name="from", default=None)
    until: date | None = field(name="to", default=None)
    weekday: Annotated[int | None, Meta(description="1 is Monday, 7 is Sunday.")] = None
    hour: Annotated[int | None, Meta(description="As the clinic's clocks show it at the start.")] = None
    lead_time: Annotated[Lead | None, Meta(description="Days from booking to visit.")] = None
    status: Fate | None = None
    doctor_id: StaffId | None = None
    doctor_name: str | None = None
    count: int


class AppointmentTrends(Frozen):
    """The appointments from the first day to the last, both included, in parts; those struck out as mistakes are not among them."""

    since: date = field(name="from")
    until: date = field(name="to")
    group_by: TrendBy
    count: int
    total: Visits
    items: list[Trend]
