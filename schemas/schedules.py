"""What may be seen of a doctor's schedule, and of blocked time."""

import datetime as dt
from typing import Annotated, ClassVar

from domain.kit import Frozen, Id, Personal, RoomId, StaffId
from domain.schedules import DayHours, Hours
from schemas.kit import INDEXED, Row


class ScheduleRow(Row):
    """The hours a doctor works: seven days, Monday first, the exceptions by date, and how visits follow each other."""

    table: ClassVar[str] = "schedules"
    permission: ClassVar[str] = "appointments.view"
    own: ClassVar[dict[str, str]] = {"doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    doctor_id: Annotated[StaffId, INDEXED]
    week: list[list[Hours]]
    exceptions: list[DayHours]
    buffer_before: int
    buffer_after: int
    slot_minutes: int


class DoctorSchedule(ScheduleRow):
    """The hours a doctor works, with the doctor's name."""

    table: ClassVar[str] = "doctor_schedules"
    doctor_name: str | None


class DoctorSchedules(Frozen):
    """The hours of all doctors, by name."""

    items: list[DoctorSchedule]


class BlockRow(Row):
    """Time of a doctor or a room in which nothing is booked."""

    table: ClassVar[str] = "blocks"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("last_date, date",)
    own: ClassVar[dict[str, str]] = {"patient": "id", "doctor": "doctor_id", "receptionist": "doctor_id"}  # a patient owns none
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    doctor_id: StaffId | None
    room_id: RoomId | None
    date: dt.date
    last_date: dt.date
    start_local: str
    end_local: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    reason: Annotated[str | None, Personal("doctor_id")]
    sequence: int = 0  # the edition of what others' calendars show
