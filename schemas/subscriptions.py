"""What may be seen of how a clinic pays."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import ClinicId, Frozen, Money
from domain.kit.licences import Plan
from domain.kit.prices import Interval
from schemas.kit import Row


class SubscriptionRow(Row):
    """How a clinic pays: by card through Stripe, by an agreement of its own, or not yet."""

    table: ClassVar[str] = "subscriptions"
    permission: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
    id: UUID
    clinic: ClinicId
    status: str  # none, custom, or Stripe's: active, past_due, ...
    plan: Plan | None = None
    users: int | None = None
    doctors: int | None = None
    price: Money | None = None
    currency: str | None = None
    interval: Interval | None = None
    next_bill_at: datetime | None = None
    cancels: bool = False
    ended_at: datetime | None = None
    agreed_until: date | None = None
    last_paid_at: datetime | None = None
    payment_failed_at: datetime | None = None
    customer: str | None = None
    subscription: str | None = None


class PaymentStatus(Frozen):
    """How the clinic pays just now, and whether the last payment failed."""

    status: str
    plan: str | None = None
    price: Money | None = None
    currency: str | None = None
    interval: str | None = None
    next_bill_at: datetime | None = None
    cancels: bool = False
    agreed_until: date | None = None
    last_paid_at: datetime | None = None
    payment_failed_at: datetime | None = None


class CheckoutPage(Frozen):
    """Stripe's page on which the clinic pays; go there."""

    id: str
    url: str


class PortalPage(Frozen):
    """Stripe's customer portal; the link is good for a few minutes."""

    url: str


class PaymentMethod(Frozen):
    """A way to pay that the clinic has saved at Stripe."""

    id: str
    type: str
    brand: str | None = None
    last4: str | None = None
    expires: str | None = None  # year and month
    default: bool = False


class PaymentMethods(Frozen):
    """The clinic's ways to pay, the default one first."""

    items: list[PaymentMethod]


class Heard(Frozen):
    """Whether a message of Stripe's changed anything here."""

    received: bool = True
    changed: bool = False
