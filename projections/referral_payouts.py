"""Referrals and the commission for them, as rows."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.referral_payouts import (
    ClinicReferralEvent,
    ClinicReferralWithdrawn,
    ClinicReferred,
    Recommended,
    ReferralPayoutApproved,
    ReferralPayoutEvent,
    ReferralPayoutFormSent,
    ReferralPayoutRejected,
    ReferralPayoutRequested,
)
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.referral_payouts import ClinicReferralRow, ReferralPayoutRow


@projects(ClinicReferralRow, of=ClinicReferralEvent)
def clinic_referrals(row: ClinicReferralRow | None, fact: Fact) -> ClinicReferralRow | None:
    match fact.event:
        case ClinicReferred(referred_on=on) as event:
            return ClinicReferralRow(
                id=fact.id, clinic=fact.clinic, status="made", referred_on=on, referred_at=fact.recorded_at, **only(Recommended, event))
        case ClinicReferralWithdrawn() if row:
            return replace(row, status="withdrawn")
    return row


@projects(ReferralPayoutRow, of=ReferralPayoutEvent)
def referral_payouts(row: ReferralPayoutRow | None, fact: Fact) -> ReferralPayoutRow | None:
    match fact.event:
        case ReferralPayoutRequested() as event:
            return ReferralPayoutRow(
                id=fact.id, clinic=fact.clinic, referrals=event.referrals, asked=event.amount, currency=event.currency, note=event.note,
                status="requested", requested_at=fact.recorded_at,
            )
        case ReferralPayoutApproved(amount=amount, reason=reason, decided_on=on) if row:
            return replace(row, status="approved", approved=amount, reason=reason, decided_on=on)
        case ReferralPayoutRejected(reason=reason, decided_on=on) if row:
            return replace(row, status="rejected", reason=reason, decided_on=on)
        case ReferralPayoutFormSent(sent_on=on) if row:
            return replace(row, form_sent_on=on)
    return row


async def referrals_of(reader: Reader, payout: ReferralPayoutRow) -> list[ClinicReferralRow]:
    """Return what a payout is for, in the order in which it names them."""
    found = {row.id: row for row in await reader.find(ClinicReferralRow, id=list(payout.referrals))}
    return [found[id_] for id_ in payout.referrals if id_ in found]
