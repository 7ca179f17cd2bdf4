"""Where clinics come in: they ask, are approved, and open by the letter's link."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta
from msgspec.structs import replace

from commands.kit.doors import SIGNUPS, AccountLocked
from commands.signups import (
    ApproveSignup,
    BeginOnboarding,
    CompleteSignup,
    RejectSignup,
    ResendActivation,
    SendOnboardingCode,
    SubmitSignup,
    UseInviteCode,
)
from domain.kit import PLATFORM, Email, Frozen, NotFound, Phone, only
from domain.signups import (
    ONBOARDING,
    ONBOARDING_CODE,
    Application,
    OnboardingIncomplete,
    OnboardingOver,
    PlainName,
    Premises,
    Signup,
    SignupNotApproved,
    clinic_of,
)
from gateway.accounts import CodeWrong, PasswordPoor, Secret, account_for, ensure_strong, set_password, state_of
from gateway.clinics import open_founded
from gateway.invite_codes import InviteCodeOver, use
from gateway.kit import Desk, act, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.staff import PasswordNeeded, admit, known
from schemas.signups import ClinicFounded, Onboarding, SignupRow, SignupStatus, SignupTaken

RequestId = Annotated[UUID, PathParameter(description="What `signup` answered.")]
Token = Annotated[str, PathParameter(description="The token of the letter's link.")]
OnboardingDigits = Annotated[str, Meta(pattern=r"^[0-9]{6}$", description="The six digits that came by mail.", examples=["123456"])]


class SignupForm(Application, forbid_unknown_fields=True):
    """Your clinic, and who you are. With an invite code nobody needs to look at it first."""

    name: PlainName
    email: Email
    clinic_name: PlainName
    invite_code: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class OnboardingToken(Frozen, forbid_unknown_fields=True):
    """The token of the letter's link."""

    token: Annotated[str, Meta(min_length=1, max_length=128)]


class OnboardingForm(Premises, forbid_unknown_fields=True):
    """The link's token, the digits, your password, and the last word about your clinic; what is left out stays as it was asked for."""

    token: Annotated[str, Meta(min_length=1, max_length=128)]
    code: OnboardingDigits
    password: Secret | None = None
    name: PlainName | None = None
    phone: Phone | None = None
    address: Annotated[str, Meta(max_length=500)] = ""
    clinic_email: Annotated[Email | None, Meta(description="The clinic's own, which everybody may read; yours if it has none.")] = None


@post("/signup", operation_id="SubmitSignup", status_code=202, opt={"public": True, "refusals": [InviteCodeOver, OnboardingIncomplete]})
async def sign_up(data: JSONBody[SignupForm], desk: Desk) -> SignupTaken:
    """Ask us to serve your clinic.

    One of us looks at it, unless you have an invite code, or this installation lets everybody in: then a letter brings the link at once. The answer is the
    same whether we know the address or not.
    """
    await desk.call.services.doors.enter(SIGNUPS, desk.call.address)
    said = only(Application, data)
    if data.invite_code is not None:
        return SignupTaken(request_id=await use(desk, data.invite_code, UseInviteCode(**said)), status="approved")
    direct = registration(desk) == "direct"
    signup = (await desk.handle(SubmitSignup(**said, direct=direct))).id
    if direct:
        await founded(desk, signup, PLATFORM, await stands(desk, signup), await row_of(desk, signup), Premises())
    return SignupTaken(request_id=signup, status="approved" if direct else "pending")


def registration(desk: kit.Desk) -> str:
    """Return whether one of us looks at a sign-up first."""
    return str(getattr(desk.call.services.settings, "registration", "") or "approval")


async def stands(desk: kit.Desk, signup: UUID) -> Signup:
    """Return a sign-up as it stands this very moment."""
    entry = await desk.call.services.handler.streams.latest(Signup, signup, PLATFORM)
    assert isinstance(entry.state, Signup)
    return entry.state


async def row_of(desk: kit.Desk, signup: UUID) -> SignupRow:
    """Return a sign-up's row as it stands this very moment."""
    entry = await desk.call.services.handler.streams.get(Signup, signup, PLATFORM, row=True)
    if not isinstance(entry.row, SignupRow):
        raise NotFound(kind=Signup.kind, id=str(signup))
    return entry.row


@get("/check-status/{requestId:uuid}", operation_id="GetSignupStatus", summary="Show: how a sign-up stands", opt={"public": True})
async def status(desk: Desk, requestId: RequestId) -> SignupStatus:  # noqa: N803
    """Whoever has the id that `signup` answered sees how it stands, and why it was rejected."""
    no_query(desk.call.query())
    await stands(desk, requestId)
    row = await row_of(desk, requestId)
    return SignupStatus(
        request_id=row.id, status=row.status, clinic_name=row.clinic_name, submitted_at=row.submitted_at, decided_at=row.decided_at,
        reason=row.reason, expires_at=row.expires_at if row.status == "approved" else None)


@post("/check-status/{requestId:uuid}/resend-activation", operation_id="ResendActivation", status_code=202, opt={
    "public": True, "refusals": [SignupNotApproved, AccountLocked]})
async def resend(desk: Desk, requestId: RequestId) -> SignupTaken:  # noqa: N803
    """Have the letter with the link sent again, to the address that asked; the link before opens nothing any more."""
    await desk.call.services.doors.guess("activation", str(requestId), desk.call.address)
    (await stands(desk, requestId)).resend(datetime.now(UTC))  # or the links that are out would die for nothing
    await desk.call.services.codes.withdraw(ONBOARDING, requestId)  # before there can be a new one
    await desk.handle(ResendActivation(), requestId)
    return SignupTaken(request_id=requestId, status="approved")


async def onboarding(desk: kit.Desk, token: str) -> tuple[UUID, Signup, SignupRow]:
    """Return the sign-up whose clinic a token opens."""
    signup = await desk.call.services.codes.peek(ONBOARDING, token)
    if signup is None:
        raise OnboardingOver
    state = await stands(desk, signup)
    state.ensure_onboarding(datetime.now(UTC))
    row = await row_of(desk, signup)
    if row.email is None or row.expires_at is None:  # it has been erased
        raise OnboardingOver
    return signup, state, row


async def told(desk: kit.Desk, row: SignupRow, state: Signup) -> Onboarding:
    """Return what whoever has the letter may see."""
    assert row.email is not None
    assert row.expires_at is not None
    return Onboarding(
        request_id=row.id, clinic_name=row.clinic_name, name=row.name, email=row.email, phone=row.phone, country=row.country, zone=row.zone,
        currency=row.currency, trial_days=state.terms.days, expires_at=row.expires_at, has_account=await known(desk, row.email))


@get("/onboarding/validate/{token:str}", operation_id="GetOnboarding", summary="Show: the clinic that a link opens", opt={
    "public": True, "refusals": [OnboardingOver]})
async def validate(desk: Desk, token: Token) -> Onboarding:
    """What whoever has the letter is about to open; nothing changes by looking."""
    no_query(desk.call.query())
    _, state, row = await onboarding(desk, token)
    return await told(desk, row, state)


@post("/onboarding", operation_id="BeginOnboarding", status_code=200, opt={"public": True, "refusals": [OnboardingOver]})
async def begin(data: JSONBody[OnboardingToken], desk: Desk) -> Onboarding:
    """Begin to open the clinic, by the letter's link: what is known of it so far comes back, to be completed.

    Ask for the digits next. Beginning again changes nothing.
    """
    signup, state, row = await onboarding(desk, data.token)
    await desk.handle(BeginOnboarding(), signup)
    return await told(desk, row, state)


@post("/onboarding/send-otp", operation_id="SendOnboardingCode", status_code=202, opt={"public": True, "refusals": [OnboardingOver, AccountLocked]})
async def send_code(data: JSONBody[OnboardingToken], desk: Desk) -> SignupTaken:
    """Have six digits sent to the address that asked; they are good for ten minutes, and replace those before."""
    signup, _, row = await onboarding(desk, data.token)
    await desk.call.services.doors.guess("onboarding-mail", str(signup), desk.call.address)
    await desk.handle(SendOnboardingCode(), signup)
    return SignupTaken(request_id=signup, status=row.status)


@post("/onboarding/complete", operation_id="CompleteOnboarding", status_code=201, opt={
    "public": True, "refusals": [OnboardingOver, OnboardingIncomplete, CodeWrong, PasswordNeeded, PasswordPoor, AccountLocked]})
async def complete(data: JSONBody[OnboardingForm], desk: Desk) -> ClinicFounded:
    """Open the clinic, with you as its admin; its trial begins today. Sign in afterwards.

    An account that has a password keeps it, whatever is sent. If the answer got lost, ask for other digits and send it again: nothing is made twice.
    """
    signup, state, row = await onboarding(desk, data.token)
    call, email = desk.call, row.email or ""
    premises = state.settled(Premises(**only(Premises, data)))
    new = not await known(desk, email)
    if new and data.password is None:
        raise PasswordNeeded
    if new:
        ensure_strong(data.password or "", email)
    await spend(desk, signup, data.code)
    row = replace(row, name=data.name or row.name, phone=data.phone or row.phone)
    account = await account_for(call, email, row.name, row.language)
    (await state_of(call.services, account)).ensure_active()
    clinic = await founded(desk, signup, account, state, row, premises, address=data.address, email=data.clinic_email or email)
    await admit(call, clinic, account)
    if new and data.password is not None:
        await set_password(call, account, data.password, "changed")
    await call.settle(CompleteSignup(clinic_id=clinic, account_id=account), account, id=signup)
    await call.services.codes.withdraw(ONBOARDING, signup)
    return ClinicFounded(clinic_id=clinic, email=email)


async def spend(desk: kit.Desk, signup: UUID, code: str) -> None:
    """Use the digits up; of any number who send them one goes on."""
    services = desk.call.services
    attempt = await services.doors.guess("onboarding-code", str(signup), desk.call.address)
    if not await services.codes.redeem_digits(ONBOARDING_CODE, signup, code):
        raise CodeWrong
    await services.doors.right(attempt)


async def founded(desk: kit.Desk, signup: UUID, by: UUID, state: Signup, row: SignupRow, said: Premises, **clinics: str) -> UUID:
    """Return the clinic that a sign-up becomes, opened now if it is not there; its id follows from the sign-up's, so that there can be only one."""
    clinic, premises, terms = clinic_of(signup), state.settled(said), state.terms
    found: dict[str, Any] = {
        "name": premises.clinic_name, "country": premises.country, "zone": premises.zone, "currency": premises.currency,
        "email": row.email, "phone": row.phone or "", "admin_name": row.name or row.email, "admin_email": row.email, "admin_phone": row.phone,
        "plan": terms.plan, "days": terms.days, "users": terms.users, "doctors": terms.doctors, **clinics}
    await open_founded(desk.call, clinic, by, found)
    return clinic


router = Router("/api/v1", tags=["Sign-up"], route_handlers=[
    Router("/auth", opt={"lapsed": True}, route_handlers=[sign_up, status, resend, begin, validate, send_code, complete]),
    Router("/protected/users", route_handlers=[
        browse(
            "/pending", SignupRow, by=["email", "submitted_at.."], sort="-submitted_at", only={"status": "pending"},
            operation_id="BrowsePendingSignups", summary="List: clinics that wait to be approved"),
        fetch("/pending/{id:uuid}", SignupRow),
        act("/{id:uuid}/approve", ApproveSignup),
        act("/{id:uuid}/reject", RejectSignup),
    ]),
    Router("/protected/signups", route_handlers=[
        browse("/", SignupRow, by=["status", "way", "email", "invite_id", "submitted_at.."], sort="-submitted_at"),
    ]),
])
