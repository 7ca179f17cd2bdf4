"""Where a request comes from: the peer of the connection, or what our own proxies say.

How it works: each proxy writes at the end of X-Forwarded-For who spoke to it. Read from the end, the first address that is no proxy of ours is
the client's. Only a peer that the setting `proxies` names (addresses and networks, with commas between) is believed at all.

What may go wrong: anybody can send the header, so without the setting it says nothing; and a setting that is wider than the proxies themselves
lets whoever is in it be whoever he likes.
"""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

FORWARDED = b"x-forwarded-for"
SCHEME = b"x-forwarded-proto"
LONGEST = 45  # characters of an address


class Proxies:
    """The proxies before this gateway."""

    def __init__(self, listed: str = "") -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(one.strip(), strict=False) for one in listed.split(",") if one.strip()]
        self._ours = lru_cache(4096)(self._looked_up)

    def client(self, scope: Any, headers: dict[bytes, bytes]) -> str:
        """Return the address of whoever asks; "" if it has none."""
        peer = scope["client"]
        address: str = peer[0] if peer else ""
        if FORWARDED not in headers or not self._networks or not self._ours(address):
            return address
        said = b",".join(value for name, value in scope["headers"] if name == FORWARDED).decode("latin-1")
        for one in reversed(said.split(",")):
            if (told := bare(one)) is None:
                break
            address = told
            if not self._ours(told):
                break
        return address

    def secure(self, scope: Any, headers: dict[bytes, bytes]) -> bool:
        """Say whether the client speaks TLS."""
        peer = scope["client"]
        if self._networks and SCHEME in headers and self._ours(peer[0] if peer else ""):
            return headers[SCHEME].rpartition(b",")[2].strip() == b"https"
        return bool(scope["scheme"] == "https")

    def _looked_up(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def bare(text: str) -> str | None:
    """Return an address as proxies write it, without port and brackets; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text)) if len(text) <= LONGEST else None
    except ValueError:
        return None
