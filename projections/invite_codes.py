"""How an invite code's events become its row."""

from msgspec.structs import replace

from domain.invite_codes import InviteCodeEvent, InviteCodeMinted, InviteCodeRevoked, InviteCodeUsed
from domain.kit import Fact
from projections.kit import projects
from schemas.invite_codes import InviteCodeRow


@projects(InviteCodeRow, of=InviteCodeEvent)
def invite_codes(row: InviteCodeRow | None, fact: Fact) -> InviteCodeRow | None:
    match fact.event:
        case InviteCodeMinted(label=label, uses=uses, expires_at=until):
            return InviteCodeRow(
                id=fact.id, label=label, uses=uses, used=0, expires_at=until, revoked=False, minted_by=fact.actor, minted_at=fact.recorded_at)
        case InviteCodeUsed() if row:
            return replace(row, used=row.used + 1, last_used_at=fact.recorded_at)
        case InviteCodeRevoked(reason=reason) if row:
            return replace(row, revoked=True, reason=reason)
    return row
