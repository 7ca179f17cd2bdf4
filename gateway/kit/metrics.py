"""Counting what is asked and how long it takes, for Prometheus, in plain dictionaries.

What may go wrong: a label made of what a client sends would grow without bound; routes are counted by their template, everything unrouted as one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_EDGES = len(BUCKETS)


class Series:
    """The figures of one route."""

    __slots__ = ("buckets", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (_EDGES + 1)
        self.seconds = 0.0

    def count(self, status: int, seconds: float) -> None:
        """Count one request."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class Metrics:
    """The figures of a process."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Series] = {}

    def route(self, method: str, template: str) -> Series:
        """Return a route's figures."""
        key = (method, template)
        if (series := self._routes.get(key)) is None:
            series = self._routes[key] = Series()
        return series

    def text(self, gauges: Iterable[tuple[str, str, Mapping[str, Any], float]]) -> str:
        """Return everything in Prometheus's text format; gauges are (name, help, labels, value)."""
        lines = ["# HELP anamnesis_requests_total Requests answered.", "# TYPE anamnesis_requests_total counter"]
        for (method, route), series in sorted(self._routes.items()):
            labels: dict[str, Any] = {"method": method, "route": route}
            lines += [_line("anamnesis_requests_total", {**labels, "status": s}, n) for s, n in sorted(series.statuses.items())]
        lines += ["# HELP anamnesis_request_seconds Time to answer.", "# TYPE anamnesis_request_seconds histogram"]
        for (method, route), series in sorted(self._routes.items()):
            lines += _histogram({"method": method, "route": route}, series)
        seen: set[str] = set()
        for name, words, about, value in gauges:
            if name not in seen:
                seen.add(name)
                lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
            lines.append(_line(name, about, value))
        return "\n".join(lines) + "\n"


def _histogram(labels: Mapping[str, Any], series: Series) -> list[str]:
    lines, total = [], 0
    for edge, count in zip((*BUCKETS, "+Inf"), series.buckets, strict=True):
        total += count
        lines.append(_line("anamnesis_request_seconds_bucket", {**labels, "le": edge}, total))
    lines.append(_line("anamnesis_request_seconds_sum", labels, round(series.seconds, 6)))
    lines.append(_line("anamnesis_request_seconds_count", labels, total))
    return lines


def _line(name: str, labels: Mapping[str, Any], value: float) -> str:
    inside = ",".join('{}="{}"'.format(k, str(v).replace("\\", "\\\\").replace('"', '\\"')) for k, v in labels.items())
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"
