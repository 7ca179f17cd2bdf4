"""The OpenAPI document, made from the routes and the types that they really use.

How it works: Litestar knows the routes; msgspec, which decodes and encodes everything, says what the types look like. Permissions come from the routes. The errors of a command are
found by following its rule: every `Refused` that `decide`, and what it calls, can name. Examples are made from the types' own examples.

What may go wrong: a refusal raised through a name that the rule does not mention is missed; the document is then too modest, never wrong.
"""

import inspect
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute

from commands.kit import Command
from commands.kit.errors import Contended, Erased, KeyReused, NameTaken, RateLimited, StaleVersion, TimeTaken, Unavailable
from domain.kit import Forbidden, NotFound, Refused
from domain.kit.grants import table
from gateway.kit import errors as e
from gateway.kit.examples import example
from gateway.kit.routes import BrowseRoute, Changed, CommandRoute, FetchRoute
from projections.kit.reading import CursorInvalid, ReadUnavailable

Json = dict[str, Any]

RESERVED = {"request", "desk", "state", "scope", "headers", "cookies", "body", "data", "socket", "query"}
SIGNED_IN = (e.SignInRequired, e.TokenInvalid, e.TokenExpired, e.SessionEnded)
WITH_BODY = (e.JsonMalformed, e.BodyInvalid, e.BodyTooLarge, e.BodyUnexpected)
DETAILS: dict[type, list[Json]] = {
    e.JsonMalformed: [{"offset": 12, "problem": "trailing characters"}],
    e.BodyInvalid: [{"field": "lines[0].quantity", "problem": "Expected `int` >= 1"}],
    e.QueryInvalid: [{"field": "limit", "problem": "Expected `int` <= 200"}],
    e.ParameterUnknown: [{"unknown": "colour", "known": ["sort", "limit", "cursor"]}],
    RateLimited: [{"retryAfter": 12, "limit": 1200, "window": 60}],
    Forbidden: [{"permission": "billing.invoices.edit"}],
}
REQUEST_ID = "5b0a3c2e-8f4d-4a71-9c1e-2d6f7b8a9c0d"
HEADERS: dict[str, Json] = {
    "ETag": {"description": "The version; send it as If-Match to change only what you have seen.", "schema": {"type": "string"}, "example": '"3"'},
    "X-Position": {"description": "Send it with a read to wait until the read model shows this change.", "schema": {"type": "integer"}, "example": 4711},
    "Location": {"description": "Where the new thing is.", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "Quote it when something went wrong.", "schema": {"type": "string"}, "example": REQUEST_ID},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}, "example": 'Bearer realm="anamnesis"'},
}
RATES = ("RateLimit-Limit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset")
HEADERS |= {
    RATES[0]: {"description": "Requests a minute, for this account or network address. Every answer says so.", "schema": {"type": "integer"}, "example": 1200},
    RATES[1]: {"description": "The same, with the window in seconds.", "schema": {"type": "string"}, "example": "1200;w=60"},
    RATES[2]: {"description": "How many more may come at once.", "schema": {"type": "integer"}, "example": 1187},
    RATES[3]: {"description": "Seconds until the whole limit is there again.", "schema": {"type": "integer"}, "example": 1},
}
PARAMETERS: dict[str, Json] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "Makes the request safe to repeat for a day: the same key gives the same answer, another body with it is refused.",
    },
    "IfMatch": {
        "name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}, "example": '"3"',
        "description": "The ETag you have seen; if it has changed since, nothing is done (412).",
    },
    "Position": {
        "name": "X-Position", "in": "header", "required": False, "schema": {"type": "integer", "minimum": 0},
        "description": "The X-Position of an answer; the read waits until it shows that change.",
    },
    "RequestId": {
        "name": "X-Request-Id", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 128},
        "description": "An id of yours for the request; it comes back, and joins everything the request causes.",
    },
}


DOORS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access token of a session; pages may have it in cookies."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "A program's key, within its scopes; also as a bearer token."},
    "adminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Key", "description": "The installation's own key, if it has one."},
}


def doors(permission: str) -> list[Json]:
    """Return by what somebody may show that they hold a permission: programs hold keys of the table, and the operator is nobody's self."""
    other = {"superadmin": "adminKey"}.get(permission) or ("apiKey" if permission in table() or not permission else None)
    return [{"bearer": []}, *([{other: []}] if other else [])]


def document(app: Litestar, *, title: str, version: str, words: str) -> Json:
    """Return the OpenAPI document of an app."""
    found = [(route.path_format, handler) for route in app.routes if isinstance(route, HTTPRoute) for handler in _handlers(route)]
    found.sort(key=lambda f: (f[0], sorted(f[1].http_methods)))  # Litestar's order is not always the same
    book = Schemas(t for _, handler in found for t in _types(handler))
    paths: dict[str, Json] = {}
    for path, handler in found:
        for method in sorted(handler.http_methods):
            paths.setdefault(path, {})[str(method).lower()] = _operation(book, path, handler)
    tags = sorted({t for operations in paths.values() for o in operations.values() for t in o["tags"]})
    return {
        "openapi": "3.1.0", "info": {"title": title, "version": version, "description": words}, "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags], "paths": paths,
        "components": {
            "schemas": book.used(paths), "examples": dict(sorted(book.examples.items())), "parameters": PARAMETERS, "headers": HEADERS,
            "securitySchemes": DOORS,
        },
    }


class Schemas:
    """The types of the document, and the examples of errors that it has used."""

    def __init__(self, found: Iterable[Any]) -> None:
        listed = list({repr(t): t for t in (*found, Changed)}.values())
        schemas, self.components = msgspec.json.schema_components([e.Failure, *listed], ref_template="#/components/schemas/{name}")
        self._schemas = {repr(t): schema for t, schema in zip([e.Failure, *listed], schemas, strict=True)}
        self.examples: dict[str, Json] = {}
        for name, schema in self.components.items():
            if "title" in schema and schema["title"] == name:
                del schema["title"]

    def of(self, kind: Any) -> Json:
        """Return the schema of a type."""
        return self._schemas[repr(kind)]

    def without(self, kind: type, left_out: Sequence[str], name: str) -> Json:
        """Return the schema of a type less some fields."""
        if not left_out:
            return self.of(kind)
        whole = self.components[self.of(kind)["$ref"].rpartition("/")[2]]
        less = {**whole, "properties": {k: v for k, v in whole["properties"].items() if k not in left_out}}
        less["required"] = [r for r in whole.get("required", []) if r not in left_out]
        self.components[name] = less
        return {"$ref": f"#/components/schemas/{name}"}

    def used(self, paths: Json) -> Json:
        """Return the schemas that the paths lead to."""
        waiting, found = list(_references(paths)), {}
        while waiting:
            name = waiting.pop()
            if name in self.components and name not in found:
                found[name] = self.components[name]
                waiting += _references(self.components[name])
        return dict(sorted(found.items()))

    def error(self, refusal: type[Refused]) -> Json:
        """Return a reference to an error's example."""
        value = {"error": e.sentence(refusal), "code": e.code(refusal), "details": DETAILS.get(refusal, []), "requestId": REQUEST_ID}
        self.examples[e.code(refusal)] = {"summary": e.sentence(refusal), "value": value}
        return {"$ref": f"#/components/examples/{e.code(refusal)}"}


def _references(value: Any) -> Iterator[str]:
    """Yield the names of what a part of the document refers to."""
    match value:
        case {"$ref": str(reference)}:
            yield reference.rpartition("/")[2]
        case dict():
            yield from (name for inner in value.values() for name in _references(inner))
        case list():
            yield from (name for inner in value for name in _references(inner))


def _handlers(route: HTTPRoute) -> Iterator[HTTPRouteHandler]:
    for handler in route.route_handlers:
        if handler.resolve_include_in_schema() and ("OPTIONS" not in handler.http_methods or handler.opt.get("preflight")):  # the others are Litestar's own
            yield handler


def _types(handler: HTTPRouteHandler) -> Iterator[Any]:
    for field in handler.parsed_fn_signature.parameters.values():
        if field.name == "data" or field.name not in RESERVED:
            yield field.annotation
    if (answer := _answer(handler)) is not None and answer is not bytes:
        yield answer


def _answer(handler: HTTPRouteHandler) -> Any:
    """Return the type of what a handler answers with; None for nothing."""
    kind = handler.parsed_fn_signature.return_type.annotation
    if get_origin(kind) is Response:
        (kind,) = get_args(kind)
    return None if kind in (None, type(None)) else kind


def _operation(book: Schemas, path: str, handler: HTTPRouteHandler) -> Json:
    public, how = bool(handler.opt.get("public")), handler.opt.get("route")
    permission = handler.opt.get("permission") or getattr(how, "permission", "")
    refusals = [*([] if public else SIGNED_IN), *([] if public or handler.opt.get("lapsed") else [e.SubscriptionExpired, *([] if handler.http_methods == {"GET"} else [e.ClinicIsClosing])]), *([Forbidden] if permission else []), *handler.opt.get("refusals", ()), RateLimited, e.Internal]
    operation: Json = {
        "operationId": handler.operation_id or handler.fn.__name__, "tags": sorted(handler.resolve_tags() if hasattr(handler, "resolve_tags") else []),
        **_words(handler), "parameters": [], "security": [] if public else doors(permission or ""),
    }
    if not public:
        operation["x-permission"] = permission or "signed in"
    for field in handler.parsed_fn_signature.parameters.values():
        if field.name not in RESERVED:
            operation["parameters"].append(_parameter(book, path, field))
    operation["parameters"] += [{"$ref": f"#/components/parameters/{name}"} for name in _common(how, handler)]
    if takes := handler.opt.get("takes"):  # something else than JSON
        operation["requestBody"] = {"required": True, "content": takes}
        refusals += [e.BodyTooLarge]
    elif "data" in handler.parsed_fn_signature.parameters:
        operation["requestBody"] = _body(book, handler, how)
        refusals += WITH_BODY
    asked = {"parameters": operation["parameters"], "body": operation.get("requestBody")}
    naming = "{" in path or (not public and b'"uuid"' in msgspec.json.encode([asked, book.used(asked)]))  # what there may not be
    refusals += _likely(how, query=any(p.get("in") == "query" for p in operation["parameters"]), naming=naming)
    operation["responses"] = {str(handler.status_code): _success(book, handler, how), **_failures(book, refusals)}
    return operation


def _words(handler: HTTPRouteHandler) -> Json:
    said = inspect.cleandoc(handler.fn.__doc__ or "").split("\n\n", 1)
    summary = handler.summary or " ".join(said[0].split())
    described = handler.description or (" ".join(said[1].split()) if len(said) > 1 else "")
    words: Json = {"summary": summary}
    if isinstance(described, str) and described:
        words["description"] = described
    return words


def _parameter(book: Schemas, path: str, field: Any) -> Json:
    told = field.kwarg_definition
    name = getattr(told, "name", None) or field.name
    place = "path" if f"{{{field.name}}}" in path else "header" if isinstance(told, HeaderParameter) else "query"
    schema = dict(book.of(field.annotation))
    for ours, theirs in (("ge", "minimum"), ("le", "maximum")):
        if (limit := getattr(told, ours, None)) is not None:
            schema[theirs] = limit
    if place != "path" and "anyOf" in schema:  # None only says that it may be left out
        rest = [s for s in schema["anyOf"] if s != {"type": "null"}]
        schema = {**{k: v for k, v in schema.items() if k != "anyOf"}, **rest[0]} if len(rest) == 1 else {**schema, "anyOf": rest}
    schema.pop("default", None)
    made: Json = {"name": name, "in": place, "required": place == "path" or field.is_required, "schema": schema}
    if words := getattr(told, "description", None) or schema.get("description"):
        made["description"] = words
    return made


def _common(how: Any, handler: HTTPRouteHandler) -> list[str]:
    if isinstance(how, CommandRoute):
        return ["IdempotencyKey", *([] if handler.status_code == 201 else ["IfMatch"]), "RequestId"]  # noqa: PLR2004
    if isinstance(how, (BrowseRoute, FetchRoute)) or ("desk" in handler.parsed_fn_signature.parameters and "GET" in handler.http_methods):
        return ["Position", "RequestId"]
    return ["RequestId"]


def _body(book: Schemas, handler: HTTPRouteHandler, how: Any) -> Json:
    kind = handler.parsed_fn_signature.parameters["data"].annotation
    left_out = [how.names[field] for field in how.fields.values()] if isinstance(how, CommandRoute) else []
    schema = book.without(kind, left_out, f"{getattr(kind, '__name__', '')}Body")
    value = {k: v for k, v in example(kind).items() if k not in left_out} if isinstance(kind, type) else example(kind)
    return {"required": True, "content": {"application/json": {"schema": schema, "example": value}}}


def _success(book: Schemas, handler: HTTPRouteHandler, how: Any) -> Json:
    answer, media = _answer(handler), handler.opt.get("media") or "application/json"
    named = ["X-Request-Id"]
    if isinstance(how, CommandRoute) or (isinstance(how, FetchRoute) and how.versioned):
        named += ["ETag"]
    if isinstance(how, CommandRoute):
        named += ["X-Position", *(["Location"] if handler.status_code == 201 else [])]  # noqa: PLR2004
    made: Json = {"description": "Done." if answer is None else "The answer.", "headers": _headers(named)}
    if answer is bytes:
        made["content"] = {media: {"schema": {"type": "object" if media.endswith("+json") else "string"}}}
    elif answer is not None:
        schema = book.of(answer)
        if isinstance(how, CommandRoute) and answer is not Changed:  # whoever may not see the row is told its id and version
            schema = {"anyOf": [schema, book.of(Changed)]}
        made["content"] = {media: {"schema": schema, "example": example(answer)}}
        if handler.opt.get("csv"):
            made["content"]["text/csv"] = {"schema": {"type": "string"}}
        if handler.opt.get("svg"):
            made["content"]["image/svg+xml"] = {"schema": {"type": "string"}}
    return made


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _failures(book: Schemas, refusals: Iterable[type[Refused]]) -> Json:
    """Return the error answers by status, each with all its examples."""
    by_status: dict[int, dict[str, type[Refused]]] = {}
    for refusal in refusals:
        by_status.setdefault(refusal.status, {})[e.code(refusal)] = refusal
    extra = {401: ["WWW-Authenticate"], 423: ["Retry-After"], 429: ["Retry-After", *RATES], 503: ["Retry-After"]}
    return {
        str(status): {
            "description": " ".join(e.sentence(r) for r in found.values()) if len(found) == 1 else "One of the examples; `code` says which.",
            "headers": _headers(["X-Request-Id", *extra.get(status, [])]),
            "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Failure"}, "examples": {code: book.error(found[code]) for code in sorted(found)}}},
        }
        for status, found in sorted(by_status.items())
    }


def _likely(how: Any, *, query: bool, naming: bool) -> list[type[Refused]]:
    """Return the errors that follow from what a route does."""
    made: list[type[Refused]] = [e.QueryInvalid, *([e.ParameterUnknown] if query else [])]  # a header can be unreadable where there is no query
    if naming:
        made.append(NotFound)
    if isinstance(how, CommandRoute):
        return [*made, StaleVersion, KeyReused, Unavailable, Contended, *refusals_of(how.command)]
    if isinstance(how, BrowseRoute):
        made += [CursorInvalid, NotFound]
    return [*made, ReadUnavailable, e.ReadBehind]


def refusals_of(command: type[Command]) -> list[type[Refused]]:
    """Return every refusal that deciding a command may come to."""
    found: dict[str, type[Refused]] = {}
    seen: set[types.CodeType] = set()
    waiting: list[Any] = [command.decide, command.gather, command.state.claims]
    if hasattr(command, "stream"):
        waiting.append(command.stream)
    while waiting:
        function = inspect.unwrap(waiting.pop())
        code = getattr(function, "__code__", None)
        if code is None or code in seen or not function.__module__.startswith(("domain.", "commands.")):
            continue
        seen.add(code)
        for name in _names(code):
            thing = function.__globals__.get(name)
            if isinstance(thing, type) and issubclass(thing, Refused):
                found[thing.__name__] = thing
            elif name in ("TimeClaim", "UniqueClaim"):
                found[name] = TimeTaken if name == "TimeClaim" else NameTaken
            waiting += [t for t in (thing, getattr(command.state, name, None), getattr(command, name, None)) if inspect.isfunction(t)]
    if any("personal" in str(hint) for hint in getattr(command, "__annotations__", {}).values()):
        found["Erased"] = Erased
    return sorted(found.values(), key=lambda r: r.__name__)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
