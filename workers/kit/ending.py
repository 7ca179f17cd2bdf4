"""Being told to stop, and hearing it.

How it works: libraries wait with `asyncio.wait_for`, which before Python 3.12 returns as if nothing had been said when a task is cancelled at the very moment
its wait ends (cpython#86296): psycopg does at every query, the NATS client at every request. The task still knows that it was asked to end, so whatever
goes round for ever calls `heed` once a round.

What may go wrong: within `asyncio.timeout` a task counts as asked while the time is over; heed outside of it.
"""

import asyncio


def heed() -> None:
    """End the task that runs, if it was told to and the telling was lost."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
