"""What may be seen of a patient's way into the portal."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from domain.kit import AccountId, Frozen, Id, PatientId
from schemas.kit import Row

Stage = Literal["invited", "joined", "cancelled"]


class PortalInvitationRow(Row):
    """A patient's invitation to the portal, and what became of it. One that is still `invited` after `expiresAt` can only be sent again."""

    table: ClassVar[str] = "portal_invitations"
    permission: ClassVar[str] = "patients.invite_portal"
    id: Id
    patient_id: PatientId
    status: Stage
    invited_at: datetime
    invited_by: UUID
    sent_at: datetime
    sent: int  # how often
    expires_at: datetime
    joined_at: datetime | None = None
    account_id: AccountId | None = None


class PortalAccount(Frozen):
    """Whether somebody signs in to this clinic's portal, as a patient, with an e-mail address."""

    exists: bool


class PatientsInvitation(Frozen):
    """What a patient is invited to. Who has an account already keeps its password, and only accepts."""

    clinic_id: UUID
    clinic_name: str
    email: str
    name: str | None
    expires_at: datetime
    has_account: bool


class PortalEntered(Frozen):
    """Where the patient belongs now; they can sign in."""

    clinic_id: UUID
    email: str
