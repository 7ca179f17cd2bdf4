"""Somebody else's server, which webhooks are sent to: real HTTP, and answers as bad as a test wants them."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self

import msgspec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Got(NamedTuple):
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> Any:
        return msgspec.json.decode(self.body)

    def signed(self, secret: str) -> bool:
        """Say whether it is signed with a secret, by the library that the makers of the specification publish."""
        try:
            return bool(Webhook(secret).verify(self.body, self.headers))
        except WebhookVerificationError:
            return False


class Answer(NamedTuple):
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


Says = Callable[[Got], "Awaitable[Answer] | Answer"]


class Receiver:
    """`async with Receiver() as receiver:` and it listens at `receiver.url`; `says` is asked what to answer."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.got: list[Got] = []
        self.says: Says = lambda _: Answer(204)
        self.at_once = self.most_at_once = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://{'localhost' if self.context else '127.0.0.1'}:{self.port}/hook"

    @property
    def types(self) -> list[str]:
        return [got.said["type"] for got in self.got]

    async def has(self, count: int) -> bool:
        return len(self.got) >= count

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            got = Got(first.split(" ")[1], headers, await reader.readexactly(int(headers.get("content-length", 0))))
            self.got.append(got)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                said = self.says(got)
                answer = said if isinstance(said, Answer) else await said
            finally:
                self.at_once -= 1
            told = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            writer.write(f"HTTP/1.1 {answer.status} Whatever\r\ncontent-length: {len(answer.body)}\r\nconnection: close\r\n{told}\r\n".encode() + answer.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return
        finally:
            writer.close()
