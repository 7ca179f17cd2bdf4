"""Where upgrades live on the web: what clinics ask for, what we offer, and what is decided."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter

from commands.upgrades import (
    AnswerUpgradeInvite,
    ChangeSeatRequest,
    DecideUpgradeRequest,
    MintUpgradeInvite,
    RequestSeats,
    RequestUpgrade,
    WithdrawUpgradeInvite,
)
from domain.kit import NotFound, only
from domain.upgrades import (
    NothingWished,
    UpgradeInvite,
    UpgradeOfferGone,
    UpgradeOfferUsed,
    UpgradeRequestPending,
    Wish,
    request_of,
)
from gateway.kit import Desk, act, browse, create
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from schemas.upgrades import UpgradeAsked, UpgradeInviteRow, UpgradeLink, UpgradeOffer, UpgradeRequestRow

PURPOSE = "upgrade.invite"
DAY = 86_400  # seconds
Token = Annotated[str, PathParameter(description="The token of the link.")]
LAPSED: dict[str, Any] = {"lapsed": True}  # whoever's subscription has run out must be able to ask for another


@post("/upgrade-invite-token", operation_id="MintUpgradeInvite", status_code=201, opt={"permission": "superadmin", "refusals": [NotFound, NothingWished]})
async def mint(desk: Desk, data: JSONBody[MintUpgradeInvite]) -> UpgradeLink:
    """Offer a clinic an upgrade, by a link that anybody who holds it can answer. It is shown once."""
    await desk.within(data.clinic_id)
    receipt = await desk.handle(data)
    row: Any = receipt.row
    token = await desk.call.services.codes.issue(PURPOSE, receipt.id, data.days * DAY, desk.who.clinic)
    return UpgradeLink(id=receipt.id, token=token, url=f"{desk.call.services.address}/upgrade/{token}", expires_at=row.expires_at)


@get("/{token:str}", operation_id="GetUpgradeOffer", opt={"public": True, "refusals": [UpgradeOfferGone]})
async def offer(desk: Desk, token: Token) -> UpgradeOffer:
    """Show: what we offer, to whoever holds the link."""
    no_query(desk.call.query())
    invite, row = await offered(desk, token)
    clinic = await desk.clinic()
    return UpgradeOffer(
        clinic_name=clinic.name, current_plan=clinic.plan, pricing=row.pricing, message=row.message, expires_at=row.expires_at, answered=invite.taken,
        **only(Wish, row),
    )


@post("/{token:str}/request", operation_id="AnswerUpgradeInvite", status_code=201, opt={
    "public": True, "refusals": [UpgradeOfferGone, UpgradeOfferUsed, UpgradeRequestPending]})
async def answer(desk: Desk, token: Token, data: JSONBody[AnswerUpgradeInvite]) -> UpgradeAsked:
    """Ask for the upgrade that was offered. Say who you are, so that we can come back to you."""
    _, row = await offered(desk, token)
    await desk.handle(data, row.id)
    return UpgradeAsked(request_id=request_of(row.id))


async def offered(desk: kit.Desk, token: str) -> tuple[UpgradeInvite, UpgradeInviteRow]:
    """Return the offer behind a link, and go on in its clinic; both as they are in the store."""
    services = desk.call.services
    whose = await services.codes.whose(PURPOSE, token)
    if whose is None or whose.clinic is None:
        raise UpgradeOfferGone
    await desk.enter(whose.clinic)
    entry = await services.handler.streams.get(UpgradeInvite, whose.subject, whose.clinic, row=True)
    invite: Any = entry.state
    row: Any = entry.row
    if row is None:
        raise UpgradeOfferGone
    invite.ensure_open(datetime.now(UTC))
    return invite, row


FILTERS = ["clinic", "status", "requested_at.."]

router = Router("/api/v1", tags=["Upgrades"], route_handlers=[
    Router("/protected/billing", route_handlers=[
        browse(
            "/license-requests", UpgradeRequestRow, by=FILTERS, sort="-requested_at", only={"about": "seats"}, opt=LAPSED,
            operation_id="BrowseSeatRequests", summary="List: your requests for more seats, and what became of them"),
        create("/license-requests", RequestSeats, opt=LAPSED),
        act("/license-requests/{id:uuid}", ChangeSeatRequest, "PATCH", opt=LAPSED),
        browse("/upgrade-requests", UpgradeRequestRow, by=["about", *FILTERS], sort="-requested_at", opt=LAPSED),
        create("/upgrade-requests", RequestUpgrade, opt=LAPSED),
        mint,
        browse("/upgrade-invites", UpgradeInviteRow, by=["clinic", "status", "offered_at.."], sort="-offered_at"),
        act("/upgrade-invites/{id:uuid}", WithdrawUpgradeInvite, "DELETE"),
    ]),
    Router("/protected/admin", route_handlers=[
        browse(
            "/upgrade-requests", UpgradeRequestRow, by=["about", *FILTERS], sort="-requested_at", permission="superadmin",
            operation_id="BrowseAllUpgradeRequests", summary="List: what clinics ask for, plans and seats"),
        act("/upgrade-requests/{id:uuid}/decision", DecideUpgradeRequest),
    ]),
    Router("/upgrade-invite", route_handlers=[offer, answer]),
])
