"""One command on its way: look up, decide, seal, claim, save; decided again as often as what it rests on has changed.

What may go wrong: between the decision and the queueing of its save nothing may be awaited, or another decision on the same stream could slip in between and the versions
would be queued in the wrong order; whatever needs awaiting (look-ups, keys) comes before, and what moved meanwhile means: decide again.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from msgspec.structs import replace

from commands.kit import writer as w
from commands.kit.command import Command, Creation, Decision, Holding
from commands.kit.errors import Contended, KeyReused, NameTaken, StaleVersion, TimeTaken, Unavailable
from commands.kit.ids import mac_content, new_id, resource
from commands.kit.naming import naming
from commands.kit.receipt import PSEUDO, Receipt, Who, own_column
from commands.kit.references import references
from commands.kit.store import Store
from commands.kit.streams import Entry, own_projection
from commands.kit.writer import NewEvent, Outcome, Save, Slot
from domain.kit import PLATFORM, At, Claim, Elsewhere, Event, Fact, NotFound, Refused, State, TimeClaim, day
from domain.kit.codec import encode, person
from projections.kit import PROJECTIONS
from projections.kit.lanes import ReadUnavailable
from projections.kit.stored import EPOCH, MICRO
from schemas.kit import Row

PATIENCE = 5.0  # seconds for which a lost race is run again, as long as a save may take
ACCOUNTS = "accounts"
BEING = PSEUDO["superadmin"]  # permissions that follow from who one is, not from what rows one sees

S = TypeVar("S", bound=State)
R = TypeVar("R", bound=Row)


class Conflict(Exception):
    """Something this decision rests on has changed."""


class Seen(Exception):
    """This very command has been stored before."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Looking:
    """What one attempt at a command has read; a `commands.kit.Look`."""

    def __init__(self, store: Store, at: At) -> None:
        self.store = store
        self.at = at
        self.entries: dict[UUID, Entry] = {}
        self.versions: dict[UUID, int] = {}
        self.unnamed: list[tuple[UUID, int]] = []
        self.from_cache = False

    async def entry(self, state: type[State], stream: UUID, *, row: bool = False) -> Entry:
        """Read a stream and note that the decision rests on it."""
        streams, clinic = self.store.streams, self.at.clinic
        entry = streams.cached(stream, clinic)
        self.from_cache = self.from_cache or entry is not None
        if entry is None or entry.kind != state.kind or (row and not entry.row_known):
            entry = await streams.get(state, stream, clinic, row=row)
        if self.versions.setdefault(stream, entry.version) != entry.version:  # it has moved since this very attempt read it: half of it would rest on what was before
            raise Conflict
        self.entries[stream] = entry
        self.versions.setdefault(stream, entry.version)  # read again it may have moved on, but what was read first was decided on as well
        return entry

    def address_key(self, email: str) -> str:
        """Return the keyed hash of an e-mail address."""
        return self.store.address_key(email)

    async def number(self, series: str) -> int:
        """Take the next number of a series of the clinic's."""
        return await self.store.counters.next(self.at.clinic, series)

    async def load(self, state: type[S], stream: UUID) -> S:
        """Return a stream's state and guard it; that it is not there may be known already."""
        streams, clinic = self.store.streams, self.at.clinic
        known = streams.cached(stream, clinic) is not None
        if not known and (missing := streams.missing(stream, clinic)) is not None and missing.kind == state.kind:
            self.from_cache = True
            self.entries[stream], self.versions[stream] = missing, 0
            return missing.state  # type: ignore[return-value]
        entry = await self.entry(state, stream)
        if not known and not entry.version:
            streams.miss(stream, entry)
        return entry.state  # type: ignore[return-value]

    async def require(self, state: type[S], stream: UUID) -> S:
        """As `load`, but a stream that is not there is NotFound."""
        entry = await self.entry(state, stream)
        if not entry.version:
            raise NotFound(kind=state.kind, id=str(stream))
        return entry.state  # type: ignore[return-value]

    async def row(self, state: type[State], stream: UUID) -> Any:
        """Return the row of a stream's own and guard the stream."""
        return (await self.entry(state, stream, row=True)).row

    async def folded(self, state: type[State], stream: UUID, row: type[R]) -> R | None:
        """Return the row that another read model makes of a stream and guard the stream."""
        entry = await self.entry(state, stream)
        found, version = await self.store.streams.projected(PROJECTIONS[row.table], stream, self.at.clinic)
        if version != entry.version:  # something is on its way, or came by another process
            await self.store.streams.drop(stream)
            raise Conflict
        return found  # type: ignore[return-value]

    async def find(self, row: type[R], **equals: Any) -> list[R]:
        """Return rows of a read model; they may lag behind."""
        return await self.store.find(row, self.at.clinic, equals)

    async def holders(self, claims: Sequence[TimeClaim]) -> list[list[Holding]]:
        """Return for each of these times who holds any of it just now."""
        return await self.store.holders(claims, self.at.clinic) if claims else []

    async def those(self, state: type[S], streams: Iterable[UUID]) -> dict[UUID, S]:
        """Return the states of those streams that are of a kind, and guard them."""
        kinds = {one: await self.store.streams.kind(one, self.at.clinic) for one in streams}
        return {one: await self.require(state, one) for one, kind in kinds.items() if kind == state.kind}

    async def naming(self, id: UUID, kinds: Sequence[str]) -> list[tuple[str, UUID]]:  # noqa: A002
        """Return the streams of these kinds that name a patient, and guard that no other one comes to."""
        found, upto = await naming(self.store.lanes, self.at.clinic, id, kinds)
        self.unnamed.append((id, upto))
        return found

    async def settle(self) -> None:
        """Wait for the saves on the way that this rests on: whoever is told that nothing needs doing may look, and must find it done."""
        if pending := [entry.tail for entry in self.entries.values() if entry.tail is not None and not entry.tail.done()]:
            await asyncio.wait(pending)

    def moved(self) -> bool:
        """Say whether a stream has moved in this process since it was read, or a save that it rests on was not stored."""
        return any(entry.version != self.versions[stream] or w.lost(entry.tail) for stream, entry in self.entries.items())


class Attempt:
    """One command on its way, decided as often as needed."""

    now: datetime | None = None
    expect: int | None = None
    request_hash: bytes | None = None
    causation: UUID | None = None
    doubted = False  # whether what rested on cached streams has been looked at afresh

    def __init__(self, store: Store, command: Command, who: Who, stream: UUID, command_id: UUID) -> None:
        self.store = store
        self.command = command
        self.who = who
        self.stream = stream
        self.command_id = command_id
        self.correlation = command_id
        self.tenant = who.clinic

    async def run(self) -> Receipt:
        """Decide until it is settled."""
        deadline = time.monotonic() + PATIENCE
        while True:
            look = Looking(self.store, await self._at())
            try:
                return await self._once(look)
            except Conflict:  # if it was the pinned version that moved, the next look says so
                if time.monotonic() > deadline:
                    raise Contended from None
            except Seen as seen:
                return await self._replayed(seen.outcome)
            except (TimeTaken, NameTaken, KeyReused, ReadUnavailable, Unavailable):  # said by the store, not by a rule
                raise
            except Refused:
                if (earlier := await self._earlier()) is not None:
                    return earlier
                if self.doubted or not look.from_cache:
                    raise
                self.doubted = True
            for stream in look.entries:
                await self.store.streams.drop(stream)

    async def _earlier(self) -> Receipt | None:
        """Return the answer to this very request if it was accepted before: then no rule may refuse it now."""
        if self.request_hash is None or (logged := await self.store.logged(self.command_id)) is None:
            return None
        request_hash, outcome = logged
        if request_hash != self.request_hash:
            raise KeyReused
        return await self._replayed(outcome)

    async def _at(self) -> At:
        now = self.now or datetime.now(UTC)
        zone, currency, setting = "UTC", "EUR", False
        if self.who.clinic != PLATFORM:
            clinic = await self.store.clinic(self.who.clinic)
            zone, currency, setting = clinic.zone, clinic.currency, clinic.setting_clocks
        return At(
            id=self.stream, now=now, today=day(now, zone), actor=self.who.actor, clinic=self.who.clinic, zone=zone, currency=currency,
            grants=self.who.grants, subject=self.who.subject, role=self.who.role, setting_clocks=setting,
        )

    async def rehearse(self) -> Decision:
        """Decide once, and store nothing; a refusal that rests on cached streams is looked at again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            look = Looking(self.store, await self._at())
            try:
                return (await self._decided(look))[2]
            except Conflict:
                if time.monotonic() > deadline:
                    raise Contended from None
            except Refused:
                if self.doubted or not look.from_cache:
                    raise
                self.doubted = True
            for stream in look.entries:
                await self.store.streams.drop(stream)

    async def _decided(self, look: Looking) -> tuple[UUID, Entry, Decision]:
        """Return the stream that the command is about, as it is, and what follows from it."""
        stream = self.command.stream(look.at) if isinstance(self.command, Creation) else self.stream
        self._wall(stream)
        await self._references()
        found = await self.command.gather(look)
        entry = await self._target(look, stream)
        plans = self.command.decide(entry.state, look.at, **found)
        self._remains_theirs(entry, stream, look.at, plans)
        return stream, entry, plans

    async def _once(self, look: Looking) -> Receipt:
        stream, entry, plans = await self._decided(look)
        await self._seal(look, entry, stream, plans)
        if look.moved():
            raise Conflict
        if not plans and look.from_cache and not self.doubted:  # that nothing needs doing may be news of yesterday
            self.doubted = True
            raise Conflict
        if not plans:
            await look.settle()
            if look.moved():
                raise Conflict
            return Receipt(id=stream, version=entry.version, position=0, row=entry.row)
        prepared = Prepared(self, look, stream, entry, plans)
        return prepared.answer(await asyncio.shield(prepared.queue()))

    def _wall(self, stream: UUID) -> None:
        """A clinic is its own tenant; to everybody but a superadmin only their own exists."""
        if self.command.state is self.store.clinic_state:
            if self.who.role != "superadmin" and stream != self.who.clinic:
                raise NotFound(kind=self.command.state.kind, id=str(stream))
            self.tenant = stream

    async def _references(self) -> None:
        for stream, kind in references(self.command):
            tenant = self._home(stream, kind)
            entry = self.store.streams.cached(stream, tenant)
            if (entry.kind if entry else await self.store.streams.kind(stream, tenant)) != kind:
                raise NotFound(kind=kind, id=str(stream))

    def _home(self, stream: UUID, kind: str) -> UUID:
        """Return in which tenant a stream of that kind lies: accounts are the platform's, and a clinic is its own."""
        if kind == ACCOUNTS:
            return PLATFORM
        return stream if kind == self.store.clinic_state.kind and self.who.clinic in (stream, PLATFORM) else self.tenant

    async def _target(self, look: Looking, stream: UUID) -> Entry:
        state = self.command.state
        if isinstance(self.command, Creation) and stream == self.stream:  # a fresh id: there is nothing to read
            entry = look.entries[stream] = Entry(self.tenant, state.kind, state())
            look.versions[stream] = 0
            return entry
        here = look if look.at.clinic == self.tenant else Looking(self.store, replace(look.at, clinic=self.tenant))
        entry = look.entries[stream] = await here.entry(state, stream, row=own_projection(state.kind) is not None)
        look.versions.setdefault(stream, entry.version)
        look.from_cache = look.from_cache or here.from_cache
        if not entry.version and not isinstance(self.command, Creation):
            raise NotFound(kind=state.kind, id=str(stream))
        self._theirs(entry.row, stream)
        if self.expect is not None and entry.version != self.expect:
            raise StaleVersion(version=entry.version)
        return entry

    def _theirs(self, row: Row | None, stream: UUID) -> None:
        """What somebody could not see is not there to be changed either, nor to be made."""
        if row is None or self.command.permission in BEING:
            return
        column = own_column(type(row), self.who)
        if column is not None and getattr(row, column) != self.who.subject:
            raise NotFound(kind=self.command.state.kind, id=str(stream))

    def _remains_theirs(self, entry: Entry, stream: UUID, at: At, plans: Decision) -> None:
        """Refuse whoever sees only their own what would be somebody else's afterwards."""
        projection = own_projection(self.command.state.kind)
        if projection is None or self.who.role not in projection.row.own:
            return
        row = entry.row
        for n, event in enumerate((plan for plan in plans if not isinstance(plan, Elsewhere)), entry.version + 1):
            if type(event).__name__ in projection.topics:
                fact = Fact(
                    id=stream, kind=entry.kind, version=n, position=0, clinic=self.tenant, recorded_at=at.now, actor=self.who.actor, event=event)
                row = projection.next(row, fact, (stream,))
        self._theirs(row, stream)

    async def _seal(self, look: Looking, entry: Entry, stream: UUID, plans: Decision) -> None:
        """See that there are keys for whatever personal data is about to be written."""
        persons = set()
        for plan in plans:
            events, owner, there = (plan.events, plan.id, look.entries.get(plan.id)) if isinstance(plan, Elsewhere) else ([plan], stream, entry)
            found = {who for event in events if (who := person(event, owner)) is not None}
            persons |= {there.state.keeper(who) for who in found} if there else found
        if persons:
            await self.store.ensure_keys(self.tenant, persons)

    async def _replayed(self, outcome: Outcome) -> Receipt:
        """Answer a repeated command as the first was answered: ids and versions are kept, the row is folded anew."""
        stream, version = outcome.stream or self.stream, outcome.version or 0
        row = await self.store.streams.row_at(stream, self.tenant, version)
        return Receipt(id=stream, version=version, position=outcome.position or 0, row=row, replayed=True)


class Moved(NamedTuple):
    """A stream that a save moves, and where to."""

    owner: UUID
    entry: Entry
    state: State
    version: int


class Prepared:
    """A decision turned into a save; the streams it writes on have already moved to where they will be."""

    def __init__(self, attempt: Attempt, look: Looking, stream: UUID, entry: Entry, plans: Decision) -> None:
        self.attempt = attempt
        self.store = attempt.store
        self.unnamed = look.unnamed
        self.stream = stream
        self.entry = entry
        self.before = entry.version
        self.row: Row | None = None
        self.events = [plan for plan in plans if not isinstance(plan, Elsewhere)]
        self.touched: list[Moved] = []
        self.written: list[NewEvent] = []
        self.homes: list[Entry] = []  # of what is written, and its events as they read
        self.told: list[Event] = []
        self.expected: list[tuple[UUID, int, int]] = []
        self.rests: list[asyncio.Future[Outcome] | None] = []
        self.taken: tuple[list[tuple[UUID, Slot]], list[tuple[UUID, UUID]]] = ([], [])
        self.freed: tuple[list[tuple[UUID, Slot]], list[tuple[UUID, UUID]]] = ([], [])
        if self.events:
            self._move(stream, entry, self.events)
        for plan in plans:
            if isinstance(plan, Elsewhere):
                other = look.entries.get(plan.id) or Entry(attempt.tenant, plan.state.kind, plan.state())
                self._move(plan.id, other, plan.events)
        moved = {move.owner for move in self.touched}
        for read, version in look.versions.items():
            if read not in moved and (version or read != stream):
                self._rest(look.entries[read], (read, version, version))

    def _rest(self, entry: Entry, expected: tuple[UUID, int, int]) -> None:
        self.expected.append(expected)
        self.rests.append(entry.tail)

    def _move(self, owner: UUID, entry: Entry, events: list[Event]) -> None:
        before, old = entry.version, entry.state.claims()
        for event in events:
            entry.version += 1
            entry.state = entry.state.evolve(event)
            self.written.append(self._stored(owner, entry, event))
            self.homes.append(entry)
            self.told.append(event)
        self._rest(entry, (owner, before, entry.version))
        new = entry.state.claims()
        if new != old:
            for claim in new - old:
                self._claim(owner, claim, self.taken)
            for claim in old - new:
                self._claim(owner, claim, self.freed)
        self.touched.append(Moved(owner, entry, entry.state, entry.version))
        self.store.streams.keep(owner, entry)

    def _stored(self, owner: UUID, entry: Entry, event: Event) -> NewEvent:
        attempt, event_id, topic, who = self.attempt, new_id(), type(event).__name__, person(event, owner)
        who = entry.state.keeper(who) if who is not None else None
        body = encode(event, event_id=event_id, person=who, key=self.store.keys.key_of(who) if who else None)
        content = mac_content(event_id, attempt.tenant, owner, entry.version, topic, attempt.who.actor, attempt.command_id, body)
        return NewEvent(owner, entry.version, topic, entry.kind, event_id, who, self.store.mac(content), body)

    def _claim(self, owner: UUID, claim: Claim, into: tuple[list[tuple[UUID, Slot]], list[tuple[UUID, UUID]]]) -> None:
        tenant = self.attempt.tenant
        if isinstance(claim, TimeClaim):
            thing = resource(tenant, claim.kind, claim.id.bytes)
            into[0].append((owner, Slot(claim.kind, thing, claim.start, claim.end, claim.forced, claim.expires)))
        else:
            into[1].append((resource(tenant, claim.scope, claim.key.encode()), owner))

    def queue(self) -> asyncio.Future[Outcome]:
        """Hand the save to the writer."""
        attempt = self.attempt
        future = self.store.writer.put(Save(
            command=attempt.command_id, clinic=attempt.tenant, actor=attempt.who.actor, correlation=attempt.correlation,
            causation=attempt.causation, events=self.written, expected=self.expected, rests=self.rests, request_hash=attempt.request_hash,
            recorded_at=attempt.now, slots=self.taken[0], names=self.taken[1], slots_freed=self.freed[0], names_freed=self.freed[1],
            unnamed=self.unnamed,
        ))
        for move in self.touched:
            move.entry.tail = future
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future: asyncio.Future[Outcome]) -> None:
        """Bring the streams in line with what became of the save, in the order of saves, whether or not anybody still waits for the answer."""
        if w.lost(future):
            for move in self.touched:  # it was not stored, or nobody knows
                self.store.streams.forget(move.owner, move.entry)
            return
        for move in self.touched:  # the entry itself may be further by now, on saves that may fail
            self.store.streams.snapshot(move.owner, move.entry.clinic, move.state, move.version, len(self.written))
        for entry, fact in self._facts(future.result()):
            if entry.row_known and (projection := own_projection(entry.kind)) is not None and type(fact.event).__name__ in projection.topics:
                entry.row = projection.next(entry.row, fact, (fact.id,))
        self.row = self.entry.row

    def answer(self, outcome: Outcome) -> Receipt:
        """Turn the append function's word into the answer."""
        match outcome.status:
            case w.SAVED:
                version = self.before + len(self.events)
                touched = frozenset([*(move.entry.kind for move in self.touched), *(event.topic for event in self.written)])
                return Receipt(id=self.stream, version=version, position=outcome.position or 0, row=self.row, touched=touched)
            case w.TIME_TAKEN:
                raise TimeTaken(taken=self.taken[0][outcome.detail - 1][1].kind)
            case w.NAME_TAKEN:
                raise NameTaken
            case w.REUSED:
                raise KeyReused
            case w.SEEN:
                raise Seen(outcome)
            case _:
                raise Conflict

    def _facts(self, outcome: Outcome) -> list[tuple[Entry, Fact]]:
        """Return what was stored, each with the stream that it is about: whatever rows this process knows go along, the second streams' as well."""
        attempt, first = self.attempt, outcome.first or 0
        at = EPOCH + (outcome.recorded_us or 0) * MICRO
        return [
            (entry, Fact(
                id=new.stream, kind=new.kind, version=new.version, position=first + n, clinic=attempt.tenant, recorded_at=at,
                actor=attempt.who.actor, event=event, command=attempt.command_id, correlation=attempt.correlation, causation=attempt.causation,
            ))
            for n, (new, entry, event) in enumerate(zip(self.written, self.homes, self.told, strict=True))
        ]
