"""Commands on their way to the store: in the order of their time, hundreds at once.

How it works. Whatever a command rests on was written by this process, which remembers it until the story is done with it; so a command is decided and queued
without waiting for anything, in the order in which it was asked, and the writer flushes hundreds together. Keys and numbers of new patients are had for a whole chunk beforehand.
What must look something up in Postgres goes alone.

What may go wrong. A stream that is forgotten too early is loaded again, and meanwhile others overtake: a slot would be taken before it is given back.
"""

import asyncio
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from anamnesis.demo.house import Ask
from anamnesis.trouble import Trouble
from commands.kit.handling import Handler
from commands.kit.streams import Entry
from commands.patients import RegisterPatient
from commands.staff import HireStaff
from domain.kit import Refused
from domain.patients import NUMBERS
from domain.series import Series

CHUNK = 64
IN_FLIGHT = 1024


async def pump(handler: Handler, asks: Iterable[Ask], told: Callable[[], object]) -> None:
    """Handle every command; `told` is called now and then."""
    handler.streams.capacity = sys.maxsize
    flight: deque[asyncio.Task[None]] = deque()
    try:
        await _all(handler, iter(asks), flight, told)
    finally:
        for task in flight:
            task.cancel()
        await asyncio.gather(*flight, return_exceptions=True)


async def _all(handler: Handler, source: Iterator[Ask], flight: deque[asyncio.Task[None]], told: Callable[[], object]) -> None:
    while chunk := list(islice(source, CHUNK)):
        await _keys(handler, chunk)
        for ask in chunk:
            if ask.begins is not None:
                handler.streams.keep(ask.begins, Entry(ask.who.clinic, Series.kind, Series()))
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
        await flight[0]
        flight.popleft()


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
    patients: Counter[UUID] = Counter()
    for ask in chunk:
        if isinstance(ask.command, RegisterPatient | HireStaff):
            persons[ask.who.clinic].add(ask.id)
        if isinstance(ask.command, RegisterPatient):
            patients[ask.who.clinic] += 1
    for clinic, new in persons.items():
        await handler.ensure_keys(clinic, new)
    for clinic, count in patients.items():
        await handler.counters.reserve(clinic, NUMBERS, count)
