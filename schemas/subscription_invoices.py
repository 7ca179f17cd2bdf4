"""What may be seen of the platform's invoices to clinics."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import ClinicId, Frozen, Money
from domain.subscription_invoices import ChargedItem, InvoiceStage
from schemas.kit import Row


class SubscriptionInvoiceRow(Row):
    """An invoice for the software itself; what a clinic bills its patients is elsewhere."""

    table: ClassVar[str] = "subscription_invoices"
    permission: ClassVar[str] = "billing.invoices.view"
    platform: ClassVar[bool] = True
    id: UUID
    clinic: ClinicId
    number: str | None = None
    status: InvoiceStage
    currency: str
    items: list[ChargedItem]
    subtotal: Money
    tax: Money
    total: Money
    due: Money = 0
    period_from: date | None = None
    period_to: date | None = None
    notes: str | None = None
    drafted_on: date
    issued_on: date | None = None
    due_on: date | None = None
    sent_on: date | None = None
    paid_on: date | None = None
    method: str | None = None
    reference: str | None = None
    void_reason: str | None = None
    created_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("created_at, id", "status, created_at, id")


class NextSubscriptionNumber(Frozen):
    """The number that the clinic's next invoice would get today; another may take it first."""

    number: str


class Orphans(Frozen):
    """Drafts that nobody has issued for long: how many, of which clinics, and what they come to."""

    older_than_days: int
    drafts: int
    clinics: list["OrphansOfClinic"]


class OrphansOfClinic(Frozen):
    """The orphaned drafts of one clinic."""

    clinic: UUID
    drafts: int
    oldest: date


class CleanedUp(Frozen):
    """What a clean-up did: the drafts that it found, those that it discarded, and those that somebody issued or discarded meanwhile."""

    found: int
    discarded: int
    skipped: int
