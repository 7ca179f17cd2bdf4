"""Upgrades that were asked for or offered, as rows."""

from typing import Any

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.upgrades import (
    UpgradeInviteEvent,
    UpgradeOffered,
    UpgradeOfferTaken,
    UpgradeOfferWithdrawn,
    UpgradeRequestApproved,
    UpgradeRequestChanged,
    UpgradeRequested,
    UpgradeRequestEvent,
    UpgradeRequestRejected,
    UpgradeRequestWithdrawn,
    Wish,
)
from projections.kit import projects
from schemas.upgrades import UpgradeInviteRow, UpgradeRequestRow


@projects(UpgradeRequestRow, of=UpgradeRequestEvent)
def upgrade_requests(row: UpgradeRequestRow | None, fact: Fact) -> UpgradeRequestRow | None:
    if isinstance(fact.event, UpgradeRequested):
        event = fact.event
        return UpgradeRequestRow(
            id=fact.id, clinic=fact.clinic, about=event.about, status="pending", note=event.note, contact=event.contact, invite_id=event.invite_id,
            requested_by=fact.actor, requested_at=fact.recorded_at, **only(Wish, event),
        )
    return replace(row, **changed(fact)) if row else None


def changed(fact: Fact) -> dict[str, Any]:
    """Return what an event changes on a request."""
    decided = {"decided_by": fact.actor, "decided_at": fact.recorded_at}
    match fact.event:
        case UpgradeRequestChanged(note=note) as event:
            return {**only(Wish, event), "note": note}
        case UpgradeRequestWithdrawn():
            return {"status": "withdrawn"}
        case UpgradeRequestApproved(licence=licence, reason=reason):
            return {"status": "approved", "granted": licence, "reason": reason, **decided}
        case UpgradeRequestRejected(reason=reason):
            return {"status": "rejected", "reason": reason, **decided}
    raise TypeError(type(fact.event))


@projects(UpgradeInviteRow, of=UpgradeInviteEvent)
def upgrade_invites(row: UpgradeInviteRow | None, fact: Fact) -> UpgradeInviteRow | None:
    match fact.event:
        case UpgradeOffered() as event:
            return UpgradeInviteRow(
                id=fact.id, clinic=fact.clinic, status="open", pricing=event.pricing, message=event.message, expires_at=event.expires_at,
                offered_at=fact.recorded_at, **only(Wish, event),
            )
        case UpgradeOfferTaken(request_id=request) if row:
            return replace(row, status="answered", request_id=request)
        case UpgradeOfferWithdrawn() if row:
            return replace(row, status="withdrawn")
    return row
