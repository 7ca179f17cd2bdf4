"""Whether a value fits a JSON schema: the few words of the standard that the document uses, and an error for any other."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID

Json = dict[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "null": (type(None),),
}
FORMATS = {"uuid": UUID, "date": date.fromisoformat, "date-time": datetime.fromisoformat}
WORDS = {
    "$ref", "anyOf", "enum", "const", "type", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "properties", "required", "additionalProperties", "propertyNames", "maxProperties", "items", "minItems", "maxItems",
}
SAID = {"title", "description", "default", "examples", "example"}  # for people


def misfits(document: Json, schema: Json, value: Any, at: str = "$") -> Iterator[str]:
    """Yield where a value does not fit."""
    if unknown := set(schema) - WORDS - SAID:
        message = f"a schema says {unknown}, which nobody here understands"
        raise NotImplementedError(message)
    if "$ref" in schema:
        yield from misfits(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, at)
    if "anyOf" in schema:
        found = [list(misfits(document, option, value, at)) for option in schema["anyOf"]]
        if all(found):
            yield f"{at} fits none of its {len(found)} forms: {min(found, key=len)[0]}"
    if "type" in schema and not (isinstance(value, TYPES[schema["type"]]) and (schema["type"] == "boolean") is isinstance(value, bool)):
        yield f"{at} is {value!r}, not of type {schema['type']}"
    elif isinstance(value, dict):
        yield from object_misfits(document, schema, value, at)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{at} has {len(value)} items"
        for number, item in enumerate(value):
            yield from misfits(document, schema.get("items", {}), item, f"{at}[{number}]")
    else:
        yield from scalar_misfits(schema, value, at)


def object_misfits(document: Json, schema: Json, value: Json, at: str) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value)
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{at} has {len(value)} members"
    for name, inner in value.items():
        yield from misfits(document, schema.get("propertyNames", {}), name, f"{at}.{name}")
        if name in known:
            yield from misfits(document, known[name], inner, f"{at}.{name}")
        elif isinstance(further := schema.get("additionalProperties", True), dict):
            yield from misfits(document, further, inner, f"{at}.{name}")
        elif not further or known:
            yield f"{at}.{name} is not documented"


def scalar_misfits(schema: Json, value: Any, at: str) -> Iterator[str]:
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        yield f"{at} is {value!r}, none of {schema.get('enum') or schema['const']}"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)) or not re.search(schema.get("pattern", ""), value):
            yield f"{at} is {value!r}: its length or form is wrong"
        try:
            FORMATS.get(schema.get("format", ""), str)(value)
        except ValueError:
            yield f"{at} is {value!r}, no {schema['format']}"
    elif isinstance(value, int | float):
        above = value > schema["exclusiveMinimum"] if "exclusiveMinimum" in schema else True
        if not above or not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{at} is {value}: out of bounds"
