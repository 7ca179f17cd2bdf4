"""Everything is hurt at random moments while many clients work; afterwards nothing is lost, doubled or out of step.

A round kills each process once, takes away NATS with all it has, and feeds the projectors pages twice, forged and rubbish, in an order and at moments that
follow from a seed. A fault that finds nothing to hurt, or nobody at work, fails the test.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, NamedTuple

import nats
import psycopg
import pytest
from msgspec import json
from msgspec.structs import replace
from nats.errors import Error as NatsError

from anamnesis.scratch import Scratch
from commands.kit.ids import mac_content
from gateway.kit.tokens import Keys
from projections.kit.pages import LAST, MAC, PREV, pack, subject_of
from projections.kit.rebuild import verify
from projections.kit.stored import COLUMNS, Stored
from tests.client import client
from tests.clinic import Town, handling, stored
from tests.load import Accepted, Load, Place, today
from tests.test_store import chain_of
from tests.walk import Api

ENOUGH = 500  # accepted commands in the second before a fault
OFFERED = 750  # a second
FORGER = b"not the key of the bus" + bytes(10)
LEVEL = "select bool_and(t.position >= h.position) from projector_tracking t, store_head h where t.grp = 'live'"

Publish = Callable[[str, bytes, dict[str, str]], Awaitable[None]]


class Installation(NamedTuple):
    """The database of a whole stack, as `database` is one of a test."""

    stack: Scratch

    def url(self, role: str) -> str:
        return str(self.stack.database_url(role))

    def settings(self, kind: Any) -> Any:
        return self.stack.settings(kind)


class Trial:
    """A stack under load, and the ways to hurt it."""

    def __init__(self, stack: Scratch, load: Load, seed: int, enough: float = ENOUGH) -> None:
        self.stack = stack
        self.enough = enough
        self.load = load
        self.dice = Random(seed)
        self.database = Installation(stack)
        self.told: list[str] = []

    def strikes(self) -> list[list[Callable[[], Awaitable[None]]]]:
        """Every fault once, in some order; two of the deadly ones at the same time."""
        deadly = self.dice.sample([self.projector, self.relay, self.gateway, self.postgres, self.nats], 5)
        found = [[deadly[0], deadly[1]], *([one] for one in deadly[2:]), [self.duplicates], [self.forgeries]]
        return self.dice.sample(found, len(found))

    async def round(self) -> None:
        """Strike when the load is at its height, again and again."""
        for strike in self.strikes():
            await self.under_load()
            self.told.append(f"{' and '.join(fault.__name__ for fault in strike)} at {self.load.per_second:.0f}/s")
            await asyncio.gather(*(fault() for fault in strike))

    async def under_load(self) -> None:
        """Wait for some moment at which enough is going on; clients that fall over end the trial."""
        deadline, wait = time.monotonic() + 60, self.dice.uniform(0, 0.5)
        while self.load.per_second < self.enough or wait > 0:
            wait -= 0.01 if self.load.per_second >= self.enough else 0
            self.load.healthy()
            assert time.monotonic() < deadline, f"{self.load.per_second} commands a second, after {self.told}"
            await asyncio.sleep(0.01)

    async def killed(self, name: str) -> None:
        victim = await asyncio.to_thread(self.stack.kill, name)  # a victim that is not alive is an error
        await asyncio.to_thread(self.stack.revived, name, victim)

    async def projector(self) -> None:
        await self.killed("projector-1")

    async def relay(self) -> None:
        await self.killed("relay")

    async def gateway(self) -> None:
        """Every client must have noticed, for its connection is gone."""
        before = self.load.broken.total()
        await self.killed("gateway-1")
        await self.under_load()
        assert self.load.broken.total() > before

    async def postgres(self) -> None:
        await self.killed("postgres")

    async def nats(self) -> None:
        await asyncio.to_thread(self.stack.restart_nats, purge=True)

    async def duplicates(self) -> None:
        """Honest pages again, with other borders: old ones, and such as reach past what is projected."""
        async with self.bus() as publish:
            for partition in {event.partition for event in await self.latest(200)}:
                events = [event for event in await self.latest(2000) if event.partition == partition]
                for first in self.dice.choices(range(1, len(events)), k=4):
                    last = self.dice.randint(first, len(events) - 1)
                    page = pack(events[first : last + 1], subject_of(partition), events[first - 1].position, events[last].position, self.bus_key)
                    await publish(subject_of(partition), page[0], {name: page[1][name] for name in (PREV, LAST, MAC)})

    async def forgeries(self) -> None:
        """Pages that somebody else made: other bodies, positions far ahead, a partition's page under another's name, rubbish.

        A projector that reads the store just then never sees them, so they are sent until it has said that it saw some.
        """
        noticed = self.forged_pages
        async with self.bus() as publish, asyncio.timeout(60):
            while self.forged_pages == noticed:
                await self.forge(publish)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        while self.forged_pages == noticed:  # noqa: ASYNC110 - it is another process's log that changes
                            await asyncio.sleep(0.02)

    async def forge(self, publish: Publish) -> None:
        event = (await self.latest(1))[0]
        lie = replace(event, position=event.position + 1, version=event.version + 1, body=b'{"event":"RoomAdded","name":"theirs"}')
        for prev, key in ((event.position, FORGER), (0, FORGER)):
            payload, headers = pack([lie, replace(lie, position=10**9)], subject_of(event.partition), prev, 10**9, key)
            await publish(subject_of(event.partition), payload, {name: headers[name] for name in (PREV, LAST, MAC)})
        payload, headers = pack([event], subject_of(event.partition), 0, 10**9, self.bus_key)
        await publish(subject_of((event.partition + 1) % 4), payload, {name: headers[name] for name in (PREV, LAST, MAC)})
        await publish(subject_of(event.partition), b"rubbish", {})

    @property
    def forged_pages(self) -> int:
        """How often a projector has said that a page was not the relay's."""
        logs = (self.stack.data_dir / "logs").glob("projector*.log")
        return sum(path.read_text("utf-8", "replace").count("projector.forged_page") for path in logs)

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Publish]:
        """Yield the means to put a message into the stream, which may have to be made again first; one that it never takes fails here."""
        client = await nats.connect(self.stack.settings("relay").nats_url, connect_timeout=10)

        async def publish(subject: str, payload: bytes, headers: dict[str, str]) -> None:
            async with asyncio.timeout(30):
                while True:
                    with suppress(NatsError):
                        ack = await client.jetstream().publish(subject, payload, headers=headers or None, timeout=2)
                        assert not ack.duplicate
                        return

        yield publish
        await client.close()

    @property
    def bus_key(self) -> bytes:
        return bytes(self.stack.settings("relay").bus_key)

    async def latest(self, number: int) -> list[Stored]:
        """Return the newest events; Postgres may have been killed this very moment, and is waited for."""
        async with asyncio.timeout(60):
            while True:
                with suppress(psycopg.OperationalError), psycopg.connect(self.database.url("owner")) as connection:
                    query = f"select {COLUMNS} from stored_events order by notification_id desc limit %s"  # noqa: S608
                    return [Stored(*row) for row in reversed(connection.execute(query, [number]).fetchall())]
                await asyncio.sleep(0.1)

    async def level(self) -> None:
        """Wait until the read models have caught up."""
        with psycopg.connect(self.database.url("owner"), autocommit=True) as connection:
            async with asyncio.timeout(60):
                while connection.execute(LEVEL).fetchone() != (True,):  # noqa: ASYNC110 - it is the database that changes
                    await asyncio.sleep(0.05)


def whole(trial: Trial, since: int) -> None:
    """Check all that must be true in the end."""
    events = sound(trial, since)
    report = verify(trial.database.url("owner"), kek=trial.stack.settings("owner").kek)
    assert report.equal, [(one.name, one.differences) for one in report.outcomes if one.differing]
    assert {one.name: one.rows for one in report.outcomes}["audit_log"] == len(events)


def sound(trial: Trial, since: int) -> list[Stored]:
    """Check the store: no gap, the chain and every MAC, each accepted command once, no number skipped; return the events."""
    events = stored(trial.database)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert {event.position: event.hash for event in events} == chain_of(events)
    key = trial.stack.settings("gateway").mac_key
    assert [event.position for event in events if event.mac != mac_of(event, key)] == []
    accepted_once(trial.load.accepted, [event for event in events if event.position > since])
    numbers: dict[Any, list[int]] = {}
    for event in events:
        if event.topic == "NumberAllotted":
            numbers.setdefault(event.stream, []).append(json.decode(event.body)["number"])
    assert all(allotted == list(range(1, len(allotted) + 1)) for allotted in numbers.values())
    return events


def accepted_once(accepted: dict[str, Accepted], events: list[Stored]) -> None:
    """What a client was told is in the store, under one command of its own; and nothing is there that nobody asked for."""
    at = {event.position: event for event in events}
    assert {told.position for told in accepted.values()} <= set(at)
    commands = {key: at[told.position].command for key, told in accepted.items()}
    assert len(set(commands.values())) == len(commands)
    assert {event.command for event in events} == set(commands.values())
    for told in accepted.values():
        of_command = [event for event in streams_of(at, told.position) if str(event.stream) == told.id]
        assert max(event.version for event in of_command) == told.version


def streams_of(at: dict[int, Stored], last: int) -> list[Stored]:
    """Return the events of the command whose last is at that position."""
    found, command = [], at[last].command
    while last in at and at[last].command == command:
        found.append(at[last])
        last -= 1
    return found


def mac_of(event: Stored, key: bytes) -> bytes:
    content = mac_content(event.event_id, event.clinic, event.stream, event.version, event.topic, event.actor, event.command, event.body)
    return hmac.new(key, content, hashlib.sha256).digest()


def lasting(stack: Scratch, token: str) -> str:
    """Return a token for the same session that outlives any trial."""
    key = stack.settings("gateway").signing_key
    said = Keys(key).read(token)
    return Keys(key, lifetime=24 * 3600).sign(account=said.account, clinic=said.clinic, role=said.role, session=said.session, subject=said.subject)


@asynccontextmanager
async def trial(stack: Scratch, seed: int, rate: float = OFFERED, enough: float = ENOUGH) -> AsyncIterator[tuple[Trial, int]]:
    """Three clinics in a stack, and their clients at work."""
    database = Installation(stack)
    async with handling(database) as handler, client(stack.url) as wire:
        api, places = Api(wire, handler, stack.settings("gateway")), []
        for _ in range(3):
            town = await Town.open(handler, today())
            places.append(Place(town, lasting(stack, (await api.person(town.id, "admin")).session["accessToken"])))
            await places[-1].furnish()
    since = stored(database)[-1].position
    async with Load(stack.url, places, seed, rate) as load:
        yield Trial(stack, load, seed, enough), since


async def suffered(rounds: int) -> None:
    seed = int(os.environ.get("ANAMNESIS_SEED") or secrets.randbits(32))
    print(f"\nseed {seed}: ANAMNESIS_SEED={seed} repeats it")  # noqa: T201 - whoever reads of a failure needs it
    with Scratch() as stack:
        async with trial(stack, seed) as (hurt, since):
            for _ in range(rounds):
                await hurt.round()
            await hurt.under_load()
        print(f"{'; '.join(hurt.told)}; {len(hurt.load.accepted)} accepted, {hurt.load.broken} sent again, {hurt.load.refused}")  # noqa: T201
        assert hurt.load.refused.keys() <= {"CONTENDED"}
        await hurt.level()
        whole(hurt, since)


async def test_whatever_is_hurt_nothing_is_lost_doubled_or_out_of_step() -> None:
    await suffered(2)


async def test_a_lost_a_doubled_and_an_unasked_command_would_be_noticed(database: Any) -> None:
    """Bad samples for the last check."""
    async with handling(database) as handler:
        town = await Town.open(handler)
        since = stored(database)[-1].position
        receipts = {str(n): await town(town.bill()) for n in range(3)}
    accepted = {key: Accepted(str(r.id), r.version, r.position) for key, r in receipts.items()}
    events = [event for event in stored(database) if event.position > since]
    accepted_once(accepted, events)
    bad: list[tuple[dict[str, Accepted], list[Stored]]] = [
        (accepted, [event for event in events if event.command != events[0].command]), ({**accepted, "3": accepted["0"]}, events),
        ({"0": accepted["0"]}, events), ({**accepted, "0": accepted["0"]._replace(version=9)}, events),
    ]
    for told, there in bad:
        with pytest.raises(AssertionError):
            accepted_once(told, there)


@pytest.mark.soak
async def test_twenty_rounds_of_it() -> None:
    await suffered(20)
