"""The clinics' events, live, to many readers at once.

How it works: one subscription per process takes the relay's pages. A clinic with readers has a channel, whose `position` says up to where its events have been
given out; events reach it in order and once, from a page or, where `prev` shows a gap, from the store. Without NATS, and once a second to be sure,
the store's head is compared and what is missing is read. An event is encoded once; readers with the same eyes (kinds, filters) are asked once whether
they may see it. A reader who is new reads the store up to the channel's position and then joins, with nothing awaited in between: no loss, no repeat.

What may go wrong: a reader slower than his clinic would fill our memory: past `LIMIT` bytes he is told to `resync` and let go. Restricted roles
(a patient, a doctor with his own list only) see an event if its entity is theirs: the last value of the owning field in the entity's stream says so.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import structlog
from msgspec import Raw, Struct
from nats.aio.msg import Msg

from commands.kit.handling import Who
from domain.kit import Refused
from projections.kit import PROJECTIONS
from projections.kit.pages import ForgedError, unpack
from projections.kit.reading import Reading
from projections.kit.stored import COLUMNS, Stored

LIMIT = 1 << 20  # bytes that may wait for a reader
PAGE = 500  # events read at once
LOOK_SECONDS = 1.0  # between looks at the store's head
POLL_SECONDS = 0.1  # the same while NATS is away
OWNERS = 20_000  # streams whose owner is remembered
RESYNC = b"event: resync\ndata: {}\n\n"
UNHEARD = {"self", "public"}  # keys that everybody has: whose it is would have to be looked at
UNLISTED = "audit.logs.view"  # what must be held to see events of kinds that have no row of their own

SINCE = (
    f"select {COLUMNS} from stored_events where clinic_id = %s and notification_id > %s and notification_id <= %s "  # noqa: S608
    f"order by notification_id limit {PAGE}"
)
BODIES = (
    "select originator_id, originator_version, state from stored_events where originator_id = any(%s::uuid[]) and clinic_id = %s "
    "order by originator_id, originator_version"
)

log = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_id = msgspec.json.Decoder(UUID | None).decode


class Eyes(NamedTuple):
    """What a reader may and wants to see; readers with equal eyes are served alike."""

    kinds: frozenset[str]
    owned: tuple[tuple[str, str], ...] = ()  # kinds of which only one's own: (kind, the field that must be `subject`)
    subject: UUID | None = None
    types: frozenset[str] | None = None
    entity_type: str | None = None
    entity_id: UUID | None = None

    def may_see(self, stored: Stored, owners: dict[str, UUID | None]) -> bool:
        """Say whether this event is for these eyes."""
        if stored.kind not in self.kinds or (self.types is not None and stored.topic not in self.types):
            return False
        if (self.entity_type and stored.kind != self.entity_type) or (self.entity_id and stored.stream != self.entity_id):
            return False
        return all(kind != stored.kind or (self.subject is not None and owners.get(field) == self.subject) for kind, field in self.owned)


class Watcher:
    """One reader of a clinic's events."""

    __slots__ = ("busy", "clinic", "eyes", "full", "over", "position", "push", "session", "size", "waiting", "wake")

    def __init__(self, who: Who, eyes: Eyes, after: int | None, push: Callable[[bytes], bool] | None = None) -> None:
        self.clinic = who.clinic
        self.session = who.session
        self.eyes = eyes
        self.position = -1 if after is None else after
        self.waiting: list[bytes] = []
        self.size = 0
        self.full = False
        self.over = False
        self.wake: asyncio.Future[None] | None = None
        self.push = push  # straight to the socket, framed
        self.busy = True  # something is being written that must come first

    def give(self, message: bytes, framed: bytes) -> None:
        """Put an event before the reader, or the word that he was too slow."""
        if self.full or self.over or (self.push is not None and not self.busy and not self.waiting and self.push(framed)):
            return
        self.size += len(message)
        if self.size > LIMIT:
            self.full = True
            self.waiting.clear()
            message = RESYNC
        self.waiting.append(message)
        self.rouse()

    def rouse(self) -> None:
        """Wake whoever writes to the reader."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    def take(self) -> bytes:
        """Return what waits for the reader."""
        waiting = self.waiting
        if not waiting:
            return b""
        self.waiting = []
        self.size = 0
        return waiting[0] if len(waiting) == 1 else b"".join(waiting)


class Channel:
    """One clinic's readers."""

    __slots__ = ("classes", "position")

    def __init__(self) -> None:
        self.position = -1  # not open yet
        self.classes: dict[Eyes, list[Watcher]] = {}


class Hub:
    """All channels of a process."""

    def __init__(self, reading: Reading, bus_key: bytes) -> None:
        self._reading = reading
        self._key = bus_key
        self._channels: dict[UUID, Channel] = {}
        self._cursors: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self._owners: OrderedDict[UUID, tuple[int, dict[str, UUID | None]]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._released = False
        self.noticed: Callable[[Stored], None] = lambda _: None
        self.fed: Callable[[], bool] = lambda: False

    async def open(self) -> None:
        """Start looking after what NATS may lose."""
        self._task = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        """Stop, and let every reader go."""
        if self._task:
            self._task.cancel()
        self.release()

    def release(self) -> None:
        """Let every reader go, and nobody stay who comes later; they come back to another process, or to the next."""
        self._released = True
        for watcher in self._watchers():
            watcher.rouse()

    @property
    def readers(self) -> int:
        """How many readers there are."""
        return sum(1 for _ in self._watchers())

    async def heard(self, message: Msg) -> None:
        """Take a page from the relay."""
        try:
            page = unpack(message.data, message.headers, message.subject, self._key)
        except ForgedError:
            log.warning("forged page", subject=message.subject)
            return
        for stored in page.events:
            self.noticed(stored)
        async with self._lock:
            cursor = self._cursors.get(message.subject, -1)
            if page.last <= cursor:
                return
            if page.prev > cursor:  # whatever was missed, of whichever clinic, comes first
                for clinic in list(self._channels):
                    await self._fill(clinic, page.prev)
            wanted: dict[UUID, list[Stored]] = {}
            for stored in page.events:
                if stored.clinic in self._channels:
                    wanted.setdefault(stored.clinic, []).append(stored)
            for clinic, events in wanted.items():
                await self._give(clinic, events)
            self._cursors[message.subject] = page.last

    async def follow(self, watcher: Watcher, heartbeat: float, until: float) -> AsyncIterator[bytes]:
        """Yield what a reader is to be sent: first from the store, then live, until the loop's time `until` or his end."""
        loop = asyncio.get_running_loop()
        try:
            async for chunk in self._history(watcher):
                yield chunk
            yield b"retry: 1000\nid: %d\n\n" % self.position(watcher.clinic)
            while not (watcher.over or self._released) and (left := until - loop.time()) > 0:
                if not watcher.waiting:
                    watcher.wake = loop.create_future()
                    watcher.busy = False
                    await asyncio.wait([watcher.wake], timeout=min(heartbeat, left))
                    watcher.busy = True
                full = watcher.full
                if chunk := watcher.take():
                    yield chunk
                elif not (watcher.over or self._released):
                    yield b": heartbeat\nid: %d\n\n" % self.position(watcher.clinic)
                if full:
                    return
        finally:
            self.leave(watcher)

    async def _history(self, watcher: Watcher) -> AsyncIterator[bytes]:
        """Yield what a reader has missed; when it ends he has joined, with nothing awaited since the last look."""
        channel = await self._opened(watcher.clinic)
        if watcher.position < 0 or watcher.position > channel.position:
            watcher.position = channel.position
        while watcher.position < (top := channel.position):
            rows = await self._since(watcher.clinic, watcher.position, top)
            owners = await self._owned(watcher.clinic, rows) if watcher.eyes.owned else {}
            watcher.position = rows[-1].position if len(rows) == PAGE else top
            if chunk := b"".join(shown(s) for s in rows if watcher.eyes.may_see(s, owners.get(s.stream, {}))):
                yield chunk
            channel = await self._opened(watcher.clinic)  # the last of the others may have left meanwhile
        channel.classes.setdefault(watcher.eyes, []).append(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Let a reader go."""
        channel = self._channels.get(watcher.clinic)
        if channel is None:
            return
        mates = channel.classes.get(watcher.eyes, [])
        if watcher in mates:
            mates.remove(watcher)
        if not mates:
            channel.classes.pop(watcher.eyes, None)
        if not channel.classes and channel.position >= 0:
            self._channels.pop(watcher.clinic, None)

    def end(self, session: UUID) -> None:
        """Let the readers of a session go."""
        for watcher in list(self._watchers()):
            if watcher.session == session:
                watcher.over = True
                watcher.rouse()

    def end_of(self, subject: UUID) -> None:
        """Let go whoever reads as this member of staff; at the door it is decided whether they may come back."""
        for watcher in list(self._watchers()):
            if watcher.eyes.subject == subject:
                watcher.over = True
                watcher.rouse()

    def position(self, clinic: UUID) -> int:
        """Return up to where a clinic's events have been given out."""
        channel = self._channels.get(clinic)
        return channel.position if channel else 0

    def _watchers(self) -> Iterable[Watcher]:
        return (watcher for channel in self._channels.values() for mates in channel.classes.values() for watcher in mates)

    async def _opened(self, clinic: UUID) -> Channel:
        async with self._lock:
            channel = self._channels.get(clinic)
            if channel is None:
                head = await self._store_head()  # every event up to here is committed and can be read
                channel = self._channels[clinic] = Channel()
                channel.position = head
        return channel

    async def _store_head(self) -> int:
        head: int = (await self._reading.lanes.ask(None, "select position from store_head")).rows[0][0]
        return head

    async def _since(self, clinic: UUID, after: int, upto: int) -> list[Stored]:
        reader = await self._reading.of(clinic)
        return [Stored(*record) for record in (await reader.ask(SINCE, (clinic, after, upto))).rows]

    async def _fill(self, clinic: UUID, upto: int) -> None:
        """Read from the store what no page has brought."""
        channel = self._channels[clinic]
        while channel.position < upto:
            rows = await self._since(clinic, channel.position, upto)
            await self._give(clinic, rows)
            if len(rows) < PAGE:
                channel.position = max(channel.position, upto)

    async def _give(self, clinic: UUID, events: Sequence[Stored]) -> None:
        channel = self._channels[clinic]
        fresh = [stored for stored in events if stored.position > channel.position]
        restricted = any(eyes.owned for eyes in channel.classes)
        owners = await self._owned(clinic, fresh) if restricted else {}
        for stored in fresh:
            message = framed = b""
            for eyes, mates in channel.classes.items():
                if eyes.may_see(stored, owners.get(stored.stream, {})):
                    if not message:
                        message = shown(stored)
                        framed = b"%x\r\n%b\r\n" % (len(message), message)
                    for watcher in mates:
                        watcher.give(message, framed)
            channel.position = stored.position

    async def _owned(self, clinic: UUID, events: Sequence[Stored]) -> dict[UUID, dict[str, UUID | None]]:
        """Return the owning fields of the events' streams, as they stand now."""
        if unknown := list({stored.stream for stored in events} - self._owners.keys()):
            reader = await self._reading.of(clinic)
            for stream, version, body in (await reader.ask(BODIES, (unknown, clinic))).rows:
                self._learn(stream, version, body)
        for stored in events:
            self._learn(stored.stream, stored.version, stored.body)
        owners = {stored.stream: self._owners[stored.stream][1] for stored in events}
        while len(self._owners) > OWNERS:
            self._owners.popitem(last=False)
        return owners

    def _learn(self, stream: UUID, version: int, body: bytes) -> None:
        known, owning = self._owners.get(stream, (0, {"id": stream}))
        if version > known:
            self._owners[stream] = (version, {**owning, **_owning(body)})

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS if self.fed() else POLL_SECONDS)
            if not self._channels:
                continue
            try:
                head = await self._store_head()
                async with self._lock:
                    for clinic in list(self._channels):
                        await self._fill(clinic, head)
            except Refused:
                continue
            except Exception:
                log.exception("the event stream could not look at the store")


def framed(stored: Stored, data: bytes) -> bytes:
    """Return an event as bytes of the stream."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (stored.position, stored.topic.encode(), data)


def _owning(body: bytes) -> dict[str, UUID | None]:
    """Return the ids an event names, by field."""
    found: dict[str, UUID | None] = {}
    for name, raw in _members(body).items():
        if name.endswith("Id"):
            try:
                found[name] = _id(raw)
            except msgspec.MsgspecError:
                continue
    return found


def eyes_of(who: Who, extra: dict[str, str], **filters: Any) -> Eyes:
    """Return what somebody may see: kinds whose rows he may see, his own only where his role sees only its own.

    The key of a kind is that of the row of the same name; `extra` gives those of kinds that have none, and administrators see the rest.
    """
    kinds, owned = set(), []
    rows = {name: projection.row for name, projection in PROJECTIONS.items() if projection.key is None}
    for kind, row in rows.items():
        key = row.detail or row.permission  # an event says as much as the row in detail
        if not who.may(key) or key in UNHEARD:
            continue
        field = row.own.get(who.role)
        if who.role == "patient" and field is None:
            continue
        kinds.add(kind)
        if field is not None and row.widened.get(who.role) not in who.grants:
            owned.append((kind, _field(field)))
    if who.role != "patient":
        kinds |= {kind for kind, key in extra.items() if who.may(key) and kind not in rows}
    return Eyes(frozenset(kinds), tuple(sorted(owned)), who.subject, **filters)


def _field(column: str) -> str:
    head, *rest = column.split("_")
    return head + "".join(part.title() for part in rest)
