"""A real gateway for tests: uvicorn on a free port, real Postgres, and real NATS, relay and projector where they are asked for."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import msgspec
import uvicorn
from argon2 import PasswordHasher

from commands.accounts import OpenAccount, enrolled
from commands.clinics import OpenClinic
from commands.kit.handling import Who
from gateway.app import create_app, services_of
from gateway.kit import http
from gateway.kit.app import Gateway
from tests.client import client
from workers import projector, relay

PASSWORD = "correct horse battery staple"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
PROTECTED = "/api/v1/protected"
ZONE = "Europe/Amsterdam"


def today_there() -> date:
    """The day that it is in a test's clinic, which begins before the day in UTC does."""
    return datetime.now(ZoneInfo(ZONE)).date()


class Server(http.Server):
    """The server inside a test: the test keeps its own signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


IDLE: list[Gateway] = []
"""Applications that nobody uses just now: making one takes a quarter of a second, most of it for its addresses."""


class Person:
    """Somebody signed in."""

    def __init__(self, web: "Web", session: dict[str, Any]) -> None:
        self.web = web
        self.session = session
        self.headers = {"authorization": f"Bearer {session['accessToken']}"}
        self.id = UUID(session["user"]["id"])

    async def __call__(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.web.client.request(method, PROTECTED + path, json=json, headers=headers, **options)

    async def seen(self, answer: httpx.Response) -> dict[str, str]:
        """The header with which a read waits for that answer's change."""
        return {"x-position": answer.headers["x-position"]}


class Web:
    """One gateway and what a test does with it."""

    def __init__(self, app: Gateway, client: httpx.AsyncClient, owner_url: str, port: int) -> None:
        self.app = app
        self.client = client
        self.owner_url = owner_url
        self.port = port
        self.services = app.services

    async def clinic(self, plan: Any = "Pro+") -> UUID:
        """A new clinic."""
        clinic = uuid4()
        command = OpenClinic(name="Grachten", zone=ZONE, currency="EUR", plan=plan)
        await self.services.handler.handle(command, Who(actor=uuid4(), clinic=clinic, role="superadmin", grants=frozenset()), id=clinic)
        return clinic

    async def account(self, clinic: UUID, role: str, subject: UUID | None = None, email: str = "") -> str:
        """A new account's address; its password is PASSWORD."""
        email = email or f"{role}-{uuid4().hex[:8]}@clinic.example"

        async def secret(account: UUID) -> UUID:
            return await self.services.vault.put_hash(account, CHEAP)

        await enrolled(self.services.handler, OpenAccount(email=email, name="Sam"), clinic, role, subject, secret)
        return email

    async def sign_in(self, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        return await self.client.post("/api/v1/auth/signin", json={"email": email, "password": password, **more})

    async def person(self, clinic: UUID, role: str, subject: UUID | None = None) -> Person:
        """Somebody of that role, signed in."""
        answer = await self.sign_in(await self.account(clinic, role, subject))
        assert answer.status_code == 200, answer.text
        return Person(self, answer.json())


@asynccontextmanager
async def served(database: Any, nats: Any = None, **changed: Any) -> AsyncIterator[Web]:
    """Serve the API; `changed` replaces settings."""
    settings = database.settings("gateway", nats)
    told = {name: getattr(settings, name) for name in ("database_url", "nats_url", "mac_key", "bus_key", "kek", "signing_key", "objects")}
    told |= {"rate_account": 10**7, "rate_address": 10**7}
    told_all = msgspec.defstruct("Told", [(name, Any) for name in {**told, **changed}])(**{**told, **changed})
    if IDLE:
        app = IDLE.pop()
        app.lean_on(services_of(told_all))
    else:
        app = create_app(told_all)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = Server(uvicorn.Config(
        app, http=http.Protocol, ws="none", lifespan="on", access_log=False, proxy_headers=False, log_level="warning",
        timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the gateway did not start")
        await asyncio.sleep(0.01)
    try:
        async with client(f"http://127.0.0.1:{port}") as http_client:
            yield Web(app, http_client, database.url("owner"), port)
    finally:
        server.should_exit = True
        await task
        listener.close()
        IDLE.append(app)


@asynccontextmanager
async def working(database: Any, nats: Any) -> AsyncIterator[None]:
    """Run the relay and a projector."""
    tasks = [asyncio.create_task(w.main(database.settings(kind, nats))) for w, kind in ((relay, "relay"), (projector, "projector"))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait until something is so; a test that waits in vain fails here."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - any condition, not only ours
            await asyncio.sleep(0.01)


def failure(answer: httpx.Response, status: int, code: str) -> Any:
    """Check that an answer is an error of the one shape, and return its details."""
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert set(said) == {"error", "code", "details", "requestId"}
    assert said["code"] == code, said
    assert said["requestId"] == answer.headers["x-request-id"]
    assert said["error"].endswith((".", "!"))
    assert isinstance(said["details"], list)
    return said["details"]
