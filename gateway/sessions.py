"""Sessions: beginning one, going on with it, listing them, ending them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, convert

from commands.kit.ids import derived, new_id
from commands.kit.receipt import house
from commands.kit.stays import RefreshInvalid, RefreshReused, Stay
from commands.sessions import EndSession, StartSession
from domain.kit import PLATFORM, Frozen, NotFound
from domain.sessions import Client as Client  # noqa: PLC0414 - the entrance wants it too
from domain.sessions import Ending
from domain.sessions import Proof as Proof  # noqa: PLC0414 - likewise
from gateway.kit import Desk
from gateway.kit.call import Call
from gateway.kit.cookies import Tokens
from gateway.kit.members import NoMember
from gateway.kit.query import no_query
from gateway.kit.services import Services
from gateway.kit.tokens import Claims

Secret = Annotated[str, Meta(min_length=1, max_length=1024)]
SessionId = Annotated[UUID, PathParameter(description="Id of one of your sessions.")]

DAY = 86_400
LASTS: dict[Client, int] = {"web": 30 * DAY, "mobile": 90 * DAY, "device": DAY // 2}
"""Seconds without a refresh after which a session ends by itself."""


class Refresh(Frozen, forbid_unknown_fields=True):
    """The refresh token of the last answer; without it, that of the cookies."""

    refresh_token: Secret | None = None


class User(Frozen):
    """Who is signed in, and what he may do."""

    id: UUID
    role: str
    clinic_id: UUID
    subject_id: UUID | None
    name: str | None
    permissions: list[str]
    impersonator_id: UUID | None = None


class SessionOpened(Frozen):
    """What it takes to go on: a short-lived access token, and a refresh token that is good for one use.

    Access tokens last a quarter of an hour (an hour on somebody's own telephone); a session without a refresh for 30 days (90 on a telephone, 12 hours
    on a shared device) ends by itself. Whoever sends `X-Session: cookies` over https gets both tokens in cookies that no script can read, and none here; what then
    changes something needs the header `X-CSRF-Token` with the value of the cookie whose name ends in `csrf`.
    """

    access_token: str | None
    refresh_token: str | None
    expires_in: int
    user: User


class SessionShown(Frozen):
    """One of your open sessions, and from where it was opened."""

    id: UUID
    clinic_id: UUID
    role: str
    client: str
    proofs: list[str]
    address: str
    agent: str
    opened_at: datetime
    used_at: datetime
    current: bool
    impersonator_id: UUID | None


class SessionsShown(Frozen):
    """Your open sessions, the one used last first."""

    items: list[SessionShown]


async def begin(
    call: Call, account: UUID, state: Any, proofs: list[Proof], *, clinic: UUID | None = None, client: Client = "web", impersonator: UUID | None = None,
    before: UUID | None = None, reason: str | None = None,
) -> SessionOpened:
    """Open a session for somebody who has proved who he is, in the clinic he wants or in his first."""
    where, role, subject = place_of(state, clinic)
    _ = call.wants_cookies  # cookies that cannot be given are refused before anything is opened
    stay = Stay(new_id(), account, where, role, subject, client, list(proofs), impersonator, before)
    if role == "superadmin" and where != PLATFORM and not await call.services.handler.known(where, call.services.kinds.clinic.kind, where):
        raise NoMember(clinic=where)
    await call.services.members.who(_claims(stay))  # whoever may not come in is told so before anything is opened
    refresh = await call.services.stays.open(stay, LASTS[client], address=call.address, agent=call.agent, reason=reason)
    started = StartSession(
        account_id=account, role=role, subject_id=subject, client=client, proofs=proofs, impersonator_id=impersonator, reason=reason)
    await call.settle(started, impersonator or account, id=stay.id, clinic=where)
    return await answer(call, stay, refresh)


def place_of(state: Any, clinic: UUID | None) -> tuple[UUID, Any, UUID | None]:
    """Return where somebody is going to be, as what and as whom."""
    place = next((p for p in state.places if clinic in (None, p.clinic)), None)
    if state.superadmin and (place is None or clinic is None):
        return clinic or PLATFORM, "superadmin", None
    if place is None:
        raise NoMember(clinic=clinic)
    return place.clinic, place.role, place.subject


async def answer(call: Call, stay: Stay, refresh: str) -> SessionOpened:
    """Return the tokens of a session, to be sent to whoever opened it."""
    services = call.services
    who = await services.members.who(_claims(stay))
    token = services.keys.sign(
        account=stay.account, clinic=stay.clinic, role=who.role, session=stay.id, subject=who.subject, client=stay.client,
        impersonator=stay.impersonator)
    entry = await services.handler.streams.get(services.kinds.account, stay.account, PLATFORM, row=True)
    user = User(
        id=stay.account, role=who.role, clinic_id=who.clinic, subject_id=who.subject, name=getattr(entry.row, "name", None),
        permissions=sorted(who.grants), impersonator_id=stay.impersonator)
    seconds = services.keys.lifetime(stay.client)
    if call.wants_cookies:
        call.give(Tokens(stay.id, token, seconds, refresh, LASTS[convert(stay.client, Client)]))
        return SessionOpened(access_token=None, refresh_token=None, expires_in=seconds, user=user)
    return SessionOpened(access_token=token, refresh_token=refresh, expires_in=seconds, user=user)


def _claims(stay: Stay) -> Claims:
    return Claims(stay.account, stay.clinic, stay.role, stay.id, stay.subject, 0, stay.client, stay.impersonator)


async def end(call: Call, session: UUID, clinic: UUID, account: UUID, why: Ending) -> None:
    """End a session everywhere, and tell it."""
    await call.services.stays.end(session, why)
    await tell(call, session, clinic, account, why)


async def end_all(call: Call, account: UUID, why: Ending, *, clinic: UUID | None = None, but: UUID | None = None) -> int:
    """End somebody's sessions, all or those in one clinic, but for one; gives how many there were."""
    ended = await call.services.stays.end_all(account, why, clinic=clinic, but=but)
    for session, where in ended:
        await tell(call, session, where, account, why)
    return len(ended)


async def tell(call: Call, session: UUID, clinic: UUID, account: UUID, why: Ending) -> None:
    """Tell of a session's end: first to whoever lets people in, then to history, once."""
    await call.services.end_session(session)
    actor = call.who.actor if call.who.session else account
    await call.settle(EndSession(reason=why), actor, id=session, clinic=clinic, command_id=derived(b"session ended", session.bytes))
    await call.services.stays.told(session)


async def sweep(services: Services) -> None:
    """Tell of sessions whose end was decided and never told, because whoever did so died in between; each is told once, however many sweep."""
    for session, clinic, account, why in await services.stays.untold():
        await services.end_session(session)
        ended = derived(b"session ended", session.bytes)
        await services.handler.handle(EndSession(reason=convert(why, Ending)), house(account, clinic), id=session, command_id=ended)
        await services.stays.told(session)


@post("/refresh", operation_id="RefreshSession", status_code=200, opt={"public": True, "refusals": [RefreshInvalid, RefreshReused]})
async def refresh(data: JSONBody[Refresh], desk: Desk) -> SessionOpened:
    """Go on with a session: a new access token, and the refresh token to use next.

    The same refresh token from the same client within ten seconds gives the same answer; any other repetition ends the session, for somebody may have
    copied it.
    """
    call = desk.call
    if (token := data.refresh_token or call.refresh_token()) is None:
        raise RefreshInvalid
    try:
        stay, successor = await call.services.stays.turn(token, address=call.address, agent=call.agent)
    except RefreshReused as reused:
        if (stolen := await call.services.stays.get(reused.details.pop("session"))) is not None:
            await tell(call, stolen.id, stolen.clinic, stolen.account, "refresh-reused")
        raise
    return await answer(call, stay, successor)


@post("/logout", operation_id="SignOut", status_code=204)
async def sign_out(desk: Desk) -> None:
    """End the session; its tokens open nothing any more, here at once and elsewhere within a tenth of a second."""
    await leave(desk)


@get("/logout", operation_id="SignOutByLink", status_code=204)
async def sign_out_by_link(desk: Desk) -> None:
    """End the session, for clients that can only follow a link."""
    await leave(desk)


async def leave(desk: Desk, why: Ending = "signed-out") -> None:
    """End the caller's own session."""
    desk.require("self")
    assert desk.who.session is not None
    desk.call.take_back()
    await end(desk.call, desk.who.session, desk.who.clinic, desk.who.account, why)


@get("/sessions", operation_id="BrowseSessions", opt={"permission": "self"})
async def listed(desk: Desk) -> SessionsShown:
    """List: your open sessions, and from where each was opened."""
    no_query(desk.call.query())
    found = await desk.call.services.stays.of(desk.who.account)
    return SessionsShown(items=[
        SessionShown(
            id=s.id, clinic_id=s.clinic, role=s.role, client=s.client, proofs=s.proofs, address=s.address, agent=s.agent, opened_at=s.opened_at,
            used_at=s.turned_at, current=s.id == desk.who.session, impersonator_id=s.impersonator)
        for s in found])


@delete("/sessions/{id:uuid}", operation_id="EndOneSession", opt={"permission": "self"})
async def end_one(desk: Desk, id: SessionId) -> None:  # noqa: A002
    """End one of your sessions, wherever it is."""
    found = await desk.call.services.stays.get(id)
    if found is None or found.account != desk.who.account or not found.open:
        raise NotFound(kind="sessions", id=str(id))
    await end(desk.call, id, found.clinic, found.account, "ended-elsewhere")


@delete("/sessions", operation_id="EndOtherSessions", opt={"permission": "self"})
async def end_others(desk: Desk) -> None:
    """End all of your sessions but this one."""
    await end_all(desk.call, desk.who.account, "ended-elsewhere", but=desk.who.session)


router = Router("/api/v1/auth", tags=["Authentication"], opt={"lapsed": True}, route_handlers=[refresh, sign_out, sign_out_by_link, listed, end_one, end_others])
