"""Calling the API by operation id: each answer is held to the document, and each good request is remembered."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
from argon2 import PasswordHasher

from commands.accounts import OpenAccount, enrolled
from commands.kit.codes import Codes
from commands.kit.handling import Handler
from commands.kit.links import LastingLinks
from commands.kit.vault import Vault
from domain.kit import PLATFORM
from gateway.app import openapi
from tests.laws.schema import misfits

Json = dict[str, Any]

PASSWORD = "correct horse battery staple"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)


class Operation(NamedTuple):
    """An address of the API."""

    id: str
    method: str
    path: str
    told: Json

    @property
    def key(self) -> str:
        """The permission it takes, "signed in", or "" for whoever comes."""
        return str(self.told.get("x-permission", ""))

    @property
    def success(self) -> int:
        return next(int(status) for status in self.told["responses"] if status.startswith(("2", "3")))


DOCUMENT = openapi()
OPERATIONS = {o["operationId"]: Operation(o["operationId"], method.upper(), path, o) for path, item in DOCUMENT["paths"].items() for method, o in item.items()}


class Request(NamedTuple):
    """A request that was answered well."""

    operation: Operation
    path: str
    query: Json
    body: Json | bytes | None

    @property
    def words(self) -> str:
        """All that it says."""
        return f"{self.path} {self.query} {self.body}"


class Api:
    """An API, its document, and the good requests so far."""

    def __init__(self, client: httpx.AsyncClient, handler: Handler, settings: Any) -> None:
        self.client = client
        self.handler = handler
        self.vault = Vault(handler.lanes, settings.kek)
        self.codes = Codes(handler.lanes, settings.kek)
        self.links = LastingLinks(settings.kek)  # those that the courier writes into letters
        self.called: list[Request] = []

    async def secret(self, account: UUID) -> UUID:
        """Put the password into the vault."""
        return await self.vault.put_hash(account, CHEAP)

    async def person(self, clinic: UUID, role: str, subject: UUID | None = None) -> "Person":
        """Somebody of that role, signed in."""
        email = f"{role}-{uuid4().hex[:12]}@clinic.example"
        await enrolled(self.handler, OpenAccount(email=email), clinic, role, subject, self.secret)
        nobody = Person(self, {}, role, clinic)
        return Person(self, await nobody("SignIn", {"email": email, "password": PASSWORD}), role, clinic, email)

    async def superadmin(self) -> "Person":
        return await self.person(PLATFORM, "superadmin")


class Person:
    """Somebody who calls, and who sees what he has done: each read waits for his last change."""

    def __init__(self, api: Api, session: Json, role: str, clinic: UUID, email: str = "") -> None:
        self.api = api
        self.session = session
        self.role = role
        self.clinic = clinic
        self.email = email
        self.headers = {"authorization": f"Bearer {session['accessToken']}"} if session else {}
        self.position = "0"

    async def send(self, request: Request, headers: Mapping[str, str] = {}) -> httpx.Response:
        """Send a request, come what may."""
        method, path, query, body = request.operation.method, request.path, request.query, request.body
        media = {"content-type": "image/gif" if body.startswith(b"GIF") else "text/csv"} if isinstance(body, bytes) else {}
        known = {"x-position": self.position} if method == "GET" and self.position != "0" else {}
        return await self.api.client.request(method, path, params=query, **content(body), headers={**media, **self.headers, **known, **headers})

    async def __call__(self, operation: str, body: Json | bytes | None = None, query: Json | None = None, *, headers: Mapping[str, str] = {}, **path: Any) -> Any:
        """Call an operation that should succeed, as documented; return what it answers."""
        wanted = OPERATIONS[operation]
        request = Request(wanted, wanted.path.format(**path), query or {}, body)
        answer = await self.send(request, headers)
        assert answer.status_code == wanted.success, f"{operation}: {answer.status_code} {answer.text}"
        assert list(undocumented(wanted, answer)) == [], operation
        self.position = answer.headers.get("x-position", self.position)
        self.api.called.append(request)
        media = answer.headers.get("content-type", "")
        return answer.json() if media.startswith("application/json") else answer.text


def content(body: Json | bytes | None) -> Json:
    """Return how a body is sent: bytes as they are, anything else as JSON."""
    return {"content": body} if isinstance(body, bytes) else {"json": body}


def undocumented(operation: Operation, answer: httpx.Response) -> list[str]:
    """Return where an answer is not what the document says."""
    told = operation.told["responses"].get(str(answer.status_code))
    if told is None:
        return [f"nobody said that {operation.id} may answer {answer.status_code}"]
    missing = [f"header {name} is missing" for name in told.get("headers", {}) if name not in answer.headers and answer.is_success]
    content = told.get("content", {})
    if not content:
        return missing + ([f"unexpected body {answer.text}"] if answer.content else [])
    media, _, more = answer.headers["content-type"].partition(";")
    if more.count("charset") > 1:
        return [*missing, f"{operation.id} says its charset twice"]
    if not {media, f"{media.partition('/')[0]}/*", "*/*"} & content.keys():
        return [*missing, f"{media} is not among {list(content)}"]
    return missing + (list(misfits(DOCUMENT, content[media]["schema"], answer.json())) if media == "application/json" else [])
