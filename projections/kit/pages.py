"""Pages of stored events as they travel from the relay to everybody who follows the clinics.

How it works: one message holds one partition's events of a stretch of the store, bodies still bytes, as a msgpack list of `Stored`. Its headers say
which position of that partition came before (`prev`) and which is the page's last (`last`), so that a reader sees a gap at once; `mac` is an HMAC over
subject, both positions and the payload, made with the key of the bus.

What may go wrong: whoever reaches the bus without that key can publish nothing that `unpack` accepts. A page twice, or half of one again, is
normal after a restart: positions tell.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import DecodeError, msgpack

from projections.kit.stored import Stored

PREV, LAST, MAC, MESSAGE_ID = "prev", "last", "mac", "Nats-Msg-Id"

_encode = msgpack.Encoder(uuid_format="bytes").encode
_decode = msgpack.Decoder(list[Stored]).decode


class Page(NamedTuple):
    """A stretch of one partition's events: everything of it after `prev`, up to `last`."""

    prev: int
    last: int
    events: list[Stored]


class ForgedError(Exception):
    """A message on the bus that none of our processes made."""


def subject_of(partition: int) -> str:
    """Return the subject of a partition's pages."""
    return f"events.{partition}"


def pack(events: Sequence[Stored | tuple[Any, ...]], subject: str, prev: int, last: int, bus_key: bytes) -> tuple[bytes, dict[str, str]]:
    """Return payload and headers of a page; events may be rows in the order of `COLUMNS`, with ids as UUIDs or 16 bytes."""
    payload = _encode(events)
    partition = subject.rpartition(".")[2]
    mac = _mac(subject, prev, last, payload, bus_key)
    return payload, {MESSAGE_ID: f"{partition}-{last}", PREV: str(prev), LAST: str(last), MAC: mac}


def unpack(payload: bytes, headers: Mapping[str, str] | None, subject: str, bus_key: bytes) -> Page:
    """Return the page of a message, or raise `ForgedError`."""
    try:
        told = headers or {}
        prev, last, mac = int(told[PREV]), int(told[LAST]), told[MAC]
    except (KeyError, ValueError):
        raise ForgedError(subject) from None
    if not hmac.compare_digest(mac.encode(), _mac(subject, prev, last, payload, bus_key).encode()):
        raise ForgedError(subject)
    try:
        return Page(prev, last, _decode(payload))
    except DecodeError:
        raise ForgedError(subject) from None


def _mac(subject: str, prev: int, last: int, payload: bytes, bus_key: bytes) -> str:
    return hmac.digest(bus_key, f"{subject}\n{prev}\n{last}\n".encode() + payload, hashlib.sha256).hex()
