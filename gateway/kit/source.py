"""The store, as those who stream from it read it: events since a position, whose they are, and what is sealed in them, opened.

How it works: every statement names its clinic, and row-level security says the same again. Keys are asked for anew whenever something is to be opened, and forgotten with the answer: what
is sent is readable by whoever had the right to it then, and a key that has been destroyed reads null from that moment on, in whichever process it was destroyed.

After a restore from a backup (`commands.kit.restorations`) positions behind the restored one are given to other events than before. So ids say from then on in which history they
count (`345-1` after the first restore): one of an earlier history is good up to where that was cut off, and stands for events that never happened behind it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec
import structlog
from msgspec import Raw

from domain.kit.codec import TamperedError
from gateway.kit.eyes import Eyes, Owners
from projections.kit.keys import SELECT, KeyRing
from projections.kit.reading import Reading
from projections.kit.shown import opened, shown
from projections.kit.stored import COLUMNS, Stored

PAGE = 500  # events read at once
OWNERS = 20_000  # streams whose owner is remembered

SINCE = (
    f"select {COLUMNS} from stored_events where clinic_id = %s and notification_id > %s and notification_id <= %s "  # noqa: S608
    f"order by notification_id limit {PAGE}"
)
OF = SINCE.replace("where ", "where originator_id = any(%s::uuid[]) and ")
RESTORED = "select number, position from restorations where number > 0"
BODIES = (
    "select originator_id, originator_version, state from stored_events where originator_id = any(%s::uuid[]) and clinic_id = %s "
    "order by originator_id, originator_version"
)

log = structlog.get_logger(__name__)

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_id = msgspec.json.Decoder(UUID | None).decode


class Source:
    """The store of a process."""

    def __init__(self, reading: Reading, kek: bytes) -> None:
        self._reading = reading
        self._kek = kek
        self._cuts: dict[int, int] | None = None  # by the number of the restore, the position from which history went on anew
        self._owners: OrderedDict[UUID, tuple[int, Owners]] = OrderedDict()

    async def learn(self) -> None:
        """Learn, once, where history was cut off by restores; nothing may be running while one is made."""
        if self._cuts is None:
            self._cuts = dict((await self._reading.lanes.ask(None, RESTORED)).rows)

    @property
    def mark(self) -> bytes:
        """What follows a position in an id: nothing, unless there was a restore."""
        return b"-%d" % max(self._cuts) if self._cuts else b""

    async def parted(self, position: int, history: int) -> bool:
        """Say whether somebody has seen events that have not happened here."""
        cuts = self._cuts or {}
        return any(position > cut for number, cut in cuts.items() if number > history) or position > await self.head()

    async def head(self) -> int:
        """Return the last position: every event up to there is committed and can be read."""
        head: int = (await self._reading.lanes.ask(None, "select position from store_head")).rows[0][0]
        return head

    async def since(self, clinic: UUID, after: int, upto: int) -> list[Stored]:
        """Return a clinic's next events."""
        reader = await self._reading.of(clinic)
        return [Stored(*record) for record in (await reader.ask(SINCE, (clinic, after, upto))).rows]

    async def of(self, streams: Iterable[UUID], clinic: UUID, after: int, upto: int) -> list[Stored]:
        """Return the next events of some of a clinic's streams."""
        reader = await self._reading.of(clinic)
        return [Stored(*record) for record in (await reader.ask(OF, (list(streams), clinic, after, upto))).rows]

    async def owned(self, clinic: UUID, events: Sequence[Stored]) -> dict[UUID, Owners]:
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

    async def told(self, events: Sequence[Stored], eyes: Eyes) -> bytes:
        """Return events as bytes of the stream, opened as far as these eyes may read what is sealed in them."""
        sealed = [stored for stored in events if stored.person is not None and stored.topic in eyes.opened]
        if not sealed:
            return b"".join(framed(stored, shown(stored), self.mark) for stored in events)
        ring = KeyRing(self._kek)
        for clinic in {stored.clinic for stored in sealed}:
            wanted = ring.missing(stored.person for stored in sealed if stored.clinic == clinic)
            ring.learn((await (await self._reading.of(clinic)).ask(SELECT, (wanted,))).rows, wanted)
        return b"".join(framed(stored, _open(stored, ring) if stored.topic in eyes.opened else shown(stored), self.mark) for stored in events)


def _open(stored: Stored, ring: KeyRing) -> bytes:
    try:
        return opened(stored, ring.key_of)
    except TamperedError:
        log.error("a sealed value was changed", position=stored.position)  # noqa: TRY400 - no stack says more
        return shown(stored)


def framed(stored: Stored, data: bytes, mark: bytes = b"") -> bytes:
    """Return an event as bytes of the stream; `mark` is what follows the position in its id.

    The id comes last: there are readers who take it for read at once, and would miss the event if the line were cut before its end.
    """
    return b"event: %s\ndata: %s\nid: %d%b\n\n" % (stored.topic.encode(), data, stored.position, mark)


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
