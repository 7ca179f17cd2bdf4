"""Pushing deliveries to webhooks, signed as the Standard Webhooks specification has it.

How it works. A courier claims what is due (`commands.kit.deliveries`), many at a time, and sends each in a task of its own: the body is the event as a stream shows it, read from the store at that moment;
`webhook-id` is the delivery's and the same at every attempt, `webhook-timestamp` the attempt's, `webhook-signature` an HMAC-SHA-256 over both and the body by each secret that signs now. Any
2xx is a yes; 410 gives the webhook up at once; everything else, a redirect included, comes again after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours (each up to a tenth
longer), later if `Retry-After` says so: three days in all. A webhook that has taken nothing since the first attempt of a delivery that is given up, or for five days, is given up itself.

What may go wrong: order is not kept (the body has the position); a receiver may get a delivery twice, when a courier dies between its yes and our note, or when its yes came after
fifteen seconds. While a webhook fails one delivery of it is tried at a time.
"""

import asyncio
import hashlib
import hmac
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import uniform
from traceback import extract_tb
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import structlog

from projections.kit.lanes import Lanes, ReadUnavailable
from projections.kit.shown import pushed
from projections.kit.stored import COLUMNS, Stored
from workers.kit.ending import heed
from workers.kit.outward import NotCalledError, Outward

MANY = 64  # deliveries that one courier has under way
FLOOR_SECONDS = 1.0  # between looks for what is due
LINGER_SECONDS = 0.005  # so that what ends at about the same time makes room for one claim, not for one each
SWEEP_SECONDS = 600.0
LAST_SECONDS = 5.0  # for what is under way when it is told to stop
SCHEDULE = [timedelta(seconds=seconds) for seconds in (5, 300, 1800, *(3600 * hours for hours in (2, 5, 10, 14, 20, 24)))]
JITTER = 0.1
LONGEST_PAUSE = 24 * 3600.0  # that a Retry-After can ask for
GONE = 410
AGENT = "Anamnesis-Webhooks"

CLAIM = "select * from webhooks_claim(%s)"
EVENT = f"select {COLUMNS} from stored_events where notification_id = %s"  # noqa: S608
SETTLE = "select webhooks_settle(%s, %s, %s::timestamptz, %s::timestamptz, %s::bigint, %s::bigint, %s, %s, %s)"
RELEASE = "update webhook_deliveries set owner = null where owner = current_setting('application_name')"
FORGET = "delete from webhook_deliveries where id in (select id from webhook_deliveries where queued_at < now() - interval '30 days' order by queued_at limit 5000)"
_ADDRESS = re.compile(r"[^\s\"'<>]*@[^\s\"'<>]*")

log = structlog.get_logger(__name__)


class Claimed(NamedTuple):
    """A delivery that this process is at."""

    id: UUID
    clinic: UUID
    position: int
    topic: str
    tries: int
    queued_at: datetime
    url: str
    secrets: list[dict[str, Any]]


class Outcome(NamedTuple):
    """What became of an attempt."""

    became: str
    due: datetime | None = None
    status: int | None = None
    answer: str | None = None
    error: str | None = None
    stop: str | None = None


Secrets = Callable[[list[UUID]], Awaitable[list[bytes]]]


class Pushing:
    """Sends what is due; `lanes` are one, and nobody else's, for what is claimed is held under its name; `secrets` gives the secrets of the vault."""

    def __init__(self, lanes: Lanes, outward: Outward, secrets: Secrets) -> None:
        self.lanes = lanes
        self.outward = outward
        self.secrets = secrets
        self.ring = asyncio.Event()  # there may be something
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled; what is under way may still end."""
        sweeping = asyncio.create_task(self._sweeping())
        try:
            while True:
                heed()
                self.ring.clear()
                if not await self._claimed():
                    await self._rest()
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await self._end()

    async def _claimed(self) -> bool:
        """Begin with what is due, as far as there is room; say whether there was anything."""
        if (room := MANY - len(self.tasks)) <= 0:
            return False
        try:
            rows = (await self.lanes.ask(None, CLAIM, (room,), again=False)).rows
        except (ReadUnavailable, psycopg.Error, OSError) as error:
            log.warning("webhooks.interrupted", error=type(error).__name__)
            return False
        for row in rows:
            task = asyncio.create_task(self._deliver(Claimed(*row)))
            self.tasks.add(task)
            task.add_done_callback(self._ended)
        return bool(rows)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self.ring.set()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(FLOOR_SECONDS):
                await self.ring.wait()
        except TimeoutError:
            return
        await asyncio.sleep(LINGER_SECONDS)

    async def _end(self) -> None:
        """Let what is under way end, and give back the rest."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=LAST_SECONDS)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        try:
            await self.lanes.ask(None, RELEASE, again=False)
        except (ReadUnavailable, psycopg.Error, OSError):
            log.debug("webhooks.claims_run_out")

    async def _deliver(self, claimed: Claimed) -> None:
        """Make one attempt, and write down what became of it."""
        made, began = datetime.now(UTC), time.monotonic()
        try:
            outcome = await self._tried(claimed, made)
            took = round(1000 * (time.monotonic() - began))
            told = (outcome.became, outcome.due, made, outcome.status, took, outcome.answer and bare(outcome.answer), outcome.error, outcome.stop)
            halted = (await self.lanes.ask(None, SETTLE, (claimed.id, *told), again=False)).rows[0][0]
        except (ReadUnavailable, psycopg.Error, OSError) as error:  # its claim runs out, and it comes again
            log.warning("webhooks.interrupted", error=type(error).__name__)
            return
        log.info("webhook", delivery=str(claimed.id), type=claimed.topic, became=outcome.became, status=outcome.status, milliseconds=took, error=outcome.error)
        if halted is not None:
            log.warning("webhook.given_up", delivery=str(claimed.id), why=halted)

    async def _tried(self, claimed: Claimed, now: datetime) -> Outcome:
        """Make one attempt; what is a bug, or a key that is not the right one, costs it alone and can be mended for three days."""
        try:
            return await self._attempt(claimed, now)
        except (ReadUnavailable, psycopg.Error, OSError):
            raise
        except Exception as bug:  # noqa: BLE001 - see above
            log.warning("webhook.bug", delivery=str(claimed.id), at=[f"{frame.filename}:{frame.lineno}" for frame in extract_tb(bug.__traceback__)[-6:]])
            return put_off(claimed, now, error=type(bug).__name__)

    async def _attempt(self, claimed: Claimed, now: datetime) -> Outcome:
        rows = (await self.lanes.ask(None, EVENT, (claimed.position,))).rows
        signing = [UUID(one["id"]) for one in claimed.secrets if one["until"] is None or datetime.fromisoformat(one["until"]) > now]
        keys = await self.secrets(signing)
        if not rows or not keys:
            return Outcome("failed", error="the event is not in the store" if not rows else "there is no secret to sign with")
        body = pushed(Stored(*rows[0]))
        try:
            answer = await self.outward.post(claimed.url, headers(claimed.id, now, body, keys), body)
        except NotCalledError as error:
            return put_off(claimed, now, error=str(error))
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return Outcome("delivered", status=answer.status, answer=answer.text)
        if answer.status == GONE:
            return Outcome("failed", status=GONE, answer=answer.text, error="the receiver says that it is gone", stop="gone")
        return put_off(claimed, now, status=answer.status, answer=answer.text, error=f"answered {answer.status}", pause=answer.pause)

    async def _sweeping(self) -> None:
        """Forget old deliveries, now and then."""
        while True:
            heed()
            try:
                await self.lanes.ask(None, FORGET, again=False)
            except (ReadUnavailable, psycopg.Error, OSError) as error:
                log.warning("webhooks.interrupted", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)


def put_off(claimed: Claimed, now: datetime, *, error: str, status: int | None = None, answer: str | None = None, pause: float = 0.0) -> Outcome:
    """Return what follows from an attempt that has failed: another one later, or none."""
    if claimed.tries >= len(SCHEDULE):
        return Outcome("failed", status=status, answer=answer, error=f"given up: {error}")
    wait = SCHEDULE[claimed.tries] * uniform(1, 1 + JITTER)  # noqa: S311 - a pause, no secret
    return Outcome("queued", now + max(wait, timedelta(seconds=min(pause, LONGEST_PAUSE))), status, answer, error)


def headers(id_: UUID, now: datetime, body: bytes, keys: list[bytes]) -> dict[str, str]:
    """Return the headers of an attempt, signed with each of these keys."""
    stamp = str(int(now.timestamp()))
    content = b".".join((str(id_).encode(), stamp.encode(), body))
    signatures = (b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "content-type": "application/json", "user-agent": AGENT, "webhook-id": str(id_), "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def bare(text: str) -> str:
    """Return an answer without e-mail addresses."""
    return _ADDRESS.sub("<address>", text)
