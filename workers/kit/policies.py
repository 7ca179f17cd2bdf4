"""Policies: what answers an event. A policy is a function named after the event it answers; what it returns is a letter, or several, or nothing.

    @answers
    def when_InvitationMade(fact: Fact, event: InvitationMade) -> Letter:
        return Letter("staff.invitation", to=To("staff", fact.id), link=Link("staff.invitation", fact.id, "/invitation/{token}", 7 * DAY))

How it works: `policy_cursor` is one row, the position up to which events have been answered. A courier locks it, reads the events that some policy answers from
there to the head, asks the policies, and commits their letters together with the new position: so each event is answered once in effect, by whichever courier
holds the row, and a courier that dies leaves nothing half done. A letter's id follows from the policy's name and the event's id. A policy is asked twice:
here, on the event as it lies in the store (personal fields are None), to learn which letter goes to whom; and when the letter is sent, on the event opened, for
whatever else is in it. So the outbox holds references and nothing about anybody.

What may go wrong: a policy is known since the migration that brought it, and answers nothing older: a new policy writes to nobody about last year. An event recorded
with a time long before it was stored is history (a demo, an import) and answered by nobody. A policy that fails leaves a failed letter in its name, which
can be sent again once it is mended, and stops no other.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec
import structlog
from psycopg import AsyncConnection, Connection

from commands.kit.ids import derived
from domain.kit import PLATFORM, Event, Fact
from domain.kit.calendars import Mailbox, Method
from projections.kit.engine import explain
from projections.kit.stored import COLUMNS, Stored, fact_of

MAX_EVENTS = 500
HISTORY = timedelta(minutes=10)  # what was recorded so long before it was stored is history
DAY = 24 * 3600

F = TypeVar("F", bound=Callable[..., Any])
log = structlog.get_logger(__name__)

SQL = """
create table if not exists policies (name text collate "C" primary key, since bigint not null);
create table if not exists policy_cursor (one boolean primary key default true check (one), position bigint not null) with (fillfactor = 10);
insert into policy_cursor (position) select position from store_head on conflict do nothing;
grant select on policies to anamnesis_courier;
grant select, update on policy_cursor to anamnesis_courier;
"""
KNOWN = "insert into policies (name, since) select name, position from unnest(%s::text[]) n(name), store_head on conflict do nothing"
LOCK = "select position from policy_cursor for update skip locked"
HEAD = "select position from store_head"
READ = (
    "select " + ", ".join(f"e.{c}" if c.isidentifier() else c for c in COLUMNS.split(", "))  # noqa: S608 - constants
    + ", coalesce(l.saved_at, clock_timestamp()) from stored_events e left join command_log l on l.command_id = e.command_id "
    f"where e.topic = any(%s) and e.notification_id > %s and e.notification_id <= %s order by e.notification_id limit {MAX_EVENTS}"
)
QUEUE = """
insert into letters (id, clinic_id, position, policy, number, template, recipient_kind, recipient, status, error)
select * from json_to_recordset(%s::json) as given(
    id uuid, clinic_id uuid, position bigint, policy text, number int, template text, recipient_kind text, recipient uuid, status text, error text)
on conflict do nothing
"""
QUEUE_AGAIN = """
insert into letters (id, clinic_id, position, policy, number, template, recipient_kind, recipient)
select %s, l.clinic_id, l.position, l.policy, l.number, l.template, l.recipient_kind, l.recipient from letters l
where l.id = %s and (l.clinic_id = %s or %s) on conflict do nothing
"""
MOVE = "update policy_cursor set position = %s"


class To(NamedTuple):
    """Whom to write to: the stream that says what the address is, the one its last event to name an `email` gives."""

    kind: str
    id: UUID


class Link(NamedTuple):
    """A link with a token that is made when the letter is sent: `{{link}}`. `path` says where `{token}` goes."""

    purpose: str
    subject: UUID
    path: str
    seconds: int


class Digits(NamedTuple):
    """Six digits that are made when the letter is sent: `{{code}}`."""

    purpose: str
    subject: UUID
    seconds: int


class Unsubscribe(NamedTuple):
    """A link by which whoever gets the letter gets no more of its kind: `{{unsubscribe}}`, and a header that mail programs know (RFC 8058).

    It lasts, and is nobody's secret but the recipient's; `path` says where `{token}` goes.
    """

    purpose: str
    subject: UUID
    path: str


class Lasting(NamedTuple):
    """A link that the thing itself says is good or not, by its number: `{{link}}`. `path` says where `{token}` goes."""

    purpose: str
    subject: UUID
    number: int
    path: str


class Letter(NamedTuple):
    """A letter to be written. `values` fill the template's own variables; `language` overrides the recipient's.

    `sought` finds further values when the letter is sent: it is given a `Look`. `enclosed` is also given who writes and who is written to.
    A `name` among what is sought is what the recipient is called, outside as well.
    """

    template: str
    to: To
    values: Mapping[str, str] = MappingProxyType({})
    link: Link | Lasting | None = None
    digits: Digits | None = None
    language: str | None = None
    sought: Callable[[Any], Awaitable[Mapping[str, str]]] | None = None
    enclosed: Callable[[Any, Mailbox, Mailbox], Awaitable["Enclosed"]] | None = None
    unsubscribe: Unsubscribe | None = None


class Enclosed(NamedTuple):
    """What a letter brings for the recipient's calendar."""

    method: Method
    text: str


class Again(NamedTuple):
    """A letter that went out before, or tried to."""

    letter: UUID


class Policy(NamedTuple):
    """A function, and the name of the event it answers."""

    function: Callable[[Fact, Any], Any]
    topic: str

    def __call__(self, fact: Fact) -> "list[Letter | Again]":
        """Return the answer to an event, as a list."""
        found = self.function(fact, fact.event)
        return [] if found is None else [found] if isinstance(found, Letter | Again) else list(found)


POLICIES: dict[str, Policy] = {}


def answers(function: F) -> F:
    """Register a policy; its name is `when_` and the name of its event, which its second parameter is of."""
    event = get_type_hints(function)[function.__code__.co_varnames[1]]
    assert not get_args(event), f"{function.__name__} answers one event"
    assert issubclass(event, Event), f"{function.__name__} answers an event"
    assert function.__name__ == f"when_{event.__name__}", f"{function.__name__} is not named after {event.__name__}"
    POLICIES[function.__name__] = Policy(function, event.__name__)
    return function


def install(conn: Connection[Any], names: Iterable[str]) -> None:
    """Make the tables; policies that are new begin at the head of the store."""
    conn.execute(SQL)
    conn.execute(KNOWN, (sorted(names),))


class Answering:
    """Asks the policies, on one connection."""

    def __init__(self, conn: AsyncConnection[Any], policies: dict[str, Policy] | None = None) -> None:
        self.conn = conn
        self.policies = POLICIES if policies is None else policies
        self.asked: dict[str, list[str]] = {}
        for name, policy in self.policies.items():
            self.asked.setdefault(policy.topic, []).append(name)
        self.since: dict[str, int] = {}

    async def round(self) -> int | None:
        """Answer the next events; return how many there were, or None if another courier is at it."""
        async with self.conn.transaction():
            if (held := await self._one(LOCK)) is None:
                return None
            (position,), (head,) = held, await self._one(HEAD) or (0,)
            if position >= head:
                return 0
            self.since = dict(await (await self.conn.execute("select name, since from policies")).fetchall())
            lines = await (await self.conn.execute(READ, (list(self.asked), position, head), binary=True)).fetchall()
            for *stored, saved_at in lines:
                await self._answer(Stored(*stored), saved_at)
            await self.conn.execute(MOVE, (lines[-1][0] if len(lines) == MAX_EVENTS else head,))
        return len(lines)

    async def _answer(self, stored: Stored, saved_at: datetime) -> None:
        if saved_at - stored.recorded_at > HISTORY:
            return
        for name in self.asked[stored.topic]:
            if stored.position <= self.since.get(name, stored.position):
                continue
            try:
                found = self.policies[name](fact_of(stored))
            except Exception as error:  # noqa: BLE001 - a policy's bug, whatever it is, costs its own letter alone
                log.warning("policy.failed", policy=name, position=stored.position, error=explain(error))
                await self._queue(stored, name, [(0, None)], explain(error))
                continue
            await self._queue(stored, name, [(n, f) for n, f in enumerate(found) if isinstance(f, Letter)])
            for again in (f for f in found if isinstance(f, Again)):
                await self.conn.execute(QUEUE_AGAIN, (derived(name.encode(), stored.event_id.bytes), again.letter, stored.clinic, stored.clinic == PLATFORM))

    async def _queue(self, stored: Stored, name: str, letters: Sequence[tuple[int, Letter | None]], error: str | None = None) -> None:
        rows = [
            {
                "id": derived(name.encode(), stored.event_id.bytes, b"%d" % number), "clinic_id": stored.clinic, "position": stored.position,
                "policy": name, "number": number, "template": letter.template if letter else "", "recipient_kind": letter.to.kind if letter else None,
                "recipient": letter.to.id if letter else None, "status": "queued" if letter else "failed", "error": error,
            }
            for number, letter in letters
        ]
        if rows:
            await self.conn.execute(QUEUE, (msgspec.json.encode(rows).decode(),))

    async def _one(self, statement: str) -> tuple[Any, ...] | None:
        return await (await self.conn.execute(statement)).fetchone()
