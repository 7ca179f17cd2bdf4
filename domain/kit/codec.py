"""Bytes and keys <-> event.

How it works: an event is stored as msgspec JSON, so that an auditor can read it with psql. If its class has `Personal` fields, those are taken
out and sealed together, under the key of the person they are about, as one AES-256-GCM value in the member `sealed`; the associated data binds it
to its event id, name and person, so that it cannot be moved. Without the key the fields read as None, which their types must admit.

What may go wrong: a class that is renamed or removed orphans its history: `tests/golden/events.jsonl` holds a sample of every event ever released.
"""

import base64
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args, get_type_hints
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import inspect, json

from domain.kit.model import Event, Invalid

KeyOf = Callable[[UUID], bytes | None]  # a person's key, or None once it is destroyed

_encode = json.Encoder().encode
_raw = json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")
_NONCE = 12
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # escaped once, not the text of an escape


class TextUnstorable(Invalid):
    """Text may not contain the character NUL (U+0000)."""


class UnknownEventError(Exception):
    """A stored topic that no class answers to."""


class TamperedError(Exception):
    """A sealed value that its own key does not open."""


class _Sealed(msgspec.Struct):
    sealed: str


_sealed_in = json.Decoder(_Sealed).decode


@cache
def classes() -> dict[str, type[Event]]:
    """Return every event class by name; the modules that define them must have been imported."""

    def below(base: type[Event]) -> Iterator[type[Event]]:
        for cls in base.__subclasses__():
            yield cls
            yield from below(cls)

    return {cls.__name__: cls for cls in below(Event)}


def metas(annotation: Any) -> Iterator[dict[str, Any]]:
    """Yield the `extra` of every Meta in an annotation, however deep."""
    for argument in get_args(annotation):
        if isinstance(argument, msgspec.Meta) and argument.extra:
            yield argument.extra
        else:
            yield from metas(argument)


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return a struct's annotations with their metadata, by field name."""
    every = get_type_hints(cls, include_extras=True)
    return {f: every[f] for f in cls.__struct_fields__}  # type: ignore[attr-defined]


@cache
def personal(cls: type) -> tuple[tuple[str, ...], str]:
    """Return the names of a class's personal fields, and the field that names the person ("" for the stream itself)."""
    found = {name: extra["personal"] for name, hint in hints(cls).items() for extra in metas(hint) if "personal" in extra}
    about = set(found.values())
    if len(about) > 1:
        message = f"{cls.__name__} is about more than one person: {sorted(about)}"
        raise TypeError(message)
    return tuple(found), about.pop() if about else ""


@cache
def erasing() -> dict[str, str]:
    """Return the events that destroy persons' keys, each with the field that names the persons."""
    return {name: field for name, cls in classes().items() for field, hint in hints(cls).items() if any("erases" in extra for extra in metas(hint))}


def person(event: Event, stream: UUID) -> UUID | None:
    """Return whose personal data an event holds, if anybody's."""
    fields, about = personal(type(event))
    if not any(getattr(event, f) is not None for f in fields):
        return None
    who: UUID = getattr(event, about) if about else stream
    return who


def _bound(event_id: UUID, name: str, who: UUID) -> bytes:
    return event_id.bytes + name.encode() + who.bytes


def encode(event: Event, *, event_id: UUID, person: UUID | None, key: bytes | None) -> bytes:
    """Return the stored bytes of an event; `key` is needed when `person` is not None."""
    if person is None:
        return _storable(_encode(event))
    assert key is not None
    cls = type(event)
    plain: dict[str, Any] = msgspec.to_builtins(event)
    secret = {name: plain.pop(name, None) for name in _sealed(cls)}
    nonce = os.urandom(_NONCE)
    sealed = nonce + AESGCM(key).encrypt(nonce, _storable(_encode(secret)), _bound(event_id, cls.__name__, person))
    return _storable(_encode({**plain, "sealed": base64.b64encode(sealed).decode()}))


def _storable(body: bytes) -> bytes:
    """Return the body, unless its text holds what no row could: Postgres has no NUL."""
    if b"\\u0000" in body and _NUL.search(body):
        raise TextUnstorable
    return body


@cache
def _sealed(cls: type) -> tuple[str, ...]:
    """Return the names that a class's personal fields have in JSON."""
    fields, _ = personal(cls)
    return tuple(f.encode_name for f in inspect.type_info(cls).fields if f.name in fields)  # type: ignore[attr-defined]


@cache
def _decoder(name: str) -> tuple[type[Event], Callable[[bytes], Any], bool]:
    try:
        cls = classes()[name]
    except KeyError:
        raise UnknownEventError(name) from None
    return cls, json.Decoder(cls).decode, bool(personal(cls)[0])


def decode(name: str, body: bytes, *, event_id: UUID, person: UUID | None, key_of: KeyOf | None = None) -> Event:
    """Return the event of stored bytes; without the person's key its personal fields are None."""
    cls, plain, _ = _decoder(name)
    if person is None or key_of is None or (key := key_of(person)) is None:
        event: Event = plain(body)
        return event
    raw: dict[str, Any] = json.decode(body)
    sealed = raw.pop("sealed")
    return msgspec.convert({**raw, **json.decode(_unsealed(name, sealed, event_id, person, key))}, cls)


def unsealed(name: str, body: bytes, *, event_id: UUID, person: UUID, key: bytes | None) -> dict[str, msgspec.Raw]:
    """Return the personal members of stored bytes, by their names in JSON and undecoded; null where the person's key is gone."""
    if key is None:
        return dict.fromkeys(_sealed(_decoder(name)[0]), _NULL)
    return _raw(_unsealed(name, _sealed_in(body).sealed, event_id, person, key))


def _unsealed(name: str, sealed: str, event_id: UUID, person: UUID, key: bytes) -> bytes:
    value = base64.b64decode(sealed)
    try:
        return AESGCM(key).decrypt(value[:_NONCE], value[_NONCE:], _bound(event_id, name, person))
    except InvalidTag:
        raise TamperedError(name) from None
