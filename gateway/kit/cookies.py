"""Sessions in cookies, for pages in a browser: tokens that no script can read, and proof that it was our page that asked.

How it works: whoever opens a session with the header `X-Session: cookies` gets its tokens as cookies, and none in the body. From then on the access cookie
stands for the Authorization header; a request that has that header is a bearer's, whatever cookies come along. A browser sends cookies whoever made it ask, so
an unsafe request by cookie must show that it comes from our own page: no other site in Origin or Sec-Fetch-Site, and in X-CSRF-Token the value of
the readable cookie, which is a MAC of the session's id: one that was planted by a neighbouring domain, or is another session's, is worth nothing.

What may go wrong: cookies go only where the connection is safe, so they are marked Secure and __Host-, except over plain http on this very machine, where
browsers would not take them back. Behind a proxy that ends TLS this rests on X-Forwarded-Proto, hence on the setting `proxies`.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from domain.kit import Refused
from gateway.kit.answer import Headers

WANTED = b"x-session"
CSRF = b"x-csrf-token"
SAFE = {"GET", "HEAD", "OPTIONS"}
OURS = {b"same-origin", b"none"}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
NAMES = ("access", "refresh", "csrf")


class OtherOrigin(Refused):
    """This request was made by a page of another site. Sessions in cookies are for our own pages; elsewhere send an access token."""

    status = 403


class CsrfTokenWrong(Refused):
    """A request with cookies that changes something needs the header X-CSRF-Token, with the value of the cookie whose name ends in `csrf`."""

    status = 403


class CookiesUnsafe(Refused):
    """Cookies are only given over https, or over http to this very machine. Use https, or leave the header X-Session away."""

    status = 400


class Tokens(NamedTuple):
    """What a session lives on, and for how many seconds each is good."""

    session: UUID
    access: str
    access_seconds: int
    refresh: str
    refresh_seconds: int


class Cookies:
    """Gives cookies, reads them, and takes them back."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"csrf", hashlib.sha256)

    def csrf(self, session: UUID) -> str:
        """Return what shows that a page of ours speaks for this session."""
        return urlsafe_b64encode(hmac.digest(self._key, session.bytes, hashlib.sha256)).decode().rstrip("=")

    def give(self, tokens: Tokens, headers: dict[bytes, bytes], *, secure: bool) -> Headers:
        """Return the headers that hand a session out."""
        ensure_safe(headers, secure=secure)
        values = {
            "access": (tokens.access, tokens.access_seconds), "refresh": (tokens.refresh, tokens.refresh_seconds),
            "csrf": (self.csrf(tokens.session), tokens.refresh_seconds)}
        return [_cookie(name, value, seconds, secure=secure) for name, (value, seconds) in values.items()]

    def take_back(self, *, secure: bool) -> Headers:
        """Return the headers that make a browser forget its session."""
        return [_cookie(name, "", 0, secure=secure) for name in NAMES]

    def bearer(self, headers: dict[bytes, bytes], *, secure: bool) -> bytes | None:
        """Return the Authorization header that the cookies stand for."""
        token = _read(headers, "access", secure=secure)
        return b"Bearer " + token if token else None

    def refresh(self, headers: dict[bytes, bytes], *, secure: bool) -> str | None:
        """Return the refresh token in the cookies."""
        token = _read(headers, "refresh", secure=secure)
        return token.decode("latin-1") if token else None

    def check(self, headers: dict[bytes, bytes], session: UUID, *, secure: bool) -> None:
        """Refuse a request by cookie that does not come from a page of ours."""
        same_origin(headers, secure=secure)
        if not hmac.compare_digest(headers.get(CSRF, b""), self.csrf(session).encode()):
            raise CsrfTokenWrong


def wanted(headers: dict[bytes, bytes]) -> bool:
    """Say whether a client wants its session in cookies."""
    return headers.get(WANTED, b"").strip().lower() == b"cookies"


def ensure_safe(headers: dict[bytes, bytes], *, secure: bool) -> None:
    """Refuse to give cookies over a line on which others read them."""
    if not secure and host(headers) not in LOOPBACK:
        raise CookiesUnsafe


def same_origin(headers: dict[bytes, bytes], *, secure: bool) -> None:
    """Refuse what a browser says was made by another site's page."""
    if (site := headers.get(b"sec-fetch-site")) is not None and site not in OURS:
        raise OtherOrigin
    if (origin := headers.get(b"origin")) is None:
        return
    ours = b"%b://%b" % (b"https" if secure else b"http", headers.get(b"host", b""))
    if origin.lower() != ours.lower():
        raise OtherOrigin


def host(headers: dict[bytes, bytes]) -> str:
    """Return the host a client has asked for, without port."""
    try:
        return urlsplit("//" + headers.get(b"host", b"").decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def _name(name: str, *, secure: bool) -> str:
    return f"{'__Host-' if secure else ''}anamnesis-{name}"


def _cookie(name: str, value: str, seconds: int, *, secure: bool) -> tuple[bytes, bytes]:
    parts = [f"{_name(name, secure=secure)}={value}", "Path=/", f"Max-Age={seconds}", "SameSite=Lax"]
    parts += ["Secure"] if secure else []
    parts += [] if name == "csrf" else ["HttpOnly"]
    return b"set-cookie", "; ".join(parts).encode()


def _read(headers: dict[bytes, bytes], name: str, *, secure: bool) -> bytes | None:
    wanted = _name(name, secure=secure).encode() + b"="
    found = [one for part in headers.get(b"cookie", b"").split(b";") if (one := part.strip()).startswith(wanted)]
    return found[0][len(wanted):] or None if len(found) == 1 else None  # two of a name are somebody's trick
