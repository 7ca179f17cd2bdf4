"""Commands on their way to the store: in the order of their time, hundreds at once.

How it works. Whatever a command rests on was written a moment ago by this process, which knows it still; so a command is decided and queued without waiting
for anything, in the order in which it was asked, and the writer flushes hundreds together. Keys of new patients are made for a whole chunk beforehand. What must
look something up in Postgres goes alone.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from anamnesis.demo.house import Ask
from anamnesis.trouble import Trouble
from commands.kit.handling import Handler
from commands.patients import RegisterPatient
from commands.staff import HireStaff
from domain.kit import Refused

CHUNK = 64
IN_FLIGHT = 1024


async def pump(handler: Handler, asks: Iterable[Ask], told: Callable[[], object]) -> None:
    """Handle every command; `told` is called now and then."""
    flight: deque[asyncio.Task[None]] = deque()
    source = iter(asks)
    while chunk := list(islice(source, CHUNK)):
        await _keys(handler, chunk)
        for ask in chunk:
            if ask.alone:
                await _landed(flight, 0)
                await _one(handler, ask)
            else:
                flight.append(asyncio.create_task(_one(handler, ask)))
        await _landed(flight, IN_FLIGHT)
        told()
    await _landed(flight, 0)


async def _landed(flight: deque[asyncio.Task[None]], left: int) -> None:
    while len(flight) > left:
        await flight.popleft()


async def _one(handler: Handler, ask: Ask) -> None:
    now = datetime.fromtimestamp(ask.at, UTC)
    try:
        await handler.handle(ask.command, ask.who, id=ask.id, command_id=ask.command_id, now=now)
    except Refused as why:
        raise Trouble(f"the demo's story does not hold: {type(ask.command).__name__} at {now} was refused: {why} {why.details}") from why
    if ask.last:
        handler.streams.forget(ask.id)


async def _keys(handler: Handler, chunk: list[Ask]) -> None:
    persons: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for ask in chunk:
        if isinstance(ask.command, RegisterPatient | HireStaff):
            persons[ask.who.clinic].add(ask.id)
    for clinic, new in persons.items():
        await handler.ensure_keys(clinic, new)
