"""What may be asked of a referral source."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, Text
from domain.referrals import NameKey, Particulars, ReferralSource


class Described(Particulars):
    """What is known of a source, which always has a name."""

    name: Text

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"key": key_of(look, self.name)}


class AddReferralSource(Described, Creation):
    """Add somebody or something that the clinic hears of new patients from: a practice, an insurer, a patient, a page, an advertisement."""

    state = ReferralSource
    permission = "settings.referrals.manage"

    def decide(self, source: ReferralSource, at: At, *, key: NameKey) -> list[Event]:
        return source.add(self, key)


class ChangeReferralSource(Described, Command):
    """Replace what is known of a referral source, or take it out of use; what is left out is cleared. Out of use, its link leads nowhere."""

    state = ReferralSource
    permission = "settings.referrals.manage"

    def decide(self, source: ReferralSource, at: At, *, key: NameKey) -> list[Event]:
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


def key_of(look: Look, name: str) -> str:
    """Return by what a name is told from others, however it is written."""
    return look.address_key("referral source " + " ".join(name.split()))
