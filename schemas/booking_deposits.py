"""What may be seen of the deposits that visits are booked with."""

import datetime as dt
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from domain.appointments import Status
from domain.kit import AppointmentTypeId, Frozen, Id, Money, PatientId
from schemas.kit import Row

DepositStatus = Literal["unpaid", "part-paid", "paid"]


class BookingDeposit(Row):
    """What was asked for beforehand for a visit, and what was paid of it, at the desk or by the patient's link. It is the patient's credit; its id is the appointment's."""

    table: ClassVar[str] = "booking_deposits"
    permission: ClassVar[str] = "billing.payments.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: Id
    patient_id: PatientId
    type_id: AppointmentTypeId | None
    starts_at: dt.datetime
    visit: Annotated[Status, Meta(description="How the visit stands.")]
    status: DepositStatus
    asked: Money
    paid: Money
    due: Money


class DepositStanding(Frozen):
    """What was paid beforehand for a visit."""

    paid: Money = 0
