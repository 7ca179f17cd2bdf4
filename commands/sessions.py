"""What may be asked of a session; by what somebody proves who they are, and keeps going, is the entrance's."""

from typing import Literal
from uuid import UUID

from commands.kit import Command, Creation
from domain.kit import AccountId, At, Event, Reason
from domain.sessions import Client, Ending, Proof, Session, SessionStarted


class StartSession(Creation):
    """Note that somebody has come in."""

    state = Session
    permission = "house"
    account_id: AccountId
    role: Literal["superadmin", "admin", "doctor", "receptionist", "patient"]
    subject_id: UUID | None = None
    client: Client = "web"
    proofs: list[Proof]
    impersonator_id: AccountId | None = None
    reason: Reason | None = None

    def decide(self, session: Session, at: At) -> list[Event]:
        return [SessionStarted(
            account_id=self.account_id, role=self.role, subject_id=self.subject_id, client=self.client, proofs=self.proofs,
            impersonator_id=self.impersonator_id, reason=self.reason)]


class EndSession(Command):
    """Note that a session is over."""

    state = Session
    permission = "house"
    reason: Ending

    def decide(self, session: Session, at: At) -> list[Event]:
        return session.end(self.reason)
