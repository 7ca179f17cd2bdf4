"""A line that is cut again and again: whoever reads through it gets so many bytes of an answer, a different number each time, and then nothing."""

import asyncio
import socket
import struct
from contextlib import suppress
from random import Random
from typing import Self
from urllib.parse import urlsplit

MOST = 2500  # bytes; an event has some 400
ABORT = struct.pack("ii", 1, 0)  # linger for no time: the peer is told by a reset


class Cutting:
    """`async with Cutting(url, seed) as line:` and the server at `url` is also at `line.url`, for as long as each connection lasts."""

    def __init__(self, url: str, seed: int, most: int = MOST) -> None:
        self.upstream = urlsplit(url)
        self.dice = Random(seed)
        self.most = most
        self.cuts: list[int] = []
        """After how many bytes of its answer each connection was cut."""
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes until the line is cut, or either side has enough."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        above, below = await asyncio.open_connection(self.upstream.hostname, self.upstream.port)
        asked = asyncio.create_task(passed_on(reader, below, 1 << 30))
        asked.add_done_callback(lambda _: below.close())  # a client that leaves takes its stream along
        try:
            left = self.dice.randint(1, self.most)
            if await passed_on(above, writer, left) == left:
                self.cuts.append(left)
                if self.dice.random() < 0.5:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        finally:
            asked.cancel()
            writer.close()
            below.close()


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> int:
    """Pass on so many bytes at most; return how many there were."""
    passed = 0
    with suppress(OSError):
        while passed < most and (data := await reader.read(min(1 << 16, most - passed))):
            writer.write(data)
            await writer.drain()
            passed += len(data)
    return passed
