"""Passkeys: signing in with what a telephone, a computer or a hardware key proves, without a password."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, convert, field, json, to_builtins

from commands.kit.vault import Kept
from commands.passkeys import RegisterPasskey, RemovePasskey, RenamePasskey, account_with, passkey_of
from domain.kit import PLATFORM, Frozen, NotFound, Text, UserInactive
from gateway.accounts import row_of, state_of
from gateway.factors import IDENTITY_REFUSALS, Identity, identified
from gateway.kit import Desk
from gateway.kit.call import Call
from gateway.kit.document import refusals_of
from gateway.kit.members import ClinicInactive, NoMember
from gateway.kit.passkeys import SECONDS, PasskeysUnavailable, PasskeyWrong, Relying, challenge_in, raw
from gateway.kit.query import no_query
from gateway.sessions import Client, SessionOpened, begin

Encoded = Annotated[str, Meta(max_length=20_000, description="Bytes as base64url, as a browser's `toJSON()` gives them.")]
PasskeyPath = Annotated[UUID, PathParameter(description="Id of one of your passkeys.")]

REGISTER, SIGN_IN = "passkey-register", "passkey-sign-in"  # purposes of challenges


class Attestation(Frozen):
    """What a device has made."""

    client_data: Encoded = field(name="clientDataJSON")
    attestation: Encoded = field(name="attestationObject")


class NewCredential(Frozen):
    """A new key, as `navigator.credentials.create()` answers and `toJSON()` writes it."""

    id: Encoded
    raw_id: Encoded
    response: Attestation
    type: Annotated[str, Meta(pattern="^public-key$", examples=["public-key"])] = "public-key"


class Assertion(Frozen):
    """What a device has signed."""

    client_data: Encoded = field(name="clientDataJSON")
    authenticator_data: Encoded
    signature: Encoded
    user_handle: Encoded | None = None


class UsedCredential(Frozen):
    """A key that was used, as `navigator.credentials.get()` answers and `toJSON()` writes it."""

    id: Encoded
    raw_id: Encoded
    response: Assertion
    type: Annotated[str, Meta(pattern="^public-key$", examples=["public-key"])] = "public-key"


class NewPasskey(Frozen, forbid_unknown_fields=True):
    """The key that a device has made, and what to call it."""

    credential: NewCredential
    name: Text = "Passkey"


class PasskeySignIn(Frozen, forbid_unknown_fields=True):
    """What a device has signed; the clinic only for those who belong to several."""

    credential: UsedCredential
    clinic_id: UUID | None = None
    client: Client = "web"


class PasskeyName(Frozen, forbid_unknown_fields=True):
    """What to call it."""

    name: Text


class RegistrationOptions(Frozen):
    """What `navigator.credentials.create()` wants to know, by way of `PublicKeyCredential.parseCreationOptionsFromJSON()`. Good once, for five minutes."""

    challenge: str
    rp: dict[str, str]
    user: dict[str, str]
    pub_key_cred_params: list[dict[str, Any]]
    timeout: int
    exclude_credentials: list[dict[str, Any]]
    authenticator_selection: dict[str, Any]
    attestation: str


class SignInOptions(Frozen):
    """What `navigator.credentials.get()` wants to know, by way of `PublicKeyCredential.parseRequestOptionsFromJSON()`. Good once, for five minutes."""

    challenge: str
    rp_id: str
    timeout: int
    user_verification: str


class PasskeyKept(Frozen):
    """One of your passkeys."""

    id: UUID
    name: str | None
    registered_at: datetime


class PasskeysKept(Frozen):
    """Your passkeys, the oldest first."""

    items: list[PasskeyKept]


class PublicKey(Frozen):
    """What the vault keeps of a passkey."""

    credential: bytes
    key: bytes


def relying(call: Call) -> Relying:
    return Relying.of(call.services.settings)


async def key_of(call: Call, secret: UUID) -> tuple[Kept, PublicKey]:
    """Return the public key of a passkey, and how often it was used."""
    kept = await call.services.vault.unsealed(secret)
    if kept is None:
        raise PasskeyWrong
    return kept, json.decode(kept.secret, type=PublicKey)


async def answered(call: Call, purpose: str, client_data: str, subject: UUID) -> str:
    """Return the challenge that was answered and is used up by it; it must be one of ours, for that purpose and person."""
    challenge = challenge_in(client_data)
    if await call.services.codes.redeem(purpose, challenge) != subject:
        raise PasskeyWrong
    return challenge


@post("/register/options", operation_id="BeginPasskey", status_code=200, opt={
    "permission": "self", "refusals": [*IDENTITY_REFUSALS, PasskeysUnavailable]})
async def register_options(data: JSONBody[Identity], desk: Desk) -> RegistrationOptions:
    """Ask a device to make a passkey; it takes your password or a code of your second factor."""
    call, party = desk.call, relying(desk.call)
    state: Any = await identified(desk, data)
    row = await row_of(call.services, desk.who.account)
    known = [(await key_of(call, passkey.secret))[1].credential for passkey in state.passkeys]
    challenge = await call.services.codes.issue(REGISTER, row.id, SECONDS)
    options = party.to_register(challenge, row.id.bytes, row.email or "", row.name or row.email or "", known)
    return convert({"excludeCredentials": [], **options}, RegistrationOptions)


@post("/register", operation_id="AddPasskey", status_code=201, opt={
    "permission": "self", "refusals": [PasskeyWrong, PasskeysUnavailable, *refusals_of(RegisterPasskey)]})
async def register(data: JSONBody[NewPasskey], desk: Desk) -> PasskeyKept:
    """Keep the passkey that a device has made; it opens the account from now on."""
    call, account, party = desk.call, desk.who.account, relying(desk.call)
    call.only_owner()
    challenge = await answered(call, REGISTER, data.credential.response.client_data, account)
    made = party.registered(to_builtins(data.credential), challenge)
    state: Any = await state_of(call.services, account)
    secret = json.encode(PublicKey(credential=made.credential_id, key=made.credential_public_key))
    kept = await call.services.vault.put_sealed(account, secret, "passkey", [passkey.secret for passkey in state.passkeys])
    await call.services.vault.advance(kept, made.sign_count)
    passkey = passkey_of(made.credential_id)
    await call.settle(RegisterPasskey(passkey_id=passkey, secret_id=kept, name=data.name), account)
    return next(one for one in await mine(desk) if one.id == passkey)


@post("/authenticate/options", operation_id="BeginPasskeySignIn", status_code=200, opt={"public": True, "refusals": [PasskeysUnavailable]})
async def authenticate_options(desk: Desk) -> SignInOptions:
    """Ask a device to sign in with whichever passkey it has for us."""
    party = relying(desk.call)
    return convert(party.to_sign_in(await desk.call.services.codes.issue(SIGN_IN, PLATFORM, SECONDS)), SignInOptions)


@post("/authenticate", operation_id="SignInWithPasskey", status_code=200, opt={
    "public": True, "refusals": [PasskeyWrong, PasskeysUnavailable, UserInactive, NoMember, ClinicInactive]})
async def authenticate(data: JSONBody[PasskeySignIn], desk: Desk) -> SessionOpened:
    """Open a session with a passkey; no password and no second factor is needed."""
    call, used, party = desk.call, data.credential, relying(desk.call)
    challenge = await answered(call, SIGN_IN, used.response.client_data, PLATFORM)
    passkey = passkey_of(raw(used.raw_id))
    account = await account_with(call.services.handler, passkey)
    if account is None or (used.response.user_handle not in {None, ""} and raw(used.response.user_handle or "") != account.bytes):
        raise PasskeyWrong
    state: Any = await state_of(call.services, account)
    kept, known = await key_of(call, state.passkey(passkey).secret)
    proof = party.proved(to_builtins(used), challenge, known.key, kept.counter)
    if proof.new_sign_count and not await call.services.vault.advance(kept.id, proof.new_sign_count):
        raise PasskeyWrong
    state.ensure_active()
    return await begin(call, account, state, ["passkey"], clinic=data.clinic_id, client=data.client)


async def mine(desk: Desk) -> list[PasskeyKept]:
    row = await row_of(desk.call.services, desk.who.account)
    return [PasskeyKept(id=one.id, name=one.name, registered_at=one.registered_at) for one in row.passkeys]


@get("/", operation_id="BrowsePasskeys", opt={"permission": "self"})
async def listed(desk: Desk) -> PasskeysKept:
    """List: your passkeys."""
    no_query(desk.call.query())
    return PasskeysKept(items=await mine(desk))


@patch("/{id:uuid}", operation_id="RenamePasskey", opt={"permission": "self", "refusals": [NotFound]})
async def rename(data: JSONBody[PasskeyName], desk: Desk, id: PasskeyPath) -> PasskeysKept:  # noqa: A002
    """Call a passkey something else."""
    await desk.call.mine(RenamePasskey(passkey_id=id, name=data.name))
    return PasskeysKept(items=await mine(desk))


@delete("/{id:uuid}", operation_id="RemovePasskey", status_code=204, opt={"permission": "self", "refusals": [NotFound]})
async def remove(desk: Desk, id: PasskeyPath) -> None:  # noqa: A002
    """Let a device's key open the account no more."""
    await desk.call.mine(RemovePasskey(passkey_id=id))


router = Router("/api/v1/auth/passkeys", tags=["Passkeys"], opt={"lapsed": True}, route_handlers=[
    register_options, register, authenticate_options, authenticate, listed, rename, remove,
])
