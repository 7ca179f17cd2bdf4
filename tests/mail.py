"""A real mail server in the test's own process, and couriers in it or beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

import psycopg
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from msgspec.structs import replace

from workers import courier


class Letterbox:
    """What the server took, in order; `says` is asked what to answer to each message, None to take it."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.seen: list[EmailMessage] = []
        self.says: Callable[[EmailMessage], str | None] = lambda _: None
        self.refuses: dict[str, str] = {}  # recipient -> answer

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        if (answer := self.refuses.get(address)) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        message = message_from_bytes(envelope.content or b"", _class=EmailMessage, policy=policy.default)  # type: ignore[arg-type]
        self.seen.append(message)
        answer = await asyncio.to_thread(self.says, message)
        if answer is None:
            self.taken.append(message)
            return "250 OK"
        return answer


class MailServer(Controller):
    """`with MailServer() as server:` and it listens at `server.url`."""

    def __init__(self, **options: Any) -> None:
        self.box = Letterbox()
        super().__init__(self.box, hostname="127.0.0.1", port=0, **options)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Only:
    """Lets one user in."""

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"courier", b"s3cret/word")
        return AuthResult(success=right, handled=False)


def text(message: EmailMessage, kind: str = "plain") -> str:
    """What a letter says."""
    part = message.get_body(preferencelist=(kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@asynccontextmanager
async def carrying(database: Any, server: MailServer | None, nats: Any = None, *, count: int = 1, smtp_url_is: str = "", **changed: Any) -> AsyncIterator[None]:
    """Run couriers."""
    url = smtp_url_is or (server.url if server else "")
    settings = replace(database.settings("courier", nats), smtp_url=url, **changed)
    tasks = [asyncio.create_task(courier.main(settings)) for _ in range(count)]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


class Outbox:
    """The outbox as the owner sees it."""

    def __init__(self, database: Any) -> None:
        self.url = database.url("owner")

    def rows(self, *columns: str, **where: Any) -> list[tuple[Any, ...]]:
        condition = " and ".join(f"{column} = %s" for column in where) or "true"
        return self.run(f"select {', '.join(columns)} from letters where {condition} order by position, number, id", *where.values())  # noqa: S608 - names of ours

    def states(self) -> list[str]:
        return [status for (status,) in self.rows("status")]

    async def settled(self) -> bool:
        return bool(self.states()) and "queued" not in self.states()

    async def hurry(self) -> None:
        """Let whatever was put off be due now; a courier of this very process may hold a letter, and must be able to let go of it."""
        await asyncio.to_thread(self.run, "update letters set due_at = now() where status = 'queued' returning 1")

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql, values).fetchall()  # type: ignore[arg-type]


