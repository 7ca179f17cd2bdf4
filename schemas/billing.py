"""What may be seen of all that clinics pay, and of what happened to it."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from msgspec import field

from domain.kit import ClinicId, Frozen, Money
from domain.kit.licences import Plan
from domain.subscription_invoices import SubscriptionInvoiceId
from schemas.kit import Row


class Owed(Frozen):
    """What open invoices come to, in one currency."""

    currency: str
    amount: Money


class OpenInvoice(Frozen):
    """An invoice of the platform that the clinic has not paid."""

    id: SubscriptionInvoiceId
    currency: str
    amount: Money


class ClinicBillingRow(Row):
    """A clinic as the platform bills it: its licence, how it pays, and what it owes."""

    table: ClassVar[str] = "clinic_billing"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    key: ClassVar[tuple[str, ...]] = ("clinic",)
    clinic: ClinicId
    name: str = ""
    plan: Plan = "Pro"
    users: int | None = None
    doctors: int | None = None
    until: date | None = None
    trial: bool = False
    active: bool = True
    status: str = "none"
    price: Money | None = None
    currency: str | None = None
    interval: str | None = None
    next_bill_at: datetime | None = None
    cancels: bool = False
    last_paid_at: datetime | None = None
    payment_failed_at: datetime | None = None
    open_invoices: list[OpenInvoice] = field(default_factory=list)
    owed: list[Owed] = field(default_factory=list)

    indexes: ClassVar[tuple[str, ...]] = ("name, clinic",)


class BillingLogRow(Row):
    """Something that happened to what a clinic pays, or asks for."""

    table: ClassVar[str] = "billing_log"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    key: ClassVar[tuple[str, ...]] = ("seq",)
    seq: int
    clinic: ClinicId
    recorded_at: datetime
    actor: UUID
    action: str
    entity_type: str
    entity_id: UUID
    amount: Money | None = None
    currency: str | None = None

    indexes: ClassVar[tuple[str, ...]] = ("action, seq", "recorded_at, seq")


class SeatUsage(Frozen):
    """How many seats are taken, and how many there are; no limit means as many as you like."""

    used: int
    limit: int | None


class BillingOverview(Frozen):
    """What the clinic has, how much of it is in use, what it pays and when the next bill comes."""

    plan: Plan
    trial: bool
    until: date | None
    status: str
    price: Money | None
    currency: str | None
    interval: str | None
    next_bill_at: datetime | None
    cancels: bool
    last_paid_at: datetime | None
    payment_failed_at: datetime | None
    users: SeatUsage
    doctors: SeatUsage
    owed: list[Owed]
