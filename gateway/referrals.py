"""Where referral sources and their links live on the web."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Router, get, post
from litestar.params import PathParameter

from commands.kit.links import Named
from commands.referrals import (
    AddReferralSource,
    ChangeReferralSource,
    DeleteReferralSource,
    MakeReferralLink,
    WithdrawReferralLink,
)
from domain.kit import NotFound
from domain.referrals import ReferralLinkGone as ReferralLinkGone  # noqa: PLC0414 - the leads' door wants it too
from domain.referrals import ReferralLinkMissing, ReferralNotInUse, ReferralSource
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from schemas.referrals import ReferralEntry, ReferralLink, ReferralRow

PURPOSE = "referral"
ReferralSourceId = Annotated[UUID, PathParameter(description="Id of the referral source.")]


@post("/{id:uuid}/link", operation_id="MakeReferralLink", status_code=201, opt={
    "permission": MakeReferralLink.permission, "refusals": [NotFound, ReferralNotInUse]})
async def make(desk: Desk, id: ReferralSourceId) -> ReferralLink:  # noqa: A002
    """Give a referral source a link to be handed out. The one before leads nowhere from now on."""
    row: Any = (await desk.handle(MakeReferralLink(), id)).row
    return shown(desk, id, row.link)


@get("/{id:uuid}/link", operation_id="GetReferralLink", opt={"permission": ReferralRow.permission, "refusals": [NotFound, ReferralLinkMissing]})
async def link(desk: Desk, id: ReferralSourceId) -> ReferralLink:  # noqa: A002
    """Show: the link of a referral source, to be handed out again."""
    no_query(desk.call.query())
    row = await desk.reader.one(ReferralRow, id)
    if row is None or row.deleted:
        raise NotFound(kind="referrals", id=str(id))
    if row.link is None:
        raise ReferralLinkMissing
    return shown(desk, id, row.link)


def shown(desk: kit.Desk, source: UUID, number: int) -> ReferralLink:
    """Return a link as it is handed out."""
    token = desk.call.services.links.token(PURPOSE, source, number)
    return ReferralLink(id=source, number=number, token=token, url=f"{desk.call.services.address}/referral/{token}")


async def led(desk: kit.Desk, token: str) -> Named:
    """Go on in the clinic to which a link leads; whoever made none cannot tell whether there was ever such a source."""
    services = desk.call.services
    named = services.links.read(PURPOSE, token)
    clinic = await services.handler.tenant_of(named.subject) if named else None
    if named is None or clinic is None:
        raise ReferralLinkGone
    await desk.enter(clinic)
    if not (await desk.clinic()).active:
        raise ReferralLinkGone
    entry = await services.handler.streams.get(ReferralSource, named.subject, clinic)
    assert isinstance(entry.state, ReferralSource)
    entry.state.ensure_open(named.number)
    return named


router = Router("/api/v1/protected/referrals", tags=["Referrals"], route_handlers=[
    browse("/", ReferralEntry, by=["kind", "active"], sort="sort_name", sorts=["added_at", "kind", "leads", "converted"]),
    fetch("/{id:uuid}", ReferralRow),
    create("/", AddReferralSource),
    act("/{id:uuid}", ChangeReferralSource, "PUT"),
    act("/{id:uuid}", DeleteReferralSource, "DELETE"),
    make,
    link,
    act("/{id:uuid}/link", WithdrawReferralLink, "DELETE"),
])
