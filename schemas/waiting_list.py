"""What may be seen of the waiting list."""

import datetime as dt
from typing import Annotated, ClassVar

from domain.kit import (
    AppointmentId,
    AppointmentTypeId,
    Frozen,
    GroupSessionId,
    Id,
    PatientId,
    Personal,
    PlaceId,
    SlotOfferId,
    StaffId,
)
from domain.kit.turns import Rank
from domain.waiting_list import EndReason, Times, WaitingStatus
from schemas.kit import Row


class WaitingListRow(Row):
    """A patient who waits for a visit, or for an earlier one, and what they want. `changedAt` is when that was last said."""

    table: ClassVar[str] = "waiting_list"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("status, added_at", "patient_id", "appointment_id")
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: Id
    patient_id: PatientId
    status: WaitingStatus
    rank: Rank
    doctor_id: StaffId | None
    type_id: AppointmentTypeId | None
    type: str | None
    duration: int | None
    place_id: PlaceId | None
    appointment_id: AppointmentId | None
    group_id: GroupSessionId | None = None
    times: list[Times]
    earliest: dt.date | None
    until: dt.date | None
    notice: int | None
    note: Annotated[str | None, Personal("patient_id")] = None
    added_at: dt.datetime
    added_by: Id
    changed_at: dt.datetime
    served_by: SlotOfferId | None = None
    visit_id: AppointmentId | None = None  # by which they were served
    closed_at: dt.datetime | None = None
    closed_by: Id | None = None
    closed_because: Annotated[str | None, Personal("patient_id")] = None
    ended: EndReason | None = None


class WaitingListEntry(WaitingListRow):
    """An entry of the waiting list with the names of those concerned, the offer that is open, and how many the patient has let pass since they last said what they want."""

    table: ClassVar[str] = "waiting_entries"
    patient_name: str | None
    doctor_name: str | None
    offer_id: SlotOfferId | None
    unanswered: int


class WaitingListSettingsRow(Row):
    """How a clinic offers what comes free: by itself or by hand alone, how many minutes there are to answer, and how long before it begins a time is still offered."""

    table: ClassVar[str] = "waiting_list_settings"
    permission: ClassVar[str] = "settings.reminders.manage"
    id: Id
    automatic: bool
    answer: int
    notice: int


class Suited(Frozen):
    """Those whom a time suits, in the order in which they are asked."""

    items: list[WaitingListEntry]
