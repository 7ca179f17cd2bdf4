"""What the outbox says of itself; its rows are the courier's to write."""

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
