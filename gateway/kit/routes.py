"""Four verbs, each returning an ordinary Litestar handler. Anything else: write the handler.

    router = Router("/invoices", tags=["Billing"], route_handlers=[
        browse("/", InvoiceRow, by=["patient_id", "status", "due_on.."], sort="-due_on"),
        fetch("/{id:uuid}", InvoiceRow),
        create("/", DraftInvoice),
        act("/{id:uuid}/payments", RecordPayment),
        act("/{id:uuid}", CancelDraft, method="DELETE"),
    ])

How it works: a handler's signature says path, query, body and answer with their real types; Litestar routes by it and documents it. The work is done by a `Route`, which
takes a `Call` and returns an `Answer`; `gateway.kit.app` gives requests to it without Litestar's own machinery in between, which would cost
three times as much as all the rest. Permissions are the command's and the row's; `{id:uuid}` names the stream, other path
parameters are fields of the command or row.

What may go wrong: a command's row goes back only to somebody who may see it, and a role that sees only its own rows (`Row.own`) gets the
condition added whatever it asks for; a patient sees nothing of rows that do not say whose they are.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import msgspec
from litestar import Request, Response, route
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, PathParameter, QueryParameter

from commands.kit import Command, Creation
from commands.kit.handling import Receipt, Who
from commands.kit.receipt import own_column
from domain.kit import PLATFORM, Forbidden, NotFound
from domain.kit.codec import hints
from gateway.kit.answer import Answer
from gateway.kit.call import Call
from gateway.kit.errors import BodyInvalid, QueryInvalid, problem
from gateway.kit.past import AS_OF, AsOf, moment, then
from gateway.kit.query import Query, bare, no_query
from gateway.kit.sheets import CSV, SheetTooLong, named, of_rows
from projections.kit import PROJECTIONS
from projections.kit.keys import KeyRing
from projections.kit.past import Moment, Then, past, shaped, told
from projections.kit.reading import Page, Reader
from schemas.kit import Row

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

FORMAT = "format"
TENANT = "clinicId"  # as a path parameter: the clinic in which it is; the caller's own, or any for a superadmin

_encode = msgspec.json.Encoder().encode
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_MODIFIED = 304


class Route:
    """How one address answers; `permission` is what it takes, "" if being signed in is enough."""

    permission: str
    status = 200

    def __deepcopy__(self, _: Any) -> Self:
        """A route has no state: Litestar, which copies routers, may share it."""
        return self

    async def admit(self, call: Call) -> None:
        """Find out who asks."""
        await call.admit()

    async def run(self, call: Call) -> Answer:
        """Answer a request of somebody who has been admitted."""
        raise NotImplementedError


class CommandRoute(Route):
    """A request that changes something."""

    def __init__(self, command: type[Command], path: str, status: int) -> None:
        self.command = command
        self.permission = command.permission
        self.status = status
        self.fields = {p: name for p in parameters(path) if (name := snake(p)) in command.__struct_fields__}
        self.names = {f.name: f.encode_name for f in msgspec.inspect.type_info(command).fields}  # type: ignore[attr-defined]
        self.stream = next((p for p in parameters(path) if p not in self.fields and p != TENANT), None)
        self.tenant = TENANT in parameters(path) and TENANT not in self.fields
        self._decode = msgspec.json.Decoder(command).decode
        self.row = projected(command)

    async def run(self, call: Call) -> Answer:
        call.require(self.permission)
        if self.tenant:
            await call.within(call.params[TENANT])
        body = await call.body()
        command = self._built(call, body)
        stream = call.params[self.stream] if self.stream is not None else None
        receipt = await call.handle(command, stream)
        return self.answer(call, receipt)

    def answer(self, call: Call, receipt: Receipt) -> Answer:
        """Return the answer to a command: the row as it is now, for whoever may see it."""
        headers = [(b"etag", b'"%d"' % receipt.version), (b"x-position", b"%d" % receipt.position)]
        if self.status == 201:  # noqa: PLR2004
            headers.append((b"location", f"{call.scope['path'].rstrip('/')}/{receipt.id}".encode()))
        if receipt.replayed:
            headers.append((b"idempotency-replayed", b"true"))
        if self.status == 204:  # noqa: PLR2004
            return Answer(self.status, b"", headers)
        if receipt.row is not None and sees(call.who, receipt.row):
            return Answer(self.status, _encode(receipt.row), headers)
        return Answer(self.status, b'{"id":"%s","version":%d}' % (str(receipt.id).encode(), receipt.version), headers)

    def _built(self, call: Call, body: bytes) -> Command:
        if not self.fields and body:
            no_query(call.query())
            command: Command = decoded(call, self._decode, body)
            return command
        given: dict[str, Any] = decoded(call, _object, body) if body else {k: v for k, v in call.query() if k != "position"}
        for parameter, field in self.fields.items():
            value, name = call.params[parameter], self.names[field]
            if str(given.get(name, value)) != str(value):
                raise BodyInvalid(field=name, problem="It differs from the one in the path")
            given[name] = value
        try:
            return msgspec.convert(given, self.command, strict=bool(body))
        except msgspec.ValidationError as error:
            raise (BodyInvalid if body or not call.scope["query_string"] else QueryInvalid)(**problem(str(error))) from None


Whole = Callable[[Reader, KeyRing, Any, Moment | None], Awaitable[Row]]
"""How a row is put together with others, as they are or as they were at a moment."""


class FetchRoute(Route):
    """One row."""

    def __init__(self, row: type[Row], path: str, whole: Whole | None = None) -> None:
        self.row = row
        self.whole = whole
        self.permission = row.detail or row.permission
        self.versioned = (projection := PROJECTIONS.get(row.table)) is not None and projection.key is None  # it is one stream's own
        self.tenant = TENANT in parameters(path)
        self.columns = {p: snake(p) for p in parameters(path) if p != TENANT}
        self.past = told(row) if list(self.columns.values()) == ["id"] else None
        self.known = (AS_OF,) if self.past else ()

    async def run(self, call: Call) -> Answer:
        emergency = False
        if self.row.chart:
            emergency = await call.open_chart(call.params["id"], self.permission)
        else:
            call.require(self.permission)
        if self.tenant:
            await call.within(call.params[TENANT])
        query = call.query()
        no_query(query, self.known)
        if moments := [text for name, text in query if name == AS_OF]:
            answer = await self._as_it_was(call, moment(moments[-1]))
            await self._on_record(call, emergency=emergency)
            return answer
        wanted: dict[str, Any] = {column: call.params[p] for p, column in self.columns.items()}
        if (own := own_column(self.row, call.who)) is not None:
            if wanted.get(own, call.who.subject) != call.who.subject:
                raise NotFound
            wanted[own] = call.who.subject
        reader = await call.reader()
        found = await reader.fetch(self.row, wanted)
        if found is None:
            raise NotFound
        if self.whole:
            row = msgspec.json.decode(found.body, type=self.row)
            found = found._replace(body=_encode(await self.whole(reader, call.services.handler.keys, row, None)))
        await self._on_record(call, emergency=emergency)
        headers = [(b"etag", b'"%d"' % found.version)] if found.version else []
        if headers and call.headers.get(b"if-none-match") == headers[0][1]:
            return Answer(_NOT_MODIFIED, b"", headers)
        return Answer(self.status, found.body, headers)

    async def _on_record(self, call: Call, *, emergency: bool) -> None:
        if self.row.chart:
            await call.saw(self.row.table, call.params["id"], emergency=emergency)

    async def _as_it_was(self, call: Call, at: Moment) -> Answer:
        assert self.past is not None
        (id_,) = (call.params[p] for p in self.columns)
        own = own_column(self.row, call.who)
        reader = await call.reader()
        if self.row.platform and reader.clinic == PLATFORM and (home := await call.services.handler.tenant_of(id_)) is not None:
            reader = await call.services.reader(home)
        found = await past(reader, call.services.handler.keys, self.past, id_, at)
        if found is None or (own is not None and getattr(found.row, own) != call.who.subject):
            raise NotFound
        row = shaped(self.row, found.row)
        if self.whole:
            row = await self.whole(reader, call.services.handler.keys, row, at)
        return Answer(self.status, _encode(row), [(b"x-position", b"%d" % found.position)])


Flag = Callable[[Call], Awaitable[Sequence[tuple[str, str, Any]]]]
"""Which rows are left when a flag is raised that depends on who asks."""


class BrowseRoute(Route):
    """A list of rows."""

    def __init__(
        self, row: type[Row], query: Query, path: str = "", permission: str = "", only: Mapping[str, Any] = MappingProxyType({}), *, csv: bool = False,
        past: Then | None = None, flags: Mapping[str, Flag] = MappingProxyType({}),
    ) -> None:
        self.row = row
        self.flags = flags
        self.csv = csv
        self.past = past
        self.permission = permission or row.permission
        self.query = query
        self.only = tuple((column.removesuffix(".."), ">=" if column.endswith("..") else "=", value) for column, value in only.items())
        self.tenant = TENANT in parameters(path)

    async def run(self, call: Call) -> Answer:
        call.require(self.permission)
        if self.tenant:
            await call.within(call.params[TENANT])
        pairs, as_sheet = formed(call.query()) if self.csv else (call.query(), False)
        moments = [text for name, text in pairs if name == AS_OF] if self.past else []
        if moments:
            pairs = [pair for pair in pairs if pair[0] != AS_OF]
        raised = {name for name, text in pairs if name in self.flags and _raised(name, text)}
        wanted, references = self.query.parse([pair for pair in pairs if pair[0] not in self.flags])
        for name in sorted(raised):
            wanted = wanted._replace(conditions=(*wanted.conditions, *await self.flags[name](call)))
        for kind, id_ in references:
            if not await call.services.handler.known(self._home(call, kind, id_), kind, id_):
                raise NotFound(kind=kind, id=id_)
        wanted = wanted._replace(conditions=(*wanted.conditions, *self.only))
        if (own := own_column(self.row, call.who)) is not None:
            wanted = wanted._replace(conditions=(*wanted.conditions, (own, "=", call.who.subject)))
        if as_sheet:
            return Answer(self.status, await of_rows(await call.reader(), self.row, wanted), named(self.row.table.replace("_", "-")), CSV)
        if self.past and moments:
            reader, position = await then(call, moments[-1])
            return Answer(self.status, _encode(await self.past(reader, call.services.handler.keys, wanted, position)), [(b"x-position", b"%d" % position)])
        page = await (await call.reader()).page(self.row, wanted)
        return Answer(self.status, _encode(page), [])

    def _home(self, call: Call, kind: str, named: UUID) -> UUID:
        """Return in which tenant something named lies: whoever sees all clinics may name any of them."""
        return named if call.who.clinic == PLATFORM and self.row.platform and kind == call.services.kinds.clinic.kind else call.who.clinic


def browse(
    path: str, row: type[Row], by: Sequence[str] = (), sort: str = "id", sorts: Sequence[str] = (), *, permission: str = "",
    only: Mapping[str, Any] = MappingProxyType({}), csv: bool = False, past: Then | None = None, flags: Mapping[str, Flag] = MappingProxyType({}),
    **options: Any,
) -> HTTPRouteHandler:
    """List rows: `by` names the fields to filter by (`"due_on.."` a range), `sort` the order, `sorts` further fields to order by.

    `permission` is what it takes here, if not the row's own; `only` is what columns must equal, whatever is asked (or, as `"clinics.."`, reach);
    `csv` lets the whole list be had as a sheet; `past` tells it as it was; `"groups[]"` filters by what a list holds; `flags` are limits that depend on who asks.
    """
    query = Query(row, list(by), sort, list(sorts))
    typed: dict[str, Any] = dict.fromkeys(parameters(path), UUID)
    how, asked = BrowseRoute(row, query, path, permission, only, csv=csv, past=past, flags=flags), query.parameters()
    for flag in flags:
        asked[flag] = Annotated[bool | None, QueryParameter(name=flag, description="Only these, if true.")]
    if past:
        asked[AS_OF] = AsOf
    if csv:
        asked[FORMAT] = Annotated[Literal["json", "csv"] | None, QueryParameter(name=FORMAT, description="`csv` for the whole list as a sheet.")]
        options = {**options, "opt": {"csv": True, "refusals": (SheetTooLong,), **options.get("opt", {})}}
    return handler("GET", path, how, said(row, "Browse"), typed, asked, listed(row), options)


def fetch(path: str, row: type[Row], whole: Whole | None = None, **options: Any) -> HTTPRouteHandler:
    """Show one row; the path's parameters are its key. `whole` puts it together with others."""
    types = hints(row)
    typed = {p: bare(types[snake(p)]) if p != TENANT else UUID for p in parameters(path)}
    how = FetchRoute(row, path, whole)
    asked = {AS_OF: AsOf} if how.past else {}
    return handler("GET", path, how, said(row, "Get"), typed, asked, row, options)


def create(path: str, command: type[Command], **options: Any) -> HTTPRouteHandler:
    """Take a command that makes something new: 201, with its address."""
    return act(path, command, "POST", 201, **options)


def act(path: str, command: type[Command], method: Method = "POST", status: int = 200, **options: Any) -> HTTPRouteHandler:
    """Take a command about the stream that `{id:uuid}` names."""
    made = CommandRoute(command, path, status)
    types = hints(command)
    typed = {p: types[made.fields[p]] if p in made.fields else UUID for p in parameters(path)}
    unknown = [p for p in typed if p not in {*made.fields, made.stream, TENANT}]
    assert not unknown, f"{command.__name__} has no field for {unknown}"
    assert made.stream is not None or issubclass(command, Creation) or hasattr(command, "stream"), f"{command.__name__} does not say about what it is"
    body: dict[str, Any] = {} if method == "DELETE" else {"data": command}
    return handler(method, path, made, said(command, ""), typed, body, made.row or Changed, options)


class Changed(msgspec.Struct, rename="camel"):
    """What was changed, and its version now."""

    id: UUID
    version: int


def handler(
    method: Method, path: str, how: Route, words: dict[str, Any], typed: dict[str, Any], given: dict[str, Any], answer: Any, options: dict[str, Any],
) -> HTTPRouteHandler:
    """Return a Litestar handler with a real signature that answers as a route does."""

    async def respond(request: Request[Any, Any, Any], **_: Any) -> Response[Any]:
        call = Call(request.scope, request.receive, request.app.state.services, f"{method} {request.scope.get('path_template', '')}", request.path_params)
        call.took(await request.body())
        await how.admit(call)
        done = await how.run(call)
        headers = {k.decode(): v.decode() for k, v in (*done.headers, (b"x-request-id", call.request_id))}
        return Response(done.body, status_code=done.status, headers=headers, media_type=done.media.decode())

    required: dict[str, Any] = {"request": Request[Any, Any, Any]}
    required.update((name, Annotated[hint, PathParameter()]) for name, hint in typed.items())
    if "data" in given:
        required["data"] = Annotated[given.pop("data"), BodyKwarg(media_type=RequestEncodingType.JSON)]
    kind = inspect.Parameter.KEYWORD_ONLY
    listed_ = [inspect.Parameter(n, kind, annotation=t) for n, t in required.items()]
    listed_ += [inspect.Parameter(n, kind, annotation=t, default=None) for n, t in given.items()]
    respond.__signature__ = inspect.Signature(listed_, return_annotation=Response[answer])  # type: ignore[attr-defined]
    respond.__annotations__ = {**required, **given, "return": Response[answer]}
    respond.__name__ = words["operation_id"]
    opt = {"route": how, "permission": how.permission, **options.pop("opt", {})}
    spelled = _PARAMETER.sub(lambda m: f"{{{m[1]}:{_spelling(typed.get(m[1], UUID))}}}", path)
    return route(spelled, http_method=[method], status_code=how.status, opt=opt, **{**words, **options})(respond)


def _raised(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise QueryInvalid(field=name, problem="Expected true or false")
    return text == "true"


def formed(pairs: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], bool]:
    """Return a query without the form of its answer, and whether that is a sheet."""
    forms = [text for name, text in pairs if name == FORMAT]
    if not {*forms} <= {"json", "csv"}:
        raise QueryInvalid(field=FORMAT, problem="Expected json or csv")
    return [pair for pair in pairs if pair[0] != FORMAT], forms[-1:] == ["csv"]


def parameters(path: str) -> list[str]:
    """Return the names of a path's parameters."""
    return _PARAMETER.findall(path)


def snake(name: str) -> str:
    """Return a JSON name as a field's name."""
    return _SNAKE.sub("_", name).lower()


def said(subject: type, verb: str) -> dict[str, Any]:
    """Return what a route is called and described as."""
    words = inspect.cleandoc(subject.__doc__ or "").split("\n\n", 1)
    summary = " ".join(words[0].split())
    verbs = {"Browse": "List: ", "Get": "Show: "}
    return {
        "operation_id": verb + subject.__name__, "summary": verbs.get(verb, "") + (summary[:1].lower() + summary[1:] if verb else summary),
        "description": " ".join(words[1].split()) if len(words) > 1 else None,
    }


def listed(row: type[Row]) -> Any:
    """Return the type of a page of rows."""
    name = row.__name__.removesuffix("Row") + "Page"
    made = msgspec.defstruct(name, [("items", list[row]), ("next", str | None)], module=row.__module__)  # type: ignore[valid-type]
    made.__doc__ = f"Some of the rows of {row.__name__}, and where to go on."
    return made


def projected(command: type[Command]) -> type[Row] | None:
    """Return the row that a command's answer shows."""
    projection = PROJECTIONS.get(command.state.kind)
    return projection.row if projection is not None and projection.key is None else None


def sees(who: Who, row: Row) -> bool:
    """Say whether somebody may see a row that his command has just changed."""
    cls = type(row)
    if not who.may(cls.detail or cls.permission):
        return False
    try:
        column = own_column(cls, who)
    except Forbidden:
        return False
    return column is None or getattr(row, column) == who.subject


def decoded(call: Call, decode: Callable[[bytes], Any], body: bytes) -> Any:
    """Return what a body says."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise BodyInvalid(**problem(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise call.unreadable(str(error), len(body)) from None


_object = msgspec.json.Decoder(dict[str, Any]).decode


def _spelling(hint: Any) -> str:
    return {UUID: "uuid", int: "int"}.get(_bare_type(hint), "str")


def _bare_type(hint: Any) -> Any:
    return _bare_type(hint.__origin__) if hasattr(hint, "__metadata__") else hint


__all__ = ["Page", "Route", "act", "browse", "create", "fetch", "handler", "own_column"]
