"""How much may be asked for: a limit per account and one per network address, counted in memory, settled among all gateways once a second.

How it works: the generic cell rate algorithm. Each request costs a part of the minute, and a client may owe a minute at most: it can ask for a whole minute's
worth at once, and afterwards as fast as it is paid off. A bucket is the instant at which everything is paid off, so counting is an addition. Each
second whatever is new goes to Postgres in one call, and what comes back is what everybody owes everywhere (`commands.kit.rates`).
Every answer says how it stands, in the fields of draft-ietf-httpapi-ratelimit-headers-06 (the last revision to have RateLimit-Limit, -Remaining and
-Reset, which is what clients read): the account's limit for whoever is signed in, else the address's; and a refusal's is the limit that it is due to.

What may go wrong: without the database each gateway counts for itself, and brings it along later. Between two settlements several gateways may let through
a second's worth more than one would. An IPv6 client has a whole network to itself, so the first 64 bits of its address are one client.
"""

import asyncio
import hashlib
import time
from collections.abc import Hashable
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

import structlog
from psycopg import Error

from commands.kit.errors import RateLimited
from commands.kit.rates import settle
from domain.kit import Refused
from gateway.kit.answer import Headers
from projections.kit.lanes import Lanes

WINDOW = 60  # seconds
LIMIT = WINDOW + 1e-6  # seconds that may be owed, and what floating point adds
SETTLE_SECONDS = 1.0
MOST = 100_000  # buckets; beyond, the oldest are forgotten
ACCOUNT, ADDRESS = 1_200, 12_000  # requests a minute, unless the settings say otherwise

log = structlog.get_logger(__name__)


class Bucket:
    """What one client owes."""

    __slots__ = ("paid_off", "unsettled")

    def __init__(self) -> None:
        self.paid_off = 0.0  # monotonic
        self.unsettled = 0


class Meter:
    """One limit, and everybody's bucket."""

    def __init__(self, name: str, per_minute: int, key: bytes = b"") -> None:
        self._about = (name, key[:64])
        self.cost = WINDOW / per_minute
        self.buckets: dict[Hashable, Bucket] = {}
        self._per_minute = per_minute
        self._constant: Headers = [(b"ratelimit-limit", b"%d" % per_minute), (b"ratelimit-policy", b"%d;w=%d" % (per_minute, WINDOW))]

    def take(self, key: Hashable) -> float:
        """Count a request; return the seconds until all is paid off, which are more than the window if it must be refused."""
        if (bucket := self.buckets.get(key)) is None:
            bucket = self.buckets[key] = Bucket()
        now = time.monotonic()
        owed = (bucket.paid_off - now if bucket.paid_off > now else 0.0) + self.cost
        if owed <= LIMIT:
            bucket.paid_off = now + owed
            bucket.unsettled += 1
        return owed

    def headers(self, owed: float) -> Headers:
        """Return how it stands, as an answer's headers."""
        left = int((WINDOW - owed) / self.cost + 1e-6) if owed < WINDOW else 0
        return [*self._constant, (b"ratelimit-remaining", b"%d" % left), (b"ratelimit-reset", b"%d" % (owed + 0.999))]

    def refusal(self, owed: float) -> RateLimited:
        """Return the refusal of whoever owes too much."""
        return RateLimited(retry_after=max(1, int(owed - WINDOW + 0.999)), limit=self._per_minute, window=WINDOW)

    def unsettled(self) -> dict[bytes, tuple[Bucket, int]]:
        """Return what is to be settled, by the name under which it is: whatever is new, and whoever may by now owe more elsewhere."""
        now = time.monotonic()
        return {self._name(key): (bucket, bucket.unsettled) for key, bucket in self.buckets.items() if bucket.unsettled or bucket.paid_off > now}

    def settled(self, bucket: Bucket, counted: int, owed: float) -> None:
        """Take over what everybody owes, of which `counted` requests were ours."""
        bucket.unsettled -= counted
        bucket.paid_off = time.monotonic() + owed + bucket.unsettled * self.cost

    def sweep(self) -> None:
        """Forget whoever owes nothing, and whoever is too many."""
        now = time.monotonic()
        for key in [key for key, bucket in self.buckets.items() if bucket.paid_off < now and not bucket.unsettled]:
            del self.buckets[key]
        for key in list(self.buckets)[: max(0, len(self.buckets) - MOST)]:
            del self.buckets[key]

    def _name(self, key: Hashable) -> bytes:
        name, secret = self._about
        return hashlib.blake2b(f"{name} {key}".encode(), digest_size=16, key=secret).digest()


class Rates:
    """Both limits, and their settlement."""

    def __init__(self, lanes: Lanes, key: bytes, per_account: int = ACCOUNT, per_address: int = ADDRESS) -> None:
        self.account = Meter("account", per_account, key)
        self.address = Meter("address", per_address, key)
        self._lanes = lanes
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to settle."""
        self._task = asyncio.create_task(self._settling())

    async def close(self) -> None:
        """Stop."""
        if self._task:
            self._task.cancel()

    async def settle(self) -> None:
        """Bring what is new, and learn what everybody owes."""
        for meter in (self.account, self.address):
            if found := meter.unsettled():
                owed = await settle(self._lanes, list(found), [counted * meter.cost for _, counted in found.values()])
                for name, (bucket, counted) in found.items():
                    meter.settled(bucket, counted, owed[name])
            meter.sweep()

    async def _settling(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            try:
                await self.settle()
            except (Refused, Error, OSError) as error:
                log.warning("rates could not be settled", error=type(error).__name__)


@lru_cache(65_536)
def client(address: str) -> Hashable:
    """Return what is one client: an IPv4 address, or the network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        return str(ip_network(f"{address.partition('%')[0]}/64", strict=False))
    except ValueError:
        return address


def rates_of(settings: Any, lanes: Lanes) -> Rates:
    """Return the limits that the settings ask for."""
    return Rates(lanes, settings.mac_key, getattr(settings, "rate_account", 0) or ACCOUNT, getattr(settings, "rate_address", 0) or ADDRESS)
