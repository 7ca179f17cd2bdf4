"""What may be seen of campaigns that write to patients who have not come for long, and of each patient's call."""

import datetime as dt
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from domain.kit import Frozen, Id, PatientId, PlaceId, StaffId
from domain.recall_campaigns import CallSkip, CampaignId, CampaignStatus, Group, RecallId
from domain.recalls import RecallKind, RecallStatus
from schemas.kit import Row
from schemas.recalls import RecallCandidate

Count = Annotated[int, Meta(ge=0)]
CallStatus = Literal["queued", "sent", "failed", "skipped", "unknown"]


class RecallCampaignRow(Row):
    """A campaign: for what, whom it means, what it says, and how it stands."""

    table: ClassVar[str] = "recall_campaigns"
    permission: ClassVar[str] = "clinical.recalls.view"
    indexes: ClassVar[tuple[str, ...]] = ("drafted_at", "status")
    id: Id
    name: str
    kind: RecallKind
    status: CampaignStatus
    starts_on: dt.date
    repeat_months: int | None
    message: str | None
    months: int
    within_months: int | None
    age_from: int | None
    age_to: int | None
    groups: list[Group]
    doctor_id: StaffId | None
    place_id: PlaceId | None
    drafted_at: dt.datetime
    drafted_by: Id
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None


class RecallCampaignEntry(RecallCampaignRow):
    """A campaign, and what has come of it: how many calls there are, of which were sent, are waiting or failed, and were skipped; and of those called, how many have booked or declined."""

    table: ClassVar[str] = "recall_campaign_entries"
    calls: int
    queued: int
    sent: int
    failed: int
    skipped: int
    booked: int
    declined: int


class CampaignCallRow(Row):
    """A patient's call in a window of a campaign (`round`), or why they have none; by `letterPosition` the outbox knows the letter."""

    table: ClassVar[str] = "campaign_calls"
    permission: ClassVar[str] = "clinical.recalls.view"
    indexes: ClassVar[tuple[str, ...]] = ("campaign_id, patient_id, round", "patient_id", "noted_at")
    id: Id
    campaign_id: CampaignId
    patient_id: PatientId
    round: int
    noted_at: dt.datetime
    recall_id: RecallId | None = None
    skipped: CallSkip | None = None
    letter_position: int | None = None


class CampaignCallEntry(CampaignCallRow):
    """A patient's call, and what became of the letter and of the recall; after ninety days nobody knows any more about the letter."""

    table: ClassVar[str] = "campaign_call_entries"
    patient_name: str | None
    status: CallStatus
    error: str | None
    recall_status: RecallStatus | None


class CampaignPreview(Frozen):
    """Whom a campaign would mean today: `found` patients, of whom so many have an e-mail address; so many do not want to be written about it; and the first of them, whose last visit lies furthest back."""

    found: Count
    reachable: Count
    unwanted: Count
    items: list[RecallCandidate]
