"""Signing in, going on, signing out."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from commands.kit.accounts import (
    AccountDisabled,
    CredentialsWrong,
    NoMember,
    Opened,
    RefreshInvalid,
    RefreshReused,
)
from commands.kit.doors import AccountLocked
from domain.kit import Frozen
from gateway.kit import Desk
from gateway.kit.services import Services

Secret = Annotated[str, Meta(min_length=1, max_length=1024)]


class SignIn(Frozen, forbid_unknown_fields=True):
    """E-mail address and password; the clinic only for those who belong to several."""

    email: Annotated[str, Meta(min_length=3, max_length=320, examples=["doctor@clinic.example"])]
    password: Annotated[Secret, Meta(examples=["correct horse battery staple"])]
    clinic_id: UUID | None = None


class Refresh(Frozen, forbid_unknown_fields=True):
    """The refresh token of the last answer."""

    refresh_token: Secret


class User(Frozen):
    """Who is signed in, and what he may do."""

    id: UUID
    role: str
    clinic_id: UUID
    subject_id: UUID | None
    name: str | None
    permissions: list[str]


class Session(Frozen):
    """What it takes to go on: an access token of fifteen minutes, and a refresh token that is good for one use within thirty days."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: User


class KeySet(Frozen):
    """The public keys with which anybody can check an access token."""

    keys: list[dict[str, str]]


async def _session(services: Services, opened: Opened) -> Session:
    member = opened.member
    who = await services.gate.who(member.account, member.clinic, member.role, member.subject, opened.session)
    token = services.keys.sign(actor=who.actor, clinic=who.clinic, role=who.role, session=opened.session, subject=who.subject)
    user = User(
        id=who.actor, role=who.role, clinic_id=who.clinic, subject_id=who.subject, name=member.name, permissions=sorted(who.grants))
    return Session(access_token=token, refresh_token=opened.refresh, expires_in=services.keys.lifetime, user=user)


@post("/signin", operation_id="SignIn", status_code=200, opt={"public": True, "refusals": [CredentialsWrong, AccountLocked, AccountDisabled, NoMember]})
async def sign_in(data: JSONBody[SignIn], request: Request[Any, Any, Any]) -> Session:
    """Open a session with an e-mail address and a password."""
    services: Services = request.app.state.services
    address = request.client.host if request.client else ""
    return await _session(services, await services.accounts.sign_in(data.email, data.password, address, data.clinic_id))


@post("/refresh", operation_id="RefreshSession", status_code=200, opt={"public": True, "refusals": [RefreshInvalid, RefreshReused]})
async def refresh(data: JSONBody[Refresh], request: Request[Any, Any, Any]) -> Session:
    """Go on with a session: a new access token, and the refresh token to use next.

    The same refresh token within ten seconds gives the same answer; later use ends the session, for somebody may have copied it.
    """
    services: Services = request.app.state.services
    try:
        return await _session(services, await services.accounts.refresh(data.refresh_token))
    except RefreshReused as reused:
        await services.end_session(reused.details.pop("session"))
        raise


@post("/logout", operation_id="SignOut", status_code=204)
async def sign_out(desk: Desk) -> None:
    """End the session; its tokens open nothing any more, here at once and elsewhere within a tenth of a second."""
    await _end(desk)


@get("/logout", operation_id="SignOutByLink", status_code=204)
async def sign_out_by_link(desk: Desk) -> None:
    """End the session, for clients that can only follow a link."""
    await _end(desk)


async def _end(desk: Desk) -> None:
    session = desk.who.session
    assert session is not None
    await desk.call.services.accounts.end(session)
    await desk.call.services.end_session(session)


@get("/.well-known/jwks.json", operation_id="Keys", tags=["Authentication"], opt={"public": True})
async def keys(request: Request[Any, Any, Any]) -> Response[KeySet]:
    """Show the public keys."""
    services: Services = request.app.state.services
    return Response(KeySet(**services.keys.jwks()), headers={"cache-control": "public, max-age=300"})


router = Router("/api/v1/auth", tags=["Authentication"], route_handlers=[sign_in, refresh, sign_out, sign_out_by_link])
