"""The builder: it carries out the rebuilds that were asked for over REST.

How it works. Once a second it looks into the book (`projections.kit.rebuilds`). A rebuild runs in a process of its own, which may have more of them, and which ends with this
one; so a builder that has nothing to do is small, and what a rebuild took is given back. Of several builders one takes it up.

What may go wrong. A rebuild whose process dies is taken up again and goes on where it was. What an interrupted one has left of persons who were erased since is dropped
within seconds, whether anybody rebuilds again or not.
"""

import asyncio
import os
import threading
import time
from multiprocessing import connection, get_context, parent_process

import psycopg
import structlog

from projections.kit.build import OPTIONS, RebuildError
from projections.kit.rebuild import sweep
from projections.kit.rebuilds import Cancelled, Wish, carry_out, next_wish
from workers.kit.ending import heed

LOOK_SECONDS = 1.0
SWEEP_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Builder:
    """Takes up rebuilds, one after the other."""

    def __init__(self, database_url: str, kek: bytes) -> None:
        self.database_url = database_url
        self.kek = kek
        self.swept = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            heed()
            try:
                if wish := await asyncio.to_thread(self._look):
                    await self._carry_out(wish)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                log.warning("builder.interrupted", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> Wish | None:
        if time.monotonic() - self.swept > SWEEP_SECONDS:
            sweep(self.database_url)
            self.swept = time.monotonic()
        with psycopg.connect(self.database_url, autocommit=True, options=OPTIONS) as conn:
            return next_wish(conn)

    async def _carry_out(self, wish: Wish) -> None:
        log.info("rebuild.begun", id=str(wish.id), read_models=len(wish.read_models), jobs=wish.jobs)
        child = get_context("spawn").Process(target=_apart, args=(self.database_url, self.kek, wish))
        await asyncio.to_thread(child.start)
        try:
            await asyncio.to_thread(child.join)
        finally:
            child.kill()
        log.info("rebuild.ended", id=str(wish.id), code=child.exitcode)


def _apart(database_url: str, kek: bytes, wish: Wish) -> None:
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        carry_out(database_url, kek, wish)
    except (Cancelled, RebuildError) as ended:
        log.info("rebuild.stopped", why=str(ended) or "cancelled")
