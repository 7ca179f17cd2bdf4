"""The calendar: who is where, when; no word about why."""

import datetime as dt
from typing import ClassVar

from msgspec import field

from domain.appointments import Status
from domain.kit import AppointmentTypeId, Frozen, GroupSessionId, Id, PatientId, PlaceId, RecurrenceId, RoomId, StaffId
from schemas.group_sessions import GroupSessionRow
from schemas.kit import Row


class CalendarRow(Row):
    """An appointment as it stands in the calendar."""

    table: ClassVar[str] = "calendar"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("starts_at, id", "date", "doctor_id, date", "patient_id", "group_id")
    own: ClassVar[dict[str, str]] = {"patient": "patient_id", "doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    patient_id: PatientId
    doctor_id: StaffId
    room_id: RoomId | None
    date: dt.date
    start_local: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    buffer_before: int
    buffer_after: int
    type: str
    status: Status
    overbooked: bool
    series_id: RecurrenceId | None = None
    occurrence: int | None = None  # which visit of the series
    type_id: AppointmentTypeId | None = None
    place_id: PlaceId | None = None  # none: the clinic itself
    group_id: GroupSessionId | None = None  # the session in which it is a seat


class CalendarEntry(CalendarRow):
    """An appointment in the calendar, with the names of those concerned."""

    table: ClassVar[str] = "calendar_entries"
    patient_name: str | None
    doctor_name: str | None
    room_name: str | None


class BlockEntry(Row):
    """Time in which nothing is booked, with the name of whose it is."""

    table: ClassVar[str] = "block_entries"
    permission: ClassVar[str] = "appointments.view"
    own: ClassVar[dict[str, str]] = {"patient": "id", "doctor": "doctor_id", "receptionist": "doctor_id"}  # a patient owns none
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    doctor_id: StaffId | None
    doctor_name: str | None
    room_id: RoomId | None
    room_name: str | None
    date: dt.date
    last_date: dt.date
    start_local: str
    end_local: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    reason: str | None
    sequence: int = 0


class Calendar(Frozen):
    """All that is in the calendar from one day to another, each list in the order of time."""

    appointments: list[CalendarEntry]
    blocks: list[BlockEntry]
    group_sessions: list[GroupSessionRow] = field(default_factory=list)
