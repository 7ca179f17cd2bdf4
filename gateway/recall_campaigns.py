"""Where campaigns live on the web that write to patients who have not come for long; and where each patient's call comes about by itself."""

import asyncio
import datetime as dt
from contextlib import suppress
from uuid import UUID

from litestar import Router, post
from litestar.params import JSONBody

from commands.kit.receipt import house
from commands.recall_campaigns import (
    CallForCampaign,
    CancelRecallCampaign,
    ChangeRecallCampaign,
    DraftRecallCampaign,
    FinishRecallCampaign,
    PauseRecallCampaign,
    StartRecallCampaign,
)
from domain.kit import PLATFORM, Frozen, NotFound, Refused, day
from domain.recall_campaigns import Audience, CampaignAudienceEmpty, window_of
from domain.recalls import RecallKind
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.services import Services
from gateway.recalls import months_before
from projections.recall_campaigns import Running, running
from projections.recalls import Cohort, Meant, cohort
from schemas.recall_campaigns import CampaignCallEntry, CampaignPreview, RecallCampaignEntry, RecallCampaignRow

SHOWN = 20  # patients of a preview
MANY = 500  # calls of a campaign in one round
TOGETHER = 25  # of which so many are under way


class CampaignAsked(Audience, Frozen, forbid_unknown_fields=True):
    """Whom a campaign would mean, and for what."""

    kind: RecallKind


@post("/preview", operation_id="PreviewRecallCampaign", status_code=200, summary="Say whom a campaign would mean", opt={
    "permission": DraftRecallCampaign.permission, "refusals": [NotFound, CampaignAudienceEmpty]})
async def preview(desk: Desk, data: JSONBody[CampaignAsked]) -> CampaignPreview:
    """As things stand today, with counts: nobody is written to, and nothing is kept.

    Whoever has a visit to come, has an open recall of that kind, has declined one since their last visit, or has said that they do not want to be called back is not meant.
    """
    data.ensure_possible()
    for kind, id_ in (("staff", data.doctor_id), ("places", data.place_id)):
        if id_ is not None and not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=str(id_))
    today = day(dt.datetime.now(dt.UTC), (await desk.clinic()).zone)
    found = await cohort(desk.reader, meant(data, data.kind, today), SHOWN)
    return CampaignPreview(found=found.found, reachable=found.reachable, unwanted=found.refused, items=found.items)


def meant(audience: Audience | RecallCampaignRow, kind: RecallKind, today: dt.date, campaign: UUID | None = None, window: int | None = None) -> Cohort:
    """Return an audience as patients are looked for."""
    since = None if audience.within_months is None else months_before(today, audience.within_months)
    return Cohort(
        kind, months_before(today, audience.months), today, audience.doctor_id, since, audience.place_id, audience.age_from, audience.age_to,
        [*audience.groups] or None, campaign, window)


async def tend(services: Services, now: dt.datetime | None = None) -> None:
    """Call whoever is meant by a campaign that is under way, each once, however many gateways look; `now` is another moment than this one, if a test says so."""
    for one in await running(services.reading.lanes):
        with suppress(Refused):  # the next round looks again
            await tended(services, one, now)


async def tended(services: Services, one: Running, now: dt.datetime | None) -> None:
    """Go on with one campaign: some more calls, or its end."""
    reader = await services.reader(one.clinic)
    campaign = await reader.one(RecallCampaignRow, one.campaign)
    today = day(now or dt.datetime.now(dt.UTC), (await services.handler.clinic(one.clinic)).zone)
    window = window_of(campaign.starts_on, campaign.repeat_months, today) if campaign else None
    if campaign is None or window is None:
        return
    found: Meant = await cohort(reader, meant(campaign, campaign.kind, today, one.campaign, window), MANY)
    if not found.items and campaign.repeat_months is None:
        await services.handler.handle(FinishRecallCampaign(), house(PLATFORM, one.clinic), id=one.campaign, now=now)
    patients = [item.patient_id for item in found.items]
    for first in range(0, len(patients), TOGETHER):
        await asyncio.gather(*(call(services, one, patient, window, now) for patient in patients[first : first + TOGETHER]))


async def call(services: Services, one: Running, patient: UUID, window: int, now: dt.datetime | None) -> None:
    """Call a patient, or note why not; none keeps the others waiting, and whoever else sees to it at the same moment finds it done."""
    command = CallForCampaign(campaign_id=one.campaign, patient_id=patient, window=window)
    with suppress(Refused):  # somebody makes them a recall just then, or the database is away: the next round looks again
        await services.handler.handle(command, house(PLATFORM, one.clinic), now=now)


router = Router("/api/v1/protected/recall-campaigns", tags=["Recalls"], route_handlers=[
    browse("/", RecallCampaignEntry, by=["status", "kind", "drafted_at.."], sort="-drafted_at", sorts=["name", "starts_on"]),
    browse("/calls", CampaignCallEntry, by=["campaign_id", "patient_id", "round", "status", "skipped", "recall_status"], sort="-noted_at", csv=True),
    fetch("/{id:uuid}", RecallCampaignEntry),
    preview,
    create("/", DraftRecallCampaign),
    act("/{id:uuid}", ChangeRecallCampaign, "PUT"),
    act("/{id:uuid}/start", StartRecallCampaign),
    act("/{id:uuid}/pause", PauseRecallCampaign),
    act("/{id:uuid}/cancel", CancelRecallCampaign),
])
