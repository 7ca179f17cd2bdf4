"""One stored sample of every event ever released: `python -m tests.laws.golden` adds those that are missing and changes none.

A line has the event's name, its id, the person it is about, its body as stored (personal fields sealed under the key below), and what it means.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec

from domain.kit import Event
from domain.kit.codec import encode, person
from gateway.kit.examples import example
from tests.kit import THIS
from tests.laws.project import EVENTS, GOLDEN

KEY = bytes(range(32))
FILE = GOLDEN / "events.jsonl"


class Sample(msgspec.Struct):
    """A line of the file."""

    event: str
    id: UUID
    person: UUID | None
    stored: dict[str, Any]
    means: dict[str, Any]


def samples(file: Path = FILE) -> list[Sample]:
    return [msgspec.json.decode(line, type=Sample) for line in file.read_bytes().splitlines()]


def sample(cls: type[Event]) -> Sample:
    """Return a new sample of an event class."""
    event = msgspec.convert(example(cls), cls)
    id_, who = uuid5(THIS, cls.__name__), person(event, THIS)
    body = encode(event, event_id=id_, person=who, key=KEY if who else None)
    return Sample(event=cls.__name__, id=id_, person=who, stored=msgspec.json.decode(body), means=msgspec.to_builtins(event))


def missing() -> Iterator[type[Event]]:
    """Yield the event classes of which there is no sample."""
    there = {one.event for one in samples()} if FILE.exists() else set()
    yield from (cls for cls in EVENTS if cls.__name__ not in there)


if __name__ == "__main__":
    with FILE.open("ab") as file:
        for cls in list(missing()):
            file.write(msgspec.json.encode(sample(cls)) + b"\n")
