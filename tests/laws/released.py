"""What must not change of an event once it has been released: `breaks` tells two states of the events' JSON Schema apart.

The last release's lies in tests/golden/released/events.schema.json; `make released` (`python -m tests.laws.released`), run when a version is tagged,
moves that mark to what is now, unless something is broken.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import gateway.app
from gateway.kit.catalogue import MESSAGE, schemas
from tests.laws.project import GOLDEN

Json = dict[str, Any]

NOW = GOLDEN / "events.schema.json"
MARK = GOLDEN / "released" / "events.schema.json"

LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
KINDS = {bool: "boolean", int: "integer", str: "string", type(None): "null"}
ANEW = "make an event of another name if it means something else"


def breaks(before: Json, after: Json) -> list[str]:
    """Return what a reader of the release before would stumble over, and what is to be done about it."""
    found = []
    for name, old in before["$defs"].items():
        if (new := after["$defs"].get(name)) is not None:
            found += Comparison(before, after).faults(old, new, name)
        elif name.endswith(MESSAGE):
            event = name.removesuffix(MESSAGE)
            found.append(f"{event} is no longer an event: bring its class back; what is stored under a name is read by it for ever, even if nothing records it any more")
    return list(dict.fromkeys(found))


class Comparison:
    """Two documents, and what of them has been looked at."""

    def __init__(self, before: Json, after: Json) -> None:
        self.before = before
        self.after = after
        self.seen: set[tuple[str, str]] = set()

    def faults(self, old: Json, new: Json, at: str) -> Iterator[str]:
        """Yield in what a schema lets less through, or something of another sort."""
        olds, news = forms(self.before, old), forms(self.after, new)
        for kind, form in olds.items():
            if kind not in news:
                yield f"{at} was {kind}, and is {' or '.join(news)} now: leave it as it was, and add a field with a default beside it, or {ANEW}"
            else:
                yield from self.narrowed(form, news[kind], at)
        for kind in news.keys() - olds.keys() if olds.keys() <= news.keys() else ():
            yield f"{at} was {' or '.join(olds)}, and may be {kind} as well now, which no reader expects: add a field with a default beside it, or {ANEW}"
        if new.get("x-sealed") and not old.get("x-sealed"):
            yield f"{at} is sealed now, so that streams and webhooks no longer have it: {ANEW}, or say in CHANGELOG.md that it had to go, and move the mark"

    def narrowed(self, old: Json, new: Json, at: str) -> Iterator[str]:
        """Yield what of one sort is no longer let through."""
        for word in LEAST:
            if word in new and (word not in old or new[word] > old[word]):
                yield f"{at} has {word} {new[word]}, and had {old.get(word, 'none')}: events are stored that are below; take it back"
        for word in MOST:
            if word in new and (word not in old or new[word] < old[word]):
                yield f"{at} has {word} {new[word]}, and had {old.get(word, 'none')}: events are stored that are above; take it back"
        if "pattern" in new and new["pattern"] != old.get("pattern"):
            yield f"{at} must look like {new['pattern']} now: events are stored that do not; take it back, and let the command be stricter"
        if (left := allowed(new)) is not None and (gone := (allowed(old) or {"any other"}) - left):
            yield f"{at} can no longer be {', '.join(sorted(map(str, gone)))}: events are stored that are; put it back, values are only ever added"
        if "items" in old and "items" in new:
            yield from self.faults(old["items"], new["items"], f"{at}[]")
        yield from self.members(old, new, at)

    def members(self, old: Json, new: Json, at: str) -> Iterator[str]:
        """Yield what has become of an object's members."""
        if "properties" not in old and "additionalProperties" not in old:
            return
        pair = old.get("$name", at), new.get("$name", at)
        if pair in self.seen or ("$name" in old and old["$name"] == new.get("$name")):  # what has a name is compared under its name
            return
        self.seen.add(pair)
        were, are = old.get("properties", {}), new.get("properties", {})
        for name, schema in were.items():
            if name in are:
                yield from self.faults(schema, are[name], f"{at}.{name}")
            else:
                yield f"{at}.{name} is gone: put it back, or, if it has a new name, keep the old one; a field of a stored event is for ever"
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{at}.{name} is required, and {'was not' if name in were else 'is new'}: give it a default; events are stored without it"
        if isinstance(old.get("additionalProperties"), dict) and isinstance(new.get("additionalProperties"), dict):
            yield from self.faults(old["additionalProperties"], new["additionalProperties"], f"{at}[]")
        elif new.get("additionalProperties") is False and old.get("additionalProperties", True) is not False:
            yield f"{at} lets no further members through, and did: take forbid_unknown_fields back"


def forms(document: Json, schema: Json) -> dict[str, Json]:
    """Return the sorts of value that a schema lets through, each with what else it says of it."""
    if "anyOf" in schema:
        return {kind: form for option in schema["anyOf"] for kind, form in forms(document, option).items()}
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return {kind: {**form, "$name": name} for kind, form in forms(document, document["$defs"][name]).items()}
    kind = schema.get("type") or "/".join(sorted({KINDS[type(value)] for value in allowed(schema) or ()})) or "anything"
    return {f"{kind} ({schema['format']})" if "format" in schema else kind: schema}


def allowed(schema: Json) -> set[Any] | None:
    """Return the only values that a schema lets through; None where it does not say."""
    return {schema["const"]} if "const" in schema else set(schema["enum"]) if "enum" in schema else None


def main() -> int:
    """Move the mark; say what stands in the way."""
    assert gateway.app.MODULES  # imports everything that defines an event
    now = schemas()
    if MARK.exists() and (found := breaks(json.loads(MARK.read_text("utf-8")), now)):
        sys.stderr.write("\n".join([*found, f"Nothing has been moved. If it must be so, delete {MARK} and run this again.\n"]))
        return 1
    MARK.parent.mkdir(exist_ok=True)
    MARK.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
