"""What the door costs: a request that must be signed in and permitted, beside the same request without, in turns on one connection."""

import socket
import time
from statistics import median

from anamnesis.bench.kit import http, probe
from anamnesis.bench.kit.figures import Figure, Result, Target
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.places import furnished
from anamnesis.trouble import Trouble

TARGET_US = 60
OK = b"HTTP/1.1 200"
WARM = 500  # pairs
LEAST = 1000  # pairs, however little time there is


def measure(options: Options) -> list[Result]:
    """Ask in turns, and compare the medians; then how long a token takes that was never seen before."""
    with furnished(options, number=1, doctors=2, patients=10) as place, probe.served(place.stack.settings("gateway")) as url:
        token = place.tokens()[0][0]
        options.tell("  in turns: open, guarded")
        open_us, guarded_us, pairs = turns(url, http.get(probe.OPEN, token).replace(f"authorization: Bearer {token}\r\n".encode(), b""),
                                           http.get(probe.GUARDED, token), options.seconds)
        first_us = median(first(url, http.get(probe.GUARDED, one)) for _ in range(5) for one in place.tokens()[0])
        figure: Figure = {
            "p50_us": round(guarded_us, 1), "added_us": round(guarded_us - open_us, 1), "first_seen_p50_us": round(first_us, 1), "requests": 2 * pairs}
        place.bench.add(
            "auth", figure, {"p50_us": round(open_us, 1)}, by="p50_us", targets=[Target("added_us", most=TARGET_US)],
            checked=["every answer 200", "without a token 401"])
        refused(url, http.get(probe.GUARDED, token).replace(b"Bearer ", b"Bearer x"))
        return place.done()


class Client:
    """One connection that waits for each answer."""

    def __init__(self, url: str) -> None:
        self._socket = socket.create_connection(http.address(url))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[float, bytes]:
        """Return how many seconds an answer took, and the answer, which fits into one packet."""
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(4096)
        return time.perf_counter() - began, answer


def turns(url: str, plain: bytes, guarded: bytes, seconds: float) -> tuple[float, float, int]:
    """Ask for both in turns; return the medians in microseconds, and how many pairs there were."""
    client = Client(url)
    spent: tuple[list[float], list[float]] = ([], [])
    until = time.perf_counter() + seconds
    pairs = 0
    while pairs < WARM + LEAST or time.perf_counter() < until:
        for which, request in enumerate((plain, guarded)):
            took, answer = client.ask(request)
            if not answer.startswith(OK):
                raise Trouble(f"the probe answered {answer[:200]!r}")
            if pairs >= WARM:
                spent[which].append(took)
        pairs += 1
    return median(spent[0]) * 1e6, median(spent[1]) * 1e6, pairs - WARM


def first(url: str, request: bytes) -> float:
    """Return the microseconds of a token's first request, on a connection that is warm."""
    client = Client(url)
    client.ask(f"GET {probe.OPEN} HTTP/1.1\r\nhost: measured\r\n\r\n".encode())
    took, answer = client.ask(request)
    if not answer.startswith(OK):
        raise Trouble(f"the probe answered {answer[:200]!r}")
    return took * 1e6


def refused(url: str, request: bytes) -> None:
    """Make sure that the door is shut."""
    _, answer = Client(url).ask(request)
    if not answer.startswith(b"HTTP/1.1 401"):
        raise Trouble(f"the probe let somebody in: {answer[:200]!r}")
