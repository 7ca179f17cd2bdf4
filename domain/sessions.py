"""Sessions: somebody is signed in, in one clinic, on one device, until it ends."""

from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import AccountId, Event, Reason, State

Client = Annotated[
    Literal["web", "mobile", "device"],
    Meta(description="web: a browser; mobile: somebody's own telephone; device: a front desk's shared one."),
]
Proof = Literal["password", "totp", "email", "recovery", "passkey", "pin", "token", "session", "superadmin"]
Ending = Literal[
    "signed-out", "ended-elsewhere", "switched", "refresh-reused", "password-changed", "second-factor-changed", "suspended", "removed",
    "impersonation-left", "clinic-closed", "replaced",
]


class SessionStarted(Event):
    """Somebody came in: as whom, by what proofs, and, if another person acts for them, who that is and why."""

    account_id: AccountId
    role: Literal["superadmin", "admin", "doctor", "receptionist", "patient"]
    subject_id: UUID | None = None
    client: Client = "web"
    proofs: list[Proof]
    impersonator_id: AccountId | None = None
    reason: Reason | None = None


class SessionClosed(Event):
    """It is over, for everybody who holds a token of it. `refresh-reused`: somebody had a copy of a refresh token."""

    reason: Ending


SessionEvent = SessionStarted | SessionClosed


class Session(State):
    """A stay, from signing in to its end."""

    kind: ClassVar[str] = "sessions"
    account: UUID | None = None
    over: bool = False

    def evolve(self, event: SessionEvent) -> Self:
        match event:
            case SessionStarted(account_id=account):
                return replace(self, account=account)
            case SessionClosed():
                return replace(self, over=True)

    def end(self, reason: Ending) -> list[Event]:
        return [] if self.over else [SessionClosed(reason=reason)]
