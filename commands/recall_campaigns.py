"""What may be asked about writing to all patients who have not come for long, and about each one's call."""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from commands.patients import addressee
from commands.recalls import open_one, wishes_of
from domain.kit import At, Elsewhere, Event, Frozen, PatientId
from domain.message_wishes import MessageWishes, message_wishes_of
from domain.patients import Patient
from domain.recall_campaigns import (
    Called,
    CallSkip,
    CampaignCall,
    CampaignId,
    Plan,
    RecallCampaign,
    Window,
    call_of,
    recall_of,
)
from domain.recalls import Calling, Recall, RecallWish
from domain.reminders import ReminderSettings, reminder_settings_of

Instant = Annotated[dt.datetime, Meta(tz=True)]
BATCH = "clinical.recalls.batch_generate"


class DraftRecallCampaign(Plan, Creation):
    """Draft a campaign: who is meant, and what is said. Nobody is written to before it is started."""

    state = RecallCampaign
    permission = BATCH

    def decide(self, campaign: RecallCampaign, at: At) -> list[Event]:
        return campaign.draft(self, at.today)


class ChangeRecallCampaign(Plan, Command):
    """Change whom a campaign means, or what it says; all of it, each time. Once it has started its first day, its repetition and what it is for stay.

    Whoever has been written to in this window is not written to again, whatever is changed.
    """

    state = RecallCampaign
    permission = BATCH

    def decide(self, campaign: RecallCampaign, at: At) -> list[Event]:
        return campaign.change(self, at.today)


class StartRecallCampaign(Command):
    """Start a campaign, or have a paused one go on. Letters go out from its first day on, within minutes, at the hours in which the clinic writes."""

    state = RecallCampaign
    permission = BATCH

    def decide(self, campaign: RecallCampaign, at: At) -> list[Event]:
        return campaign.start()


class PauseRecallCampaign(Command):
    """Pause a campaign: nobody is written to until it goes on; letters that were not sent yet wait."""

    state = RecallCampaign
    permission = BATCH

    def decide(self, campaign: RecallCampaign, at: At) -> list[Event]:
        return campaign.pause()


class CancelRecallCampaign(Command):
    """Cancel a campaign for good: nobody is written to any more, and letters that were not sent yet are not. Recalls that it made stay in the queue."""

    state = RecallCampaign
    permission = BATCH

    def decide(self, campaign: RecallCampaign, at: At) -> list[Event]:
        return campaign.cancel()


class FinishRecallCampaign(Command):
    """Note that everybody whom a campaign means has had their call."""

    state = RecallCampaign
    permission = "house"

    def decide(self, campaign: RecallCampaign, at: At) -> list[Event]:
        return campaign.finish(at.today)


class Callee(Frozen):
    """A patient whom a campaign means, as they stand: whether they can be written to, want it, are called already, or have had their call under another record."""

    reachable: bool
    wanted: bool
    opened: UUID | None
    ours: bool
    had: bool

    def hindrance(self, patient: Patient) -> CallSkip | None:
        reasons: dict[CallSkip, bool] = {
            "inactive": patient.archived or patient.merged_into is not None, "unwanted": not self.wanted, "unreachable": not self.reachable,
            "called-already": self.opened is not None and not self.ours}
        return next((why for why, so in reasons.items() if so), None)


class CallForCampaign(Creation):
    """Call a patient back for a campaign, once in a window, if it is time; or note why not."""

    state = CampaignCall
    permission = "house"
    campaign_id: CampaignId
    patient_id: PatientId
    window: Window

    def stream(self, at: At) -> UUID:
        return call_of(self.campaign_id, self.patient_id, self.window)

    async def gather(self, look: Look) -> dict[str, Any]:
        campaign = await look.require(RecallCampaign, self.campaign_id)
        to = await addressee(look, self.patient_id)
        records = (self.patient_id, *to["patient"].records)
        messages = [await look.load(MessageWishes, message_wishes_of(record)) for record in records]
        calls: list[RecallWish] = await wishes_of(look, self.patient_id, to["patient"])
        opened = await open_one(look, self.patient_id, campaign.planned.kind)
        callee = Callee(
            reachable=to["reachable"], wanted=all("recalls" not in one.unwanted for one in messages) and not any(one.refused for one in calls), opened=opened,
            ours=opened is not None and (await look.load(Recall, opened)).batch == self.campaign_id,
            had=any([(await look.load(CampaignCall, call_of(self.campaign_id, record, self.window))).settled for record in records[1:]]))
        settings = await look.load(ReminderSettings, reminder_settings_of(look.at.clinic))
        return {"campaign": campaign, "patient": to["patient"], "callee": callee, "awake": settings.awake(look.at.now, look.at.zone)}

    def decide(self, call: CampaignCall, at: At, *, campaign: RecallCampaign, patient: Patient, callee: Callee, awake: Instant | None) -> Decision:
        if campaign.status != "running" or campaign.window(at.today) != self.window or awake is not None or callee.had:
            return []
        whom = Called(campaign_id=self.campaign_id, patient_id=self.patient_id, window=self.window)
        if (why := callee.hindrance(patient)) is not None:
            return [*call.skip(whom, why)]
        recall = callee.opened or recall_of(self.stream(at))
        queued = call.queue(whom, recall)
        if not queued or callee.opened:
            return [*queued]
        calling = Calling(date=at.today, channel="email", doctor_id=campaign.planned.doctor_id)
        made = Recall().schedule(self.patient_id, campaign.planned.kind, calling, None, at.today, self.campaign_id)
        return [*queued, Elsewhere(state=Recall, id=recall, events=made)]

