"""Who is asking: from the Authorization header to a `Who`, in less than a microsecond when the token is known.

How it works: a token is verified once per process and remembered until it expires. A session that ends is forgotten here at once and everywhere within
milliseconds, by a message on `control.sessions`. The relay's heartbeat shows that such messages would reach us: while it has been silent
for a second, every request asks Postgres whether its session is still open; when it comes back, all that was remembered is forgotten.

What may go wrong: a message lost in a gap of the feed would leave an ended session alive; hence the forgetting. What somebody may do hangs on the
clinic's plan and modules, on templates and on the person, so a change of any of these drops the remembered tokens as well (`members`).
"""

import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from commands.kit.handling import Who
from commands.kit.keys import PREFIX
from gateway.kit.errors import SessionEnded, SignInRequired, TokenExpired, TokenInvalid
from gateway.kit.tokens import Claims, Keys

REMEMBERED = 50_000  # tokens
LONGEST = 2048  # bytes of a header: none of ours is longer, and each is remembered
SILENCE = 1.0  # seconds without a heartbeat
BEARER = b"bearer "
KEY_SECONDS = 900.0  # for which an event stream lasts that was opened by a key

Alive = Callable[[UUID], Awaitable[bool]]
Member = Callable[[Claims], Awaitable[Who]]
Program = Callable[[str], Awaitable[tuple[Who, float]]]


class Pass:
    """A token that was found good."""

    __slots__ = ("expires", "made", "session", "who")

    def __init__(self, who: Who, session: UUID, expires: float) -> None:
        self.who = who
        self.session = session
        self.expires = expires
        self.made = time.monotonic()

    @property
    def program(self) -> bool:
        """Is it an API key, which has no session?"""
        return self.who.role == "key"


class Gate:
    """The door; one per process."""

    def __init__(self, keys: Keys, alive: Alive, member: Member, program: Program) -> None:
        self.keys = keys
        self._alive = alive
        self._member = member
        self._program = program
        self._passes: dict[bytes, Pass] = {}
        self._ended: dict[UUID, float] = {}
        self._heard = float("-inf")
        self._turn = 0

    def known(self, header: bytes | None) -> Who | None:
        """Return who is asking if the token is remembered and the feed is alive; refuse an expired one; None means: ask `admit`."""
        if header is None or (known := self._passes.get(header)) is None:
            return None
        if known.expires <= time.time():
            del self._passes[header]
            raise TokenExpired
        return known.who if self.listening else None

    async def admit(self, header: bytes | None) -> Who:
        """Return who is asking, whatever it takes."""
        if header is None:
            raise SignInRequired
        if header[:7].lower() != BEARER:
            raise SignInRequired
        found, turn = self._passes.get(header), self._turn
        deaf = not self.listening  # then nobody says that somebody was removed, or is now something else
        if found is None or found.expires <= time.time() or (deaf and (found.program or time.monotonic() - found.made > SILENCE)):
            found = await self._verified(header)
        if found.session in self._ended or not (found.program or await self._alive(found.session)):
            self.end(found.session)
            raise SessionEnded
        if found.session in self._ended:  # ended while we asked
            raise SessionEnded
        while len(self._passes) >= REMEMBERED:
            del self._passes[next(iter(self._passes))]
        if turn == self._turn:  # nothing was forgotten while we asked
            self._passes[header] = found
        return found.who

    async def _verified(self, header: bytes) -> Pass:
        if len(header) > LONGEST:
            raise TokenInvalid
        try:
            token = header[7:].strip().decode("ascii")
        except UnicodeDecodeError:
            raise TokenInvalid from None
        if token.startswith(PREFIX):
            who, expires = await self._program(token)
            return Pass(who, who.actor, expires)
        said = self.keys.read(token)
        return Pass(await self._member(said), said.session, said.expires)

    def seconds_left(self, header: bytes | None) -> float:
        """Return for how long a token is good that has opened the door; by now it may be forgotten again."""
        if header is None:
            return 0.0
        token = header[7:].strip().decode("ascii")
        if token.startswith(PREFIX):  # an event that ends it is heard by whoever listens with it
            return KEY_SECONDS
        found = self._passes.get(header) or self.keys.read(token)
        return found.expires - time.time()

    @property
    def listening(self) -> bool:
        """Is the feed alive?"""
        return time.monotonic() - self._heard <= SILENCE

    def beat(self) -> None:
        """Note that the feed is alive; after a silence nothing that was remembered counts."""
        now = time.monotonic()
        if now - self._heard > SILENCE:
            self._passes.clear()
        self._heard = now
        if self._ended and next(iter(self._ended.values())) < now:
            self._ended = {session: until for session, until in self._ended.items() if until > now}

    def end(self, session: UUID) -> None:
        """Forget a session: its tokens open nothing any more."""
        self._ended[session] = time.monotonic() + self.keys.longest + 60
        self._passes = {header: known for header, known in self._passes.items() if known.session != session}

    def ended(self, session: UUID | None) -> bool:
        """Say whether a session is known to have ended."""
        return session in self._ended

    def forget(self) -> None:
        """Forget every token; they are verified anew when they are shown."""
        self._passes.clear()
        self._turn += 1

    def doubt(self) -> None:
        """Note that something may have been missed: until the next heartbeat the feed counts as silent."""
        self._heard = float("-inf")
