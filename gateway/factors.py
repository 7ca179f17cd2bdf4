"""Second factors: a code of an authenticator app, or by mail, beside the password; recovery codes for when that is lost, and the way back without them."""

import base64
import hmac
import secrets
import time
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Response, Router, delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta
from pyotp import TOTP

from commands.factors import (
    CODES,
    AskRecoveryCodes,
    AskSecondFactorCode,
    AskSecondFactorReset,
    DisableSecondFactor,
    EnableSecondFactor,
    ForceSecondFactorOff,
    MakeRecoveryCodes,
    OfferTotp,
    UseRecoveryCode,
)
from commands.kit.doors import AccountLocked
from domain.kit import Frozen, NotFound, Refused, UserInactive
from gateway.accounts import (
    Accepted,
    CodeWrong,
    CredentialsWrong,
    Digits,
    Email,
    PasswordWrong,
    Secret,
    asked,
    guess,
    proved,
    row_of,
    state_of,
)
from gateway.kit import Desk
from gateway.kit.call import Call
from gateway.kit.document import refusals_of
from gateway.kit.errors import NotWhileImpersonating, SessionEnded, SignInRequired, TokenExpired, TokenInvalid
from gateway.kit.members import ClinicInactive, NoMember
from gateway.kit.query import no_query
from gateway.kit.tokens import HalfClaims
from gateway.sessions import SessionOpened, begin, end_all

Method = Annotated[
    Literal["totp", "email"], Meta(description="totp: six digits of an authenticator app; email: six digits that come by mail.")]
MfaToken = Annotated[Secret, Meta(description="The `mfaToken` that the first step of the sign-in answered with.")]
RecoveryCode = Annotated[str, Meta(min_length=8, max_length=40, examples=["k7qf2-m3x9d"], description="Small or large letters, with or without the dash.")]
AccountId = Annotated[UUID, PathParameter(description="Id of an account.")]

ISSUER = "Anamnesis"
STEP = 30  # seconds for which an app shows a code
GUESSES = "second factor"  # the purpose at the doors
SIGN_IN, SETUP = "second-factor", "second-factor-setup"  # purposes of digits by mail
LINK, RESET = "recovery-codes", "second-factor-reset"  # purposes of links by mail
ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # none is taken for another


class SecondCodeWrong(Refused):
    """This code is wrong, too old, or was used before. Take the next one."""

    status = 401


class FactorMethodWrong(Refused):
    """This account proves itself in another way. `details` lists how."""


class ProofMissing(Refused):
    """Show that it is you: send your password, or a code of your second factor."""

    status = 403


class Half(Frozen, forbid_unknown_fields=True):
    """A sign-in that still lacks its second proof."""

    mfa_token: MfaToken


class SecondProof(Half, forbid_unknown_fields=True):
    """The second proof of a sign-in: six digits."""

    code: Digits


class RecoveryProof(Half, forbid_unknown_fields=True):
    """The second proof of a sign-in: one of the recovery codes."""

    recovery_code: RecoveryCode


class Identity(Frozen, forbid_unknown_fields=True):
    """That it is really you: your password, or six digits of your second factor."""

    password: Secret | None = None
    code: Digits | None = None


class MailedOrOneself(Identity, forbid_unknown_fields=True):
    """That it is really you: your password, a code, or the token of the link that came by mail."""

    token: Secret | None = None


class BeginSetup(Frozen, forbid_unknown_fields=True):
    """Which second factor is wanted."""

    method: Method = "totp"


class SetupHalf(Frozen, forbid_unknown_fields=True):
    """Nothing for somebody signed in; the `mfaToken` for somebody who is only half so."""

    mfa_token: MfaToken | None = None


class ConfirmSetup(Frozen, forbid_unknown_fields=True):
    """The first code: of the app that was set up, or the one that came by mail."""

    code: Digits
    method: Method = "totp"


class ConfirmSetupHalf(ConfirmSetup, forbid_unknown_fields=True):
    """The first code, and the `mfaToken` for somebody who is only half signed in."""

    mfa_token: MfaToken | None = None


class SetupBegun(Frozen):
    """What an authenticator app must know: as text to be typed, and as an address to be shown as a QR code. Nothing of it if codes come by mail."""

    method: Method
    secret: str | None = None
    uri: str | None = None


class RecoveryCodes(Frozen):
    """Ten codes, each good for one sign-in without the second factor. They are shown this once; all earlier ones are void."""

    codes: list[str]


class FactorStatus(Frozen):
    """Whether a second factor is in use and of which type, and how many recovery codes are left."""

    enabled: bool
    type: Method | None
    methods: list[str]
    recovery_codes_left: int


class ResetAsked(Frozen, forbid_unknown_fields=True):
    """Whose second factor is lost."""

    email: Email


class ResetProof(Frozen, forbid_unknown_fields=True):
    """The token of the link that came by mail, and the password: both are needed."""

    token: Secret
    email: Email
    password: Secret


# --- looking at proofs


async def totp_right(call: Call, secret: UUID | None, code: str) -> bool:
    """Say whether an app shows that code now, or did or will within half a minute; each code counts once, and none older than it afterwards."""
    vault = call.services.vault
    kept = await vault.unsealed(secret) if secret is not None else None
    if kept is None:
        return False
    app, now = TOTP(base64.b32encode(kept.secret).decode()), int(time.time()) // STEP
    found = [step for step in (now - 1, now, now + 1) if hmac.compare_digest(app.generate_otp(step), code)]
    return bool(found) and await vault.advance(kept.id, found[0])


async def digits_right(call: Call, account: UUID, state: Any, code: str) -> bool:
    """Say whether that is a code of somebody's second factor; it is used up."""
    if state.factor == "email":
        return await call.services.codes.redeem_digits(SIGN_IN, account, code)
    return await totp_right(call, state.totp, code)


async def shown(call: Call, account: UUID, state: Any, code: str) -> None:
    """Refuse a code that is not of somebody's second factor; a guess is counted before it is looked at."""
    attempt = await guess(call, GUESSES, await address(call, account))
    if not await digits_right(call, account, state, code):
        raise SecondCodeWrong
    await call.services.doors.right(attempt)


async def identified(desk: Desk, identity: Identity) -> Any:
    """Return the caller's account if he shows that it is really he: for what a found session should not be able to do."""
    call = desk.call
    call.only_owner()
    state = await state_of(call.services, desk.who.account)
    if identity.password is not None:
        await password_right(call, desk.who.account, state, identity.password)
    elif identity.code is not None:
        await shown(call, desk.who.account, state, identity.code)
    else:
        raise ProofMissing
    return state


async def password_right(call: Call, account: UUID, state: Any, password: str) -> None:
    services = call.services
    async with services.vault.turn():
        attempt = await guess(call, "password", await address(call, account))
        if not await services.vault.right(state.password, password):
            raise PasswordWrong
        await services.doors.right(attempt)


async def address(call: Call, account: UUID) -> str:
    return (await row_of(call.services, account)).email or ""


async def halfway(call: Call, token: str) -> tuple[HalfClaims, Any]:
    """Return who is half signed in, and his account as it stands."""
    half = call.services.keys.read_half(token)
    state = await state_of(call.services, half.account)
    state.ensure_active()
    if half.password != str(state.password or ""):  # another password counts by now
        raise TokenInvalid
    return half, state


# --- the second step of a sign-in

SECOND_REFUSALS = [SecondCodeWrong, FactorMethodWrong, AccountLocked, TokenInvalid, TokenExpired, UserInactive, NotFound, NoMember, ClinicInactive]


async def completed(call: Call, half: HalfClaims, state: Any, proof: Any) -> SessionOpened:
    proofs: Any = [*half.proofs, proof]
    return await begin(call, half.account, state, proofs, clinic=half.clinic, client=half.client)  # type: ignore[arg-type]


async def second_step(data: SecondProof, call: Call) -> SessionOpened:
    half, state = await halfway(call, data.mfa_token)
    if state.factor is None:
        raise FactorMethodWrong(methods=[])
    await shown(call, half.account, state, data.code)
    return await completed(call, half, state, state.factor)


@post("/2fa/verify", operation_id="VerifySecondFactor", status_code=200, opt={"public": True, "refusals": SECOND_REFUSALS})
async def verify(data: JSONBody[SecondProof], desk: Desk) -> SessionOpened:
    """Complete a sign-in with a code of the authenticator app, or the one that came by mail."""
    return await second_step(data, desk.call)


@post("/mfa/verify", operation_id="VerifyMfa", status_code=200, opt={"public": True, "refusals": SECOND_REFUSALS})
async def mfa_verify(data: JSONBody[SecondProof], desk: Desk) -> SessionOpened:
    """Complete a sign-in with a code: the same as `2fa/verify`."""
    return await second_step(data, desk.call)


@post("/2fa/recovery", operation_id="RecoverSignIn", status_code=200, opt={"public": True, "refusals": SECOND_REFUSALS})
async def recovery(data: JSONBody[RecoveryProof], desk: Desk) -> SessionOpened:
    """Complete a sign-in with one of the recovery codes, which is used up."""
    call = desk.call
    half, state = await halfway(call, data.mfa_token)
    attempt = await guess(call, GUESSES, await address(call, half.account))
    code = data.recovery_code.casefold().replace("-", "").replace(" ", "")
    left = await call.services.vault.spend(state.recovery, code) if state.recovery else None
    if left is None:
        raise SecondCodeWrong
    await call.services.doors.right(attempt)
    await call.settle(UseRecoveryCode(left=left), half.account)
    return await completed(call, half, state, "recovery")


@post("/2fa/email/send", operation_id="SendSecondFactorCode", status_code=202, opt={"public": True, "refusals": SECOND_REFUSALS})
async def email_send(data: JSONBody[Half], desk: Desk) -> Accepted:
    """Have six digits sent by mail, with which the sign-in can be completed; for those whose second factor is that."""
    call = desk.call
    half, state = await halfway(call, data.mfa_token)
    if state.factor != "email":
        raise FactorMethodWrong(methods=list(state.second_factors))
    await guess(call, GUESSES, await address(call, half.account))
    await call.settle(AskSecondFactorCode(purpose="sign-in"), half.account)
    return Accepted()


# --- setting it up


async def offered(call: Call, account: UUID) -> SetupBegun:
    """Make a seed for an authenticator app; it counts once the app has shown a code."""
    state = await state_of(call.services, account)
    state.ensure_factor(on=False)
    seed = secrets.token_bytes(20)
    secret = await call.services.vault.put_sealed(account, seed, "totp", [state.offered])
    await call.settle(OfferTotp(secret_id=secret), account)
    text = base64.b32encode(seed).decode()
    return SetupBegun(method="totp", secret=text, uri=TOTP(text).provisioning_uri(name=await address(call, account), issuer_name=ISSUER))


async def mailed(call: Call, account: UUID) -> SetupBegun:
    """Have a code sent, to see that it arrives."""
    await guess(call, GUESSES, await address(call, account))
    await call.settle(AskSecondFactorCode(purpose="setup"), account)
    return SetupBegun(method="email")


async def confirmed_setup(call: Call, account: UUID, first: ConfirmSetup) -> RecoveryCodes:
    """Switch a second factor on that has shown its first code; other sessions of its owner end."""
    state = await state_of(call.services, account)
    state.ensure_factor(on=False)
    attempt = await guess(call, GUESSES, await address(call, account))
    by_app = first.method == "totp"
    right = await (totp_right(call, state.offered, first.code) if by_app else call.services.codes.redeem_digits(SETUP, account, first.code))
    if not right:
        raise SecondCodeWrong
    await call.services.doors.right(attempt)
    codes, kept = await recovery_codes(call, account, state)
    await call.settle(EnableSecondFactor(method=first.method, recovery_id=kept), account)
    await end_all(call, account, "second-factor-changed", but=call.who.session)
    return codes


async def recovery_codes(call: Call, account: UUID, state: Any) -> tuple[RecoveryCodes, UUID]:
    """Put fresh recovery codes into the vault; they count once an event says so."""
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(10)) for _ in range(CODES)]
    kept = await call.services.vault.put_codes(account, codes, "recovery", [state.recovery])
    return RecoveryCodes(codes=[f"{code[:5]}-{code[5:]}" for code in codes]), kept


async def setting_up(call: Call, token: str | None) -> UUID:
    """Return who sets something up: somebody signed in, or half so."""
    if token is not None:
        return (await halfway(call, token))[0].account
    account = (await call.admit()).account
    call.only_owner()
    return account


SETUP_REFUSALS = [SecondCodeWrong, AccountLocked, *refusals_of(OfferTotp), *refusals_of(EnableSecondFactor)]
HALF_REFUSALS = [*SETUP_REFUSALS, SignInRequired, TokenInvalid, TokenExpired, SessionEnded, NotWhileImpersonating]


@post("/2fa/setup/init", operation_id="BeginSecondFactorSetup", status_code=200, opt={"permission": "self", "refusals": SETUP_REFUSALS})
async def setup_init(data: JSONBody[BeginSetup], desk: Desk) -> SetupBegun:
    """Begin to set a second factor up: an authenticator app is told its seed, or a code is sent by mail."""
    desk.call.only_owner()
    return await (offered if data.method == "totp" else mailed)(desk.call, desk.who.account)


@post("/2fa/setup/verify", operation_id="ConfirmSecondFactorSetup", status_code=200, opt={"permission": "self", "refusals": SETUP_REFUSALS})
async def setup_verify(data: JSONBody[ConfirmSetup], desk: Desk) -> RecoveryCodes:
    """Switch the second factor on with its first code; shows the recovery codes, this once.

    All your other sessions end.
    """
    desk.call.only_owner()
    return await confirmed_setup(desk.call, desk.who.account, data)


@post("/mfa/setup/init-totp", operation_id="BeginTotpSetup", status_code=200, opt={"public": True, "refusals": HALF_REFUSALS})
async def mfa_init_totp(data: JSONBody[SetupHalf], desk: Desk) -> SetupBegun:
    """Begin to set an authenticator app up, signed in or half so."""
    return await offered(desk.call, await setting_up(desk.call, data.mfa_token))


@post("/mfa/setup/send-otp", operation_id="SendSetupCode", status_code=200, opt={"public": True, "refusals": HALF_REFUSALS})
async def mfa_send_otp(data: JSONBody[SetupHalf], desk: Desk) -> SetupBegun:
    """Have six digits sent by mail to set such codes up, signed in or half so."""
    return await mailed(desk.call, await setting_up(desk.call, data.mfa_token))


@post("/mfa/setup/verify", operation_id="ConfirmMfaSetup", status_code=200, opt={"public": True, "refusals": HALF_REFUSALS})
async def mfa_setup_verify(data: JSONBody[ConfirmSetupHalf], desk: Desk) -> RecoveryCodes:
    """Switch the second factor on with its first code, signed in or half so; shows the recovery codes, this once."""
    return await confirmed_setup(desk.call, await setting_up(desk.call, data.mfa_token), data)


# --- living with it


@get("/2fa/status", operation_id="GetSecondFactorStatus", opt={"permission": "self"})
async def status(desk: Desk) -> FactorStatus:
    """Show: whether a second factor is in use."""
    no_query(desk.call.query())
    state: Any = await state_of(desk.call.services, desk.who.account)
    return FactorStatus(
        enabled=state.factor is not None, type=state.factor, methods=list(state.second_factors), recovery_codes_left=state.recovery_left)


IDENTITY_REFUSALS = [PasswordWrong, SecondCodeWrong, ProofMissing, AccountLocked, *refusals_of(MakeRecoveryCodes)]


@delete("/2fa/disable", operation_id="SwitchSecondFactorOff", status_code=204, opt={"permission": "self", "refusals": IDENTITY_REFUSALS})
async def disable(data: JSONBody[Identity], desk: Desk) -> None:
    """Switch the second factor off; it takes your password or a code.

    All your other sessions end.
    """
    state = await identified(desk, data)
    state.ensure_factor(on=True)
    await switched_off(desk.call, desk.who.account, "own", but=desk.who.session)


async def switched_off(call: Call, account: UUID, way: Literal["own", "reset"], but: UUID | None = None) -> None:
    await call.settle(DisableSecondFactor(way=way), account)
    await end_all(call, account, "second-factor-changed", but=but)


@post("/2fa/regenerate-codes", operation_id="RegenerateRecoveryCodes", status_code=200, opt={"permission": "self", "refusals": IDENTITY_REFUSALS})
async def regenerate(data: JSONBody[Identity], desk: Desk) -> RecoveryCodes:
    """Make ten fresh recovery codes; those from before are void."""
    return await renewed(desk, await identified(desk, data))


@post("/2fa/backup-codes/view", operation_id="ViewRecoveryCodes", status_code=200, opt={"permission": "self", "refusals": [*IDENTITY_REFUSALS, CodeWrong]})
async def view(data: JSONBody[MailedOrOneself], desk: Desk) -> RecoveryCodes:
    """See recovery codes: only hashes of the old ones are kept, so these are ten fresh ones, and those from before are void."""
    if data.token is None:
        return await renewed(desk, await identified(desk, data))
    desk.call.only_owner()
    services = desk.call.services
    if await services.codes.peek(LINK, data.token) != desk.who.account or await services.codes.redeem(LINK, data.token) is None:
        raise CodeWrong
    return await renewed(desk, await state_of(services, desk.who.account))


async def renewed(desk: Desk, state: Any) -> RecoveryCodes:
    state.ensure_factor(on=True)
    codes, kept = await recovery_codes(desk.call, desk.who.account, state)
    await desk.call.settle(MakeRecoveryCodes(recovery_id=kept), desk.who.account)
    return codes


@post("/2fa/backup-codes/request-email", operation_id="MailRecoveryCodes", status_code=202, opt={"permission": "self", "refusals": IDENTITY_REFUSALS})
async def request_email(data: JSONBody[Identity], desk: Desk) -> Accepted:
    """Have a link sent by mail, good once and for an hour, with which fresh recovery codes can be seen; codes themselves are never mailed."""
    await identified(desk, data)
    await desk.call.settle(AskRecoveryCodes(), desk.who.account)
    return Accepted()


# --- the way back


@post("/2fa/reset/request", operation_id="RequestSecondFactorReset", status_code=202, opt={"public": True, "refusals": [AccountLocked]})
async def reset_request(data: JSONBody[ResetAsked], desk: Desk) -> Accepted:
    """Ask for a link by mail with which somebody locked out can switch their second factor off.

    The answer is the same for addresses that nobody has, or that have no second factor.
    """
    await guess(desk.call, GUESSES, data.email)
    desk.call.services.later(asked(desk.call, data.email, AskSecondFactorReset()))
    return Accepted()


@post("/2fa/reset/verify", operation_id="ResetSecondFactor", status_code=204, opt={
    "public": True, "refusals": [CodeWrong, CredentialsWrong, AccountLocked, UserInactive, *refusals_of(DisableSecondFactor)]})
async def reset_verify(data: JSONBody[ResetProof], desk: Desk) -> None:
    """Switch a lost second factor off: it takes the link that came by mail, and the password.

    All sessions end; sign in with the password, and set a second factor up again.
    """
    call = desk.call
    account, _ = await proved(call, data.email, data.password)
    codes = call.services.codes
    if await codes.peek(RESET, data.token) != account or await codes.redeem(RESET, data.token) is None:
        raise CodeWrong
    await switched_off(call, account, "reset")


@post("/{id:uuid}/disable-2fa", operation_id="ForceSecondFactorOff", status_code=200, opt={"permission": "superadmin", "refusals": refusals_of(ForceSecondFactorOff)})
async def force_off(desk: Desk, id: AccountId) -> Response[Any]:  # noqa: A002
    """Switch the second factor of somebody off who is locked out.

    Their sessions end; make sure first that it is really they who ask.
    """
    desk.call.only_owner()
    receipt = await desk.handle(ForceSecondFactorOff(), id)
    await end_all(desk.call, id, "second-factor-changed")
    return desk.answer(ForceSecondFactorOff, receipt)


router = Router("/api/v1/auth", tags=["Second factors"], opt={"lapsed": True}, route_handlers=[
    verify, mfa_verify, recovery, email_send, setup_init, setup_verify, mfa_init_totp, mfa_send_otp, mfa_setup_verify, status, disable, regenerate, view,
    request_email, reset_request, reset_verify,
])
platform = Router("/api/v1/protected/admin/users", tags=["Platform"], route_handlers=[force_off])
