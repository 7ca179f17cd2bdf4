"""Whoever reads the events of the last release can read those of this one; and each way of breaking that is caught, with a word about what to do."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from gateway.kit.catalogue import schemas
from tests.laws.released import MARK, breaks

Json = dict[str, Any]

BASE: Json = {"$defs": {
    "Tooth": {"type": "object", "properties": {"number": {"type": "string", "pattern": "^[1-4][1-8]$"}}, "required": ["number"]},
    "ToothPulled": {
        "type": "object",
        "properties": {
            "event": {"enum": ["ToothPulled"]},
            "tooth": {"$ref": "#/$defs/Tooth"},
            "others": {"type": "array", "items": {"$ref": "#/$defs/Tooth"}, "maxItems": 8},
            "by": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
            "why": {"enum": ["caries", "crowding"]},
            "fee": {"type": "integer", "minimum": 0},
            "roots": {"type": "object", "additionalProperties": {"type": "integer"}},
            "note": {"anyOf": [{"type": "string", "maxLength": 40}, {"type": "null"}]},
        },
        "required": ["event", "tooth", "why"],
    },
    "ToothPulledMessage": {"type": "object", "properties": {"data": {"$ref": "#/$defs/ToothPulled"}}, "required": ["data"]},
}}
STRING, NULL = {"type": "string"}, {"type": "null"}


def pulled(schema: Json) -> Json:
    event: Json = schema["$defs"]["ToothPulled"]
    return event


def field(name: str, **changed: Any) -> Callable[[Json], None]:
    """Change what is said of a field."""
    return lambda schema: pulled(schema)["properties"][name].update(changed)


def put(name: str, said: Any) -> Callable[[Json], None]:
    """Say something else of a field, or something of a new one."""
    return lambda schema: pulled(schema)["properties"].update({name: said})


def without(name: str) -> Callable[[Json], None]:
    return lambda schema: pulled(schema)["properties"].pop(name)


def required(*names: str) -> Callable[[Json], None]:
    return lambda schema: pulled(schema).update(required=["event", "tooth", "why", *names])


def gone(name: str) -> Callable[[Json], None]:
    return lambda schema: schema["$defs"].pop(name)


def new_and_required(schema: Json) -> None:
    put("anaesthetic", STRING)(schema)
    required("anaesthetic")(schema)


def renamed(schema: Json) -> None:
    pulled(schema)["properties"]["reason"] = pulled(schema)["properties"].pop("why")
    required("reason")(schema)


def deep(schema: Json) -> None:
    schema["$defs"]["Tooth"]["properties"]["number"]["pattern"] = "^[1-4][1-7]$"


BAD = {
    "ToothPulled is no longer an event: bring its class back": gone("ToothPulledMessage"),
    "ToothPulled.fee is gone: put it back": without("fee"),
    "ToothPulled.why is gone: put it back": renamed,
    "ToothPulled.anaesthetic is required, and is new: give it a default": new_and_required,
    "ToothPulled.by is required, and was not": required("by"),
    "ToothPulled.fee was integer, and is string now: leave it as it was": put("fee", STRING),
    "ToothPulled.by was string (uuid), and is": put("by", {"anyOf": [STRING, NULL]}),
    "ToothPulled.by was null, and is string (uuid) now": put("by", {"type": "string", "format": "uuid"}),
    "ToothPulled.fee was integer, and may be null as well now": put("fee", {"anyOf": [{"type": "integer", "minimum": 0}, NULL]}),
    "ToothPulled.fee has minimum 1, and had 0": field("fee", minimum=1),
    "ToothPulled.fee has maximum 9, and had none": field("fee", maximum=9),
    "ToothPulled.others has maxItems 4, and had 8": field("others", maxItems=4),
    "ToothPulled.note has maxLength 20, and had 40": put("note", {"anyOf": [{"type": "string", "maxLength": 20}, NULL]}),
    "ToothPulled.why can no longer be crowding": field("why", enum=["caries"]),
    "ToothPulled.note can no longer be any other": put("note", {"anyOf": [{"enum": ["sore"]}, NULL]}),
    "Tooth.number must look like ^[1-4][1-7]$ now": deep,
    "ToothPulled.roots[] was integer, and is string now": field("roots", additionalProperties=STRING),
    "ToothPulled.note is sealed now": field("note", **{"x-sealed": True}),
    "ToothPulled lets no further members through": lambda schema: pulled(schema).update(additionalProperties=False),
}
GOOD = [
    put("anaesthetic", {**STRING, "default": "none"}), field("why", enum=["caries", "crowding", "trauma"]), field("fee", minimum=-1),
    field("others", maxItems=32), field("note", description="In other words."), required(), lambda schema: pulled(schema)["required"].remove("why"),
    lambda schema: schema["$defs"].update(ToothWhitened={}, ToothWhitenedMessage={}), put("why", STRING),
]


def test_the_events_can_be_read_by_readers_of_the_last_release() -> None:
    """What is said here says what to do. A release moves the mark: `make released`."""
    assert breaks(json.loads(MARK.read_text("utf-8")), schemas()) == []


@pytest.mark.parametrize(("said", "change"), BAD.items())
def test_what_would_break_a_reader_is_caught(said: str, change: Callable[[Json], None]) -> None:
    change(worse := deepcopy(BASE))
    found = breaks(BASE, worse)
    assert any(fault.startswith(said) for fault in found), found
    assert len(found) <= 2


@pytest.mark.parametrize("change", GOOD)
def test_what_readers_can_bear_is_not(change: Callable[[Json], None]) -> None:
    change(other := deepcopy(BASE))
    assert breaks(BASE, other) == []


def test_it_bites_on_the_real_events() -> None:
    worse = schemas()
    del worse["$defs"]["RoomAddedMessage"]
    worse["$defs"]["StaffHired"]["properties"]["role"]["enum"].remove("doctor")
    worse["$defs"]["DoctorShare"]["properties"]["doctorId"] = {"type": "integer"}
    worse["$defs"]["Envelope"]["required"].append("mood")
    assert len(breaks(json.loads(MARK.read_text("utf-8")), worse)) == 5
