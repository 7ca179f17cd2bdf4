"""What the outbox and the notary say of themselves; their rows are others' to write."""

from datetime import datetime
from typing import NamedTuple

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
