"""What may be seen of an appointment."""

import datetime as dt
from typing import Annotated, ClassVar

from msgspec import Meta

from domain.appointments import Party, Status
from domain.kit import (
    AppointmentTypeId,
    Frozen,
    GroupSessionId,
    Id,
    Money,
    PatientId,
    Personal,
    PlaceId,
    RecurrenceId,
    RoomId,
    StaffId,
)
from schemas.kit import Row


class AppointmentRow(Row):
    """An appointment in full: what the patient was told, how far the visit has come, notes and reasons."""

    table: ClassVar[str] = "appointments"
    indexes: ClassVar[tuple[str, ...]] = ("starts_at", "doctor_id, date")
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
    confirmed_by: Party | None = None
    arrived_at: dt.datetime | None = None
    seated_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    cancelled_by: Party | None = None
    cancelled_late: bool | None = None
    cancelled_because: Annotated[str | None, Personal("patient_id")] = None
    linked_until: dt.datetime | None = None  # by the link that the patient has been given
    summary_asked_at: dt.datetime | None = None  # when the patient was last to be written to
    series_id: RecurrenceId | None = None
    occurrence: int | None = None  # which visit of the series
    moved_at: dt.datetime | None = None  # when it was last given another time
    type_id: AppointmentTypeId | None = None
    place_id: PlaceId | None = None  # none: the clinic itself
    group_id: GroupSessionId | None = None  # the session in which it is a seat
    sequence: int = 0  # the edition of what others' calendars show
    deposit: Money = 0  # that the patient was asked to pay beforehand
    queue_number: int | None = None  # under which the patient waits on the day of the visit, or was seen


class AppointmentLink(Frozen):
    """The address by which a patient looks at their appointment, confirms it or cancels it: for them alone. `token` is what its page answers with."""

    url: str
    token: str
    expires_at: dt.datetime


class AppointmentShown(Frozen):
    """An appointment as its patient's link shows it: when, with whom and where, and nothing else about anybody.

    `startLocal` is what the clocks of `zone` show. Until `cancelUntil` the patient can cancel it by the link.
    """

    status: Status
    start_local: str
    zone: str
    minutes: int
    doctor_name: str | None
    clinic_name: str
    clinic_phone: str
    clinic_address: str
    cancel_until: dt.datetime
    deposit: Annotated[Money, Meta(description="What is asked for beforehand, in integer minor units of the currency.")] = 0
    deposit_paid: Money = 0
    deposit_payable: Annotated[bool, Meta(description="Whether the rest can be paid by card, by this link.")] = False
    currency: str = "EUR"
