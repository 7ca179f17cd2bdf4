"""What may be seen of times on offer to patients on the waiting list."""

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
    RoomId,
    StaffId,
    WaitingEntryId,
)
from domain.slot_offers import OfferStatus, OfferWay
from schemas.kit import Row


class SlotOfferRow(Row):
    """A time that was offered, and what became of it.

    `movedId` is the visit that it would move, `appointmentId` the one that came of it. `written`: the patient is told by letter; who is not is to be told by the clinic.
    """

    table: ClassVar[str] = "slot_offers"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("status, expires_at", "entry_id", "patient_id", "offered_at", "group_id")
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: Id
    entry_id: WaitingEntryId
    patient_id: PatientId
    status: OfferStatus
    doctor_id: StaffId
    room_id: RoomId | None
    place_id: PlaceId | None
    type: str
    type_id: AppointmentTypeId | None
    moved_id: AppointmentId | None
    group_id: GroupSessionId | None = None
    date: dt.date
    start_local: str
    zone: str
    fold: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    buffer_before: int
    buffer_after: int
    expires_at: dt.datetime
    by_hand: bool
    written: bool
    offered_at: dt.datetime
    offered_by: Id
    answered_at: dt.datetime | None = None
    way: OfferWay | None = None
    reason: Annotated[str | None, Personal("patient_id")] = None
    appointment_id: AppointmentId | None = None


class SlotOfferEntry(SlotOfferRow):
    """An offer, with the names of those concerned."""

    table: ClassVar[str] = "slot_offer_entries"
    patient_name: str | None
    doctor_name: str | None


class OfferShown(Frozen):
    """An offer as its patient's link shows it: when and where, until when to answer, and which of their visits would be moved; nothing else about anybody.

    `startLocal` and `movesFrom` are what the clocks of `zone` show.
    """

    status: OfferStatus
    start_local: str
    zone: str
    minutes: int
    answer_by: dt.datetime
    moves_from: str | None
    doctor_name: str | None
    clinic_name: str
    clinic_phone: str
    clinic_address: str
