"""The entrance: everything by which somebody comes in."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from commands.kit.doors import AccountLocked
from domain.kit import Frozen, NotFound, Reason, Refused, UserInactive
from gateway.accounts import CodeWrong, CredentialsWrong, Email, Pin, Secret, guess, proved, state_of
from gateway.kit import Desk
from gateway.kit.call import Call
from gateway.kit.errors import SignInRequired
from gateway.kit.members import ClinicInactive, NoMember
from gateway.kit.services import Services
from gateway.kit.tokens import HalfClaims
from gateway.sessions import Client, Proof, SessionOpened, begin, end, leave

AccountId = Annotated[UUID, PathParameter(description="Id of an account.")]

OTT, OTT_SECONDS = "one-time sign-in", 60
STRONG = {"passkey", "totp", "email", "recovery"}  # proofs beside or better than a password


class SecondFactorRequired(Refused):
    """A second proof is needed. Send `mfaToken` from `details` with a code to the address for verifying it, or to that for setting one up."""

    status = 401


class SignIn(Frozen, forbid_unknown_fields=True):
    """E-mail address and password; the clinic only for those who belong to several."""

    email: Email
    password: Annotated[Secret, Meta(examples=["correct horse battery staple"])]
    clinic_id: UUID | None = None
    client: Client = "web"


class PreCheck(Frozen, forbid_unknown_fields=True):
    """By what the telephone has made sure that its owner holds it; it is noted, and proves nothing to the server."""

    method: Annotated[str, Meta(pattern=r"^(pin|biometric)$", examples=["biometric"])]
    passed: bool


class MobileSignIn(Frozen, forbid_unknown_fields=True):
    """As SignIn, from an app on somebody's own telephone."""

    email: Email
    password: Annotated[Secret, Meta(examples=["correct horse battery staple"])]
    clinic_id: UUID | None = None
    pre_check: PreCheck | None = None


class PreCheckFailed(Refused):
    """The telephone could not make sure that its owner holds it. Unlock it again."""

    status = 401


SIGN_IN_REFUSALS = [CredentialsWrong, AccountLocked, UserInactive, NoMember, ClinicInactive, SecondFactorRequired]


async def enter(
    call: Call, account: UUID, state: Any, proofs: list[Proof], *, clinic: UUID | None = None, client: Client = "web", **more: Any,
) -> SessionOpened:
    """Let somebody in who has proved enough; ask whoever has a second factor for it."""
    methods = list(getattr(state, "second_factors", ()))
    if methods and not STRONG & set(proofs):
        half = HalfClaims(account=account, clinic=clinic, client=client, proofs=list(proofs), password=str(state.password or ""))
        raise SecondFactorRequired(mfa_token=call.services.keys.sign_half(half), methods=methods)
    return await begin(call, account, state, proofs, clinic=clinic, client=client, **more)


@post("/signin", operation_id="SignIn", status_code=200, opt={"public": True, "refusals": SIGN_IN_REFUSALS})
async def sign_in(data: JSONBody[SignIn], desk: Desk) -> SessionOpened:
    """Open a session with an e-mail address and a password."""
    account, state = await proved(desk.call, data.email, data.password)
    return await enter(desk.call, account, state, ["password"], clinic=data.clinic_id, client=data.client)


@post("/mobile-signin", operation_id="MobileSignIn", status_code=200, opt={"public": True, "refusals": [*SIGN_IN_REFUSALS, PreCheckFailed]})
async def mobile_sign_in(data: JSONBody[MobileSignIn], desk: Desk) -> SessionOpened:
    """Open a session from an app, after the telephone's own check."""
    if data.pre_check is not None and not data.pre_check.passed:
        raise PreCheckFailed
    account, state = await proved(desk.call, data.email, data.password)
    return await enter(desk.call, account, state, ["password"], clinic=data.clinic_id, client="mobile")


class OneTimeToken(Frozen):
    """A token that opens a session like this one, once, within a minute."""

    token: str
    expires_in: int = OTT_SECONDS


class Exchange(Frozen, forbid_unknown_fields=True):
    """A one-time token."""

    token: Secret
    client: Client = "web"


@post("/generate-ott", operation_id="TakeOneTimeToken", status_code=200, opt={"permission": "self"})
async def generate_ott(desk: Desk) -> OneTimeToken:
    """Take a token with which another device can sign in as you, in this clinic."""
    desk.call.only_owner()
    assert desk.who.session is not None
    return OneTimeToken(token=await desk.call.services.codes.issue(OTT, desk.who.session, OTT_SECONDS))


@post("/exchange", operation_id="ExchangeOneTimeToken", status_code=200, opt={"public": True, "refusals": [CodeWrong, UserInactive, NoMember]})
async def exchange(data: JSONBody[Exchange], desk: Desk) -> SessionOpened:
    """Open a session with a one-time token."""
    services = desk.call.services
    session = await services.codes.redeem(OTT, data.token)
    stay = await services.stays.get(session) if session else None
    if stay is None or not stay.open:
        raise CodeWrong
    return await begin(
        desk.call, stay.account, await state_of(services, stay.account), ["token"], clinic=stay.clinic, client=data.client, before=stay.id)


class Switch(Frozen, forbid_unknown_fields=True):
    """Where to go on."""

    clinic_id: UUID


@post("/context/switch", operation_id="SwitchClinic", status_code=200, opt={"permission": "self", "lapsed": True, "refusals": [NoMember, ClinicInactive]})
async def switch(data: JSONBody[Switch], desk: Desk) -> SessionOpened:
    """Go on in another clinic you belong to; a superadmin may go anywhere.

    This session ends; the answer opens the next, with the same proofs.
    """
    call = desk.call
    call.only_owner()
    stay = await call.services.stays.get(desk.who.session) if desk.who.session else None
    if stay is None:
        raise NotFound
    state = await state_of(call.services, stay.account)
    opened = await begin(call, stay.account, state, stay.proofs, clinic=data.clinic_id, client=stay.client, before=stay.id)  # type: ignore[arg-type]
    await leave(desk, "switched")
    return opened


class QuickSwitch(Frozen, forbid_unknown_fields=True):
    """Who takes over, and the digits that prove it."""

    account_id: UUID
    pin: Pin


class PinWrong(Refused):
    """Those are not the digits of that person, or none are set. Sign in with the password instead."""

    status = 401


class DeviceShared(Refused):
    """Only a shared device can be taken over. Sign in on it with `client` set to device first."""


@post("/quick-switch", operation_id="QuickSwitch", status_code=200, opt={
    "permission": "self", "refusals": [PinWrong, DeviceShared, AccountLocked, UserInactive, NoMember]})
async def quick_switch(data: JSONBody[QuickSwitch], desk: Desk) -> SessionOpened:
    """Take over a shared device at the front desk from a colleague of the same clinic."""
    call = desk.call
    call.only_owner()
    if desk.who.client != "device":
        raise DeviceShared
    state = await state_of(call.services, data.account_id)
    there = state.place(desk.who.clinic)
    colleague = there is not None and there.role != "patient" and state.open
    async with call.services.vault.turn():
        attempt = await guess(call, "pin", str(data.account_id))
        if not await call.services.vault.right(state.pin if colleague else None, data.pin):
            raise PinWrong
        await call.services.doors.right(attempt)
    state.ensure_active()
    opened = await begin(call, data.account_id, state, ["pin"], clinic=desk.who.clinic, client="device", before=desk.who.session)
    await leave(desk, "replaced")
    return opened


class Impersonate(Frozen, forbid_unknown_fields=True):
    """Where to act for somebody, and why; it stands in the clinic's audit log for everybody to see."""

    clinic_id: UUID | None = None
    reason: Reason


@post("/{id:uuid}/impersonate", operation_id="Impersonate", status_code=200, opt={
    "permission": "superadmin", "refusals": [NotFound, UserInactive, NoMember, ClinicInactive]})
async def impersonate(data: JSONBody[Impersonate], desk: Desk, id: AccountId) -> SessionOpened:  # noqa: A002
    """Act for somebody.

    Whatever is done so bears your name, and theirs beside it. Their password, proofs and other sessions stay out of reach; leave by
    `/auth/impersonation/exit`.
    """
    call = desk.call
    call.only_owner()
    if desk.who.session is None:  # the installation's key has nobody to be named beside them
        raise SignInRequired
    state = await state_of(call.services, id)
    if not state.open or state.superadmin:
        raise NotFound(kind="accounts", id=str(id))
    return await begin(
        call, id, state, ["superadmin"], clinic=data.clinic_id, impersonator=desk.who.actor, before=desk.who.session, reason=data.reason)


@post("/impersonation/exit", operation_id="LeaveImpersonation", status_code=200, opt={"permission": "self", "lapsed": True, "refusals": [NotFound]})
async def leave_impersonation(desk: Desk) -> SessionOpened:
    """Stop acting for somebody else, and go on as oneself."""
    call = desk.call
    stay = await call.services.stays.get(desk.who.session) if desk.who.session else None
    if stay is None or stay.impersonator is None:
        raise NotFound(kind="impersonation")
    await end(call, stay.id, stay.clinic, stay.account, "impersonation-left")
    before = await call.services.stays.get(stay.before) if stay.before else None
    proofs: Any = before.proofs if before else ["session"]
    return await begin(call, stay.impersonator, await state_of(call.services, stay.impersonator), proofs, client=stay.client)  # type: ignore[arg-type]


class KeySet(Frozen):
    """The public keys with which anybody can check an access token."""

    keys: list[dict[str, str]]


@get("/.well-known/jwks.json", operation_id="Keys", tags=["Authentication"], opt={"public": True})
async def keys(request: Request[Any, Any, Any]) -> Response[KeySet]:
    """Show the public keys."""
    services: Services = request.app.state.services
    return Response(KeySet(**services.keys.jwks()), headers={"cache-control": "public, max-age=300"})


router = Router("/api/v1/auth", tags=["Authentication"], opt={"lapsed": True}, route_handlers=[
    sign_in, mobile_sign_in, generate_ott, exchange, quick_switch, leave_impersonation,
])
impersonating = Router("/api/v1/protected/admin/users", tags=["Platform"], route_handlers=[impersonate])
switching = Router("/api/v1/protected/clinics", tags=["Clinics"], route_handlers=[switch])
