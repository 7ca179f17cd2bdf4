"""My chapters alone."""
import pytest
from typing import Any
from tests.test_walk import caller, opened, patients, clinics, modules, plans, staff, rooms, schedules, invoices
import tests.test_walk as w
from tests.walk import Api
__all__ = ["caller"]
CH = [staff, rooms, schedules, patients]
async def test_mine(caller: Api) -> None:
    clinic, me = await opened(caller, "Mine")
    ids: dict[str, Any] = {}
    import os
    for chapter in [*CH, *(getattr(w, n) for n in os.environ["MINE"].split(","))]:
        await chapter(me, ids)
