"""What may be asked about referrals and the commission for them."""

from typing import Any, Literal

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, Money, Note, Positive, Reason
from domain.kit.prices import CurrencyCode
from domain.referral_payouts import ClinicReferral, ClinicReferralIds, Recommended, ReferralPayout
from schemas.referral_payouts import ReferralPayoutRow

PayoutVerdict = Literal["approved", "rejected"]


class ReferClinic(Creation, Recommended):
    """Tell us of a clinic that you have recommended us to."""

    state = ClinicReferral
    permission = "admin"

    def decide(self, referral: ClinicReferral, at: At) -> list[Event]:
        return referral.refer(self, at.today)


class WithdrawClinicReferral(Command):
    """Withdraw a referral."""

    state = ClinicReferral
    permission = "admin"

    def decide(self, referral: ClinicReferral, at: At) -> list[Event]:
        return referral.withdraw()


class RequestReferralPayout(Creation):
    """Ask for the commission for clinics that you have referred; each can be asked for once."""

    state = ReferralPayout
    permission = "admin"
    referrals: ClinicReferralIds
    amount: Positive
    currency: CurrencyCode | None = None
    note: Note | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        referred = [await look.require(ClinicReferral, one) for one in dict.fromkeys(self.referrals)]
        return {"referred": referred, "taken": await self.taken(look)}

    async def taken(self, look: Look) -> bool:
        """Say whether another payout has one of these: a courtesy, for a clear answer; what it misses, the payout's claims refuse."""
        listed = [row.id for row in await look.find(ReferralPayoutRow) if not set(self.referrals).isdisjoint(row.referrals)]
        return any([(await look.load(ReferralPayout, id_)).stage != "rejected" for id_ in listed])  # rows may lag behind

    def decide(self, payout: ReferralPayout, at: At, *, referred: list[ClinicReferral], taken: bool) -> list[Event]:
        for referral in referred:
            referral.ensure_made()
        return payout.ask(self.referrals, self.amount, self.currency or at.currency, self.note, taken=taken)


class DecideReferralPayout(Command):
    """Approve a payout, or a part of it; or reject it and say why."""

    state = ReferralPayout
    permission = "superadmin"
    decision: PayoutVerdict
    amount: Money | None = None
    reason: Reason | None = None

    def decide(self, payout: ReferralPayout, at: At) -> list[Event]:
        if self.decision == "rejected":
            return payout.reject(self.reason, at.today)
        return payout.approve(self.amount, self.reason, at.today)


class SendReferralPayoutForm(Command):
    """Mail the clinic the form in which it says where the money is to go."""

    state = ReferralPayout
    permission = "superadmin"

    def decide(self, payout: ReferralPayout, at: At) -> list[Event]:
        return payout.send_form(at.today)
