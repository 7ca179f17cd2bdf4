"""What may be asked about a patient's way into the portal."""

from typing import Any
from uuid import UUID

from commands.kit import Command, Creation, Look
from domain.kit import AccountId, AddressKey, At, Event, PatientId
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.portal_invitations import PortalInvitation, Standing, invitation_of


class InvitePatient(Creation):
    """Ask a patient by letter to make an account for the portal, within seven days. `standing` is that of their address, as whoever asks has found it."""

    state = PortalInvitation
    permission = "patients.invite_portal"
    patient_id: PatientId
    language: LetterLanguage = None
    standing: Standing = "free"

    def stream(self, at: At) -> UUID:
        return invitation_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return await reached(look, self.patient_id)

    def decide(self, invitation: PortalInvitation, at: At, *, patient: Patient, address: AddressKey | None) -> list[Event]:
        patient.ensure_reachable(reachable=address is not None)
        return invitation.invite(self.patient_id, address or "", at.now, self.language, self.standing)


class ResendPortalInvitation(Command):
    """Send a patient's invitation again, good for another seven days, to the address they have now; the link before opens nothing any more."""

    state = PortalInvitation
    permission = "patients.invite_portal"
    language: LetterLanguage = None
    standing: Standing = "free"

    async def gather(self, look: Look) -> dict[str, Any]:
        asked = await look.require(PortalInvitation, look.at.id)
        return await reached(look, asked.patient) if asked.patient else {"patient": Patient(), "address": None}

    def decide(self, invitation: PortalInvitation, at: At, *, patient: Patient, address: AddressKey | None) -> list[Event]:
        patient.ensure_reachable(reachable=address is not None)
        return invitation.resend(address or "", at.now, self.language, self.standing)


class CancelPortalInvitation(Command):
    """Take a patient's invitation back; its link opens nothing any more."""

    state = PortalInvitation
    permission = "patients.invite_portal"

    def decide(self, invitation: PortalInvitation, at: At) -> list[Event]:
        return invitation.cancel()


class JoinPortal(Command):
    """Note that a patient accepted by the link of that id, and signs in by that account."""

    state = PortalInvitation
    permission = "house"
    account_id: AccountId
    link: UUID

    async def gather(self, look: Look) -> dict[str, Any]:
        asked = await look.require(PortalInvitation, look.at.id)
        return await reached(look, asked.patient) if asked.patient else {"patient": Patient(), "address": None}

    def decide(self, invitation: PortalInvitation, at: At, *, patient: Patient, address: AddressKey | None) -> list[Event]:
        patient.ensure_active()
        return invitation.join(self.account_id, address or "", self.link, at.id, at.now)


async def reached(look: Look, patient: UUID) -> dict[str, Any]:
    """Return a patient, and the key of their address if the clinic has one."""
    found = await look.require(Patient, patient)
    email = getattr(await look.row(Patient, patient), "email", None)
    return {"patient": found, "address": look.address_key(email) if email else None}
