"""What a benchmark is told, and what it hands back its figures through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from msgspec import Struct

from anamnesis.bench.kit import checks, conditions
from anamnesis.bench.kit.figures import Figure, Result, Target, ratio
from anamnesis.trouble import Trouble

CLIENTS = 32


class Options(Struct, frozen=True, kw_only=True):
    """How long each figure is measured, how large the large store is and where one can be had, and whom to tell how it goes."""

    seconds: float = 10.0
    size: str = "small"
    history: Path | None = None
    clients: int = CLIENTS
    tell: Callable[[str], None] = lambda _: None

    def demo(self, size: str | None) -> dict[str, Any]:
        """Where a demo of that size comes from: a copy of the one that there is, or one made anew."""
        return {"of": self.history} if self.history and size == self.size else {"demo": size}


class Bench:
    """One installation under measurement: its conditions are looked at before the first figure, its facts when the figures are handed in."""

    def __init__(self, options: Options, *, owner_url: str, role_url: str, nats_url: str = "") -> None:
        self.options = options
        self.owner_url = owner_url
        self.conditions = conditions.honest(role_url, nats_url) | {"clients": options.clients}
        self.machine = conditions.machine()
        self.versions = conditions.versions(role_url)
        self.results: list[Result] = []

    def connect(self) -> psycopg.Connection[Any]:
        """The owner's connection, for checks."""
        return psycopg.connect(self.owner_url, autocommit=True)

    def add(self, name: str, figure: Figure, baseline: dict[str, Any], *, by: str, targets: list[Target], checked: list[str]) -> None:
        """Hand in a figure; `by` is what figure and baseline are compared by."""
        self.results.append(Result(
            name=name, figure=figure, baseline=baseline, ratio=ratio(figure[by], baseline[by]) if by in baseline else None, targets=targets,
            conditions=self.conditions, checked=checked, machine=self.machine, versions=self.versions,
        ))

    def done(self) -> list[Result]:
        """The results, with how much lay in the tables at the end."""
        rows = conditions.rows(self.owner_url)
        for result in self.results:
            result.conditions = {**self.conditions, "rows": rows}
        return self.results

    def store_is_sound(self, since: int) -> list[str]:
        """Look the store over; gives what was looked at."""
        with self.connect() as connection:
            checks.positions_are_dense(connection)
            linked = checks.chain_holds(connection, since)
            checks.nothing_overlaps(connection, since)
        return ["positions dense", f"chain of {linked:,} verified", "no overlap"]


def known(names: list[str], every: tuple[str, ...]) -> list[str]:
    """The benchmarks asked for, or all."""
    for name in names:
        if name not in every:
            raise Trouble(f"there is no benchmark {name}; there are {', '.join(every)}")
    return list(dict.fromkeys(names)) or list(every)
