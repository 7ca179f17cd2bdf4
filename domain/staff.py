"""Staff: the people who work in a clinic, or are invited to, and whether they still do."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import field
from msgspec.structs import replace

from domain.kit import AccountId, Colour, Email, Event, Forbidden, Frozen, NotFound, Personal, Phone, Refused, State, Text, only
from domain.kit.grants import Plan, Wishes, agreed, effective, expanded, outranks
from domain.kit.letters import LetterLanguage, letter

INVITATION = "staff-invitation"  # what the token in its letter is for
SETUP = "password-setup"
INVITED_FOR = timedelta(days=7)

StaffRole = Literal["admin", "doctor", "receptionist"]
StaffStatus = Literal["invited", "active", "removed"]


class Profile(Frozen):
    """Who works here, and as what."""

    name: Annotated[Text | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    role: StaffRole
    speciality: Text | None = None
    colour: Colour | None = None


class StaffHired(Event, Profile): ...


class StaffInvited(Event, Profile):
    expires_at: datetime
    language: LetterLanguage = None


class StaffInvitationResent(Event):
    expires_at: datetime
    language: LetterLanguage = None


class StaffInvitationCancelled(Event): ...


class StaffJoined(Event):
    """Somebody has accepted the invitation: the account by which they sign in is that one."""

    account_id: AccountId
    name: Annotated[Text | None, Personal()] = None  # as they want to be called


class StaffAccountGiven(Event):
    """Somebody who was taken on without being asked can sign in by that account, once they have set a password."""

    account_id: AccountId


class StaffChanged(Event, Profile): ...


class StaffDeactivated(Event): ...


class StaffReactivated(Event): ...


class StaffPermissionsOverridden(Event):
    permissions: Wishes
    before: Wishes


StaffEvent = (
    StaffHired | StaffInvited | StaffInvitationResent | StaffInvitationCancelled | StaffJoined | StaffAccountGiven | StaffChanged
    | StaffDeactivated | StaffReactivated | StaffPermissionsOverridden
)


class StaffNotActive(Refused):
    """That member of staff no longer works here."""


class StaffStillActive(Refused):
    """That member of staff works here already."""


class CannotRemoveYourself(Refused):
    """Somebody else has to do that: you cannot remove yourself, nor give up your own role as admin."""


class InvitationOpen(Refused):
    """That person has only been invited. Cancel the invitation and send another one, or wait until it is accepted."""


class InvitationOver(Refused):
    """This invitation was accepted or cancelled, or its seven days are over. Ask the clinic for a new one."""

    status = 410


class StaffInvitedAlready(Refused):
    """Somebody with that address has been invited already or works here. Send the invitation again instead."""


class CannotEmpowerYourself(Refused):
    """Somebody else has to do that: nobody changes their own permissions."""


class GrantBeyondYourOwn(Forbidden):
    """You can only give what you hold yourself, and only to somebody who does not rank above you."""


class Staff(State):
    """A member of staff."""

    kind: ClassVar[str] = "staff"
    active: bool = False
    role: StaffRole = "receptionist"
    overrides: Wishes = field(default_factory=dict)
    joined: bool = False  # works here, or did
    invited_until: datetime | None = None
    account: UUID | None = None

    def evolve(self, event: StaffEvent) -> Self:  # noqa: C901, PLR0911 - one case per event
        match event:
            case StaffHired(role=role):
                return replace(self, active=True, joined=True, role=role)
            case StaffInvited(role=role, expires_at=until):
                return replace(self, role=role, invited_until=until)
            case StaffInvitationResent(expires_at=until):
                return replace(self, invited_until=until)
            case StaffInvitationCancelled():
                return replace(self, invited_until=None)
            case StaffJoined(account_id=account):
                return replace(self, active=True, joined=True, invited_until=None, account=account)
            case StaffAccountGiven(account_id=account):
                return replace(self, account=account)
            case StaffChanged(role=role):
                return replace(self, role=role)
            case StaffDeactivated():
                return replace(self, active=False)
            case StaffReactivated():
                return replace(self, active=True)
            case StaffPermissionsOverridden(permissions=permissions):
                return replace(self, overrides=permissions)

    @property
    def treats(self) -> bool:
        """Whether patients can be booked with them; an admin may well be a dentist."""
        return self.active and self.role != "receptionist"

    def hire(self, profile: Profile, by: str) -> list[Event]:
        self._ensure_below(by, profile.role)
        return [StaffHired(**only(Profile, profile))]

    def found(self, name: str, email: str, phone: str | None) -> list[Event]:
        """Begin a clinic: its first admin works here as soon as it is open, and signs in as soon as there is an account."""
        return [StaffHired(name=name, email=email, phone=phone, role="admin")]

    def admit(self, account: UUID) -> list[Event]:
        """Let whoever was here from the beginning sign in."""
        self._ensure_joined()
        if not self.active:
            raise StaffNotActive
        return [StaffJoined(account_id=account)] if self.account != account else []

    def invite(self, profile: Profile, now: datetime, by: str, language: LetterLanguage, *, known: bool) -> list[Event]:
        """Ask somebody to join; `known` says that this address was asked before."""
        self._ensure_below(by, profile.role)
        if known:
            raise StaffInvitedAlready
        return [StaffInvited(**only(Profile, profile), expires_at=now + INVITED_FOR, language=language)]

    def resend(self, now: datetime, by: str, language: LetterLanguage) -> list[Event]:
        """Ask again, for another seven days; an invitation that has run out can be sent again too."""
        if self.invited_until is None:
            raise NotFound
        self._ensure_below(by)
        return [StaffInvitationResent(expires_at=now + INVITED_FOR, language=language)]

    def cancel(self) -> list[Event]:
        if self.invited_until is None:
            raise NotFound
        return [StaffInvitationCancelled()]

    def ensure_invited(self, now: datetime) -> None:
        if self.invited_until is None or self.invited_until <= now:
            raise InvitationOver

    def join(self, account: UUID, name: str | None, now: datetime) -> list[Event]:
        self.ensure_invited(now)
        return [StaffJoined(account_id=account, name=name)]

    def give_account(self, account: UUID) -> list[Event]:
        self._ensure_joined()
        return [StaffAccountGiven(account_id=account)] if self.account != account else []

    def change(self, profile: Profile, by: str, *, own: bool) -> list[Event]:
        self._ensure_joined()
        if own and self.role == "admin" and profile.role != "admin":
            raise CannotRemoveYourself
        self._ensure_below(by, profile.role)
        return [StaffChanged(**only(Profile, profile))]

    def deactivate(self, by: str, *, own: bool) -> list[Event]:
        self._ensure_joined()
        if not self.active:
            raise StaffNotActive
        if own:
            raise CannotRemoveYourself
        self._ensure_below(by)
        return [StaffDeactivated()]

    def reactivate(self, by: str) -> list[Event]:
        self._ensure_joined()
        if self.active:
            raise StaffStillActive
        self._ensure_below(by)
        return [StaffReactivated()]

    def override(self, wishes: Wishes, plan: Plan, holds: frozenset[str], by: str, *, own: bool) -> list[Event]:
        """Replace the person's own exceptions; `holds` is what whoever asks may do himself."""
        self._ensure_joined()
        if not self.active:
            raise StaffNotActive
        if own:
            raise CannotEmpowerYourself
        self._ensure_below(by)
        agreed(self.role, plan, wishes)
        given = {key for key, wish in expanded(wishes).items() if wish} & effective(self.role, plan, override=wishes).keys
        if not outranks("admin", by):  # admins hold whatever the plan has, switched off or not
            holds |= given
        if beyond := given - holds - {key for key, wish in expanded(self.overrides).items() if wish}:
            raise GrantBeyondYourOwn(permissions=sorted(beyond))
        return [StaffPermissionsOverridden(permissions=wishes, before=self.overrides)]

    def _ensure_joined(self) -> None:
        if not self.joined:
            raise InvitationOpen if self.invited_until is not None else NotFound

    def _ensure_below(self, by: str, role: StaffRole = "receptionist") -> None:
        """Refuse whoever ranks below the person, or below what the person is to be."""
        if outranks(self.role, by) or outranks(role, by):
            raise GrantBeyondYourOwn


def founder_of(clinic: UUID) -> UUID:
    """Return the id of the first admin of a clinic that signed up."""
    return uuid5(clinic, "founder")


INVITATION_LETTER = letter(
    "staff.invitation", "Asks somebody to join the staff of a clinic; the link is good for seven days.",
    {"link": "https://clinic.example/api/v1/auth/invitation/x7Kq"},
    en=("{{clinic}} invites you", """
Dear {{name}},

{{clinic}} invites you to join its staff. Follow this link to accept; it is good for seven days, and for you alone:

{{link}}

If you did not expect this, you need not do anything.
"""),
    es=("{{clinic}} le invita", """
Hola, {{name}}:

{{clinic}} le invita a formar parte de su equipo. Siga este enlace para aceptar; es válido durante siete días y solo para usted:

{{link}}

Si no lo esperaba, no tiene que hacer nada.
"""),
)

WELCOME_LETTER = letter(
    "staff.welcome", "Tells somebody that they belong to the staff of a clinic, and lets whoever has no password yet set one within seven days.",
    {"link": "https://clinic.example/set-password?token=x7Kq"},
    en=("Your account at {{clinic}}", """
Dear {{name}},

You belong to the staff of {{clinic}} now. If you have signed in before, sign in as you are used to. If not, choose a password here, within seven days:

{{link}}
"""),
    es=("Su cuenta en {{clinic}}", """
Hola, {{name}}:

Ya forma parte del equipo de {{clinic}}. Si ya ha iniciado sesión antes, hágalo como siempre. Si no, elija aquí una contraseña, en los próximos siete días:

{{link}}
"""),
)
