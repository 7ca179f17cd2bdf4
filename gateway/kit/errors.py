"""Errors: one shape for everything that goes wrong, and sentences that say what to do.

How it works: whatever is raised while a request is answered ends in `explain`, which makes of it {"error", "code", "details", "requestId"}. A `Refused`
explains itself: its class name is the code, its docstring the sentence, its keyword arguments the details. Sentence and problems are said in the
client's language (`gateway.kit.languages`).

What may go wrong: a bug of ours must not tell a stranger about our inside: it becomes INTERNAL with nothing but the request's id, and is logged with that id.
"""

import re
from collections.abc import Mapping, Sequence
from traceback import extract_tb
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import structlog
from litestar.exceptions import HTTPException, MethodNotAllowedException, SerializationException, ValidationException

from commands.kit.errors import Unavailable
from domain.kit import Forbidden, Refused, code_of
from gateway.kit.answer import JSON, Answer, Headers
from gateway.kit.languages import DEFAULT, translated

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1
UNANSWERED = "The request could not be answered as it stands."


class BadRequest(Refused):
    """The request could not be understood."""

    status = 400


class JsonMalformed(BadRequest):
    """The body is not valid JSON. Mend it at the byte given in `details`."""


class BodyInvalid(BadRequest):
    """The body does not fit this request. `details` says which field and why."""


class BodyUnexpected(BadRequest):
    """The body is not JSON as far as its Content-Type says. Send application/json."""

    status = 415


class QueryInvalid(BadRequest):
    """A query parameter or header cannot be read. `details` says which and why."""


class ParameterUnknown(BadRequest):
    """There is no such query parameter here. `details` names it and lists those there are."""


class SignInRequired(Refused):
    """Sign in first, and send the header `Authorization: Bearer` with the access token."""

    status = 401


class TokenInvalid(SignInRequired):
    """This access token is not one of ours. Sign in again."""


class TokenExpired(SignInRequired):
    """This access token has expired. Get a new one with your refresh token."""


class SessionEnded(SignInRequired):
    """This session has ended. Sign in again."""


class NotWhileImpersonating(Forbidden):
    """Only the owner of the account may do this, not somebody who acts for them. Leave the impersonation first."""


class SubscriptionExpired(Refused):
    """The clinic's subscription has run out. An admin can renew it; everything is kept meanwhile."""

    status = 402


class ClinicIsClosing(Forbidden):
    """This clinic is being closed: it can be looked at and taken along, and nothing in it changes. Its admin can still keep it."""


class AddressUnknown(Refused):
    """There is nothing at this address."""

    status = 404


class MethodUnknown(Refused):
    """This address does not take that method. The header Allow lists those it takes."""

    status = 405


class BodyTooLarge(Refused):
    """The body is larger than this address accepts."""

    status = 413


class TooManyStreams(Refused):
    """You have as many event streams open as one account may have. Close one that nobody reads any more, or let several pages share one."""

    status = 429


class ReadBehind(Refused):
    """The change you waited for has not reached the read model yet. It is stored; read again in a moment."""

    status = 503


class DatabaseUnavailable(Refused):
    """The database cannot be reached just now. Try again in a moment."""

    status = 503


class Internal(Refused):
    """Something went wrong on our side. Quote the request id when you report it."""

    status = 500


class Failure(msgspec.Struct, rename="camel"):
    """What every error looks like."""

    error: str
    code: str
    details: list[dict[str, Any]]
    request_id: str


_encode = msgspec.json.Encoder(enc_hook=str).encode
_BYTE = re.compile(r"\(byte (\d+)\)")
_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `(?P<name>[^`]*)`")


_SAID: dict[type, tuple[str, str]] = {}


def said(refusal: type[Refused]) -> tuple[str, str]:
    """Return a refusal's code, which is its name in UPPER_SNAKE, and its sentence, which is its docstring."""
    if (found := _SAID.get(refusal)) is None:
        name = code_of(refusal)
        found = _SAID[refusal] = (name, " ".join((refusal.__doc__ or name).split()))
    return found


def code(refusal: type[Refused]) -> str:
    """Return the error code of a refusal."""
    return said(refusal)[0]


def sentence(refusal: type[Refused]) -> str:
    """Return what a refusal says."""
    return said(refusal)[1]


def camel(name: str) -> str:
    """Return a field's name as it is in JSON."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


class Wrong(NamedTuple):
    """What is to be said of an error, whatever the language."""

    status: int
    error: str
    code: str
    details: Sequence[Mapping[str, Any]]
    headers: Headers


def failure(wrong: Wrong, request_id: str, language: str) -> Answer:
    """Return an answer of the one shape."""
    details = [{k: translated(v, language) if k == "problem" else v for k, v in detail.items()} for detail in wrong.details]
    body = _encode(Failure(error=translated(wrong.error, language), code=wrong.code, details=details, request_id=request_id))
    headers = [*wrong.headers, (b"content-language", language.encode()), (b"vary", b"Accept-Language")]
    if wrong.status == 401:  # noqa: PLR2004
        headers.append((b"www-authenticate", b'Bearer realm="anamnesis"'))
    if wrong.status == 503:  # noqa: PLR2004
        headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
    return Answer(wrong.status, body, headers, JSON)


def explain(error: BaseException, request_id: str, length: int = 0, language: str = DEFAULT) -> Answer:
    """Return the answer to whatever went wrong; `length` is the body's."""
    return failure(_wrong(error, request_id, length), request_id, language)


def _wrong(error: BaseException, request_id: str, length: int) -> Wrong:  # noqa: PLR0911 - one for each sort of error
    match error:
        case Refused():
            return _refused(error, request_id)
        case msgspec.ValidationError():
            return _refused(BodyInvalid(**problem(str(error))), request_id)
        case msgspec.DecodeError():
            return _refused(JsonMalformed(**offset(str(error), length)), request_id)
        case RecursionError() if "deserializing" in str(error):
            return _refused(BodyInvalid(problem="It is nested too deeply"), request_id)
        case HTTPException():
            return _litestar(error, request_id, length)
        case psycopg.OperationalError() | psycopg.InterfaceError() | ConnectionError():
            return _refused(DatabaseUnavailable(), request_id)
    return _ours(error, request_id)


def _ours(error: BaseException, request_id: str) -> Wrong:
    """Log a bug of ours by where it happened; its message may hold what somebody typed."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-12:]]
    log.error("request failed", request_id=request_id, error=type(error).__name__, at=frames)
    return _refused(Internal(), request_id)


def problem(message: str) -> dict[str, str]:
    """Return which field is wrong and why, out of msgspec's message."""
    found = _AT.match(message)
    text, path = (found["problem"], found["path"]) if found else (message, None)
    where = (path or "").removeprefix("$").removeprefix(".")
    if named := _FIELD.search(text):
        where = f"{where}.{named['name']}" if where else named["name"]
    return {"field": where, "problem": text}


def offset(message: str, length: int = 0) -> dict[str, Any]:
    """Return where JSON is malformed, out of msgspec's message."""
    found = _BYTE.search(message)
    return {"offset": int(found[1]) if found else length, "problem": _BYTE.sub("", message).removeprefix("JSON is malformed: ").strip()}


def _refused(refusal: Refused, request_id: str) -> Wrong:
    cls = type(refusal)
    details = [{camel(k): _plain(v) for k, v in refusal.details.items()}] if refusal.details else []
    headers: Headers = []
    if isinstance(refusal, Unavailable):
        log.warning("a change could not be stored", request_id=request_id)
    if (seconds := refusal.details.get("retry_after")) is not None:
        headers.append((b"retry-after", b"%d" % int(seconds)))
    return Wrong(cls.status, sentence(cls), code(cls), details, headers)


def _told(extra: dict[str, Any]) -> dict[str, str]:
    """Return what Litestar says of a value as we say it."""
    found = problem(str(extra.get("message", "")))
    key = str(extra.get("key", ""))
    return found if found["field"] or key == "data" else {**found, "field": key}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _litestar(error: HTTPException, request_id: str, length: int) -> Wrong:  # noqa: PLR0911 - one for each sort of error
    match error:
        case MethodNotAllowedException():
            wrong = _refused(MethodUnknown(), request_id)
            wrong.headers.extend((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items())
            return wrong
        case ValidationException(extra=list() as extra):
            told = [_told(e) for e in extra if isinstance(e, dict)]
            refusal = QueryInvalid if all(isinstance(e, dict) and e.get("source") != "body" for e in extra) else BodyInvalid
            return Wrong(400, sentence(refusal), code(refusal), told, [])
    match error.status_code:
        case 401:
            return _refused(SignInRequired(), request_id)
        case 404:
            return _refused(AddressUnknown(), request_id)
        case 413:
            return _refused(BodyTooLarge(), request_id)
        case 400 if isinstance(error.__cause__, SerializationException):
            return _refused(JsonMalformed(**offset(str(error.__cause__.__cause__ or error.detail), length)), request_id)
        case 500:
            return _ours(error, request_id)
    return Wrong(error.status_code, UNANSWERED, code(BadRequest), [{"problem": error.detail}], [])
