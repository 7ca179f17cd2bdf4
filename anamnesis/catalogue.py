"""The catalogue of events, docs/events.md: `python -m anamnesis.catalogue > docs/events.md`.

It is read off the event classes, the ids and personal fields they declare, and the read models that want them; a test compares it with the file.
"""

import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from msgspec import inspect as i

import gateway.app
from domain.kit import Event
from domain.kit.codec import classes, hints, metas
from projections.kit import PROJECTIONS

HEAD = """# Events

What can happen, as it is stored, streamed (`GET /api/v1/protected/sse/clinic-events`) and kept for ever. Made from the code by
`python -m anamnesis.catalogue > docs/events.md`.

Every event also has an envelope: position, stream and its kind, version, clinic, recording time, actor, command, correlation, causation, hash and
MAC. *Sealed* fields are about a person: they are stored as one encrypted value, are missing in the stream (but with `personal=true`, for whoever may
read them) and in webhooks, and read as null once that person's key is destroyed. For programs the same stands in `/api/v1/events/schemas` (JSON Schema) and
`/asyncapi.json`. Money is an integer of minor units of the clinic's currency; instants are UTC; a plain date is a day of the clinic's zone.
"""

SCALARS: dict[type[i.Type], str] = {
    i.IntType: "integer", i.StrType: "text", i.BoolType: "true or false", i.UUIDType: "id", i.DateType: "date", i.DateTimeType: "instant",
    i.FloatType: "number", i.NoneType: "null",
}


def catalogue() -> str:
    """Return the whole document."""
    assert gateway.app.MODULES  # imports everything that defines an event
    by_module: defaultdict[str, list[type[Event]]] = defaultdict(list)
    for cls in classes().values():
        if cls.__module__.startswith("domain."):
            by_module[cls.__module__].append(cls)
    values: dict[str, type[Any]] = {}
    chapters = [chapter(module, by_module[module], values) for module in sorted(by_module)]
    return "\n".join([HEAD, *chapters, "## Values\n", "What events are made of.\n", *appendix(values)])


def chapter(module: str, events: list[type[Event]], values: dict[str, type[Any]]) -> str:
    """Return what one module's events say."""
    words = (sys.modules[module].__doc__ or "").strip()
    return "\n".join([f"## {module.rpartition('.')[2].capitalize()}\n", f"{words}\n", *(entry(cls, values) for cls in events)])


def entry(cls: type[Event], values: dict[str, type[Any]]) -> str:
    """Return one event: its words, who wants it, its fields."""
    readers = sorted(name for name, projection in PROJECTIONS.items() if projection.of is not Event and cls.__name__ in projection.topics)
    said = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    wanted = f"Read by {', '.join(readers)}.\n" if readers else "Read by the audit log alone.\n"
    return "\n".join([f"### {cls.__name__}\n", *([f"{said}\n"] if said else []), wanted, *fields(cls, values)])


def appendix(values: dict[str, type[Any]]) -> Iterator[str]:
    """Yield the structs that events hold, and those that these hold."""
    done: set[str] = set()
    while waiting := sorted(set(values) - done):
        cls = values[waiting[0]]
        done.add(waiting[0])
        yield "\n".join([f"### {cls.__name__}\n", *([f"{inspect.cleandoc(cls.__doc__)}\n"] if cls.__doc__ else []), *fields(cls, values)])


def fields(cls: type[Any], values: dict[str, type[Any]]) -> Iterator[str]:
    """Yield the table of a struct's fields."""
    told = i.type_info(cls).fields  # type: ignore[attr-defined]
    if not told:
        return
    yield "| field | holds | |"
    yield "|---|---|---|"
    for field in told:
        yield f"| `{field.encode_name}` | {holds(field.type, values)} | {', '.join(remarks(cls, field))} |"
    yield ""


def holds(kind: i.Type, values: dict[str, type[Any]]) -> str:  # noqa: PLR0911 - one for each sort of type
    """Return what a field holds, in words."""
    match kind:
        case i.Metadata(type=inner):
            return holds(inner, values)
        case i.UnionType(types=types):
            return " or ".join(holds(t, values) for t in types if not isinstance(t, i.NoneType))
        case i.LiteralType(values=options):
            return "one of " + ", ".join(f"`{option}`" for option in options)
        case i.ListType(item_type=item):
            return f"list of {holds(item, values)}"
        case i.DictType(key_type=key, value_type=item):
            return f"{holds(item, values)} by {holds(key, values)}"
        case i.StructType(cls=cls):
            values[cls.__name__] = cls
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
    return SCALARS[type(kind)]


def remarks(cls: Any, field: i.Field) -> Iterator[str]:
    """Yield what else is to be known of a field."""
    hint = hints(cls)[field.name]
    for extra in metas(hint):
        if "ref" in extra:
            yield f"points at {extra['ref']}"
        if "personal" in extra:
            yield "sealed"
    if type(None) in get_args(hint) or any(type(None) in get_args(argument) for argument in get_args(hint)):
        yield "may be null"
    if not field.required and field.default is not None and (default := plain(field)) is not None:
        yield f"`{default}` unless said"


def plain(field: i.Field) -> Any:
    """Return a field's default as JSON, if it has a short one."""
    return msgspec.json.encode(field.default).decode() if field.default is not msgspec.NODEFAULT else None


if __name__ == "__main__":
    sys.stdout.write(catalogue())
