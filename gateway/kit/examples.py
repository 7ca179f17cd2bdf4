"""Examples made from types: the type's own where it gives one, else something a reader understands at a glance."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect as i

NAMED: dict[str, Any] = {
    "email": "anna.devries@example.org", "phone": "+31 20 123 4567", "name": "Anna de Vries", "firstName": "Anna", "lastName": "de Vries",
    "zone": "Europe/Amsterdam", "currency": "EUR", "reason": "The patient asked for it", "notes": "Prefers mornings", "city": "Amsterdam",
    "description": "Composite filling, two surfaces", "next": None, "code": "V92", "address": "Keizersgracht 1, Amsterdam", "title": "Dentist",
}
DAY = date(2026, 3, 2)
MOMENT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
DEPTH = 8


def example(kind: Any) -> Any:
    """Return an example of a type, as JSON."""
    return msgspec.to_builtins(_of(i.type_info(kind), "", DEPTH))


def _of(kind: i.Type, name: str, depth: int) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line for each sort of type
    match kind:
        case i.Metadata(type=inner, extra_json_schema=told):
            if told and told.get("examples"):
                return told["examples"][0]
            return _of(inner, name, depth)
        case i.StructType(fields=fields):
            tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
            return tag if depth == 0 else {**tag, **{f.encode_name: _field(f, depth) for f in fields}}
        case i.UnionType(types=members):
            known = [m for m in members if not isinstance(m, i.NoneType)]
            return _of(known[0], name, depth) if known and NAMED.get(name, "") is not None else None
        case i.ListType(item_type=item) | i.SetType(item_type=item) | i.FrozenSetType(item_type=item) | i.VarTupleType(item_type=item):
            return [_of(item, name.removesuffix("s"), depth - 1)] * max(1, kind.min_length or 0) if depth else []
        case i.DictType(key_type=key, value_type=value):
            return {str(_of(key, "key", depth)): _of(value, name, depth - 1)} if depth else {}
        case i.LiteralType(values=values):
            return values[0]
        case i.EnumType(cls=cls):
            return next(iter(cls)).value
        case i.UUIDType():
            return str(UUID(int=0x01936F5E_0000_7000_8000_000000000000 + sum(name.encode())))
        case i.DateType():
            return DAY
        case i.DateTimeType(tz=tz):
            return MOMENT if tz is not False else "2026-03-02T09:30"
        case i.TimeType():
            return "09:30"
        case i.BoolType():
            return False
        case i.IntType(ge=least, gt=above, le=most):
            return _number(name, least, above, most)
        case i.FloatType():
            return 1.5
        case i.StrType(min_length=shortest, max_length=longest):
            text = NAMED.get(name) or "text"
            return text[:longest] if longest else text.ljust(shortest or 0, "x")
        case i.NoneType():
            return None
    return {}


def _field(field: i.Field, depth: int) -> Any:
    """Return an example of a field: its default says more than anything made up."""
    if field.default not in (msgspec.NODEFAULT, None, ""):
        return field.default
    return _of(field.type, field.encode_name, depth - 1)


def _number(name: str, least: int | None, above: int | None, most: int | None) -> int:
    wished = 12_500 if name.lower().endswith(("amount", "total", "price", "paid")) else 30 if "minutes" in name.lower() else 1
    if least is not None:
        wished = max(wished, least)
    if above is not None:
        wished = max(wished, above + 1)
    return wished if most is None else min(wished, most)
