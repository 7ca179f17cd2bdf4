"""A quarter of an hour of ordinary work while every process is killed again and again; then everything is held against everything else.

`ANAMNESIS_SOAK_SECONDS` says how long it takes (900). For three fifths of it some process is killed every few seconds, each kind in turn in a random order, and NATS's
stream is purged; for the rest nobody is hurt, so that memory can be watched. All the while clients book, bill, pay and rename, and somebody follows the events of a clinic.
"""

import asyncio
import os
import secrets
import time
from collections import Counter
from contextlib import suppress
from random import Random
from statistics import fmean, linear_regression

import httpx
import psycopg
import pytest
from httpx_sse import aconnect_sse

from anamnesis import auditing
from anamnesis.bench.kit.cost import resident
from anamnesis.scratch import Scratch
from tests.served import PROTECTED
from tests.test_faults import Trial, trial, whole

SECONDS = float(os.environ.get("ANAMNESIS_SOAK_SECONDS") or 900)
RATE = 60.0  # commands a second
HURT = 0.6  # of the time
SETTLING = 0.4  # of the time without kills, before memory is watched
PAUSE = (1.0, 8.0)  # seconds between kills
SAMPLE_SECONDS = 1.0
MIB = 1 << 20
FLAT = 12  # MiB that a process may grow by, or a tenth, while it is watched
BACK_SECONDS = 90.0

pytestmark = pytest.mark.soak


class Follower:
    """Somebody who follows a clinic's events, and comes back however often the stream breaks."""

    def __init__(self, trial: Trial, start: int) -> None:
        self.place = trial.load.wishes[0][0]
        self.url = f"{trial.stack.url}{PROTECTED}/sse/clinic-events?lastEventId={start}"
        self.told: list[tuple[str, str]] = []
        self.cut = 0

    async def follow(self) -> None:
        """Read for ever."""
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {self.place.token}"}, timeout=30) as client:
            while True:
                since = {"last-event-id": self.told[-1][0]} if self.told else {}
                with suppress(httpx.HTTPError):
                    async with aconnect_sse(client, "GET", self.url, headers=since) as source:
                        assert source.response.status_code in {200, 503}, await source.response.aread()
                        async for event in source.aiter_sse() if source.response.status_code == 200 else nothing():
                            assert event.event != "resync"
                            if event.data:
                                self.told.append((event.id, event.data))
                self.cut += 1
                await asyncio.sleep(0.1)


async def nothing():
    for never in ():
        yield never


class Memory:
    """What each process holds, from time to time."""

    def __init__(self, stack: Scratch) -> None:
        self.stack = stack
        self.samples: dict[tuple[str, int], list[tuple[float, float]]] = {}

    async def watch(self) -> None:
        """Look for ever."""
        assert self.stack.process is not None
        while True:
            for name, pid in {**self.stack.pids(), "supervisor": self.stack.process.pid}.items():
                with suppress(FileNotFoundError, ProcessLookupError, StopIteration):
                    self.samples.setdefault((name, pid), []).append((time.monotonic(), resident(pid) / MIB))
            await asyncio.sleep(SAMPLE_SECONDS)

    def grown(self, since: float) -> dict[str, tuple[float, float, float]]:
        """Return of each process that has lived since then: MiB on average, MiB a minute, and by how much it grew, by a straight line through all samples."""
        found = {}
        for (name, _), samples in self.samples.items():
            seen = [(at, mib) for at, mib in samples if at >= since]
            if samples[0][0] <= since and len(seen) > 10 and seen[-1][0] > time.monotonic() - 10:
                slope = linear_regression([at for at, _ in seen], [mib for _, mib in seen]).slope
                found[name] = (round(fmean(mib for _, mib in seen), 1), round(60 * slope, 2), round(slope * (seen[-1][0] - seen[0][0]), 1))
        return found


async def hurt(trial: Trial, until: float) -> Counter[str]:
    """Kill what runs, each kind in its turn, in a random order, until then."""
    done, stack = Counter[str](), trial.stack
    while time.monotonic() < until:
        names = [*stack.pids(), "the stream"]
        for victim in trial.dice.sample(names, len(names)):
            await asyncio.sleep(trial.dice.uniform(*PAUSE))
            trial.load.healthy()
            if victim == "the stream":
                await asyncio.to_thread(stack.restart_nats, purge=True)
            else:
                pid = await asyncio.to_thread(stack.kill, victim)  # whoever is not alive is an error: nobody else ends anything
                await asyncio.to_thread(stack.revived, victim, pid, BACK_SECONDS)
            done[victim] += 1
    return done


async def test_a_quarter_of_an_hour_of_kills_loses_nothing_doubles_nothing_and_keeps_memory_flat() -> None:
    seed = int(os.environ.get("ANAMNESIS_SEED") or secrets.randbits(32))
    print(f"\nseed {seed}: ANAMNESIS_SEED={seed} repeats it")  # noqa: T201 - whoever reads of a failure needs it
    with Scratch(gateways=2, projectors=2) as stack:
        async with trial(stack, seed, RATE) as (trying, since):
            begun, memory, follower = time.monotonic(), Memory(stack), Follower(trying, since)
            watching = [asyncio.create_task(memory.watch()), asyncio.create_task(follower.follow())]
            trying.dice = Random(seed)
            kills = await hurt(trying, begun + HURT * SECONDS)
            assert kills.keys() >= {"postgres", "nats", "relay", "projector-1", "projector-2", "courier", "notary", "gateway-1", "gateway-2", "the stream"}
            calm = time.monotonic() + SETTLING * (1 - HURT) * SECONDS
            over = time.monotonic() + (1 - HURT) * SECONDS
            while time.monotonic() < over:
                trying.load.healthy()
                await asyncio.sleep(1)
            grown = memory.grown(calm)
        print(f"{dict(kills)} killed; {len(trying.load.accepted)} accepted, {trying.load.broken} sent again, {dict(trying.load.refused)}")  # noqa: T201
        print("MiB, MiB a minute, MiB grown while watched:", grown)  # noqa: T201
        assert trying.load.refused.keys() <= {"CONTENDED"}
        await trying.level()
        await heard_all(follower, trying)
        for task in watching:
            task.cancel()
        whole(trying, since)
        auditing.sign(stack.installation)
        assert auditing.verify(stack.installation, None)
        assert grown.keys() >= {"supervisor", "gateway-1", "gateway-2", "relay", "projector-1", "projector-2", "courier", "notary", "nats"}
        assert {name: more for name, (mean, _, more) in grown.items() if more > max(FLAT, mean / 10)} == {}


async def heard_all(follower: Follower, trying: Trial) -> None:
    """Check that the follower was told just what somebody is told who reads it all in one go now."""
    with psycopg.connect(trying.database.url("owner")) as owner:
        [(last,)] = owner.execute(
            "select max(notification_id) from stored_events where clinic_id = %s and topic in ('AppointmentBooked', 'PatientChanged', 'PaymentRecorded')",
            [follower.place.town.id]).fetchall()
    anew = Follower(trying, int(follower.url.rpartition("=")[2]))
    reading = asyncio.create_task(anew.follow())
    async with asyncio.timeout(120):
        while not (follower.told and anew.told and int(follower.told[-1][0]) >= last and int(anew.told[-1][0]) >= last):
            assert not reading.done()
            await asyncio.sleep(0.1)
    reading.cancel()
    assert follower.told == anew.told
    assert follower.cut > 0
    positions = [int(id_) for id_, _ in follower.told]
    assert positions == sorted(set(positions))
