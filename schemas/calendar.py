"""The calendar: who is where, when; no word about why."""

from datetime import date, datetime
from typing import ClassVar, Literal

from domain.appointments import Status
from domain.kit import Frozen, Id, PatientId, RoomId, StaffId
from schemas.kit import Row


class CalendarRow(Row):
    """An appointment as it stands in the calendar."""

    table: ClassVar[str] = "calendar"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("day, starts_at, id", "doctor_id, day, starts_at, id", "patient_id, day, starts_at, id", "room_id, status")
    own: ClassVar[dict[str, str]] = {"patient": "patient_id", "doctor": "doctor_id"}
    widened: ClassVar[dict[str, str]] = {"doctor": "appointments.view_all_doctors"}
    id: Id
    patient_id: PatientId
    doctor_id: StaffId
    room_id: RoomId | None
    day: date
    start_local: str
    starts_at: datetime
    ends_at: datetime
    buffer_before: int
    buffer_after: int
    type: str
    status: Status
    overbooked: bool


class CalendarEntry(Frozen):
    """An appointment, or time that is blocked, with the names of those concerned."""

    kind: Literal["appointment", "block"]
    id: Id
    patient_id: PatientId | None
    patient_name: str | None
    doctor_id: StaffId | None
    doctor_name: str | None
    room_id: RoomId | None
    room_name: str | None
    day: date
    start_local: str
    starts_at: datetime
    ends_at: datetime
    type: str | None
    status: Status | None
    overbooked: bool


class CalendarPage(Frozen):
    """Appointments in the order of time, and the cursor of the page after, if there is one."""

    items: list[CalendarEntry]
    next: str | None
