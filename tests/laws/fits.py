"""Whether a message fits the published schemas, by a validator that is not ours; and whether they tell of all that is in it."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from gateway.kit import catalogue

Json = dict[str, Any]

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def _instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@cache
def validator() -> dict[str, Draft202012Validator]:
    """Return a validator of each event's message, by name."""
    return {name: Draft202012Validator(catalogue.schema(name) or {}, format_checker=FORMATS) for name in catalogue.defined()}


def misfits(fits: dict[str, Draft202012Validator], message: Json) -> Iterator[str]:
    """Yield what is wrong with a message: it does not fit, or says what no schema tells of."""
    if (known := fits.get(message["event"])) is None:
        yield f"{message['event']} is no event"
        return
    yield from (f"{message['event']}{error.json_path.removeprefix('$')}: {error.message}" for error in known.iter_errors(message))
    told: Any = known.schema
    properties = told["$defs"][message["event"]]["properties"]
    yield from (f"{name} is told of nowhere" for name in message["data"] if name not in properties)


def references(value: Any) -> Iterator[str]:
    """Yield every $ref in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
