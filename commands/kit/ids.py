"""Ids: fresh ones that sort by time, and ones that follow from their parts; and the bytes an event's MAC is made over."""

import hashlib
import os
import time
from uuid import UUID


def new_id() -> UUID:
    """Return a fresh id that sorts by time (RFC 9562, version 7)."""
    stamp = time.time_ns() // 1_000_000
    rest = int.from_bytes(os.urandom(10), "big")
    return UUID(int=(stamp << 80) | (7 << 76) | ((rest >> 64 & 0xFFF) << 64) | (2 << 62) | (rest & (1 << 62) - 1))


def derived(*parts: bytes) -> UUID:
    """Return an id that follows from its parts alone."""
    return UUID(bytes=hashlib.blake2b(b"\x1f".join(parts), digest_size=16).digest())


def resource(clinic: UUID, kind: str, thing: bytes) -> UUID:
    """Return the id under which something is claimed; never made of a client's bytes alone."""
    return derived(clinic.bytes, kind.encode(), thing)


def mac_content(event_id: UUID, clinic: UUID, stream: UUID, version: int, topic: str, actor: UUID, command: UUID, body: bytes) -> bytes:
    """Return the bytes an event's MAC (HMAC-SHA256, a key that is not in the database) is made over."""
    envelope = (event_id.bytes, clinic.bytes, stream.bytes, version.to_bytes(8, "big"), actor.bytes, command.bytes, topic.encode(), b"\0")
    return b"".join(envelope) + body
