"""Sign-ups: a clinic asks to be served, is approved or rejected, and comes into being when its admin has followed the letter's link."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    AccountId,
    ClinicId,
    Email,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    Personal,
    Phone,
    Reason,
    Ref,
    Refused,
    State,
    only,
    zone,
)
from domain.kit.letters import letter
from domain.kit.licences import Plan, SeatCount

Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 code.", examples=["NL"])]
ClinicZone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone.", examples=["Europe/Amsterdam"])]
ClinicCurrency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["EUR"])]
LetterLanguage = Annotated[str, Meta(pattern=r"^(en|es)$", description="Language of the letters.", examples=["en"])]
Days = Annotated[int, Meta(ge=1, le=366, description="For how many days the clinic may try us.")]
PlainName = Annotated[str, Meta(
    min_length=1, max_length=120, pattern=r"^[^<>@:\r\n]+$", description="A name; no address, for strangers' words go into letters.", examples=["Grachten Dental"])]
Way = Literal["superadmin", "invite", "direct"]
Stage = Literal["pending", "approved", "rejected", "active"]
SignupId = Annotated[UUID, Ref("signups")]
InviteId = Annotated[UUID, Ref("invite_codes")]

ONBOARDING, ONBOARDING_CODE = "onboarding", "onboarding-code"  # what the letters' link and digits are for
LINK_FOR = timedelta(days=7)


class Premises(Frozen):
    """A clinic as it will be; time zone and currency are settled when it opens."""

    clinic_name: PlainName | None = None
    country: Country | None = None
    zone: ClinicZone | None = None
    currency: ClinicCurrency | None = None

    def over(self, earlier: "Premises") -> "Premises":
        """Return these, and what was said earlier where nothing is said now."""
        return Premises(**{name: getattr(self, name) or getattr(earlier, name) for name in Premises.__struct_fields__})


class Application(Premises):
    """The clinic, and who asks: its first admin to be."""

    name: Annotated[PlainName | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    note: Annotated[Note | None, Personal()] = None
    language: LetterLanguage = "en"


class Terms(Frozen):
    """The trial with which a clinic begins."""

    plan: Plan = "Pro"
    days: Days = 90
    users: SeatCount | None = None
    doctors: SeatCount | None = None


class SignupSubmitted(Event, Application): ...


class SignupApproved(Event, Terms):
    """A letter brings the link with which the clinic is opened; by an invite code, or where registration is direct, nobody looks at it first."""

    way: Way
    invite_id: InviteId | None = None
    expires_at: datetime


class SignupRejected(Event):
    reason: Reason


class SignupActivationResent(Event):
    """The letter is sent again; the link before opens nothing any more."""

    expires_at: datetime


class OnboardingBegun(Event): ...


class OnboardingCodeAsked(Event):
    """Whoever has the link wants the six digits that prove the mailbox is theirs."""


class SignupCompleted(Event):
    """The clinic is open, and its admin can sign in."""

    clinic_id: ClinicId
    account_id: AccountId


SignupEvent = SignupSubmitted | SignupApproved | SignupRejected | SignupActivationResent | OnboardingBegun | OnboardingCodeAsked | SignupCompleted


class SignupSettled(Refused):
    """This request has been decided so already, or its clinic is open. Look at its status."""


class SignupNotApproved(Refused):
    """There is no activation to send: the request is not approved, or its clinic is open already. Look at its status."""


class OnboardingOver(Refused):
    """This link has been used, replaced or is too old. Have the activation sent again, or sign in if your clinic is open."""

    status = 410


class OnboardingIncomplete(Invalid):
    """A clinic needs a time zone and a currency before it opens. Say what `details` names."""


class Signup(State):
    """A clinic's request to be served."""

    kind: ClassVar[str] = "signups"
    stage: Stage | None = None
    premises: Premises = Premises()
    terms: Terms = Terms()
    expires_at: datetime | None = None
    begun: bool = False

    def evolve(self, event: SignupEvent) -> Self:  # noqa: PLR0911 - one case per event
        match event:
            case SignupSubmitted():
                return replace(self, stage="pending", premises=Premises(**only(Premises, event)))
            case SignupApproved(expires_at=until):
                return replace(self, stage="approved", terms=Terms(**only(Terms, event)), expires_at=until)
            case SignupRejected():
                return replace(self, stage="rejected")
            case SignupActivationResent(expires_at=until):
                return replace(self, expires_at=until)
            case OnboardingBegun():
                return replace(self, begun=True)
            case OnboardingCodeAsked():
                return self
            case SignupCompleted():
                return replace(self, stage="active")

    def submit(self, application: Application, *, direct: bool) -> list[Event]:
        """Ask to be served; where a clinic opens at once it says by which clock, and in which money, it lives."""
        if direct:
            ensure_whole(application)
        if application.zone is not None:
            zone(application.zone)
        return [SignupSubmitted(**only(Application, application))]

    def approve(self, terms: Terms, now: datetime, way: Way = "superadmin", invite: UUID | None = None) -> list[Event]:
        """Approve; a rejection may be thought over."""
        self._ensure_open_to("approved")
        return [SignupApproved(**only(Terms, terms), way=way, invite_id=invite, expires_at=now + LINK_FOR)]

    def reject(self, reason: str) -> list[Event]:
        """Reject; until the clinic is open an approval may be taken back."""
        self._ensure_open_to("rejected")
        return [SignupRejected(reason=reason)]

    def resend(self, now: datetime) -> list[Event]:
        self._ensure_there()
        if self.stage != "approved":
            raise SignupNotApproved
        return [SignupActivationResent(expires_at=now + LINK_FOR)]

    def ensure_onboarding(self, now: datetime) -> None:
        if self.stage != "approved" or self.expires_at is None or self.expires_at <= now:
            raise OnboardingOver

    def begin(self, now: datetime) -> list[Event]:
        self.ensure_onboarding(now)
        return [] if self.begun else [OnboardingBegun()]

    def ask_code(self, now: datetime) -> list[Event]:
        self.ensure_onboarding(now)
        return [OnboardingCodeAsked()]

    def settled(self, said: Premises) -> Premises:
        """Return the clinic as it will be, now that its admin has had the last word; refuse one that lacks something."""
        whole = said.over(self.premises)
        ensure_whole(whole)
        return whole

    def complete(self, clinic: UUID, account: UUID) -> list[Event]:
        self._ensure_there()
        if self.stage == "active":
            return []
        if self.stage != "approved":
            raise OnboardingOver
        return [SignupCompleted(clinic_id=clinic, account_id=account)]

    def _ensure_there(self) -> None:
        if self.stage is None:
            raise NotFound

    def _ensure_open_to(self, stage: Stage) -> None:
        self._ensure_there()
        if self.stage in ("active", stage):
            raise SignupSettled(status=self.stage)


def ensure_whole(premises: Premises) -> None:
    """Refuse a clinic that could not open."""
    if missing := [name for name in ("zone", "currency") if not getattr(premises, name)]:
        raise OnboardingIncomplete(missing=missing)
    zone(premises.zone or "")


def clinic_of(signup: UUID) -> UUID:
    """Return the id of the clinic that a request becomes."""
    return uuid5(signup, "clinic")


ACTIVATION_LETTER = letter(
    "signup.activation", "Tells somebody that their clinic is welcome, and leads them to open it; the link is good for seven days.",
    {"link": "https://example.org/api/v1/auth/onboarding/validate/x7Kq"},
    en=("Open your clinic", """
Dear {{name}},

{{clinic}} is welcome. Follow this link to open it; it is good for seven days, and for you alone:

{{link}}

If you did not ask for it, you need not do anything.
"""),
    es=("Abra su clínica", """
Hola, {{name}}:

{{clinic}} es bienvenida. Siga este enlace para abrirla; es válido durante siete días y solo para usted:

{{link}}

Si no lo ha pedido usted, no tiene que hacer nada.
"""),
)

REJECTION_LETTER = letter(
    "signup.rejected", "Tells somebody why their clinic was not taken on.", {"reason": "We do not serve that country yet"},
    en=("Your request", """
Dear {{name}},

We cannot take on {{clinic}} just now: {{reason}}
"""),
    es=("Su solicitud", """
Hola, {{name}}:

No podemos admitir {{clinic}} por ahora: {{reason}}
"""),
)

ONBOARDING_LETTER = letter(
    "signup.code", "Six digits with which somebody opens their clinic.", {"code": "271828"},
    en=("{{code}} opens your clinic", """
Dear {{name}},

Your code is {{code}}. It is good for ten minutes, once, in the window that asked for it.

If you did not ask for it, you need not do anything. Tell nobody this code.
"""),
    es=("{{code}} abre su clínica", """
Hola, {{name}}:

Su código es {{code}}. Sirve una sola vez y durante diez minutos, en la ventana que lo ha pedido.

Si no lo ha pedido usted, no tiene que hacer nada. No le diga este código a nadie.
"""),
)
