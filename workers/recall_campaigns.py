"""What a patient is written who has not come for long: that it is time, and how to reach the clinic; neither for what nor with whom."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.kit import Fact
from domain.recall_campaigns import CAMPAIGN_LETTER, CampaignCallQueued, RecallCampaign
from domain.recalls import Recall
from workers.kit.outbox import NotNowError, UndeliverableError
from workers.kit.policies import Letter, To, Unsubscribe, answers
from workers.kit.writing import Look, last, whereabouts
from workers.reminders import ensure_awake, ensure_wanted


@answers
def when_CampaignCallQueued(fact: Fact, event: CampaignCallQueued) -> Letter:
    """Whatever has come between by the time it is written keeps it from being sent; while the campaign is paused, and in the quiet hours, it waits."""
    async def particulars(look: Look) -> Mapping[str, str]:
        campaign = await look.state(RecallCampaign, event.campaign_id, fact.clinic)
        if campaign.status == "cancelled":
            raise UndeliverableError("the campaign was cancelled")
        if campaign.status == "paused":
            raise NotNowError("the campaign is paused")
        if not (await look.state(Recall, event.recall_id, fact.clinic)).open:
            raise UndeliverableError("the patient has booked, has declined, or need not be called any more")
        await ensure_wanted(look, event.patient_id, fact.clinic, "recalls")
        await ensure_awake(look, fact.clinic, datetime.now(UTC))
        given = last([one.event for one in await look.facts(event.patient_id, fact.clinic)], "given_name")
        return {
            **({"name": given} if given else {}), "message": campaign.planned.message or "", **await whereabouts(look, campaign.planned.place_id, fact.clinic)}

    unsubscribe = Unsubscribe("unsubscribe/recalls", event.patient_id, "/api/v1/message-wishes/recalls/{token}")
    return Letter(CAMPAIGN_LETTER, To("patients", event.patient_id), sought=particulars, unsubscribe=unsubscribe)
