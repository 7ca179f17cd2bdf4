"""Links that somebody hands out, prints or puts on a page, and that lead to one thing until it says that they do not any more.

How it works: such a link is no secret of one person, so it may be shown again, must last for years and outlive a restore: nothing of it is stored. Its token is the id of the thing, the number of
the link (a thing's first, second, ...) and a MAC over both, made for a purpose with a server key; whoever shows it is believed about the id and the number, and the thing itself says
whether that number still counts. 128 bits of MAC are not guessed.

    token = links.token("referral", source, 2)
    links.read("referral", token)      # Named(source, 2), or None

What may go wrong: whoever holds a token may use it as often as he likes, so an address that takes one limits how often.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import NamedTuple
from uuid import UUID

from projections.kit.keys import keks

ID, NUMBER, MAC = 16, 4, 16  # bytes


class Named(NamedTuple):
    """The thing that a token names, and which of its links it is."""

    subject: UUID
    number: int


class Links:
    """Tokens of one installation; `key` is a server key, from which this takes one of its own."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"links", hashlib.sha256)

    def token(self, purpose: str, subject: UUID, number: int) -> str:
        """Return the token of a thing's link."""
        said = subject.bytes + number.to_bytes(NUMBER, "big")
        return urlsafe_b64encode(said + self._mac(purpose, said)).decode()

    def read(self, purpose: str, token: str) -> Named | None:
        """Return what a token names, if it is one of ours for that purpose."""
        try:
            raw = urlsafe_b64decode(token) if token.isascii() else b""
        except Base64Error:
            return None
        said, mac = raw[: ID + NUMBER], raw[ID + NUMBER :]
        if len(raw) != ID + NUMBER + MAC or not hmac.compare_digest(mac, self._mac(purpose, said)):
            return None
        return Named(UUID(bytes=said[:ID]), int.from_bytes(said[ID:], "big"))

    def _mac(self, purpose: str, said: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + said, hashlib.sha256)[:MAC]


class LastingLinks:
    """Links that letters carry, made by the courier as well as here: with the first key of `kek`, and read with any, so they outlive a change of keys."""

    def __init__(self, kek: bytes) -> None:
        self._links = [Links(key) for key in keks(kek)]

    def token(self, purpose: str, subject: UUID, number: int) -> str:
        """Return the token of a thing's link."""
        return self._links[0].token(purpose, subject, number)

    def read(self, purpose: str, token: str) -> Named | None:
        """Return what a token names, if it is one of ours for that purpose."""
        return next((found for links in self._links if (found := links.read(purpose, token))), None)
