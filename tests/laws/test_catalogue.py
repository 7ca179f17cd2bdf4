"""The catalogue of events says what the code does: in words, in JSON Schema and in AsyncAPI."""

import json
import re
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator
from msgspec import inspect

from anamnesis.catalogue import catalogue as written
from anamnesis.catalogue import entry
from domain.kit.codec import personal
from domain.patients import PatientRegistered
from gateway.app import openapi
from gateway.docs import heard
from gateway.kit import catalogue
from gateway.kit.examples import example
from projections.kit.shown import Shown
from tests.laws.fits import misfits, references, validator
from tests.laws.golden import samples
from tests.laws.project import EVENTS, GOLDEN, ROOT, SPEC

Json = dict[str, Any]


def test_the_committed_catalogue_is_the_generated_one() -> None:
    """`python -m anamnesis.catalogue > docs/events.md`."""
    assert (ROOT / "docs" / "events.md").read_text("utf-8") == written()


def test_it_tells_every_event_and_whatever_is_sealed() -> None:
    told = written()
    assert {cls.__name__ for cls in EVENTS} <= set(re.findall(r"^### (\w+)$", told, re.MULTILINE))
    assert told.count("sealed,") == sum(len(personal(cls)[0]) for cls in EVENTS)


def test_it_follows_the_class() -> None:
    """Another field, other words: another document."""

    class PatientGreeted(PatientRegistered):
        """Good morning."""

        words: str = "hello"

    assert "Good morning." in entry(PatientGreeted, {})
    assert '| `words` | text | `"hello"` unless said |' in entry(PatientGreeted, {})


def test_the_committed_schemas_are_the_generated_ones() -> None:
    """`anamnesis events schemas > tests/golden/events.schema.json; anamnesis asyncapi > tests/golden/asyncapi.json`."""
    assert json.loads((GOLDEN / "events.schema.json").read_text("utf-8")) == catalogue.schemas()
    assert json.loads((GOLDEN / "asyncapi.json").read_text("utf-8")) == json.loads(json.dumps(heard()))


def test_the_schemas_are_json_schemas() -> None:
    Draft202012Validator.check_schema(catalogue.schemas())
    for cls in EVENTS:
        Draft202012Validator.check_schema(found := catalogue.schema(cls.__name__) or {})
        assert set(references(found)) <= {f"#/$defs/{name}" for name in found["$defs"]}


def test_the_asyncapi_document_is_one() -> None:
    """By the schema that the specification's makers publish; what that cannot say of references is said here."""
    told = json.loads(json.dumps(heard()))
    official = Draft7Validator(json.loads((SPEC / "asyncapi-3.0.0.json").read_text("utf-8")))
    assert [error.message for error in official.iter_errors(told)] == []
    for reference in set(references(told)):
        inside = told
        for step in reference.removeprefix("#/").split("/"):
            inside = inside[step]
    told["channels"]["webhooks"]["messages"] = ["RoomAdded"]
    assert list(official.iter_errors(told)) != []


def test_whatever_can_be_heard_is_told_of_in_the_asyncapi_document() -> None:
    told = heard()
    for channel in ("clinicEvents", "liveFeed"):
        assert set(told["channels"][channel]["messages"]) == {cls.__name__ for cls in EVENTS} | {"resync"}
    served = openapi()["paths"]
    for name in ("clinicEvents", "liveFeed"):
        operation = served[told["channels"][name]["address"]]["get"]
        asked = {p["name"] for p in operation["parameters"] if p.get("in") == "query"}
        assert set(told["operations"]["stream" + name[0].upper() + name[1:]]["bindings"]["http"]["query"]["properties"]) == asked
    assert {name for name, channel in told["channels"].items() if channel.get("x-internal")} == {"pages"}


def test_every_stored_event_fits_its_schema_with_and_without_what_is_sealed() -> None:
    fits = validator()
    for one in samples():
        said = {name: value for name, value in one.stored.items() if name != "sealed"}
        erased = said | dict.fromkeys(sealed(one.event))
        for data in (said, one.means, erased):
            assert list(misfits(fits, message(one.event, data))) == [], one.event


def test_every_example_fits() -> None:
    fits = validator()
    for told in heard()["components"]["messages"].values():
        for shown in told.get("examples", []) if told["name"] != "resync" else []:
            assert list(misfits(fits, shown["payload"])) == []


def test_what_does_not_fit_is_caught() -> None:
    fits = validator()
    good = message("RoomAdded", {"event": "RoomAdded", "name": "A", "type": "surgery", "active": True})
    assert list(misfits(fits, good)) == []
    for wrong in ({"event": "RoomShut"}, {"entityType": "staff"}, {"position": "7"}, {"recordedAt": "yesterday"}, {"data": {"event": "RoomAdded"}}):
        assert list(misfits(fits, good | wrong)) != [], wrong
    assert list(misfits(fits, good | {"data": {**good["data"], "colour": "red"}})) == ["colour is told of nowhere"]


def test_sealed_fields_are_said_to_be_missing_and_then_null() -> None:
    for cls in EVENTS:
        said = (catalogue.schema(cls.__name__) or {})["$defs"][cls.__name__]
        marked = {name for name, told in said["properties"].items() if told.get("x-sealed")}
        assert marked == sealed(cls.__name__)
        assert not marked & set(said["required"])
        for name in marked:
            told = said["properties"][name]
            assert {"type": "null"} in told["anyOf"]
            assert "Missing in webhooks and in streams" in told["description"]
            assert "null once that person's key is destroyed" in told["description"]


def test_instants_are_said_to_be_instants() -> None:
    told = catalogue.schemas()["$defs"]
    assert told["AppointmentBooked"]["properties"]["startsAt"]["format"] == "date-time"
    assert {"type": "string", "format": "date-time"} in told["RoomDeleted"]["properties"]["since"]["anyOf"]


def sealed(name: str) -> set[str]:
    """The names that an event's personal fields have in JSON."""
    cls = catalogue.defined()[name]
    return {field.encode_name for field in inspect.type_info(cls).fields if field.name in personal(cls)[0]}  # type: ignore[attr-defined]


def message(name: str, data: Json) -> Json:
    """An event as it would come out of the stream."""
    return {**example(Shown), "event": name, "entityType": catalogue.homes()[name], "data": data}
