"""The one door through which anything changes: from a command to stored events.

How it works: a command is decided on the event loop, on streams as this process knows them, queued saves included; the append function then says whether that
was still true. A lost race is decided again on fresh streams for about five seconds, unless the caller pinned a version. A refusal that rests on cached
streams is decided again on fresh ones before it is answered, and a repeated Idempotency-Key is recognised before any refusal is (`attempt`).
"""

import hashlib
from datetime import datetime
from uuid import UUID

import psycopg

from commands.kit.attempt import Attempt
from commands.kit.command import Command, Decision
from commands.kit.errors import Unavailable
from commands.kit.ids import derived, new_id
from commands.kit.receipt import Receipt, Who
from commands.kit.store import Store
from projections.kit.lanes import ReadUnavailable

__all__ = ["Handler", "Receipt", "Who"]


class Handler(Store):
    """Decides commands and stores what follows from them."""

    async def rehearse(self, command: Command, who: Who, id: UUID) -> Decision:  # noqa: A002
        """Return what would follow from a command as things stand, of which nothing is stored; raise what would refuse it."""
        if not who.may(command.permission):
            raise who.refusal(command.permission)
        return await Attempt(self, command, who, id, new_id()).rehearse()

    async def handle(
        self, command: Command, who: Who, *, id: UUID | None = None, expect: int | None = None, key: str | None = None,  # noqa: A002
        route: str = "", body: bytes = b"", now: datetime | None = None, correlation: UUID | None = None, causation: UUID | None = None,
        command_id: UUID | None = None,
    ) -> Receipt:
        """Decide a command and store what follows.

        `expect` pins the version (If-Match). `key` is the Idempotency-Key, scoped by clinic, actor and route; `body` is what a repetition must equal. `now` sets the
        recording time (demo and import only). Raises a `Refused`: the rule's own, or one of `commands.kit.errors`.
        """
        if not who.may(command.permission):
            raise who.refusal(command.permission)
        if key is not None:
            command_id = derived(who.clinic.bytes, who.actor.bytes, route.encode(), key.encode())
        attempt = Attempt(self, command, who, id or new_id(), command_id or new_id())
        attempt.expect = expect
        attempt.now = now
        attempt.request_hash = hashlib.sha256(body).digest() if key is not None else None
        attempt.correlation = correlation or attempt.command_id
        attempt.causation = causation
        try:
            return await attempt.run()
        except (ReadUnavailable, psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            raise Unavailable from error
