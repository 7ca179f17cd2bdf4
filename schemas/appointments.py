"""What may be seen of an appointment."""

import datetime as dt
from typing import Annotated, ClassVar

from domain.appointments import Party, Status
from domain.kit import Id, PatientId, Personal, RoomId, StaffId
from schemas.kit import Row


class AppointmentRow(Row):
    """An appointment in full: what the patient was told, how far the visit has come, notes and reasons."""

    table: ClassVar[str] = "appointments"
    permission: ClassVar[str] = "appointments.view"
    detail: ClassVar[str] = "appointments.view_detail"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id", "doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    patient_id: PatientId
    doctor_id: StaffId
    room_id: RoomId | None
    type: str
    status: Status
    date: dt.date
    start_local: str
    zone: str
    fold: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    buffer_before: int
    buffer_after: int
    overbooked: bool
    overbooked_because: Annotated[str | None, Personal("patient_id")] = None
    notes: Annotated[str | None, Personal("patient_id")] = None
    booked_at: dt.datetime
    arrived_at: dt.datetime | None = None
    seated_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    cancelled_by: Party | None = None
    cancelled_late: bool | None = None
    cancelled_because: Annotated[str | None, Personal("patient_id")] = None
