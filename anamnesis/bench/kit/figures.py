"""Figures as they are shown: beside their baseline, their target and the conditions they were measured under."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

Figure = dict[str, float]


class Target(msgspec.Struct, frozen=True):
    """What a figure should reach: at least, or at most."""

    of: str  # a key of the figure, or `ratio`
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Does a value reach it?"""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"{self.of} >= {self.least:,g}" if self.least is not None else f"{self.of} <= {self.most:,g}"


class Result(msgspec.Struct, kw_only=True):
    """One benchmark's outcome."""

    name: str
    figure: Figure
    baseline: dict[str, Any]
    ratio: float | None
    targets: list[Target] = []
    conditions: dict[str, Any] = {}
    checked: list[str] = []
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}

    @property
    def missed(self) -> list[str]:
        """The targets that were not reached, each with by how much."""
        values = {**self.figure, "ratio": self.ratio or 0.0}
        return [f"{t} (is {values[t.of]:,.4g})" for t in self.targets if not t.met(values[t.of])]


def latencies(seconds: Sequence[float]) -> Figure:
    """Median and tail, in milliseconds."""
    if not seconds:
        return {"p50_ms": float("nan"), "p99_ms": float("nan"), "max_ms": float("nan")}
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
        "p99_ms": round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        "max_ms": round(1000 * ordered[-1], 2),
    }


def ratio(figure: float, baseline: float) -> float | None:
    """How many times the one is the other."""
    return round(figure / baseline, 2) if baseline else None


def show(results: Iterable[Result], *, as_json: bool) -> None:
    """Print them all."""
    if as_json:
        sys.stdout.write(json.dumps([msgspec.to_builtins(r) | {"missed": r.missed} for r in results], indent=2) + "\n")
        return
    console = Console(soft_wrap=True)
    console.print(table(results := list(results)))
    for text in dict.fromkeys(conditions(r) for r in results):
        console.print(text, highlight=False, markup=False)


def table(results: Iterable[Result]) -> Table:
    """Return the table of figures and baselines."""
    made = Table("benchmark", "figure", "baseline", "ratio", "target", "checked")
    for r in results:
        missed = "\n".join(f"[red]missed: {m}[/]" for m in r.missed)
        wanted = missed or "\n".join(map(str, r.targets))
        made.add_row(r.name, _lines(r.figure), _lines(r.baseline), "" if r.ratio is None else f"{r.ratio:g}", wanted, "\n".join(r.checked), end_section=True)
    return made


def conditions(r: Result) -> str:
    """Return under what it was measured, in one line."""
    return ", ".join(f"{k} {v}" for k, v in {**r.conditions, **r.machine, **r.versions}.items())


def _lines(values: dict[str, Any]) -> str:
    return "\n".join(f"{name} {value:,.6g}" if isinstance(value, float | int) else f"{name} {value}" for name, value in values.items())
