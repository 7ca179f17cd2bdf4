"""What the outbox, the notary and the deliveries of webhooks say of themselves; their rows are others' to write."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from projections.kit.declare import installs
from projections.kit.lanes import Lanes

# The outbox is another layer's, and made later than what is installed here; so it is asked by a function, which looks for it when it runs.
installs("""
create or replace function letter_of(of_clinic uuid, at_position bigint) returns table (status text, error text, settled_at timestamptz)
language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query select l.status, l.error, l.settled_at from letters l where l.clinic_id = of_clinic and l.position = at_position order by l.queued_at desc limit 1;
end $$;
grant execute on function letter_of to anamnesis_gateway;
""")
ITS_LETTER = "left join lateral letter_of(t.clinic_id, t.letter_position) l on t.letter_position is not null"
"""Joins to rows `t`, which say by which event they had a letter written or that they had none, what became of it."""
BECAME = """case when t.letter_position is null then 'skipped' when l.status = 'delivered' then 'sent' when l.status is not null then l.status
    when t.noted_at < now() - interval '89 days' then 'unknown' else 'queued' end as status"""
"""What became of it, in a word; what became of letters is forgotten after ninety days."""


class OutboxHealth(NamedTuple):
    """Letters that wait, for how many seconds the oldest has, for how many one is overdue, and the last day's failures."""

    queued: int
    oldest_seconds: float
    overdue_seconds: float
    failed: int


async def outbox_health(lanes: Lanes) -> OutboxHealth:
    """Return how the outbox is, over all clinics."""
    return OutboxHealth(*(await lanes.ask(None, "select * from outbox_health()")).rows[0])


class ProofHealth(NamedTuple):
    """How many findings the notary has, the first one's position, and when it signed last."""

    findings: int
    first_position: int | None
    signed_at: datetime | None


async def proof_health(lanes: Lanes) -> ProofHealth:
    """Return what the notary has found."""
    return ProofHealth(*(await lanes.ask(None, "select * from proof_health()")).rows[0])


class WebhooksHealth(NamedTuple):
    """Deliveries that wait (a hundred thousand stand for more), for how many seconds one is overdue though its webhook works and nothing of its clinic is under way, and how many webhooks fail."""

    queued: int
    overdue_seconds: float
    failing: int


async def webhooks_health(lanes: Lanes) -> WebhooksHealth:
    """Return how the deliveries are, over all clinics."""
    return WebhooksHealth(*(await lanes.ask(None, "select * from webhooks_health()")).rows[0])


class GivenUp(NamedTuple):
    """A webhook to which nothing is sent any more, which is on no record yet."""

    id: UUID
    clinic: UUID
    why: Literal["gone", "failing"]
    since: datetime


async def given_up(lanes: Lanes) -> list[GivenUp]:
    """Return the webhooks to be switched off, over all clinics."""
    return [GivenUp(*row) for row in (await lanes.ask(None, "select * from webhooks_given_up()")).rows]
