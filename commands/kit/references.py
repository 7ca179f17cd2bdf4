"""Which other streams a command points at, read off its types: `PatientId` is a UUID that says so."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args
from uuid import UUID

from msgspec import Struct

from domain.kit.codec import hints, metas


@cache
def _fields(cls: type[Struct]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return a struct's typed references (field, kind), and the fields that hold structs."""
    pointing = tuple((name, extra["ref"]) for name, hint in hints(cls).items() for extra in metas(hint) if "ref" in extra)
    nested = tuple(name for name, hint in hints(cls).items() if _holds_struct(hint))
    return pointing, nested


def _holds_struct(hint: Any) -> bool:
    return (isinstance(hint, type) and issubclass(hint, Struct)) or any(_holds_struct(a) for a in get_args(hint))


def _each(value: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    if wanted(value):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _each(item, wanted)


def references(value: Struct) -> Iterator[tuple[UUID, str]]:
    """Yield every (id, kind) that a struct points at, nested structs included."""
    pointing, nested = _fields(type(value))
    for field, kind in pointing:
        for found in _each(getattr(value, field), lambda v: isinstance(v, UUID)):
            yield found, kind
    for field in nested:
        for inner in _each(getattr(value, field), lambda v: isinstance(v, Struct)):
            yield from references(inner)
