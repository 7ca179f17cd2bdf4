"""Everything the project is made of, found by importing all of it."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from commands.kit import Command
from domain.kit import Event, Refused, State
from schemas.kit import Row

T = TypeVar("T")

ROOT = Path(__file__).parent.parent.parent
LAYERS = ("domain", "schemas", "projections", "commands", "workers", "gateway")
SPEC = ROOT / "tests" / "spec"
GOLDEN = ROOT / "tests" / "golden"

for layer in LAYERS:
    for path in sorted((ROOT / layer).rglob("*.py")):
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def below(base: type[T]) -> Iterator[type[T]]:
    """Yield all subclasses that the project itself defines; a test's bad samples are not among them."""
    for cls in base.__subclasses__():
        if cls.__module__.partition(".")[0] in LAYERS:
            yield cls
        yield from below(cls)


def business(base: type[T]) -> list[type[T]]:
    """Return the subclasses that business files define, each once."""
    return [cls for cls in dict.fromkeys(below(base)) if ".kit" not in cls.__module__]


EVENTS: list[type[Event]] = business(Event)
STATES: list[type[State]] = business(State)
COMMANDS: list[type[Command]] = business(Command)
ROWS: list[type[Row]] = business(Row)
REFUSALS: list[type[Refused]] = list(dict.fromkeys(below(Refused)))


def said(cls: type[Any]) -> str:
    """Return a class's own docstring; an inherited one says nothing about it."""
    return (cls.__dict__.get("__doc__") or "").strip()
