"""Calling an address that a client has named, without being led anywhere else.

How it works. The host's name is resolved here; if any of its addresses is not on the public internet (`domain.kit.addresses`), and in no network that the operator allows, nothing is called. Else
the connection is made to the very address that was looked at, with the name in `Host`, in TLS's SNI and in the check of the certificate; a second look-up, which could give another
address, does not happen. Redirects are answers like any other. Nothing of the environment's proxies is heeded, no connection is kept for another call, all of it takes fifteen seconds at most, and of
the answer's body no more than a kilobyte is read. Plain http goes into allowed networks only.

What may go wrong: names are resolved in threads, for the system's resolver blocks; a hung one holds one of as many as there are calls under way.
"""

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from domain.kit.addresses import Address, Network, literal, public, within

SECONDS = 15.0  # for all of it
CONNECT_SECONDS = 10.0
ANSWER = 1024  # bytes of an answer that are looked at
PORTS = {"http": 80, "https": 443}


class Answered(NamedTuple):
    """What was answered: status, the first kilobyte, and for how many seconds it wants to be left alone."""

    status: int
    text: str
    pause: float


class NotCalledError(Exception):
    """Nobody was called, or nobody answered; says why."""


class Outward:
    """Calls addresses; `allowed` are networks that are not public and may be called all the same."""

    def __init__(self, allowed: tuple[Network, ...], threads: int, context: ssl.SSLContext | None = None) -> None:
        self.allowed = allowed
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="names")
        self._client = httpx.AsyncClient(
            verify=context or httpx.create_ssl_context(), trust_env=False, follow_redirects=False, timeout=httpx.Timeout(SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))

    async def close(self) -> None:
        """Hang up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._client.aclose()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answered:
        """Send a body; raise `NotCalledError` if there is no answer."""
        try:
            async with asyncio.timeout(SECONDS):
                addresses = await self._addresses(url)
                for address in addresses[:-1]:
                    try:
                        return await self._sent(url, address, headers, body)
                    except httpx.ConnectError:
                        continue  # the next one may be reached
                return await self._sent(url, addresses[-1], headers, body)
        except (TimeoutError, httpx.TimeoutException):
            raise NotCalledError(f"no answer within {SECONDS:g} seconds") from None
        except httpx.ConnectError as error:
            raise NotCalledError(f"no connection: {error}"[:200]) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NotCalledError(f"{type(error).__name__}: {error}"[:200]) from None

    async def _addresses(self, url: str) -> list[Address]:
        """Return where a URL leads, if all of it may be called."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            address = literal(host)
            found = [address] if address is not None else await self._resolved(host, parts.port or PORTS[parts.scheme])
        except (OSError, ValueError, UnicodeError):
            raise NotCalledError("the host's name cannot be resolved") from None
        for one in found:
            inside = within(one, self.allowed)
            if not inside and (not public(one) or parts.scheme != "https"):
                raise NotCalledError("the host's address is not on the public internet" if not public(one) else "plain http is for allowed networks only")
        if not found:
            raise NotCalledError("the host's name has no address")
        return found

    async def _resolved(self, host: str, port: int) -> list[Address]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return list(dict.fromkeys(ip_address(where[0]) for *_, where in found))

    async def _sent(self, url: str, address: Address, headers: dict[str, str], body: bytes) -> Answered:
        """Send to that very address."""
        named = httpx.URL(url)
        called = named.copy_with(host=str(address))
        extensions = {"sni_hostname": named.host} if named.host != str(address) else {}
        request = self._client.build_request(
            "POST", called, content=body, headers={"host": named.netloc.decode("ascii"), "accept-encoding": "identity", **headers}, extensions=extensions)
        answer = await self._client.send(request, stream=True)
        try:
            return Answered(answer.status_code, await _begun(answer), pause(answer.headers.get("retry-after", ""), datetime.now(UTC)))
        finally:
            await answer.aclose()


async def _begun(answer: httpx.Response) -> str:
    """Return how an answer begins; one that breaks off has said what it said."""
    found = b""
    try:
        async for chunk in answer.aiter_raw():
            found += chunk
            if len(found) >= ANSWER:
                break
    except httpx.TransportError:
        pass
    return found[:ANSWER].decode("utf-8", "replace").replace("\0", "")


def pause(told: str, now: datetime) -> float:
    """Return the seconds that a Retry-After asks for: a number, or a date; 0 if it says neither."""
    if told.isascii() and told.isdigit() and len(told) < 10:  # noqa: PLR2004 - digits of a time
        return float(told)
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, TypeError):
        return 0.0
    return max((until - now).total_seconds(), 0.0) if until.tzinfo else 0.0
