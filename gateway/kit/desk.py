"""What an odd handler needs, as one parameter named `desk`."""

from contextlib import suppress
from typing import Any, NamedTuple, Self
from uuid import UUID

from litestar import Response

from commands.kit import Command, Decision, TimeTaken
from commands.kit.codes import borne
from commands.kit.handling import Receipt, Who
from domain.kit import PLATFORM
from gateway.kit.call import Call
from gateway.kit.errors import BadRequest
from gateway.kit.past import then
from gateway.kit.routes import CommandRoute
from projections.kit.reading import Reader

TRIES = 5  # at a time that somebody else takes between the look and the save


class ClinicUnnamed(BadRequest):
    """You see all clinics, so say which one you mean with `clinicId`."""


class Led(NamedTuple):
    """What a link's token led to: the stream that it is about, the id of the link, and the token proper."""

    stream: UUID
    link: UUID
    secret: str


class Desk:
    """Who asks, the clinic's reader, and the door for commands."""

    __slots__ = ("call", "reader")

    def __init__(self, call: Call, reader: Reader) -> None:
        self.call = call
        self.reader = reader

    @property
    def who(self) -> Who:
        """Who asks, in which clinic."""
        return self.call.who

    async def within(self, clinic: UUID) -> Self:
        """Go on in that clinic: the caller's own, or any for a superadmin; to anybody else it does not exist."""
        await self.call.within(clinic)
        self.reader = await self.call.reader()
        return self

    async def enter(self, clinic: UUID) -> Self:
        """Go on in that clinic, whoever asks: for public addresses that name one."""
        await self.call.enter(clinic)
        self.reader = await self.call.reader()
        return self

    async def home(self) -> Self:
        """Go on with what belongs to no clinic, for the platform's people, wherever they are."""
        self.call.go_home()
        self.reader = await self.call.reader()
        return self

    async def at(self, clinic: UUID | None) -> Self:
        """Go on in the clinic that the platform's people name; everybody else is in their own, and may name it."""
        if clinic is not None:
            return await self.within(clinic)
        if self.who.clinic == PLATFORM:
            raise ClinicUnnamed
        return self

    async def beside(self, stream: UUID) -> Self:
        """Go on in the clinic whose that stream is, for the platform's people; everybody else stays in their own."""
        if self.who.clinic == PLATFORM and (clinic := await self.call.services.handler.tenant_of(stream)) not in {None, PLATFORM}:
            return await self.within(clinic)
        return self

    async def led(self, purpose: str, text: str) -> Led | None:
        """Go on in the clinic to which a link's token leads; None if it is none of ours for that purpose, or the clinic is closed or being closed."""
        found = borne(text)
        whose = await self.call.services.codes.whose(purpose, found.token) if found else None
        if found is None or whose is None or whose.clinic is None:
            return None
        await self.enter(whose.clinic)
        clinic = await self.clinic()
        return Led(found.stream, whose.subject, found.token) if clinic.active and clinic.closing is None else None

    async def then(self, as_of: str) -> int:
        """Return the position that `asOf` means here, with a reader that knows of everything up to there."""
        self.reader, position = await then(self.call, as_of)
        return position

    def require(self, permission: str) -> None:
        """Refuse whoever lacks a permission."""
        self.call.require(permission)

    async def handle(self, command: Command, id: UUID | None = None, command_id: UUID | None = None) -> Receipt:  # noqa: A002
        """Have a command decided; If-Match and Idempotency-Key are seen to, or `command_id` makes it happen once."""
        return await self.call.handle(command, id, command_id)

    async def insist(self, command: Command, id: UUID | None) -> Receipt:  # noqa: A002
        """As `handle`, for what looks at who holds a time and then says what it gets: if somebody is quicker in between, it looks again."""
        for _ in range(TRIES - 1):
            with suppress(TimeTaken):
                return await self.handle(command, id)
        return await self.handle(command, id)

    async def each(self, command: Command, command_id: UUID, id: UUID | None = None, expect: int | None = None) -> Receipt:  # noqa: A002
        """Have one of many commands of a request decided, once; neither If-Match nor the Idempotency-Key is about a single one."""
        return await self.call.one_of(command, command_id, id, expect)

    async def rehearse(self, command: Command, id: UUID) -> Decision:  # noqa: A002
        """Return what would follow from a command, of which nothing is stored."""
        self.require(command.permission)
        return await self.call.services.handler.rehearse(command, self.who, id)

    async def known(self, kind: str, id: UUID) -> bool:  # noqa: A002
        """Say whether the clinic has such a thing."""
        return await self.call.services.handler.known(self.who.clinic, kind, id)

    async def clinic(self) -> Any:
        """Return the clinic: name, zone, currency, plan."""
        return await self.call.services.handler.clinic(self.who.clinic)

    def answer(self, command: type[Command], receipt: Receipt, status: int = 200) -> Response[Any]:
        """Return the answer to a command as the verbs give it: the row after it, ETag and X-Position."""
        answer = CommandRoute(command, "", status).answer(self.call, receipt)
        headers = {k.decode(): v.decode() for k, v in answer.headers}
        return Response(answer.body, status_code=answer.status, headers=headers, media_type=answer.media.decode())
