"""Where those who would like to come say so, by a referral source's link, and where the clinic sees to them."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from commands.kit.doors import REFERRAL_LINKS, REFERRALS
from commands.referral_leads import (
    ConvertReferralLead,
    DismissReferralLead,
    NoteReferralContact,
    ReopenReferralLead,
    SubmitReferralLead,
)
from domain.kit import Text, only
from domain.referral_leads import Consent, ConsentMissing, ContactMissing, Introduction
from gateway.kit import Desk, act, browse, fetch
from gateway.kit.query import no_query
from gateway.referrals import ReferralLinkGone, led
from schemas.referral_leads import ReferralInvitation, ReferralLeadEntry, ReferralLeadRow, ReferralTaken

Token = Annotated[str, Meta(min_length=1, max_length=128, description="The token of the link.")]
TokenInPath = Annotated[str, PathParameter(description="The token of the link.")]


class ReferralForm(Introduction, forbid_unknown_fields=True):
    """Who you are and what you wish; leave a telephone number or an e-mail address."""

    token: Token
    name: Annotated[Text, Meta(pattern=r"\S")]
    consent: Consent


@get("/{token:str}", operation_id="GetReferralInvitation", opt={"public": True, "refusals": [ReferralLinkGone]})
async def invitation(desk: Desk, token: TokenInPath) -> ReferralInvitation:
    """Show: to which clinic a link leads, for the page that has the form."""
    no_query(desk.call.query())
    await led(desk, token)
    clinic = await desk.clinic()
    return ReferralInvitation(clinic_id=desk.who.clinic, clinic_name=clinic.name)


@post("/", operation_id="SubmitReferralLead", status_code=202, opt={"public": True, "refusals": [ReferralLinkGone, ConsentMissing, ContactMissing]})
async def submit(desk: Desk, data: JSONBody[ReferralForm]) -> ReferralTaken:
    """Say that you would like to come, by a link that somebody gave you; the clinic comes back to you.

    Ten an hour from one network address, a hundred an hour by one link.
    """
    doors = desk.call.services.doors
    await doors.enter(REFERRALS, desk.call.address)
    named = await led(desk, data.token)
    await doors.enter(REFERRAL_LINKS, str(named.subject))
    await desk.handle(SubmitReferralLead(**only(Introduction, data), referral_id=named.subject, number=named.number, consent=data.consent))
    return ReferralTaken()


router = Router("/api/v1", tags=["Referrals"], route_handlers=[
    Router("/public-referrals", route_handlers=[invitation, submit]),
    Router("/protected/referral-leads", route_handlers=[
        browse(
            "/", ReferralLeadEntry, by=["status", "referral_id", "patient_id", "kind", "submitted_at.."], sort="-submitted_at", sorts=["status"]),
        fetch("/{id:uuid}", ReferralLeadRow),
        act("/{id:uuid}/contact", NoteReferralContact),
        act("/{id:uuid}/convert", ConvertReferralLead),
        act("/{id:uuid}/dismiss", DismissReferralLead),
        act("/{id:uuid}/reopen", ReopenReferralLead),
    ]),
])
