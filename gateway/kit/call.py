"""One request on its way: who asks, in which clinic, with what."""

import hashlib
import hmac
import re
from collections.abc import Hashable
from random import getrandbits
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from litestar.types import Receive, Scope
from msgspec.structs import replace

from commands.kit import Command, Creation
from commands.kit.doors import GUESSING
from commands.kit.handling import Receipt, Who
from commands.kit.receipt import NOBODY, house
from domain.kit import PLATFORM, NotFound
from domain.kit.grants import effective
from gateway.kit.answer import Headers
from gateway.kit.cookies import SAFE, Tokens, ensure_safe, same_origin
from gateway.kit.cookies import wanted as cookies_wanted
from gateway.kit.errors import (
    BadRequest,
    BodyTooLarge,
    BodyUnexpected,
    ClinicIsClosing,
    JsonMalformed,
    NotWhileImpersonating,
    QueryInvalid,
    SignInRequired,
    SubscriptionExpired,
    offset,
)
from gateway.kit.languages import wanted
from gateway.kit.rates import LIMIT, Meter, client
from gateway.kit.services import Services
from projections.kit.reading import Reader

BODY_LIMIT = 1 << 20
KEY_LIMIT = 255
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_ETAG = re.compile(rb'\s*(?:W/)?"(\d{1,18})"\s*')


def _new_id() -> bytes:
    digits = b"%032x" % getrandbits(128)  # names a request, guards nothing
    return b"%b-%b-4%b-a%b-%b" % (digits[:8], digits[8:12], digits[13:16], digits[17:20], digits[20:])


class AdminKeyWrong(SignInRequired):
    """This key opens nothing. Ask whoever runs this installation."""


OPERATOR = Who(actor=PLATFORM, clinic=PLATFORM, role="superadmin", grants=effective("superadmin").keys, plan="Enterprise", client="admin-key")
"""Whoever shows the installation's own key: may do what takes a superadmin, and has no account."""


class Call:
    """A request; made once for each, so it holds little and works out the rest when asked."""

    __slots__ = ("_body", "_owed", "address", "baked", "bearer", "headers", "jar", "params", "receive", "request_id", "route", "scope", "services", "shown", "who", "written")

    def __init__(self, scope: Scope, receive: Receive, services: Services, route: str = "", params: dict[str, Any] | None = None) -> None:
        self.scope = scope
        self.receive = receive
        self.services = services
        self.route = route
        self.params = params or {}
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        self.request_id = given if given and _REQUEST_ID.fullmatch(given) else _new_id()
        self.who: Who = NOBODY
        self.address = services.proxies.client(scope, self.headers)
        self.bearer: bytes | None = None  # the Authorization header, or what the cookies say in its place
        self.baked = False  # does a session in cookies speak?
        self.jar: Headers = []
        self.shown: Headers = []  # to which website's page the answer may be shown
        self.written = 0  # the position of what it has changed
        self._body: bytes | None = None
        self._owed: tuple[Meter, float] | None = None

    @property
    def marks(self) -> Headers:
        """What every answer bears: the request's id, and how much more may be asked for."""
        if self._owed is None:
            return [(b"x-request-id", self.request_id), *self.jar, *self.shown]
        meter, owed = self._owed
        return [(b"x-request-id", self.request_id), *meter.headers(owed), *self.jar, *self.shown]

    @property
    def language(self) -> str:
        """The language in which errors are told."""
        return wanted(self.headers.get(b"accept-language", b""))

    def arrive(self) -> None:
        """Count the request for the address it comes from; refuse one too many."""
        self._count(self.services.rates.address, client(self.address))

    async def admit(self) -> Who:
        """Find out who asks; refuse whoever may not come in."""
        gate, header = self.services.gate, self.headers.get(b"authorization")
        if header is None and (key := self.headers.get(b"x-api-key")) is not None:
            header = b"Bearer " + key
        if header is None and (shown := self.headers.get(b"x-admin-key")) is not None:
            self.who = await self._operator(shown)
            self._count(self.services.rates.account, self.who.actor)
            return self.who
        if header is None and b"cookie" in self.headers:
            header = self.services.cookies.bearer(self.headers, secure=self.secure)
            self.baked = header is not None
        self.bearer = header
        self.who = who = gate.known(header) or await gate.admit(header)
        if self.baked and who.session and self.scope.get("method") not in SAFE:
            self.services.cookies.check(self.headers, who.session, secure=self.secure)
        if who.role == "key":
            self.services.uses.note(who.actor, who.clinic)
        self._count(self.services.rates.account, who.actor)
        return who

    async def _operator(self, shown: bytes) -> Who:
        """Let the installation's operator in by the key of the settings; whether there is one is told to nobody."""
        kept = str(getattr(self.services.settings, "admin_key", "")).encode()
        if not kept or not hmac.compare_digest(kept, shown):
            await self.services.doors.enter(GUESSING, self.address)
            raise AdminKeyWrong
        return OPERATOR

    @property
    def secure(self) -> bool:
        """Does the client speak TLS, with us or with a proxy of ours?"""
        return self.services.proxies.secure(self.scope, self.headers)

    @property
    def wants_cookies(self) -> bool:
        """Shall a session be given in cookies? Refuses where others could read them."""
        if not (self.baked or cookies_wanted(self.headers)):
            return False
        ensure_safe(self.headers, secure=self.secure)
        return True

    def give(self, tokens: Tokens) -> None:
        """Give a session in cookies."""
        self.jar = self.services.cookies.give(tokens, self.headers, secure=self.secure)

    def take_back(self) -> None:
        """Have the browser forget a session that it had in cookies, if it is a page of ours that asks."""
        if self.baked:
            same_origin(self.headers, secure=self.secure)
            self.jar = self.services.cookies.take_back(secure=self.secure)

    def refresh_token(self) -> str | None:
        """Return the refresh token in the cookies, if a page of ours sends them."""
        if (found := self.services.cookies.refresh(self.headers, secure=self.secure)) is not None:
            same_origin(self.headers, secure=self.secure)
            self.baked = True
        return found

    def _count(self, meter: Meter, key: Hashable) -> None:
        owed = meter.take(key)
        self._owed = (meter, owed)
        if owed > LIMIT:
            raise meter.refusal(owed)

    def require(self, permission: str) -> None:
        """Refuse whoever lacks a permission."""
        if not self.who.may(permission) or (self.who.client == OPERATOR.client and permission != "superadmin"):
            raise self.who.refusal(permission)

    async def open_chart(self, patient: UUID, permission: str) -> bool:
        """Refuse whoever may not look at a patient's chart; say whether it is open to them in an emergency alone."""
        if not self.who.may(permission) and await self.services.members.emergency(self.who, patient):
            return True
        self.require(permission)
        return False

    async def saw(self, what: str, patient: UUID, *, emergency: bool = False) -> None:
        """Put on record that somebody other than the patient sees the chart."""
        who = self.who
        if who.role != "patient":
            await self.services.sightings.saw(who.clinic, patient, who.actor, who.role, what, await self.origin(who.clinic), emergency=emergency)

    def refused(self, code: str) -> None:
        """Put on record that somebody was refused something, a moment later."""
        if self.who is not NOBODY:
            self.services.later(self._refused(code))

    async def _refused(self, code: str) -> None:
        who = self.who
        await self.services.sightings.denied(who.clinic, who.actor, who.role, self.route, self.scope["path"], code, await self.origin(who.clinic))

    def ensure_somebody(self) -> None:
        """Refuse the installation's own key where it takes nothing but to be signed in."""
        if self.who.client == OPERATOR.client:
            raise self.who.refusal("self")

    async def within(self, clinic: UUID) -> None:
        """Go on in that clinic: the caller's own, or any for a superadmin."""
        if clinic == self.who.clinic:
            return
        if self.who.role != "superadmin" or not await self.services.handler.known(clinic, self.services.kinds.clinic.kind, clinic):
            raise NotFound(kind=self.services.kinds.clinic.kind, id=str(clinic))
        self.who = replace(self.who, clinic=clinic)

    def go_home(self) -> None:
        """Go on with what belongs to no clinic."""
        self.require("superadmin")
        self.who = replace(self.who, clinic=PLATFORM)

    async def enter(self, clinic: UUID) -> None:
        """Go on in a clinic that the request names by something only its guests know, or may be known to all."""
        if not await self.services.handler.known(clinic, self.services.kinds.clinic.kind, clinic):
            raise NotFound(kind=self.services.kinds.clinic.kind, id=str(clinic))
        self.who = replace(self.who, clinic=clinic)

    async def reader(self) -> Reader:
        """Return the clinic's reader, once it has reached the position the client has seen."""
        return await self.services.reader(self.who.clinic, self.position)

    @property
    def position(self) -> int:
        """The position that the answer must have reached."""
        given = self.headers.get(b"x-position")
        if given is None and b"position=" in self.scope["query_string"]:
            given = dict(self.query()).get("position", "").encode()
        if not given:
            return 0
        if not given.isdigit() or len(given) > 18:  # noqa: PLR2004 - what a bigint holds
            raise QueryInvalid(field="X-Position", problem="Expected a position: a whole number")
        return int(given)

    def query(self) -> list[tuple[str, str]]:
        """Return the query's parameters."""
        raw = self.scope["query_string"]
        if b"%00" in raw:
            raise QueryInvalid(problem="Text may not contain the character NUL (U+0000)")
        return parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if raw else []

    async def body(self, most: int = BODY_LIMIT) -> bytes:
        """Return the whole body, of at most so many bytes."""
        if self._body is None:
            self._body = await self._received(most)
        return self._body

    async def _received(self, most: int) -> bytes:
        declared = self.headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > most:
            raise BodyTooLarge(limit=most)
        message: Any = await self.receive()
        body = bytearray(message.get("body", b""))
        while message.get("more_body"):
            message = await self.receive()
            body += message.get("body", b"")
            if len(body) > most:
                raise BodyTooLarge(limit=most)
        if message["type"] == "http.disconnect":  # a part of a body may well make sense, only another one
            raise JsonMalformed(offset=len(body), problem="the body ended early")
        return bytes(body)

    def unreadable(self, error: str, length: int) -> BadRequest:
        """Return why a body is not JSON; whoever says that it is something else is told so."""
        media = self.headers.get(b"content-type", b"")
        if media and b"json" not in media:
            return BodyUnexpected(got=media.decode("latin-1"))
        return JsonMalformed(**offset(error, length))

    def took(self, body: bytes) -> None:
        """Note the body that somebody else has received."""
        self._body = body

    @property
    def expect(self) -> int | None:
        """The version the client insists on: If-Match."""
        given = self.headers.get(b"if-match")
        if given is None or given.strip() == b"*":
            return None
        if not (found := _ETAG.fullmatch(given)):
            raise QueryInvalid(field="If-Match", problem='Expected the ETag of a read, such as "3"')
        return int(found[1])

    @property
    def key(self) -> str | None:
        """The Idempotency-Key."""
        given = self.headers.get(b"idempotency-key")
        if given is None:
            return None
        if not 0 < len(given) <= KEY_LIMIT:
            raise QueryInvalid(field="Idempotency-Key", problem=f"Expected 1 to {KEY_LIMIT} characters")
        return given.decode("latin-1")

    @property
    def correlation(self) -> UUID:
        """The id that joins everything this request causes: the client's X-Request-Id, its trace, or the id we gave it."""
        if b"x-request-id" not in self.headers and (trace := _TRACE.fullmatch(self.headers.get(b"traceparent", b""))):
            return UUID(hex=trace[1].decode())
        text = self.request_id.decode()
        try:
            return UUID(text)
        except ValueError:
            return UUID(bytes=hashlib.blake2b(self.request_id, digest_size=16).digest())

    async def handle(self, command: Command, id: UUID | None = None, command_id: UUID | None = None) -> Receipt:  # noqa: A002
        """Have a command decided; `command_id` makes it happen once, however often it is asked."""
        if (spans := self.services.spans).on:
            with spans.step(type(command).__name__):
                receipt = await self._decided(command, id, command_id)
        else:
            receipt = await self._decided(command, id, command_id)
        return self._done(command, receipt)

    async def one_of(self, command: Command, command_id: UUID, id: UUID | None = None, expect: int | None = None) -> Receipt:  # noqa: A002
        """Have one of many commands decided that a request gives rise to; `command_id` makes it happen once, and `expect` pins the version."""
        receipt = await self.services.handler.handle(
            command, self.who, id=id, expect=expect, correlation=self.correlation, causation=await self.origin(self.who.clinic), command_id=command_id)
        return self._done(command, receipt)

    async def settle(self, command: Command, account: UUID, *, id: UUID | None = None, clinic: UUID = PLATFORM, command_id: UUID | None = None) -> Receipt:  # noqa: A002
        """Have the program itself change something for the owner of an account, whose proofs it has looked at; by itself in the account's own stream."""
        receipt = await self.services.handler.handle(
            command, house(account, clinic), id=id or account, correlation=self.correlation, causation=await self.origin(clinic, account),
            command_id=command_id)
        return self._done(command, receipt)

    async def mine(self, command: Command) -> Receipt:
        """Have a command about the caller's own account decided; nobody else may act in it."""
        self.only_owner()
        receipt = await self.services.handler.handle(
            command, replace(self.who, clinic=PLATFORM), id=self.who.account, expect=self.expect, key=self.key,
            route=f"{self.route} {type(command).__name__}", body=await self.body(), correlation=self.correlation, causation=await self.origin(PLATFORM))
        return self._done(command, receipt)

    def ensure_served(self, *, lapsed: bool) -> None:
        """Refuse a clinic whose subscription has run out, and what changes one that is being closed, but for what serves such a one too."""
        if lapsed:
            return
        if self.who.lapsed:
            raise SubscriptionExpired
        if self.who.closing and self.scope.get("method") not in SAFE:
            raise ClinicIsClosing

    def only_owner(self) -> None:
        """Refuse somebody who acts for the owner of the account."""
        if self.who.behalf is not None:
            raise NotWhileImpersonating

    @property
    def agent(self) -> str:
        """The client's program, as it calls itself."""
        return self.headers.get(b"user-agent", b"")[:200].decode("latin-1").replace("\0", "")

    async def origin(self, clinic: UUID, account: UUID | None = None) -> UUID:
        """Return where the request comes from, as a clinic's audit log will show it."""
        return await self.services.origins.of(clinic, self.who, account, self.address, self.headers.get(b"user-agent", b""))

    def _done(self, command: Command, receipt: Receipt) -> Receipt:
        """Pass on what has been stored."""
        self.written = max(self.written, receipt.position)
        self.services.bus.hint(receipt.position)
        if not receipt.touched.isdisjoint(self.services.kinds.words):
            self.services.gate.forget()
        return receipt

    async def _tenant(self, stream: UUID) -> UUID:
        """Return whose stream that is: the platform's people may be anywhere."""
        return await self.services.handler.tenant_of(stream) or self.who.clinic

    async def _decided(self, command: Command, stream: UUID | None, command_id: UUID | None) -> Receipt:
        said = b"\n".join((self.scope["path"].encode(), self.scope["query_string"], await self.body()))  # about another thing it is another request
        who = self.who
        if who.clinic == PLATFORM and stream is not None and who.role == "superadmin" and not isinstance(command, Creation):
            who = replace(who, clinic=await self._tenant(stream))
        return await self.services.handler.handle(
            command, who, id=stream, expect=self.expect, key=self.key, route=f"{self.route} {type(command).__name__}", body=said,
            correlation=self.correlation, causation=await self.origin(who.clinic), command_id=command_id)
