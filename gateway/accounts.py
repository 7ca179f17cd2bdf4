"""One's own account: who one is, what one proves it by; and how the program looks at such proofs."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from litestar import Router, delete, get, patch, post, put
from litestar.params import JSONBody
from msgspec import Meta

from commands.accounts import (
    AskClinics,
    AskPasswordReset,
    ChangeProfile,
    GivePlace,
    LockOut,
    OpenAccount,
    SetPassword,
    SetPin,
    account_at,
    opened,
)
from commands.kit import Command
from commands.kit.doors import AccountLocked
from commands.kit.ids import derived
from domain.accounts import Account, Language, PasswordPoor, PlaceRole
from domain.kit import PLATFORM, Frozen, NotFound, Refused
from gateway.kit import Desk
from gateway.kit.call import Call
from gateway.kit.query import no_query
from gateway.kit.services import Services
from gateway.sessions import end_all
from schemas.accounts import AccountRow, PlaceShown

Secret = Annotated[str, Meta(min_length=1, max_length=1024)]
Email = Annotated[str, Meta(min_length=3, max_length=320, examples=["doctor@clinic.example"])]
Digits = Annotated[str, Meta(pattern=r"^[0-9]{6}$", description="Six digits.", examples=["123456"])]
Pin = Annotated[str, Meta(pattern=r"^[0-9]{4,8}$", description="Four to eight digits.", examples=["2580"])]

WINDOW = 900  # seconds for which too many guesses lock
LEAST = 10  # characters of a password
COMMON = frozenset(["password12", "password123", "1234567890", "0123456789", "qwertyuiop", "qwerty12345", "1q2w3e4r5t", "iloveyou123", "adminadmin", "administrator", "welcome1234", "letmein1234", "passwordpassword", "abcdefghij", "aaaaaaaaaa", "1111111111", "0000000000", "changeme123", "contraseña", "contraseña1", "contrasena1", "bienvenido1", "monkey12345", "football123"])


class CredentialsWrong(Refused):
    """E-mail address and password do not belong together. Check both and try again."""

    status = 401


class PasswordWrong(Refused):
    """That is not your password. Nothing was changed."""

    status = 403


class CodeWrong(Refused):
    """This link or code cannot be used: it is wrong, too old, or was used before. Ask for a new one."""

    status = 400


async def state_of(services: Services, account: UUID) -> Account:
    """Return an account as it stands this very moment."""
    entry = await services.handler.streams.latest(Account, account, PLATFORM)
    state: Account = entry.state  # type: ignore[assignment]
    return state


async def row_of(services: Services, account: UUID) -> AccountRow:
    """Return an account's row as it stands this very moment."""
    entry = await services.handler.streams.get(Account, account, PLATFORM, row=True)
    if entry.row is None:
        raise NotFound(kind=Account.kind, id=str(account))
    row: AccountRow = entry.row  # type: ignore[assignment]
    return row


async def proved(call: Call, email: str, password: str) -> tuple[UUID, Account]:
    """Return the account whose address and password these are; a guess is counted before it is looked at."""
    async with call.services.vault.turn():
        attempt = await guess(call, "password", email)
        account = await account_at(call.services.handler, email)
        state = await state_of(call.services, account) if account else Account()
        right = await call.services.vault.right(state.password, password)
        if account is None or not right or not state.open:
            raise CredentialsWrong
        await call.services.doors.right(attempt)
    state.ensure_active()
    return account, state


async def guess(call: Call, purpose: str, email: str) -> int:
    """Count a guess about an address; gives what `doors.right` wants. Too many are told to the owner of the account, once."""
    try:
        return await call.services.doors.guess(purpose, email, call.address)
    except AccountLocked as locked:
        call.services.later(locked_out(call, email, datetime.now(UTC) + timedelta(seconds=locked.details["retry_after"])))
        raise


async def locked_out(call: Call, email: str, until: datetime) -> None:
    """Tell the owner of an address, if it is anybody's, once in so long."""
    if (account := await account_at(call.services.handler, email)) is not None:
        once = derived(b"locked out", account.bytes, b"%d" % (until.timestamp() // WINDOW))
        await call.settle(LockOut(until=until), account, command_id=once)


async def confirmed(desk: Desk, password: str) -> Account:
    """Return the caller's account if that is his password: for what a found session should not be able to do."""
    email = (await row_of(desk.call.services, desk.who.account)).email or ""
    services = desk.call.services
    async with services.vault.turn():
        attempt = await guess(desk.call, "password", email)
        state = await state_of(services, desk.who.account)
        if not await services.vault.right(state.password, password):
            raise PasswordWrong
        await services.doors.right(attempt)
    return state


def ensure_strong(password: str, email: str) -> None:
    """Refuse a password that is soon guessed."""
    bare = password.casefold().strip()
    local = email.casefold().partition("@")[0]
    if len(password) < LEAST or bare in COMMON or len(set(bare)) < 4 or (len(local) > 3 and bare.startswith(local) and len(bare) < len(local) + 6):  # noqa: PLR2004
        raise PasswordPoor(least=LEAST)


async def set_password(call: Call, account: UUID, password: str, way: Literal["changed", "reset", "forced"]) -> None:
    """Let another password count; whoever holds links that could set it holds them in vain."""
    services = call.services
    ensure_strong(password, (await row_of(services, account)).email or "")
    state = await state_of(services, account)
    state.ensure_active()
    secret = await services.vault.put_password(account, password, keep=[state.password])
    await call.settle(SetPassword(secret_id=secret, way=way), account)
    await void_links(services, account)


async def void_links(services: Services, account: UUID) -> None:
    """Have no letter that went out before set an account's password."""
    for purpose in ("password-reset", "password-code", "password-setup"):
        await services.codes.withdraw(purpose, account)


async def account_for(call: Call, email: str, name: str | None, language: Language = "en") -> UUID:
    """Return the account of an address, opened now if there is none."""
    asked = OpenAccount(email=email, name=name, language=language)
    return await opened(call.services.handler, asked, causation=await call.origin(PLATFORM), correlation=call.correlation)


async def give_place(call: Call, account: UUID, clinic: UUID, role: PlaceRole, subject: UUID) -> None:
    """Let the owner of an account belong to a clinic, as that person of it."""
    await call.settle(GivePlace(clinic_id=clinic, role=role, subject_id=subject), account)


class Me(Frozen):
    """Who you are, here and elsewhere."""

    id: UUID
    email: str | None
    name: str | None
    phone: str | None
    language: str
    role: str
    clinic_id: UUID
    subject_id: UUID | None
    permissions: list[str]
    places: list[PlaceShown]
    superadmin: bool
    has_pin: bool
    impersonator_id: UUID | None


@get("/me", operation_id="GetMe")
async def me(desk: Desk) -> Me:
    """Show: who is signed in."""
    no_query(desk.call.query())
    who = desk.who
    row = await row_of(desk.call.services, who.account)
    return Me(
        id=row.id, email=row.email, name=row.name, phone=row.phone, language=row.language, role=who.role, clinic_id=who.clinic, subject_id=who.subject,
        permissions=sorted(who.grants), places=row.places, superadmin=row.superadmin, has_pin=row.has_pin,
        impersonator_id=who.actor if who.behalf else None)


@patch("/me", operation_id="ChangeProfile", opt={"permission": "self"})
async def change_me(data: JSONBody[ChangeProfile], desk: Desk) -> Me:
    """Change what you say about yourself; what is left out stays."""
    await desk.call.mine(data)
    return await me.fn(desk)  # type: ignore[no-any-return]


class ChangePassword(Frozen, forbid_unknown_fields=True):
    """Your password, and the one that is to count from now on."""

    current_password: Secret
    new_password: Secret


class ForgottenPassword(Frozen, forbid_unknown_fields=True):
    """Whose password it is, and whether a link or six digits should come by mail."""

    email: Email
    way: Annotated[str, Meta(pattern=r"^(link|code)$", examples=["link"])] = "link"


class ResetCode(Frozen, forbid_unknown_fields=True):
    """The six digits that came by mail."""

    email: Email
    otp: Digits


class ResetByCode(ResetCode, forbid_unknown_fields=True):
    """The six digits that came by mail, and the password that is to count from now on."""

    new_password: Secret


class ResetByLink(Frozen, forbid_unknown_fields=True):
    """The token of the link that came by mail, and the password that is to count from now on."""

    token: Secret
    new_password: Secret


class Accepted(Frozen):
    """What was asked for has been taken on."""

    accepted: bool = True


class Checked(Frozen):
    """Whether it can be used."""

    valid: bool


@post("/change-password", operation_id="ChangePassword", status_code=204, opt={"permission": "self", "refusals": [PasswordWrong, PasswordPoor]})
async def change_password(data: JSONBody[ChangePassword], desk: Desk) -> None:
    """Choose another password.

    All your other sessions end.
    """
    desk.call.only_owner()
    await confirmed(desk, data.current_password)
    await set_password(desk.call, desk.who.account, data.new_password, "changed")
    await end_all(desk.call, desk.who.account, "password-changed", but=desk.who.session)


@post("/forgot-password", operation_id="ForgotPassword", status_code=202, opt={"public": True})
async def forgot_password(data: JSONBody[ForgottenPassword], desk: Desk) -> Accepted:
    """Ask for a letter with which you can set a new password.

    The answer is the same for addresses that nobody has.
    """
    await guess(desk.call, "reset", data.email)
    desk.call.services.later(asked(desk.call, data.email, AskPasswordReset(way="code" if data.way == "code" else "link")))
    return Accepted()


async def asked(call: Call, email: str, command: Command) -> None:
    """Have a letter sent to an address, if it is anybody's."""
    if (account := await account_at(call.services.handler, email)) is not None:
        await call.settle(command, account)


@post("/verify-otp", operation_id="VerifyResetCode", status_code=200, opt={"public": True, "refusals": [CodeWrong, AccountLocked]})
async def verify_otp(data: JSONBody[ResetCode], desk: Desk) -> Checked:
    """Check the six digits before asking for a new password; they stay good for setting it, within their five tries."""
    await coded(desk.call, data.email, data.otp, spend=False)
    return Checked(valid=True)


@post("/confirm-password-reset", operation_id="ResetPasswordByCode", status_code=204, opt={
    "public": True, "refusals": [CodeWrong, AccountLocked, PasswordPoor]})
async def confirm_password_reset(data: JSONBody[ResetByCode], desk: Desk) -> None:
    """Set a new password with the six digits that came by mail.

    All sessions end.
    """
    ensure_strong(data.new_password, data.email)
    account = await coded(desk.call, data.email, data.otp, spend=True)
    await reset(desk.call, account, data.new_password)


@post("/reset-password", operation_id="ResetPasswordByLink", status_code=204, opt={"public": True, "refusals": [CodeWrong, PasswordPoor]})
async def reset_password(data: JSONBody[ResetByLink], desk: Desk) -> None:
    """Set a new password with the link that came by mail.

    All sessions end.
    """
    ensure_strong(data.new_password, "")
    account = await desk.call.services.codes.redeem("password-reset", data.token)
    if account is None:
        raise CodeWrong
    await reset(desk.call, account, data.new_password)


async def coded(call: Call, email: str, otp: str, *, spend: bool) -> UUID:
    """Return the account of an address if these are the digits it was sent."""
    attempt = await guess(call, "reset-code", email)
    account = await account_at(call.services.handler, email)
    codes = call.services.codes
    right = await (codes.redeem_digits if spend else codes.check_digits)("password-code", account or PLATFORM, otp)
    if account is None or not right:
        raise CodeWrong
    if spend:
        await call.services.doors.right(attempt)
    return account


async def reset(call: Call, account: UUID, password: str) -> None:
    """Set a password whose owner has shown what came by mail."""
    await set_password(call, account, password, "reset")
    await end_all(call, account, "password-changed")


class Discovery(Frozen, forbid_unknown_fields=True):
    """Whose clinics are wanted."""

    email: Email


@post("/clinics", operation_id="DiscoverClinics", status_code=202, opt={"public": True})
async def discover(data: JSONBody[Discovery], desk: Desk) -> Accepted:
    """Ask for a letter that lists the clinics of an address.

    The answer is the same for addresses that nobody has: who belongs where is told to the owner of the address alone.
    """
    await guess(desk.call, "discovery", data.email)
    desk.call.services.later(asked(desk.call, data.email, AskClinics()))
    return Accepted()


class ChoosePin(Frozen, forbid_unknown_fields=True):
    """The digits with which you take over a shared device, and your password."""

    pin: Pin
    password: Secret


class Confirmed(Frozen, forbid_unknown_fields=True):
    """Your password: it is really you."""

    password: Secret


@put("/pin", operation_id="ChoosePin", status_code=204, opt={"permission": "self", "refusals": [PasswordWrong]})
async def choose_pin(data: JSONBody[ChoosePin], desk: Desk) -> None:
    """Choose the digits with which you take over a shared device at the front desk."""
    desk.call.only_owner()
    state = await confirmed(desk, data.password)
    secret = await desk.call.services.vault.put_password(desk.who.account, data.pin, "pin", [state.pin])
    await desk.call.mine(SetPin(secret_id=secret))


@delete("/pin", operation_id="DropPin", status_code=204, opt={"permission": "self"})
async def drop_pin(desk: Desk) -> None:
    """Be no longer switched to by digits."""
    await desk.call.mine(SetPin())


router = Router("/api/v1/auth", tags=["Account"], opt={"lapsed": True}, route_handlers=[
    me, change_me, change_password, forgot_password, verify_otp, confirm_password_reset, reset_password, discover, choose_pin, drop_pin,
])

__all__ = ["PasswordPoor", "account_at", "router"]
