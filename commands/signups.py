"""What may be asked of a sign-up: by whoever wants to be served, by whoever holds the letter's link, and by the platform that decides."""

from typing import Any

from commands.kit import Command, Creation, Decision, Look
from domain.invite_codes import InviteCode, signup_of
from domain.kit import AccountId, At, ClinicId, Elsewhere, Email, Event, Reason
from domain.plans import PlanOffer, plan_of
from domain.signups import Application, Days, PlainName, Signup, Terms

USUAL_TRIAL = 90  # days, if the plan does not say


class SubmitSignup(Creation, Application):
    """Ask us to serve a clinic: one of us looks at it, unless the installation says that nobody need."""

    state = Signup
    permission = "public"
    name: PlainName
    email: Email
    clinic_name: PlainName
    direct: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"offer": await look.load(PlanOffer, plan_of("Pro"))}

    def decide(self, signup: Signup, at: At, *, offer: PlanOffer) -> list[Event]:
        asked = signup.submit(self, direct=self.direct)
        return [*asked, *(Signup.replay(asked).approve(terms(offer), at.now, "direct") if self.direct else [])]


class UseInviteCode(Command, Application):
    """Ask us to serve a clinic, with an invite code: it is approved by itself. The code is used and the request made, or neither."""

    state = InviteCode
    permission = "public"
    name: PlainName
    email: Email
    clinic_name: PlainName

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"offer": await look.load(PlanOffer, plan_of("Pro"))}

    def decide(self, code: InviteCode, at: At, *, offer: PlanOffer) -> Decision:
        signup = signup_of(at.id, code.used + 1)
        asked = Signup().submit(self, direct=False)
        approved = Signup.replay(asked).approve(terms(offer), at.now, "invite", at.id)
        return [*code.use(signup, at.now), Elsewhere(state=Signup, id=signup, events=[*asked, *approved])]


class ApproveSignup(Command):
    """Approve a request: a letter brings the link with which the clinic is opened, and its trial begins when it is. A rejection may be thought over."""

    state = Signup
    permission = "superadmin"
    days: Days | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"offer": await look.load(PlanOffer, plan_of("Pro"))}

    def decide(self, signup: Signup, at: At, *, offer: PlanOffer) -> list[Event]:
        return signup.approve(terms(offer, self.days), at.now)


class RejectSignup(Command):
    """Reject a request, and say why: whoever asked is told. Until the clinic is open an approval may be taken back so."""

    state = Signup
    permission = "superadmin"
    reason: Reason

    def decide(self, signup: Signup, at: At) -> list[Event]:
        return signup.reject(self.reason)


class ResendActivation(Command):
    """Send the letter with the link again, good for another seven days; the link before opens nothing any more."""

    state = Signup
    permission = "public"

    def decide(self, signup: Signup, at: At) -> list[Event]:
        return signup.resend(at.now)


class BeginOnboarding(Command):
    """Begin to open the clinic, by the letter's link."""

    state = Signup
    permission = "public"

    def decide(self, signup: Signup, at: At) -> list[Event]:
        return signup.begin(at.now)


class SendOnboardingCode(Command):
    """Have six digits sent to the address that asked; they are good for ten minutes, and replace those before."""

    state = Signup
    permission = "public"

    def decide(self, signup: Signup, at: At) -> list[Event]:
        return signup.ask_code(at.now)


class CompleteSignup(Command):
    """Note that the clinic is open and that its admin can sign in."""

    state = Signup
    permission = "house"
    clinic_id: ClinicId
    account_id: AccountId

    def decide(self, signup: Signup, at: At) -> list[Event]:
        return signup.complete(self.clinic_id, self.account_id)


def terms(offer: PlanOffer, days: int | None = None) -> Terms:
    """Return the trial with which a clinic begins: that of Pro, with the seats and for as long as the plan says."""
    pro = offer.now
    return Terms(plan="Pro", days=days or pro.trial_days or USUAL_TRIAL, users=pro.users, doctors=pro.doctors)
