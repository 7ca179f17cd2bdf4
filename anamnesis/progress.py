"""What a person at the terminal sees: bars for whatever takes long, tables for whatever is a list."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text


class Speed(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


class Bars:
    """One bar per name. Called as `bars(name, done, total)`, as often as one likes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int = 0, total: int | None = None) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)


@contextmanager
def bars(console: Console | None = None) -> Iterator[Bars]:
    """Progress bars, for as long as the work goes on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console or Console(stderr=True)) as progress:
        yield Bars(progress)


def table(rows: Iterable[Any]) -> None:
    """Rows (structs or mappings) as a table; as JSON lines where nobody looks on."""
    records = [_record(row) for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.writelines(json.dumps(record, default=str) + "\n" for record in records)
        return
    shown = Table()
    for column in dict.fromkeys(name for record in records for name in record):
        shown.add_column(column)
    for record in records:
        shown.add_row(*(str(value) for value in record.values()))
    Console().print(shown if records else "Nothing.")


def _record(row: Any) -> dict[str, Any]:
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, msgspec.Struct):
        return msgspec.structs.asdict(row)
    if hasattr(row, "_asdict"):
        return dict(row._asdict())
    return {str(number): value for number, value in enumerate(row)}
