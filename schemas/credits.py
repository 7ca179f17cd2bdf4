"""What may be seen of a patient's credit."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import AppointmentId, Money, PatientId
from domain.kit.bills import Method
from schemas.kit import Row


class CreditRow(Row):
    """What a patient has with the clinic, under one record of theirs: `balance` can be used on invoices or returned."""

    table: ClassVar[str] = "credits"
    permission: ClassVar[str] = "billing.payments.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    patient_id: PatientId
    currency: str
    balance: Money = 0
    received: Money = 0  # without an invoice, or beyond one
    gained: Money = 0  # set free by invoices
    used: Money = 0
    returned: Money = 0
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("patient_id", "balance, id")


class DepositRow(Row):
    """Money that was received as credit. One that was `reversed` never was."""

    table: ClassVar[str] = "deposits"
    permission: ClassVar[str] = "billing.payments.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    patient_id: PatientId
    amount: Money
    currency: str
    method: Method
    received_on: date
    purpose: str | None = None
    appointment_id: AppointmentId | None = None
    reversed: bool = False
    reverse_reason: str | None = None
    recorded_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("received_on, id", "patient_id, received_on, id", "appointment_id")
