"""How a sign-up's events become its row."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.signups import (
    Application,
    OnboardingBegun,
    SignupActivationResent,
    SignupApproved,
    SignupCompleted,
    SignupEvent,
    SignupRejected,
    SignupSubmitted,
)
from projections.kit import projects
from schemas.signups import SignupRow


@projects(SignupRow, of=SignupEvent)
def signups(row: SignupRow | None, fact: Fact) -> SignupRow | None:  # noqa: PLR0911 - one case per event
    match fact.event:
        case SignupSubmitted() as event:
            said = {**only(Application, event), "clinic_name": event.clinic_name or ""}
            return SignupRow(id=fact.id, status="pending", submitted_at=fact.recorded_at, **said)
        case SignupApproved(way=way, invite_id=invite, days=days, expires_at=until) if row:
            return replace(
                row, status="approved", way=way, invite_id=invite, trial_days=days, expires_at=until, sent=row.sent + 1, reason=None,
                decided_by=fact.actor, decided_at=fact.recorded_at)
        case SignupRejected(reason=reason) if row:
            return replace(row, status="rejected", reason=reason, expires_at=None, decided_by=fact.actor, decided_at=fact.recorded_at)
        case SignupActivationResent(expires_at=until) if row:
            return replace(row, expires_at=until, sent=row.sent + 1)
        case OnboardingBegun() if row:
            return replace(row, begun_at=fact.recorded_at)
        case SignupCompleted(clinic_id=clinic, account_id=account) if row:
            return replace(row, status="active", clinic=clinic, account_id=account, completed_at=fact.recorded_at)
    return row
