"""From events to deliveries: each event becomes one for every webhook of its clinic that wants it.

How it works. `webhook_cursor` is one row, the position up to which events have been looked at. A courier locks it, reads what follows of the clinics that have webhooks, and the events by
which webhooks come, change and go, in order; its deliveries are written in the transaction that moves the position. So each event is met once in effect, with the webhooks as they were
at that position, whichever courier does it and whatever dies; and rebuilding read models, which have no part in it, sends nothing. An event of a webhook's own
stream, or the end of a clinic, says by `Told` what it means here; which kinds of things a clinic's webhooks may hear of at a position, `heard` says.

What may go wrong: the first webhook of a clinic makes its later events worth reading, so a round ends with the event that brought it. What is imported with old dates is sent
like everything else: a receiver goes by `position` and `recordedAt`. Answers of receivers may tell of a person: they are blanked, all of the clinic, when one is erased.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from commands.kit.ids import derived
from domain.kit import PLATFORM
from domain.kit.codec import erasing
from projections.kit.stored import COLUMNS, Stored
from workers.kit.policies import MAX_EVENTS

LOCK = "select position from webhook_cursor for update skip locked"
HEAD = "select position from store_head"
CLINICS = "select distinct clinic_id from webhook_targets"
TARGETS = "select id, clinic_id, events from webhook_targets where enabled and clinic_id = any(%s::uuid[])"
_OF = (
    f"(select {COLUMNS} from stored_events where {{}} and notification_id > %(after)s and notification_id <= %(head)s "  # noqa: S608 - constants
    f"order by notification_id limit {MAX_EVENTS})"
)
READ = (
    f"select * from ({_OF.format('clinic_id = any(%(clinics)s::uuid[])')} union all "  # noqa: S608 - constants
    f"{_OF.format('topic = any(%(topics)s::text[]) and clinic_id <> all(%(clinics)s::uuid[])')}) e order by notification_id limit {MAX_EVENTS}"
)
QUEUE = """
insert into webhook_deliveries (id, clinic_id, webhook_id, position, type, entity_type, entity_id)
select * from json_to_recordset(%s::json) as given(id uuid, clinic_id uuid, webhook_id uuid, position bigint, type text, entity_type text, entity_id uuid)
on conflict do nothing
"""
MOVE = "update webhook_cursor set position = %s"
KEEP = """
insert into webhook_targets as t (id, clinic_id, url, events, enabled, secrets) values (%s, %s, %s, %s, %s, %s::jsonb)
on conflict (id) do update set url = excluded.url, events = excluded.events, enabled = excluded.enabled, secrets = excluded.secrets,
    failing_since = case when %s then null else t.failing_since end, stopped = case when %s then null else t.stopped end
"""
DROP = "delete from webhook_targets where id = %s"
FORGET = "select webhook_forget(%s)"
OF_CLINIC = "select id from webhook_targets where clinic_id = %s"
STOP = """
update webhook_deliveries set status = 'failed', settled_at = clock_timestamp(), error = %s, owner = null where webhook_id = %s and status = 'queued'
"""
AGAIN = """
update webhook_deliveries set status = 'queued', tries = 0, due_at = clock_timestamp(), tried_at = null, settled_at = null, error = null
where webhook_id = %s and id = %s and status <> 'queued'
"""
AGAIN_SINCE = """
update webhook_deliveries set status = 'queued', tries = 0, due_at = clock_timestamp(), tried_at = null, settled_at = null, error = null
where webhook_id = %s and status = 'failed' and queued_at >= %s
"""
BLANK = "update webhook_attempts set answer = null where answer is not null and (clinic_id = %s or %s)"
BLANKED = "update webhook_targets set blanked_at = clock_timestamp() where clinic_id = %s or %s"  # and what was asked before then has its answer dropped
OFF, GONE = "the webhook was switched off", "the webhook was deleted"


class Endpoint(NamedTuple):
    """A webhook as the sending side knows it; no `events` are all."""

    url: str
    events: Sequence[str]
    enabled: bool
    secrets: Sequence[tuple[UUID, datetime | None]]  # in the vault, and until when each signs


class Told(NamedTuple):
    """What an event of a webhook's own stream means: what the webhook is now (None: no more), and what is to be sent."""

    endpoint: Endpoint | None
    all_of_them: bool = False  # whatever webhook the clinic has is no more
    afresh: bool = False  # forget how it fared
    test: bool = False  # send it this event
    again: UUID | datetime | None = None  # send that delivery again, or what has failed since


Tell = Callable[[Stored], Awaitable[Told]]
Heard = Callable[[UUID, int], Awaitable[frozenset[str]]]


class Fanout:
    """Looks at what has happened, on one connection; `own` are the names of the events by which webhooks come, change and go."""

    def __init__(self, conn: AsyncConnection[Any], own: Iterable[str], tell: Tell, heard: Heard) -> None:
        self.conn = conn
        self.own = frozenset(own)
        self.tell = tell
        self.heard = heard

    async def round(self) -> int | None:
        """Look at the next events; return how many there were, or None if another courier is at it."""
        async with self.conn.transaction():
            if (held := await self._one(LOCK)) is None:
                return None
            (position,), (head,) = held, await self._one(HEAD) or (0,)
            if position >= head:
                return 0
            clinics = {clinic for (clinic,) in await (await self.conn.execute(CLINICS)).fetchall()}
            asked = {"clinics": list(clinics), "topics": [*self.own, *erasing()], "after": position, "head": head}
            lines = await (await self.conn.execute(READ, asked, binary=True)).fetchall()
            upto = await self._look([Stored(*line) for line in lines], clinics)
            await self.conn.execute(MOVE, (upto or (lines[-1][0] if len(lines) == MAX_EVENTS else head),))
        return MAX_EVENTS if upto else len(lines)

    async def _look(self, events: Sequence[Stored], clinics: set[UUID]) -> int | None:
        """See to events, in their order; return where it stopped, if not at the end."""
        rows: list[dict[str, Any]] = []
        targets = await self._targets({stored.clinic for stored in events} & clinics)
        kinds: dict[UUID, frozenset[str]] = {}
        for stored in events:
            if wanting := [id_ for id_, wanted in targets.get(stored.clinic, ()) if not wanted or stored.topic in wanted]:
                if stored.clinic not in kinds or stored.stream == stored.clinic:  # the clinic's own events may change what it may hear of
                    kinds[stored.clinic] = await self.heard(stored.clinic, stored.position)
                if stored.kind in kinds[stored.clinic]:
                    rows += [delivery(stored, id_) for id_ in wanting]
            if stored.topic in erasing():
                for statement in (BLANKED, BLANK):
                    await self.conn.execute(statement, (stored.clinic, stored.clinic == PLATFORM))
            if stored.topic in self.own:
                told = await self.tell(stored)
                await self._queue(rows)
                rows = []
                await self._own(stored, told)
                if told.endpoint is not None and stored.clinic not in clinics:
                    return stored.position
                targets |= await self._targets({stored.clinic})
        await self._queue(rows)
        return None

    async def _own(self, stored: Stored, told: Told) -> None:
        """See to an event of a webhook's own stream."""
        if told.endpoint is None:
            found = await (await self.conn.execute(OF_CLINIC, (stored.clinic,))).fetchall() if told.all_of_them else [(stored.stream,)]
            for (id_,) in found:
                await self.conn.execute(STOP, (GONE, id_))
                await self.conn.execute(DROP, (id_,))
                await self.conn.execute(FORGET, (id_,))
            return
        secrets = msgspec.json.encode([{"id": id_, "until": until} for id_, until in told.endpoint.secrets]).decode()
        await self.conn.execute(KEEP, (
            stored.stream, stored.clinic, told.endpoint.url, list(told.endpoint.events), told.endpoint.enabled, secrets, told.afresh, told.afresh))
        if not told.endpoint.enabled:
            await self.conn.execute(STOP, (OFF, stored.stream))
        if told.test:
            await self._queue([delivery(stored, stored.stream)])
        if isinstance(told.again, UUID):
            await self.conn.execute(AGAIN, (stored.stream, told.again))
        elif told.again is not None:
            await self.conn.execute(AGAIN_SINCE, (stored.stream, told.again))

    async def _targets(self, clinics: set[UUID]) -> dict[UUID, list[tuple[UUID, frozenset[str]]]]:
        """Return the webhooks that are on, by clinic, and what each wants."""
        found: dict[UUID, list[tuple[UUID, frozenset[str]]]] = {clinic: [] for clinic in clinics}
        if clinics:
            for id_, clinic, wanted in await (await self.conn.execute(TARGETS, (list(clinics),))).fetchall():
                found[clinic].append((id_, frozenset(wanted)))
        return found

    async def _queue(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            await self.conn.execute(QUEUE, (msgspec.json.encode(rows).decode(),))

    async def _one(self, statement: str) -> tuple[Any, ...] | None:
        return await (await self.conn.execute(statement)).fetchone()


def delivery(stored: Stored, webhook: UUID) -> dict[str, Any]:
    """Return the row of an event's delivery to a webhook; its id, which is the message's, follows from both."""
    return {
        "id": derived(b"webhook", webhook.bytes, stored.event_id.bytes), "clinic_id": stored.clinic, "webhook_id": webhook, "position": stored.position,
        "type": stored.topic, "entity_type": stored.kind, "entity_id": stored.stream,
    }
