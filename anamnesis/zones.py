"""Time-zone rules from the command line: what was arranged before a zone's rules changed is at the same time on the wall still, and at other instants.

How it works. Instants are stored beside what people were told. When a new time-zone database is in use (Python's `tzdata`, or the system's), `check` derives them anew and tells what differs,
and `apply` moves it, as a clinic that changes its zone does: once, however often it is interrupted or repeated, and overlaps are kept and told.

What may go wrong. Processes read the database when they start: start the gateways anew first, or they go on to book by the old rules. Then `check` finds that, too.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import json
from rich.console import Console

from anamnesis.installation import Installation
from anamnesis.progress import table
from anamnesis.settings import Settings
from commands.kit.handling import Handler
from commands.zones import Moved, set_clocks
from domain.kit import PLATFORM
from gateway.app import KINDS
from projections.kit.reading import Reading, Wanted
from projections.kit.tables import load
from projections.zones import Astray, astray
from schemas.clinics import CurrentClinic

CONSOLE = Console(stderr=True, soft_wrap=True)
MANY = 100  # clinics of a page


class Clocks(NamedTuple):
    """A clinic, what is astray in it, and what became of that."""

    clinic: CurrentClinic
    astray: list[Astray]
    moved: Moved


def check(installation: Installation) -> bool:
    """Tell what is not where the rules of today say; whether there is nothing."""
    found = asyncio.run(over(installation.settings("gateway"), move=False))
    table(_line(one) for one in found)
    count = sum(len(one.astray) for one in found)
    CONSOLE.print(f"{count:,} are at other instants by today's rules: anamnesis zones apply" if count else "Everything is where today's rules say.")
    return not count


def apply(installation: Installation) -> None:
    """Move what is not where the rules of today say."""
    found = asyncio.run(over(installation.settings("gateway"), move=True))
    table({**_line(one), "moved": one.moved.things, "overlapping": len(one.moved.overlapping)} for one in found)
    CONSOLE.print(f"{sum(one.moved.things for one in found):,} moved; what overlaps is listed among the conflicts of its days.")


async def over(settings: Settings, *, move: bool) -> list[Clocks]:
    """Go through all clinics; return those in which something is astray."""
    load()
    reading = Reading(settings.database_url)
    await reading.open()
    handler = await Handler.open(settings, clinic_state=KINDS.clinic, lanes=reading.lanes)
    found: list[Clocks] = []
    try:
        everywhere, wanted = await reading.of(PLATFORM), Wanted((), "id", limit=MANY)
        while True:
            page = await everywhere.page(CurrentClinic, wanted)
            found += [
                Clocks(clinic, there, await set_clocks(handler, clinic.id, there) if move else Moved())
                for clinic in json.decode(page.items, type=list[CurrentClinic]) if (there := await astray(await reading.of(clinic.id), datetime.now(UTC)))]
            if page.next is None:
                return found
            wanted = wanted._replace(cursor=page.next)
    finally:
        await handler.close()
        await reading.close()


def _line(one: Clocks) -> dict[str, object]:
    count = Counter(thing.kind for thing in one.astray)
    return {"clinic": one.clinic.name, "zone": one.clinic.zone, **{kind: count[kind] for kind in ("appointments", "blocks", "holds")}}
