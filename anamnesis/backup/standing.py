"""What stands beside the events and follows from them, brought to where a restore has put history.

How it works. Heads come from each clinic's last event; remembered commands from the events of a month; claims from the streams' states; webhooks from their own events. Nothing leaves the
house because of a restore: whoever answers events begins at the last position, and what waited to be sent when the backup was taken is put down as failed, for nobody knows whether it
was sent since. It can be sent again.

What may go wrong. Letters and deliveries about what happened after the restored moment are dropped: whatever they told of has not happened here.
"""

from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.clinics import ClinicDeleted
from domain.kit.codec import decode
from domain.webhooks import Webhook
from workers.kit.fanout import KEEP

UNKNOWN = "restored from a backup: it is not known whether this was sent"
HEADS = """
insert into chain_heads (clinic_id, position, hash, recorded_at)
select distinct on (clinic_id) clinic_id, notification_id, hash, recorded_at from stored_events order by clinic_id, notification_id desc
"""
COMMANDS = """
insert into command_log (command_id, stream, version, position, saved_at)
select command_id, first, max(originator_version) filter (where originator_id = first), max(notification_id), max(recorded_at) from (
    select command_id, originator_id, originator_version, notification_id, recorded_at, first_value(originator_id) over (partition by command_id order by notification_id) as first
    from stored_events where recorded_at > now() - interval '30 days') e
group by command_id, first on conflict do nothing
"""
POINT = (
    "update store_head set position = %(at)s",
    "update policy_cursor set position = %(at)s",
    "update webhook_cursor set position = %(at)s",
    "update policies set since = least(since, %(at)s)",
    "delete from command_log where position > %(at)s",
    "delete from parked_events where position > %(at)s",
    "delete from letters where position > %(at)s",
    "update letters set status = 'failed', error = %(unknown)s, settled_at = now() where status = 'queued'",
    "delete from webhook_deliveries where position > %(at)s",
    "update webhook_deliveries set status = 'failed', error = %(unknown)s, settled_at = now(), owner = null where status = 'queued'",
)
WEBHOOKS = """
select originator_id, clinic_id, topic, event_id, state from stored_events e where stream_kind = %s
and not exists (select from stored_events d where d.topic = %s and d.clinic_id = e.clinic_id) order by originator_id, originator_version
"""


def settle(conn: Connection[Any], position: int) -> None:
    """Bring the house tables to a position; `conn` is the owner's, in autocommit."""
    with conn.transaction():
        for statement in POINT:
            conn.execute(statement, {"at": position, "unknown": UNKNOWN})
        conn.execute("delete from chain_heads")
        conn.execute(HEADS)
        conn.execute(COMMANDS)
        _webhooks(conn)


def _webhooks(conn: Connection[Any]) -> None:
    """Have the sending side know each webhook as its events tell it."""
    found: dict[UUID, tuple[UUID, list[Any]]] = {}
    for stream, clinic, topic, event_id, body in conn.execute(WEBHOOKS, (Webhook.kind, ClinicDeleted.__name__), binary=True):
        found.setdefault(stream, (clinic, []))[1].append(decode(topic, body, event_id=event_id, person=None))
    there = {stream: (clinic, webhook) for stream, (clinic, events) in found.items() if (webhook := Webhook.replay(events)).target is not None}
    for stream, (clinic, webhook) in there.items():
        if webhook.target:
            secrets = msgspec.json.encode([{"id": secret.id, "until": secret.until} for secret in webhook.secrets]).decode()
            conn.execute(KEEP, (stream, clinic, webhook.target.url, list(webhook.target.events), webhook.enabled, secrets, False, False))
    conn.execute("delete from webhook_targets where id <> all(%s::uuid[])", (list(there),))
