"""Which network addresses are on the public internet, so that what a client names may be called; pure.

How it works: of IPv4 everything but the ranges that IANA's registry of special-purpose addresses sets aside (RFC 6890 and its successors), of IPv6 only what is allotted as
global unicast, less what is set aside there. An address that carries an IPv4 one in it (mapped, or translated by NAT64) is judged by that.

What may go wrong: a name says nothing about where it leads; whoever calls it resolves it, asks here, and connects to the very address that was asked about. What the
operator allows beside it is a list of networks.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SPECIAL = [IPv4Network(one) for one in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")]
GLOBAL = IPv6Network("2000::/3")
SPECIAL_6 = [IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")]
NAT64 = IPv6Network("64:ff9b::/96")
EVERYWHERE = "0.0.0.0/0, ::/0"


def public(address: Address) -> bool:
    """Say whether an address is on the public internet."""
    inner = carried(address)
    if isinstance(inner, IPv4Address):
        return not any(inner in network for network in SPECIAL)
    return inner in GLOBAL and inner.scope_id is None and not any(inner in network for network in SPECIAL_6)


def carried(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def networks(text: str) -> tuple[Network, ...]:
    """Return networks that are listed with commas between; `true` means all there are. Raises ValueError."""
    listed = EVERYWHERE if text.strip().lower() == "true" else text
    return tuple(ip_network(one.strip(), strict=False) for one in listed.split(",") if one.strip())


def within(address: Address, allowed: tuple[Network, ...]) -> bool:
    """Say whether an address lies in one of these networks."""
    inner = carried(address)
    return any(inner in network for network in allowed if network.version == inner.version)


def literal(host: str) -> Address | None:
    """Return the address that a URL's host is, if it is one and not a name. Raises ValueError if it looks like one and is none: 127.1, 0x7f000001."""
    bare = host.removeprefix("[").removesuffix("]")
    last = bare.rstrip(".").rpartition(".")[2].lower()
    if ":" in bare or last.isdigit() or last.startswith("0x"):
        return ip_address(bare)
    return None
