"""Visits as figures see them: one line for each appointment, whatever became of it."""

import datetime as dt
from typing import ClassVar

from domain.appointments import Status
from domain.kit import Id, PatientId, StaffId
from schemas.kit import Row


class VisitRow(Row):
    """What became of an appointment, in numbers. Struck out as a mistake it has no line; cancelled or missed it keeps one.

    `minutes` is what was set aside. Measured are, in seconds and by when each step was noted: `waitSeconds` from arrival to the chair, `delaySeconds` from the
    agreed start to the chair (negative: early), `chairSeconds` in the chair. `late` says that the chair was more than five minutes late. `moves` is how often it was rescheduled.
    `hour` is the clock's hour at the start, `bookedOn` the day on which it was booked, and `leadDays` how many days lie between that and the visit.
    """

    table: ClassVar[str] = "visits"
    permission: ClassVar[str] = "reports.stats"
    formula: ClassVar[int] = 2
    indexes: ClassVar[tuple[str, ...]] = ("day", "patient_id")
    own: ClassVar[dict[str, str]] = {"doctor": "doctor_id"}
    widened: ClassVar[dict[str, str]] = {"doctor": "appointments.view_all_doctors"}
    id: Id
    patient_id: PatientId
    doctor_id: StaffId
    day: dt.date
    starts_at: dt.datetime
    minutes: int
    status: Status
    moves: int = 0
    late_cancelled: bool = False
    arrived_at: dt.datetime | None = None
    seated_at: dt.datetime | None = None
    wait_seconds: int | None = None
    delay_seconds: int | None = None
    chair_seconds: int | None = None
    late: bool = False
    hour: int = 0
    booked_on: dt.date | None = None
    lead_days: int = 0
