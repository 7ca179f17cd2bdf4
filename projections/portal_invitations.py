"""How a patient's way into the portal becomes a row."""

from msgspec.structs import replace

from domain.kit import Fact
from domain.portal_invitations import PortalInvitationCancelled, PortalInvitationEvent, PortalInvited, PortalJoined
from projections.kit import projects
from schemas.portal_invitations import PortalInvitationRow


@projects(PortalInvitationRow, of=PortalInvitationEvent)
def portal_invitations(row: PortalInvitationRow | None, fact: Fact) -> PortalInvitationRow | None:
    match fact.event:
        case PortalInvited() as event if row and row.status == "invited":
            return replace(row, sent_at=fact.recorded_at, sent=row.sent + 1, expires_at=event.expires_at)
        case PortalInvited() as event:
            return PortalInvitationRow(
                id=fact.id, patient_id=event.patient_id, status="invited", invited_at=fact.recorded_at, invited_by=fact.actor, sent_at=fact.recorded_at,
                sent=1, expires_at=event.expires_at)
        case PortalInvitationCancelled() if row:
            return replace(row, status="cancelled")
        case PortalJoined(account_id=account) if row:
            return replace(row, status="joined", joined_at=fact.recorded_at, account_id=account)
    return row
