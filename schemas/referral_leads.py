"""What may be seen of those who would like to come."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import Frozen, Id, PatientId, Personal
from domain.referral_leads import Introduction, ReferralId, ReferralLeadStatus
from domain.referrals import ReferralKind
from schemas.kit import Row


class ReferralLeadRow(Introduction, Row):
    """Somebody who would like to come, by whose link they said so, and what has been done about it."""

    table: ClassVar[str] = "referral_leads"
    permission: ClassVar[str] = "leads.view"
    indexes: ClassVar[tuple[str, ...]] = ("submitted_at, id", "status, submitted_at, id", "referral_id", "patient_id")
    id: UUID
    referral_id: ReferralId
    status: ReferralLeadStatus
    consent: bool
    submitted_at: datetime
    contacted_at: datetime | None = None
    note: Annotated[str | None, Personal()] = None
    patient_id: PatientId | None = None
    handled_at: datetime | None = None
    handled_by: Id | None = None
    dismissed_because: Annotated[str | None, Personal()] = None


class ReferralLeadEntry(ReferralLeadRow):
    """Somebody who would like to come, with the name and the kind of the referral source."""

    table: ClassVar[str] = "referral_lead_entries"
    referral_name: str | None
    kind: ReferralKind | None


class ReferralInvitation(Frozen):
    """Whose link it is: the clinic to which you may write."""

    clinic_id: Id
    clinic_name: str


class ReferralTaken(Frozen):
    """What you have written has arrived; the clinic comes back to you."""

    accepted: bool = True
