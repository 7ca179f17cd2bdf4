"""Our load generator: a lean HTTP/1.1 client in a process of its own, so that it costs the measured program little of the machine.

How it works. The requests are ready as bytes before the clock starts; an answer is looked at for its status, its length and its position only. In
a closed loop (`rate` 0) each connection sends its next request when the one before is answered: that finds the throughput. In an open loop
request n is due at n/rate whatever became of those before, and its latency counts from when it was due, so a stall is paid by
everyone who would have come meanwhile (no "coordinated omission"). It is a batch process to the kernel: the clients of a clinic sit at other machines and
would not push the gateway off its core with each answer.

What may go wrong. A connection that breaks leaves a request of which nobody knows whether it was done: it is counted as `lost`, and the checks
that follow a run do not accept that. Requests may run out: the run ends early and says how long it was.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Self

import msgspec
import uvloop

from anamnesis.bench.kit.cost import Meter

CREATED = 201
LENGTH, POSITION, RECORDED = b"content-length: ", b"x-position: ", b'"bookedAt":"'
TICK_SECONDS = 0.001
GRACE_SECONDS = 10.0


class Job(msgspec.Struct):
    """What to send, to whom, and how."""

    host: str
    port: int
    requests: list[bytes]
    seconds: float
    connections: int = 32
    rate: float = 0.0
    warm: float = 0.0  # seconds at the start whose latencies do not count
    again: bool = False  # start over when the requests run out
    watch: dict[str, int] = {}  # processes by name: what do they cost meanwhile?
    follow: int = 0  # after every so many things created, read the new one at its position: when can it be seen?


class Tally(msgspec.Struct):
    """What came of it."""

    seconds: float  # that were measured
    answers: dict[int, int]  # by status, all of them
    measured: dict[int, int]  # by status, after the warm-up
    latencies: bytes  # doubles, seconds
    positions: bytes  # of what was created, as the answers told: int64
    seen: bytes  # doubles: seconds from when something was recorded until its row was read (`follow`)
    lost: int
    cost: dict[str, float]  # share of a core that each watched process took, this one, and all others

    @property
    def times(self) -> "array[float]":
        """The latencies of the measured answers."""
        return array("d", self.latencies)

    @property
    def visible(self) -> "array[float]":
        """How long what was recorded took to be seen."""
        return array("d", self.seen)

    @property
    def accepted(self) -> list[int]:
        """The positions that the server said it had stored something at."""
        return array("q", self.positions).tolist()

    def per_second(self, *statuses: int) -> float:
        """Measured answers a second, of these statuses or of all."""
        return sum(n for status, n in self.measured.items() if not statuses or status in statuses) / self.seconds


def generate(job: Job) -> Tally:
    """Run a job in a process of its own."""
    with start(job) as running:
        return running.tally()


class start:  # noqa: N801 - reads as a sentence
    """A job on its way, for whoever wants to look at something meanwhile."""

    def __init__(self, job: Job) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anamnesis-load-")
        self._path = Path(self._folder.name)
        (self._path / "job").write_bytes(msgspec.msgpack.encode(job))
        self._process = subprocess.Popen([sys.executable, "-m", __name__, str(self._path)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    @property
    def running(self) -> bool:
        """Is it still at it?"""
        return self._process.poll() is None

    def tally(self) -> Tally:
        """Wait for the end."""
        if self._process.wait():
            raise RuntimeError("the load generator failed")
        return msgspec.msgpack.decode((self._path / "tally").read_bytes(), type=Tally)


class Run:
    """A job being done."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.requests: Iterator[bytes] = cycle(job.requests) if job.again else iter(job.requests)
        self.answers: dict[int, int] = {}
        self.measured: dict[int, int] = {}
        self.latencies = array("d")
        self.positions = array("q")
        self.seen = array("d")
        self.lost = 0
        self.open = True
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.busy = 0
        self.quiet = asyncio.Event()
        self.exhausted = asyncio.Event()
        self.last = 0.0

    async def go(self) -> Tally:
        """Do it."""
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: Connection(self), self.job.host, self.job.port) for _ in range(self.job.connections)]
        meter, began = Meter(self.job.watch), time.perf_counter()
        self.begin, self.end = began + self.job.warm, began + self.job.warm + self.job.seconds
        if self.job.rate:
            self.idle.extend(protocol for _, protocol in made)
            await self._pace(began)
        else:
            for _, protocol in made:
                protocol.next()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.end - time.perf_counter()):
                    await self.exhausted.wait()
        self.open = False
        cost = meter.read()
        await self._finish()
        for transport, _ in made:
            transport.close()
        measured = max(min(self.end, self.last) - self.begin, 1e-9)
        return Tally(measured, self.answers, self.measured, self.latencies.tobytes(), self.positions.tobytes(), self.seen.tobytes(), self.lost, cost)

    async def _pace(self, began: float) -> None:
        """Make requests due at their times, and give each to the first connection that is free."""
        made, gap = 0, 1 / self.job.rate
        while self.open and (now := time.perf_counter()) < self.end:
            while (at := began + made * gap) <= now:
                self.due.append(at)
                made += 1
            while self.due and self.idle and self.open:
                self.idle.popleft().send(self.due.popleft())
            await asyncio.sleep(TICK_SECONDS)

    async def _finish(self) -> None:
        if self.busy:
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await self.quiet.wait()
        self.lost += self.busy

    def answered(self, status: int, since: float, position: int) -> None:
        """Note an answer."""
        self.answers[status] = self.answers.get(status, 0) + 1
        if status == CREATED and position:
            self.positions.append(position)
        now = time.perf_counter()
        if self.begin <= now <= self.end:
            self.measured[status] = self.measured.get(status, 0) + 1
            self.latencies.append(now - since)
            self.last = now


    def follows(self) -> bool:
        """Is the thing just created one to be followed?"""
        return self.job.follow > 0 and len(self.positions) % self.job.follow == 0

    def saw(self, data: bytes) -> None:
        """Note how long ago that which has just been read was recorded."""
        recorded = _text(data, RECORDED, b'"')
        if self.begin <= time.perf_counter() <= self.end:
            self.seen.append(time.time() - datetime.fromisoformat(recorded.decode()).timestamp())

    def settled(self) -> None:
        """Note that a request is over, one way or the other."""
        self.busy -= 1
        if not self.busy and not self.open:
            self.quiet.set()


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.buffer = b""
        self.since = 0.0
        self.waiting = False
        self.request = b""
        self.following = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def next(self) -> None:
        """Send what is to be sent next, if anything is."""
        run = self.run
        if run.job.rate:
            if run.due and run.open:
                self.send(run.due.popleft())
            else:
                run.idle.append(self)
        elif run.open:
            self.send(time.perf_counter())

    def send(self, since: float) -> None:
        """Send a request; its latency counts from `since`."""
        request = next(self.run.requests, None)
        if request is None:
            self.run.open = False
            self.run.exhausted.set()
            return
        self.since = since
        self.request = request
        self.waiting = True
        self.run.busy += 1
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _number(data, LENGTH, head):
            self.buffer = data
            return
        self.buffer = b""
        self.waiting = False
        if self.following:
            self.following = False
            self.run.saw(data)
        else:
            status = int(data[9:12])
            self.run.answered(status, self.since, _number(data, POSITION, head) if status == CREATED else 0)
            if status == CREATED and self.run.follows():
                self.follow(data)
                return
        self.run.settled()
        self.next()

    def follow(self, data: bytes) -> None:
        """Read what has just been created, not earlier than it can be seen."""
        location, position = _text(data, b"location: "), _text(data, POSITION)
        token = _text(self.request, b"authorization: ")
        self.following = self.waiting = True
        self.transport.write(b"GET %b HTTP/1.1\r\nhost: measured\r\nauthorization: %b\r\nx-position: %b\r\n\r\n" % (location, token, position))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting:
            self.waiting = False
            self.run.lost += 1
            self.run.settled()


def _number(data: bytes, name: bytes, head: int) -> int:
    at = data.find(name, 0, head)
    if at < 0:
        return 0
    at += len(name)
    return int(data[at : data.find(b"\r", at)])


def _text(data: bytes, name: bytes, end: bytes = b"\r") -> bytes:
    at = data.index(name) + len(name)
    return data[at : data.index(end, at)]


def main(folder: Path) -> None:
    """Read the job, do it, leave the tally."""
    job = msgspec.msgpack.decode((folder / "job").read_bytes(), type=Job)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        (folder / "tally").write_bytes(msgspec.msgpack.encode(runner.run(Run(job).go())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
