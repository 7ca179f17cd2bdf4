"""Requests as bytes, ready to be sent."""

from urllib.parse import urlsplit
from uuid import uuid4

BOOK = "/api/v1/protected/appointments"


def get(path: str, token: str) -> bytes:
    """A read."""
    return f"GET {path} HTTP/1.1\r\nhost: measured\r\nauthorization: Bearer {token}\r\n\r\n".encode()


def post(path: str, token: str, body: bytes) -> bytes:
    """A command, with an Idempotency-Key of its own."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: measured\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        f"idempotency-key: {uuid4()}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
