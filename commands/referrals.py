"""What may be asked of a referral source."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, Frozen, Text
from domain.referrals import Particulars, ReferralSource


class Named(Frozen):
    """By which name."""

    name: Text

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"key": look.address_key("referral source " + " ".join(self.name.split()))}


class AddReferralSource(Named, Creation, Particulars):
    """Add somebody or something that the clinic hears of new patients from: a practice, an insurer, a patient, a page, an advertisement."""

    state = ReferralSource
    permission = "settings.referrals.manage"
    name: Text

    def decide(self, source: ReferralSource, at: At, *, key: str) -> list[Event]:
        return source.add(self, key)


class ChangeReferralSource(Named, Command, Particulars):
    """Replace what is known of a referral source, or take it out of use; what is left out is cleared. Out of use, its link leads nowhere."""

    state = ReferralSource
    permission = "settings.referrals.manage"
    name: Text

    def decide(self, source: ReferralSource, at: At, *, key: str) -> list[Event]:
        return source.change(self, key)


class DeleteReferralSource(Command):
    """Delete a referral source: its name is free again and its link leads nowhere; leads that came by it keep it."""

    state = ReferralSource
    permission = "settings.referrals.delete"

    def decide(self, source: ReferralSource, at: At) -> list[Event]:
        return source.delete()


class MakeReferralLink(Command):
    """Give a referral source a link to be handed out; the one before leads nowhere from now on."""

    state = ReferralSource
    permission = "settings.referrals.manage"

    def decide(self, source: ReferralSource, at: At) -> list[Event]:
        return source.make_link()


class WithdrawReferralLink(Command):
    """Withdraw a referral source's link: it leads nowhere from now on."""

    state = ReferralSource
    permission = "settings.referrals.manage"

    def decide(self, source: ReferralSource, at: At) -> list[Event]:
        return source.withdraw_link()
