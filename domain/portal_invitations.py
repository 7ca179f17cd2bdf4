"""The portal: a patient is asked by letter to make an account with which they see their own rows, and accepts or does not."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import AccountId, AddressKey, Event, NotFound, PatientId, Refused, State
from domain.kit.letters import LetterLanguage, letter
from domain.kit.links import link_of

PORTAL = "portal-invitation"  # what the token in its letter is for
INVITED_FOR = timedelta(days=7)

Standing = Literal["free", "joined", "taken"]
"""Of the address of somebody who is to be asked: it is nobody's here, the patient's own account's, or that of somebody else of the clinic."""


class PortalInvited(Event):
    """A letter asks the patient in, at the address that has this key; a link that went out before opens nothing any more."""

    patient_id: PatientId
    address_key: AddressKey
    number: Annotated[int, Meta(ge=1)]
    expires_at: datetime
    language: LetterLanguage = None


class PortalInvitationCancelled(Event):
    patient_id: PatientId


class PortalJoined(Event):
    """The patient has accepted: by that account they sign in."""

    patient_id: PatientId
    account_id: AccountId


PortalInvitationEvent = PortalInvited | PortalInvitationCancelled | PortalJoined


class PortalInvitationOver(Refused):
    """This invitation was accepted or taken back, or its seven days are over. Ask the clinic for a new one."""

    status = 410


class PatientInvitedAlready(Refused):
    """This patient has been invited already. Send the invitation again, or take it back first."""


class PatientHasPortal(Refused):
    """This patient has an account for the portal already. Send them a fresh link if they cannot get in."""


class PortalAddressTaken(Refused):
    """Somebody else of this clinic signs in with the patient's e-mail address. Enter another one for the patient first."""


class PortalInvitation(State):
    """Whether one patient has been asked in; an invitation that has run out can be sent again."""

    kind: ClassVar[str] = "portal_invitations"
    patient: UUID | None = None
    number: int = 0  # of the letter whose link counts
    until: datetime | None = None
    address: str | None = None
    account: UUID | None = None

    def evolve(self, event: PortalInvitationEvent) -> Self:
        match event:
            case PortalInvited():
                return replace(self, patient=event.patient_id, number=event.number, until=event.expires_at, address=event.address_key)
            case PortalInvitationCancelled():
                return replace(self, until=None)
            case PortalJoined(account_id=account):
                return replace(self, until=None, account=account)

    def invite(self, patient: UUID, address: str, now: datetime, language: LetterLanguage, standing: Standing) -> list[Event]:
        if self.until is not None:
            raise PatientInvitedAlready
        return self._asked(patient, address, now, language, standing)

    def resend(self, address: str, now: datetime, language: LetterLanguage, standing: Standing) -> list[Event]:
        """Ask again for seven days, at the address that the patient has now."""
        return self._asked(self._open, address, now, language, standing)

    def cancel(self) -> list[Event]:
        return [PortalInvitationCancelled(patient_id=self._open)]

    def join(self, account: UUID, address: str, link: UUID, this: UUID, now: datetime) -> list[Event]:
        self.ensure_open(address, link, this, now)
        return [PortalJoined(patient_id=self._open, account_id=account)]

    def ensure_open(self, address: str, link: UUID, this: UUID, now: datetime) -> None:
        """Refuse a link that is not the last letter's, or was sent to another address than the patient has now: it proves that one alone."""
        if self.until is None or self.until <= now or link != link_of(this, self.number) or address != self.address:
            raise PortalInvitationOver

    def _asked(self, patient: UUID, address: str, now: datetime, language: LetterLanguage, standing: Standing) -> list[Event]:
        if standing == "joined":
            raise PatientHasPortal
        if standing == "taken":
            raise PortalAddressTaken
        return [PortalInvited(patient_id=patient, address_key=address, number=self.number + 1, expires_at=now + INVITED_FOR, language=language)]

    @property
    def _open(self) -> UUID:
        """The patient of an invitation that is neither accepted nor taken back."""
        if self.until is None or self.patient is None:
            raise NotFound
        return self.patient


def invitation_of(patient: UUID) -> UUID:
    """Return the id under which it is kept whether a patient has been asked in."""
    return uuid5(patient, "portal")


PORTAL_LETTER = letter(
    "patients.portal-invitation", "Asks a patient to make an account for the portal; the link is good for seven days.",
    {"link": "https://clinic.example/api/v1/auth/portal-invitation/01936f5e.x7Kq"},
    en=("{{clinic}} invites you to its portal", """
Dear {{name}},

With an account of your own you see your appointments and bills at {{clinic}}, and keep your address up to date. Follow this link to make one; it is good for seven days, and for you alone:

{{link}}

If you did not expect this, you need not do anything.
"""),
    es=("{{clinic}} le invita a su portal", """
Hola, {{name}}:

Con una cuenta propia puede ver sus citas y facturas en {{clinic}} y mantener sus datos de contacto al día. Siga este enlace para crearla; es válido durante siete días y solo para usted:

{{link}}

Si no lo esperaba, no tiene que hacer nada.
"""),
)
