"""Invite codes: with one of them a clinic's sign-up is approved by itself, so often and so long as the code says."""

from datetime import datetime
from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, NotFound, Reason, Ref, Refused, State, Text

Uses = Annotated[int, Meta(ge=1, le=10_000, description="How many clinics may sign up with it.")]
InvitedSignup = Annotated[UUID, Ref("signups")]

INVITE_CODE = "invite-code"  # what such a token is for


class InviteCodeMinted(Event):
    """Somebody may hand out a code; the code itself is shown once and kept nowhere."""

    label: Text | None = None
    uses: Uses
    expires_at: datetime


class InviteCodeUsed(Event):
    signup_id: InvitedSignup


class InviteCodeRevoked(Event):
    reason: Reason | None = None


InviteCodeEvent = InviteCodeMinted | InviteCodeUsed | InviteCodeRevoked


class InviteCodeOver(Refused):
    """This invite code is unknown, used up, revoked or too old. Ask for another, or sign up without one."""

    status = 410


class InviteCodeRevokedAlready(Refused):
    """This invite code is revoked already."""


class InviteCode(State):
    """A code that is good so many times; each use is saved together with the sign-up, so that the last one is not used twice."""

    kind: ClassVar[str] = "invite_codes"
    uses: int = 0
    used: int = 0
    expires_at: datetime | None = None
    revoked: bool = False

    def evolve(self, event: InviteCodeEvent) -> Self:
        match event:
            case InviteCodeMinted(uses=uses, expires_at=until):
                return replace(self, uses=uses, expires_at=until)
            case InviteCodeUsed():
                return replace(self, used=self.used + 1)
            case InviteCodeRevoked():
                return replace(self, revoked=True)

    def mint(self, label: str | None, uses: int, expires_at: datetime) -> list[Event]:
        return [InviteCodeMinted(label=label, uses=uses, expires_at=expires_at)]

    def use(self, signup: UUID, now: datetime) -> list[Event]:
        if self.revoked or self.used >= self.uses or self.expires_at is None or self.expires_at <= now:
            raise InviteCodeOver
        return [InviteCodeUsed(signup_id=signup)]

    def revoke(self, reason: str | None) -> list[Event]:
        if self.expires_at is None:
            raise NotFound
        if self.revoked:
            raise InviteCodeRevokedAlready
        return [InviteCodeRevoked(reason=reason)]


def signup_of(code: UUID, number: int) -> UUID:
    """Return the id of the sign-up that is a code's first, second, ...: nobody can guess it who does not know the code's own."""
    return uuid5(code, f"signups/{number}")
