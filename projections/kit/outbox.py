"""What the outbox, the notary and the deliveries of webhooks say of themselves; their rows are others' to write."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from projections.kit.lanes import Lanes


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
