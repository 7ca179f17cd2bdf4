"""Subscribers of event streams, as many as wanted, in a process of their own; each notes what it got, and how old that was.

How it works. `python -m ... FOLDER` reads the job, connects everybody, leaves the file `ready`, listens until the file `stop` appears and as many events as it
says have come, and leaves what was heard. An event's age counts from the `recordedAt` it carries, which is before its commit; both clocks are this machine's.

What may go wrong. A stream that ends, or an answer that is no 200, ends the job with an error: what was not delivered would not be seen missing.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from array import array
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
import uvloop

from anamnesis.bench.kit.load import Job
from anamnesis.scratch import until

READY_SECONDS = 60.0
POLL_SECONDS = 0.1
LATE_SECONDS = 10.0


class Heard(msgspec.Struct):
    """What subscribers got."""

    positions: list[bytes]  # of each subscriber: int64s, in the order they came
    ages: bytes  # doubles, seconds, of all

    @property
    def each(self) -> list[list[int]]:
        """The positions that each subscriber got."""
        return [array("q", told).tolist() for told in self.positions]

    @property
    def times(self) -> "array[float]":
        """How old events were when they came."""
        return array("d", self.ages)


class listening:  # noqa: N801 - reads as a sentence
    """Subscribers who listen as long as the `with` lasts; each sends one of the job's requests, in turn."""

    def __init__(self, job: Job) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anamnesis-watch-")
        self._path = Path(self._folder.name)
        (self._path / "job").write_bytes(msgspec.msgpack.encode(job))
        self._process = subprocess.Popen([sys.executable, "-m", __name__, str(self._path)])

    def __enter__(self) -> Self:
        until(lambda: (self._path / "ready").exists() or self._process.poll() is not None, READY_SECONDS, "the subscribers do not get in")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def heard(self, expected: int) -> Heard:
        """End it when so many events have come to all together, or have not for too long; return what everybody got."""
        (self._path / "stop.new").write_text(str(expected), "ascii")
        (self._path / "stop.new").rename(self._path / "stop")
        if self._process.wait():
            raise RuntimeError("the subscribers failed")
        return msgspec.msgpack.decode((self._path / "heard").read_bytes(), type=Heard)


class Room:
    """Everybody who listens, and how old each event was when it was told of: the time is worked out once for all."""

    def __init__(self) -> None:
        self.recorded: dict[bytes, float] = {}
        self.ages = array("d")
        self.failed = ""

    def came(self, position: bytes, told: bytes) -> None:
        """Note an event."""
        recorded = self.recorded.get(position)
        if recorded is None:
            at = told.index(b'"recordedAt":"') + 14
            recorded = self.recorded[position] = datetime.fromisoformat(told[at : told.index(b'"', at)].decode()).timestamp()
        self.ages.append(time.time() - recorded)


class Subscriber(asyncio.Protocol):
    """One who listens."""

    def __init__(self, room: Room, request: bytes) -> None:
        self.room = room
        self.request = request
        self.positions = array("q")
        self.joined = asyncio.Event()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        *messages, self.rest = (self.rest + data).split(b"\n\n")
        for message in messages:
            at = message.rfind(b"id: ")
            if at >= 0 and message.find(b"data: ") >= 0:
                position = message[at + 4 :].partition(b"\n")[0]
                self.positions.append(int(position))
                self.room.came(position, message)
        if messages and not self.joined.is_set():
            self.joined.set()
        if self.rest.startswith(b"HTTP/1.1 ") and not self.rest.startswith(b"HTTP/1.1 200"):
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.failed = self.room.failed or f"a stream ended: {exc or self.rest[:200]!r}"
        self.joined.set()


async def listen(job: Job, folder: Path) -> Heard:
    """Connect everybody, and listen."""
    loop, room = asyncio.get_running_loop(), Room()
    everybody = [Subscriber(room, job.requests[n % len(job.requests)]) for n in range(job.connections)]
    for subscriber in everybody:
        await loop.create_connection(lambda s=subscriber: s, job.host, job.port)  # type: ignore[misc]
    for subscriber in everybody:
        async with asyncio.timeout(READY_SECONDS):
            await subscriber.joined.wait()
    (folder / "ready").touch()
    end = loop.time() + job.seconds
    while not (folder / "stop").exists() and loop.time() < end and not room.failed:  # noqa: ASYNC110 - a file announces nothing
        await asyncio.sleep(POLL_SECONDS)
    expected, end = int((folder / "stop").read_text("ascii")) if (folder / "stop").exists() else 0, loop.time() + LATE_SECONDS
    while len(room.ages) < expected and loop.time() < end and not room.failed:  # noqa: ASYNC110 - as above
        await asyncio.sleep(POLL_SECONDS)
    if room.failed:
        raise RuntimeError(room.failed)
    return Heard([s.positions.tobytes() for s in everybody], room.ages.tobytes())


def main(folder: Path) -> None:
    """Read the job, do it, leave what was heard."""
    job = msgspec.msgpack.decode((folder / "job").read_bytes(), type=Job)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        (folder / "heard").write_bytes(msgspec.msgpack.encode(runner.run(listen(job, folder))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
