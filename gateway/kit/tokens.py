"""Access tokens: short-lived ES256 JWTs, made with the first of our keys and read with any of them.

How it works: `signing_key` holds one or more P-256 private keys in PEM, one after another. The first signs; all are published and accepted, each under the
thumbprint of its public part (RFC 7638) as `kid`. To rotate, put a new key in front, let every process know it, and drop the old one once the longest
token has run out. A token says who (`sub`), where (`clinic`), as whom, in which session (`sid`), and, if another person acts for them, who that
is (`act`, RFC 8693). A sign-in that still lacks its second proof gets a token for another audience, which opens nothing but the second step.

What may go wrong: a key that is dropped too early makes tokens unreadable; sessions live on, and clients get a new token by refreshing.
"""

import base64
import hashlib
import json
import os
import re
import time
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from gateway.kit.errors import TokenExpired, TokenInvalid

ISSUER = "anamnesis"
AUDIENCE = "anamnesis-api"
HALF = "anamnesis-second-proof"
LIFETIMES = {"web": 900, "mobile": 3600, "device": 900}  # seconds, by client
HALF_SECONDS = 600
LEEWAY = 5
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


class Claims(Struct, frozen=True):
    """What a token says. `account` is whose it is, `impersonator` who acts for them."""

    account: UUID
    clinic: UUID
    role: str
    session: UUID
    subject: UUID | None
    expires: int
    client: str = "web"
    impersonator: UUID | None = None


class HalfClaims(Struct, frozen=True):
    """What the token of a half-done sign-in says: who has proved what, and where they want to go."""

    account: UUID
    clinic: UUID | None
    client: str
    proofs: list[str]
    cookies: bool = False
    password: str = ""  # under which the vault keeps the password that was right


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def jwk_of(key: EllipticCurvePublicKey) -> dict[str, str]:
    """Return a public key as JSON, with its thumbprint as `kid`."""
    numbers = key.public_numbers()
    jwk = {"crv": "P-256", "kty": "EC", "x": _base64(numbers.x.to_bytes(32, "big")), "y": _base64(numbers.y.to_bytes(32, "big"))}
    thumbprint = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    return {**jwk, "kid": _base64(hashlib.sha256(thumbprint).digest()), "use": "sig", "alg": "ES256"}


class Keys:
    """The keys that sign tokens, and those that still check them."""

    def __init__(self, pem: str, lifetime: int = 0) -> None:
        keys = [load_pem_private_key(found.encode(), password=None) for found in _PEM.findall(pem)]
        if not keys or not all(isinstance(key, EllipticCurvePrivateKey) for key in keys):
            raise TypeError("the signing key must be an ES256 (P-256) private key")
        self._private: Any = keys[0]
        publics: list[Any] = [key.public_key() for key in keys]
        self._jwks = [jwk_of(key) for key in publics]
        self._publics = {jwk["kid"]: key for jwk, key in zip(self._jwks, publics, strict=True)}
        self.kid = self._jwks[0]["kid"]
        self._lifetime = lifetime
        self.longest = lifetime or max(LIFETIMES.values())

    def lifetime(self, client: str) -> int:
        """Return for how many seconds a token for such a client is good."""
        return self._lifetime or LIFETIMES.get(client, LIFETIMES["web"])

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys as the world may read them."""
        return {"keys": self._jwks}

    def sign(
        self, *, account: UUID, clinic: UUID, role: str, session: UUID, subject: UUID | None, client: str = "web", impersonator: UUID | None = None,
        now: float | None = None,
    ) -> str:
        """Return an access token."""
        claims: dict[str, Any] = {"clinic": str(clinic), "role": role, "sid": str(session), "cli": client}
        if subject is not None:
            claims["subject"] = str(subject)
        if impersonator is not None:
            claims["act"] = {"sub": str(impersonator)}
        return self._signed(account, AUDIENCE, self.lifetime(client), claims, now)

    def read(self, token: str) -> Claims:
        """Return what a token says, or refuse it."""
        said = self._read(token, AUDIENCE)
        try:
            subject, act = said.get("subject"), said.get("act")
            return Claims(
                account=UUID(said["sub"]), clinic=UUID(said["clinic"]), role=str(said["role"]), session=UUID(said["sid"]),
                subject=UUID(subject) if subject else None, expires=int(said["exp"]), client=str(said.get("cli", "web")),
                impersonator=UUID(act["sub"]) if act else None)
        except (KeyError, ValueError, TypeError, AttributeError):
            raise TokenInvalid from None

    def sign_half(self, half: HalfClaims) -> str:
        """Return the token of a half-done sign-in."""
        claims = {"clinic": str(half.clinic or ""), "cli": half.client, "proofs": half.proofs, "cookies": half.cookies, "pwd": half.password}
        return self._signed(half.account, HALF, HALF_SECONDS, claims, None)

    def read_half(self, token: str) -> HalfClaims:
        """Return what the token of a half-done sign-in says, or refuse it."""
        said = self._read(token, HALF)
        try:
            clinic = UUID(said["clinic"]) if said["clinic"] else None
            return HalfClaims(
                account=UUID(said["sub"]), clinic=clinic, client=str(said["cli"]), proofs=list(said["proofs"]), cookies=bool(said["cookies"]),
                password=str(said.get("pwd", "")))
        except (KeyError, ValueError, TypeError):
            raise TokenInvalid from None

    def _signed(self, account: UUID, audience: str, seconds: int, more: dict[str, Any], now: float | None) -> str:
        issued = int(time.time() if now is None else now)
        claims = {"iss": ISSUER, "aud": audience, "sub": str(account), "iat": issued, "exp": issued + seconds, "jti": _base64(os.urandom(12)), **more}
        return jwt.encode(claims, self._private, "ES256", headers={"kid": self.kid})

    def _read(self, token: str, audience: str) -> dict[str, Any]:
        try:
            key = self._publics[jwt.get_unverified_header(token)["kid"]]
            said: dict[str, Any] = jwt.decode(
                token, key, algorithms=["ES256"], audience=audience, issuer=ISSUER, leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "aud", "iss", "jti"]})
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError):
            raise TokenInvalid from None
        return said
