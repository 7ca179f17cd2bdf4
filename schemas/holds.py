"""What may be seen of times that are held."""

import datetime as dt
from typing import ClassVar

from domain.kit import Id, RoomId, StaffId
from schemas.kit import Row


class HoldRow(Row):
    """A time that is held, until `expiresAt`: after that it counts no longer. One that was given back or booked with is not shown any more."""

    table: ClassVar[str] = "holds"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("expires_at",)
    own: ClassVar[dict[str, str]] = {"patient": "held_by", "doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    doctor_id: StaffId
    room_id: RoomId | None
    date: dt.date
    start_local: str
    zone: str
    fold: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    buffer_before: int
    buffer_after: int
    expires_at: dt.datetime
    extended: bool
    held_at: dt.datetime
    held_by: Id
