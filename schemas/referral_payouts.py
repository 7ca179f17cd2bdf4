"""What may be seen of referrals and the commission for them."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import ClinicId, Money, Personal
from domain.referral_payouts import ClinicReferralIds
from schemas.kit import Row


class ClinicReferralRow(Row):
    """A clinic that another one has recommended us to."""

    table: ClassVar[str] = "clinic_referrals"
    permission: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
    id: UUID
    clinic: ClinicId
    clinic_name: str
    contact: Annotated[str | None, Personal()] = None
    email: Annotated[str | None, Personal()] = None
    note: Annotated[str | None, Personal()] = None
    status: str  # made, withdrawn
    referred_on: date
    referred_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("referred_at, id",)


class ReferralPayoutRow(Row):
    """A clinic's request to have its commission paid out, and what became of it."""

    table: ClassVar[str] = "referral_payouts"
    permission: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
    id: UUID
    clinic: ClinicId
    referrals: ClinicReferralIds
    asked: Money
    approved: Money | None = None
    currency: str
    note: Annotated[str | None, Personal()] = None
    status: str  # requested, approved, rejected
    reason: str | None = None
    form_sent_on: date | None = None
    requested_at: datetime
    decided_on: date | None = None

    indexes: ClassVar[tuple[str, ...]] = ("requested_at, id", "status, requested_at, id")
