"""What may be seen of group sessions."""

import datetime as dt
from typing import ClassVar

from domain.group_sessions import GroupStatus
from domain.kit import AppointmentTypeId, Id, PlaceId, RoomId, StaffId
from schemas.kit import Row


class GroupSessionRow(Row):
    """A session for several patients at one time. Who takes part is among the appointments, by `groupId`."""

    table: ClassVar[str] = "group_sessions"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("date", "doctor_id, date", "starts_at")
    own: ClassVar[dict[str, str]] = {"patient": "id", "doctor": "doctor_id", "receptionist": "doctor_id"}  # a patient owns none
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    status: GroupStatus
    doctor_id: StaffId
    room_id: RoomId | None
    place_id: PlaceId | None
    type: str
    type_id: AppointmentTypeId | None
    date: dt.date
    start_local: str
    zone: str
    fold: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    buffer_before: int
    buffer_after: int
    capacity: int
    notes: str | None = None
    planned_at: dt.datetime
    cancelled_because: str | None = None
    sequence: int = 0  # the edition of what others' calendars show


class GroupSessionEntry(GroupSessionRow):
    """A session with the names of doctor and room, how many seats are taken, how many are on offer, and how many are left."""

    table: ClassVar[str] = "group_session_entries"
    doctor_name: str | None
    room_name: str | None
    taken: int
    offered: int
    seats_left: int
