"""An authenticator in software, by the letter of WebAuthn Level 3: it makes P-256 keys, binds them to a relying party, and signs what it is asked to.

It shares nothing with the code under test but `cryptography`; its few CBOR maps are written by hand.
"""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 1, 4, 64  # flags of authenticator data


def text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def cbor(value: Any) -> bytes:
    """RFC 8949, as far as it is needed here."""
    match value:
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case dict():
            return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())
    raise TypeError(type(value))


def head(major: int, size: int) -> bytes:
    if size < 24:
        return bytes([major << 5 | size])
    return bytes([major << 5 | 24, size]) if size < 256 else bytes([major << 5 | 25]) + size.to_bytes(2, "big")


class Authenticator:
    """One device with one key."""

    def __init__(self, origin: str, *, counts: bool = True) -> None:
        self.origin = origin
        self.id = os.urandom(32)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.counts = counts
        self.count = 0
        self.flags = PRESENT | VERIFIED
        self.user = b""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """`navigator.credentials.create()`, and `toJSON()` of what it answers."""
        self.user = text_bytes(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose
        data = self.data(options["rp"]["id"], ATTESTED) + attested
        return self.answer({
            "clientDataJSON": text(self.client("webauthn.create", options["challenge"])),
            "attestationObject": text(cbor({"fmt": "none", "attStmt": {}, "authData": data})), "transports": ["internal"],
        })

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """`navigator.credentials.get()`, and `toJSON()` of what it answers."""
        client, data = self.client("webauthn.get", options["challenge"]), self.data(options["rpId"])
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        return self.answer({
            "clientDataJSON": text(client), "authenticatorData": text(data), "signature": text(signature), "userHandle": text(self.user),
        })

    def data(self, party: str, more: int = 0) -> bytes:
        self.count += self.counts
        return sha256(party.encode()).digest() + bytes([self.flags | more]) + self.count.to_bytes(4, "big")

    def client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def answer(self, response: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": text(self.id), "rawId": text(self.id), "type": "public-key", "response": response, "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
        }


def text_bytes(value: str) -> bytes:
    return urlsafe_b64decode(value + "=" * (-len(value) % 4))
