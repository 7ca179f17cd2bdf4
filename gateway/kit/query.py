"""Query parameters of a list: typed, named as in JSON, and told apart from those that do not exist.

    by=["patient_id", "status", "due_on.."]

gives `patientId` and `status` (equal; given more than once, any of them), and `dueOnFrom` and `dueOnTo`: for dates both ends included, for instants the
end excluded.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta

from domain.kit.codec import hints, metas
from gateway.kit.errors import ParameterUnknown, QueryInvalid, camel, problem
from projections.kit.reading import Wanted
from schemas.kit import Row

Limit = Annotated[int, Meta(ge=1, le=200)]
LIMIT = 50
PAGING = ("sort", "limit", "cursor", "position")


class Filter(NamedTuple):
    """One query parameter: the column it limits, how, its type, and the kind of thing it refers to, if it is a reference."""

    column: str
    operator: str
    type: Any
    kind: str | None


def bare(hint: Any) -> Any:
    """Return a type without None."""
    if get_origin(hint) is Annotated:
        inner, *meta = get_args(hint)
        return Annotated[(bare(inner), *meta)]
    if type(None) in get_args(hint):
        rest = [a for a in get_args(hint) if a is not type(None)]
        union = rest[0]
        for more in rest[1:]:
            union = union | more
        return union
    return hint


def _core(hint: Any) -> Any:
    return _core(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


class Query:
    """The parameters of one list."""

    def __init__(self, row: type[Row], by: list[str], sort: str, sorts: list[str]) -> None:
        self.row = row
        self.filters: dict[str, Filter] = {}
        types = hints(row)
        for name in by:
            column = name.removesuffix("..").removesuffix("[]")
            hint = bare(types[column])
            if name.endswith("[]"):
                self.filters[camel(column.removesuffix("s"))] = Filter(column, "?", get_args(_core(hint))[0], None)
                continue
            if name.endswith(".."):
                end = "<" if _core(hint) is datetime else "<="
                self.filters[camel(column) + "From"] = Filter(column, ">=", hint, None)
                self.filters[camel(column) + "To"] = Filter(column, end, hint, None)
            else:
                kind = next((extra["ref"] for extra in metas(types[column]) if "ref" in extra), None)
                self.filters[camel(column)] = Filter(column, "=", hint, kind)
        self.sort = sort
        columns = dict.fromkeys([sort.lstrip("-"), *sorts])
        self.orders = {camel(c): c for c in columns}
        self.known = (*self.filters, *PAGING)

    def parse(self, pairs: list[tuple[str, str]]) -> tuple[Wanted, list[tuple[str, Any]]]:
        """Return what is wanted, and the references it names as (kind, id)."""
        given: dict[str, list[Any]] = {}
        paging: dict[str, str] = {}
        for name, text in pairs:
            if (found := self.filters.get(name)) is not None:
                given.setdefault(name, []).append(_value(name, text, found.type))
            elif name in PAGING:
                paging[name] = text
            else:
                raise ParameterUnknown(unknown=name, known=list(self.known))
        conditions, references = [], []
        for name, values in given.items():
            column, operator, _, kind = self.filters[name]
            if operator != "=" and len(values) > 1:
                raise QueryInvalid(field=name, problem="Give it once")
            conditions.append((column, operator, values[0]) if len(values) == 1 else (column, "any" if operator == "=" else operator, values))
            references += [(kind, value) for value in values if kind]
        sort = paging.get("sort") or "-" * self.sort.startswith("-") + camel(self.sort.lstrip("-"))
        if (order := self.orders.get(sort.lstrip("-"))) is None:
            raise QueryInvalid(field="sort", problem=f"Expected one of {', '.join(self.orders)}, with - in front for descending")
        limit = _value("limit", paging["limit"], Limit) if "limit" in paging else LIMIT
        return Wanted(tuple(conditions), order, sort.startswith("-"), limit, paging.get("cursor") or None), references

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as annotations of a handler."""
        made: dict[str, Any] = {}
        for name, found in self.filters.items():
            words = {"=": "Only this; repeat it for any of several.", ">=": "From this on.", "<=": "Up to this, included.", "<": "Before this.", "?": "Only those who have this."}
            made[name] = Annotated[found.type | None, QueryParameter(name=name, description=words[found.operator])]
        names = tuple(n for order in self.orders for n in (order, "-" + order))
        default = "-" * self.sort.startswith("-") + camel(self.sort.lstrip("-"))
        made["sort"] = Annotated[Literal[names] | None, QueryParameter(name="sort", description=f"Order; `{default}` if not given.")]
        made["limit"] = Annotated[int | None, QueryParameter(name="limit", ge=1, le=200, description=f"Rows on a page; {LIMIT} if not given.")]
        made["cursor"] = Annotated[str | None, QueryParameter(name="cursor", description="The `next` of the page before.")]
        return made


def _value(name: str, text: str, hint: Any) -> Any:
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError as error:
        raise QueryInvalid(field=name, problem=problem(str(error))["problem"]) from None


def no_query(pairs: list[tuple[str, str]], known: tuple[str, ...] = ()) -> None:
    """Refuse parameters that a route does not have."""
    for name, _ in pairs:
        if name not in known and name != "position":
            raise ParameterUnknown(unknown=name, known=[*known])
