"""Whatever was once stored can be read for ever, and means what it meant."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from domain.kit import Event
from domain.kit.codec import UnknownEventError, decode, personal
from tests.laws.golden import KEY, Sample, missing, samples
from tests.laws.project import EVENTS


def event_of(one: Sample, key: bytes | None = KEY) -> Event:
    return decode(one.event, msgspec.json.encode(one.stored), event_id=one.id, person=one.person, key_of=lambda _: key)


def faults(one: Sample) -> Iterator[str]:
    """Yield what has become of a stored event that was not so when it was stored."""
    try:
        event, blank = event_of(one), event_of(one, None)
    except (UnknownEventError, msgspec.ValidationError) as error:
        yield f"{one.event} cannot be read any more: {error}"
        return
    now = msgspec.to_builtins(event)
    yield from (f"{one.event}.{name} meant {was!r}, now {now.get(name)!r}" for name, was in one.means.items() if now.get(name) != was)
    fields, _ = personal(type(event))
    if one.person and any(getattr(blank, name) is not None for name in fields):
        yield f"{one.event} can be read without its key"


def test_every_event_has_a_sample() -> None:
    """`python -m tests.laws.golden` adds one for a new event; the old ones are never changed."""
    assert [cls.__name__ for cls in missing()] == []


def test_every_sample_still_means_what_it_meant() -> None:
    assert [fault for one in samples() for fault in faults(one)] == []


def test_what_is_personal_is_sealed_in_every_sample() -> None:
    """Where it is about somebody: time blocked in a room is about nobody."""
    sealed = {one.event: "sealed" in one.stored for one in samples() if one.person}
    assert sealed == {cls.__name__: True for cls in EVENTS if personal(cls)[0]}


@pytest.mark.parametrize("change", [{"event": "TeethWhitened"}, {"stored": {"event": "RoomAdded"}}, {"means": {"name": "another"}}])
def test_a_broken_sample_is_caught(change: dict[str, Any]) -> None:
    room = next(one for one in samples() if one.event == "RoomAdded")
    assert list(faults(room)) == []
    assert list(faults(msgspec.structs.replace(room, **change)))
