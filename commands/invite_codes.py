"""What may be asked of an invite code."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from commands.kit import Command, Creation
from domain.invite_codes import InviteCode, Uses
from domain.kit import At, Event, Reason, Text

CodeDays = Annotated[int, Meta(ge=1, le=366, description="For how many days the code works.")]


class MintInviteCode(Creation):
    """Make a code with which clinics sign up without anybody looking at it first. It is shown once."""

    state = InviteCode
    permission = "superadmin"
    label: Annotated[Text | None, Meta(description="Whom it is for; kept in the history.", examples=["Fair in Utrecht"])] = None
    uses: Uses = 1
    days: CodeDays = 30

    def decide(self, code: InviteCode, at: At) -> list[Event]:
        return code.mint(self.label, self.uses, at.now + timedelta(days=self.days))


class RevokeInviteCode(Command):
    """Let nobody else sign up with a code; who has done so already stays."""

    state = InviteCode
    permission = "superadmin"
    reason: Reason | None = None

    def decide(self, code: InviteCode, at: At) -> list[Event]:
        return code.revoke(self.reason)
