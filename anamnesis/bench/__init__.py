"""How fast it is: measured on real processes of its own, beside baselines, and checked afterwards."""

import sys
from importlib import import_module
from pathlib import Path

import structlog
from rich.console import Console

from anamnesis.bench.kit.figures import Result, show
from anamnesis.bench.kit.frame import Options, known

BENCHES = ("append", "auth", "book", "read", "search", "lag", "slots", "rebuild", "sse", "growth", "import")
CALLED = {"import": "importing"}  # no file may be called that



def run(names: list[str], *, json: bool = False, size: str = "small", seconds: float = 10.0, history: Path | None = None) -> None:
    """Run these benchmarks, or all, and print what they found."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for figures
    console = Console(stderr=True)
    options = Options(seconds=seconds, size=size, history=history, tell=lambda line: console.print(line, style="dim", highlight=False))
    results: list[Result] = []
    for name in known(names, BENCHES):
        options.tell(f"{name} ...")
        results += import_module(f"anamnesis.bench.{CALLED.get(name, name)}").measure(options)
    show(results, as_json=json)
