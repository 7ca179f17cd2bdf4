"""Access tokens: ES256 JWTs of fifteen minutes, made and read with one key pair.

What may go wrong: a new key makes every token unreadable that the old one signed; sessions live on, and clients get a new token by refreshing.
"""

import base64
import hashlib
import json
import os
import time
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from gateway.kit.errors import TokenExpired, TokenInvalid

ISSUER = "anamnesis"
AUDIENCE = "anamnesis-api"
LIFETIME = 900  # seconds
LEEWAY = 5


class Claims(Struct, frozen=True):
    """What a token says."""

    actor: UUID
    clinic: UUID
    role: str
    session: UUID
    subject: UUID | None
    expires: int


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class Keys:
    """The key pair that signs tokens."""

    def __init__(self, pem: str, lifetime: int = LIFETIME) -> None:
        key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise TypeError("the signing key must be an ES256 (P-256) private key")
        self._private = key
        self._public = key.public_key()
        self.lifetime = lifetime
        numbers = self._public.public_numbers()
        self._jwk = {"crv": "P-256", "kty": "EC", "x": _base64(numbers.x.to_bytes(32, "big")), "y": _base64(numbers.y.to_bytes(32, "big"))}
        thumbprint = json.dumps(self._jwk, sort_keys=True, separators=(",", ":")).encode()
        self.kid = _base64(hashlib.sha256(thumbprint).digest())

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public key as the world may read it."""
        return {"keys": [{**self._jwk, "kid": self.kid, "use": "sig", "alg": "ES256"}]}

    def sign(self, *, actor: UUID, clinic: UUID, role: str, session: UUID, subject: UUID | None, now: float | None = None) -> str:
        """Return an access token."""
        issued = int(time.time() if now is None else now)
        claims: dict[str, Any] = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": str(actor), "clinic": str(clinic), "role": role, "sid": str(session),
            "iat": issued, "exp": issued + self.lifetime, "jti": _base64(os.urandom(12)),
        }
        if subject is not None:
            claims["subject"] = str(subject)
        return jwt.encode(claims, self._private, "ES256", headers={"kid": self.kid})

    def read(self, token: str) -> Claims:
        """Return what a token says, or refuse it."""
        try:
            if jwt.get_unverified_header(token).get("kid") != self.kid:
                raise TokenInvalid
            said = jwt.decode(
                token, self._public, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER, leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "aud", "iss", "jti"]})
            subject = said.get("subject")
            return Claims(
                actor=UUID(said["sub"]), clinic=UUID(said["clinic"]), role=str(said["role"]), session=UUID(said["sid"]),
                subject=UUID(subject) if subject else None, expires=int(said["exp"]))
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError):
            raise TokenInvalid from None
