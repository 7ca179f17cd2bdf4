"""Campaigns that write to patients who have not come for long, and each patient's call, as rows; what came of them; and which are running."""

from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.recall_campaigns import (
    CampaignCallEvent,
    CampaignCallQueued,
    CampaignCallSkipped,
    Plan,
    RecallCampaignCancelled,
    RecallCampaignChanged,
    RecallCampaignDrafted,
    RecallCampaignEvent,
    RecallCampaignFinished,
    RecallCampaignPaused,
    RecallCampaignResumed,
    RecallCampaignStarted,
)
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from projections.kit.outbox import BECAME, ITS_LETTER
from schemas.recall_campaigns import CampaignCallRow, RecallCampaignRow


@projects(RecallCampaignRow, of=RecallCampaignEvent)
def recall_campaigns(row: RecallCampaignRow | None, fact: Fact) -> RecallCampaignRow | None:  # noqa: PLR0911 - one case per event
    match fact.event:
        case RecallCampaignDrafted() as event:
            return RecallCampaignRow(id=fact.id, status="draft", drafted_at=fact.recorded_at, drafted_by=fact.actor, **only(Plan, event))
        case RecallCampaignChanged() as event if row:
            return replace(row, **only(Plan, event))
        case RecallCampaignStarted() if row:
            return replace(row, status="running", started_at=fact.recorded_at)
        case RecallCampaignResumed() if row:
            return replace(row, status="running")
        case RecallCampaignPaused() if row:
            return replace(row, status="paused")
        case RecallCampaignCancelled() if row:
            return replace(row, status="cancelled", ended_at=fact.recorded_at)
        case RecallCampaignFinished() if row:
            return replace(row, status="finished", ended_at=fact.recorded_at)
    return row


@projects(CampaignCallRow, of=CampaignCallEvent)
def campaign_calls(row: CampaignCallRow | None, fact: Fact) -> CampaignCallRow | None:
    match fact.event:
        case CampaignCallQueued() as e:
            return CampaignCallRow(
                id=fact.id, campaign_id=e.campaign_id, patient_id=e.patient_id, round=e.window, noted_at=fact.recorded_at, recall_id=e.recall_id, letter_position=fact.position)
        case CampaignCallSkipped() as e:
            return CampaignCallRow(id=fact.id, campaign_id=e.campaign_id, patient_id=e.patient_id, round=e.window, noted_at=fact.recorded_at, skipped=e.why)
    return row


# The last function looks at all clinics for the program itself, past row-level security, and gives ids alone.
installs(f"""
create or replace view campaign_call_entries with (security_invoker = true) as
select t.*, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, r.status as recall_status, {BECAME}, l.error
from campaign_calls t left join patients p on p.clinic_id = t.clinic_id and p.id = t.patient_id
left join recalls r on r.clinic_id = t.clinic_id and r.id = t.recall_id {ITS_LETTER};
grant select on campaign_call_entries to anamnesis_gateway;

create or replace view recall_campaign_entries with (security_invoker = true) as
select c.*, s.calls, s.queued, s.sent, s.failed, s.skipped, s.booked, s.declined from recall_campaigns c cross join lateral (
    select count(*) as calls, count(*) filter (where k.status = 'queued') as queued, count(*) filter (where k.status in ('sent', 'unknown')) as sent,
        count(*) filter (where k.status = 'failed') as failed, count(*) filter (where k.status = 'skipped') as skipped,
        count(distinct k.recall_id) filter (where k.recall_status = 'booked') as booked, count(distinct k.recall_id) filter (where k.recall_status = 'declined') as declined
    from campaign_call_entries k where k.clinic_id = c.clinic_id and k.campaign_id = c.id) s;
grant select on recall_campaign_entries to anamnesis_gateway;

create or replace function campaigns_running() returns table (clinic uuid, campaign uuid)
language sql stable security definer set search_path = public, pg_temp as $$
    select c.clinic_id, c.id from recall_campaigns c join clinics h on h.clinic_id = c.clinic_id and h.id = c.clinic_id
    where c.status = 'running' and h.active and h.closing_until is null order by c.started_at
$$;
revoke all on function campaigns_running from public;
grant execute on function campaigns_running to anamnesis_gateway;
""")  # noqa: S608 - ours


class Running(NamedTuple):
    """A campaign that is under way."""

    clinic: UUID
    campaign: UUID


async def running(lanes: Lanes) -> list[Running]:
    """Return the campaigns of all clinics that are under way."""
    return [Running(*line) for line in (await lanes.ask(None, "select clinic, campaign from campaigns_running()")).rows]
