"""The events as JSON Schema, and the AsyncAPI document of who can hear them: streams, webhooks, and the bus inside.

How it works: msgspec, which encodes every event, says what each looks like; the fields an event declares as personal are described as what they are to those
outside: missing, unless they were asked for, and null once the person's key is destroyed. `$defs` (in AsyncAPI: components) has under an event's own name what it says,
and under `<Event>Message` the whole message: the envelope with that in it. Nothing is made by hand but the words about the channels, so that a new event is there at once.

What may go wrong: schemas bind readers for ever. They let further members through, and so must readers: an event of the next release may say more. What must not
change is compared with the last release by a test.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import inspect as i

from domain.kit import Event, State
from domain.kit.codec import classes, personal
from gateway.kit.examples import example
from projections.kit.shown import Pushed, Shown
from projections.kit.stored import Stored

Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES = "urn:anamnesis:events"
MESSAGE = "Message"  # what is put behind an event's name
ENVELOPE = "Envelope"
ANY = "AnyEvent"
SEALED = (
    "Sealed: about a person. Missing in webhooks and in streams, except in a stream opened with `personal=true` by somebody who may read it; null once "
    "that person's key is destroyed."
)
WORDS = (
    "What a reader of the event stream or of a webhook gets: the envelope, and in `data` what the event says. Further members may be added in any release: ignore "
    "those you do not know. Members are never removed or narrowed; a changed meaning is an event of another name."
)


def defined() -> dict[str, type[Event]]:
    """Return the events of the project, by name and in that order; a test's own are not among them."""
    return {name: cls for name, cls in sorted(classes().items()) if cls.__module__.startswith("domain.")}


@cache
def homes() -> dict[str, str]:
    """Return the kind of thing that each event happens to."""

    def below(base: type[State]) -> Iterator[type[State]]:
        for state in base.__subclasses__():
            yield state
            yield from below(state)

    found: dict[str, str] = {}
    for state in below(State):
        if state.__module__.startswith("domain."):
            union = get_type_hints(state.evolve)["event"]
            found |= {cls.__name__: state.kind for cls in get_args(union) or (union,)}
    return found


def components(events: Iterable[type[Event]], place: str) -> Json:
    """Return the schemas of events, of all they are made of, and of their messages, by name; `place` is where references find them."""
    events = list(events)
    _, found = msgspec.json.schema_components([*events, Shown], ref_template=place + "{name}")
    seen: set[str] = set()
    for cls in events:
        _dated(i.type_info(cls), found, seen)
        _sealed(cls, found[cls.__name__])
    envelope = found.pop("Shown")
    envelope["title"], envelope["description"] = ENVELOPE, "What is known of every event."
    del envelope["properties"]["data"]
    envelope["required"].remove("data")
    found[ENVELOPE] = envelope
    for cls in events:
        found[cls.__name__ + MESSAGE] = _message(cls, place)
    return dict(sorted(found.items()))


def _message(cls: type[Event], place: str) -> Json:
    name = cls.__name__
    said = (cls.__dict__.get("__doc__") or "").strip()
    return {
        "title": name + MESSAGE, **({"description": " ".join(said.split())} if said else {}), "type": "object",
        "allOf": [{"$ref": place + ENVELOPE}],
        "properties": {"event": {"const": name}, "entityType": {"const": homes()[name]}, "data": {"$ref": place + name}},
        "required": ["event", "entityType", "data"],
    }


def _sealed(cls: type[Event], schema: Json) -> None:
    """Say of a personal field what it is to those outside."""
    fields, _ = personal(cls)
    for field in i.type_info(cls).fields:  # type: ignore[attr-defined]
        if field.name in fields:
            told = schema["properties"][field.encode_name]
            told.pop("default", None)
            told["description"] = " ".join([told["description"], SEALED] if "description" in told else [SEALED])
            told["x-sealed"] = True
            if field.encode_name in schema.get("required", ()):
                schema["required"].remove(field.encode_name)


def _dated(kind: i.Type, found: Json, seen: set[str], schema: Json | None = None) -> None:
    """Say of instants that they are: msgspec does so only where a type insists on a zone, and an event's instants are all UTC."""
    match kind:
        case i.StructType(cls=cls, fields=fields) if cls.__name__ not in seen:
            seen.add(cls.__name__)
            for field in fields:
                _dated(field.type, found, seen, found[cls.__name__]["properties"][field.encode_name])
        case i.Metadata(type=inner):
            _dated(inner, found, seen, schema)
        case i.ListType(item_type=item):
            _dated(item, found, seen, (schema or {}).get("items"))
        case i.DictType(value_type=item):
            _dated(item, found, seen, (schema or {}).get("additionalProperties"))
        case i.UnionType(types=members):
            for member in members:
                options = [option for option in (schema or {}).get("anyOf", []) if option.get("type") == "string"]
                _dated(member, found, seen, options[0] if options else None)
        case i.DateTimeType() if schema is not None:
            schema["format"] = "date-time"


def schemas() -> Json:
    """Return one JSON Schema for whatever comes out of the stream: any event's message."""
    events = defined()
    return {
        "$schema": DIALECT, "$id": NAMES, "title": "Events of Anamnesis", "description": WORDS,
        "anyOf": [{"$ref": f"#/$defs/{name}{MESSAGE}"} for name in events], "$defs": components(events.values(), "#/$defs/"),
    }


def schema(name: str) -> Json | None:
    """Return the JSON Schema of one event's message, which needs no other; None if there is no such event."""
    if (cls := defined().get(name)) is None:
        return None
    found = components([cls], "#/$defs/")
    return {"$schema": DIALECT, "$id": f"{NAMES}:{name}", **found.pop(name + MESSAGE), "$defs": found}


POSITION = {"type": "string", "pattern": "^[0-9]{1,18}$"}
WEBHOOK_HEADERS: Json = {
    "webhook-id": {"type": "string", "description": "The delivery's id: the same at every attempt; do nothing twice for it."},
    "webhook-timestamp": {"type": "string", "pattern": "^[0-9]+$", "description": "When this attempt was made, in seconds since 1970; refuse what is older than five minutes."},
    "webhook-signature": {
        "type": "string", "description": "`v1,` and the base64 of HMAC-SHA-256 over `<webhook-id>.<webhook-timestamp>.<body>`; several with spaces between while a secret is changed.",
    },
}
PAGE_HEADERS: Json = {
    "Nats-Msg-Id": {"type": "string", "description": "Partition and last position: JetStream drops what it has."},
    "prev": {**POSITION, "description": "The position of the partition that came before the page: whoever has less has missed something."},
    "last": {**POSITION, "description": "The page's last position."},
    "mac": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "HMAC-SHA-256 over subject, both positions and payload, by the key of the bus."},
}
STREAM = (
    "Server-sent events. `id` is the position (and, once the installation was restored from a backup, `-` and how often), `event` the event's name, `data` the payload. Reconnect with `Last-Event-ID` and nothing is lost or repeated. "
    "A comment shows every fifteen seconds that the line is open, with the `id` up to which everything has been given out. The stream ends with the access token. "
    "An event `resync` says that you were too slow, or have seen what is no more since a restore from a backup: read afresh and connect again. Ten streams an account; one more is refused with 429."
)
QUERY: Json = {
    "types": {"type": "string", "description": "Event names, with commas between: these only."},
    "entityType": {"type": "string", "description": "The kind of thing: these only."},
    "entityId": {"type": "string", "format": "uuid", "description": "The thing: what happens to it only."},
    "lastEventId": {"type": "string", "pattern": "^[0-9]{1,18}(-[0-9]{1,6})?$", "description": "What has been seen; the same as the header Last-Event-ID."},
    "personal": {"type": "boolean", "description": "Whether sealed fields are to be opened, where you may read them."},
    "ticket": {"type": "string", "description": "A ticket in place of the Authorization header, for browsers: good once, within half a minute."},
}


def asyncapi(*, title: str, version: str) -> Json:
    """Return the AsyncAPI document."""
    events = defined()
    parts = components(events.values(), "#/components/schemas/")
    parts[ANY] = {
        "title": "Any event", "description": WORDS, "anyOf": [{"$ref": f"#/components/schemas/{name}{MESSAGE}"} for name in events]}
    parts["Page"] = PAGE
    parts["Webhook"] = _pushed()
    streamed = {name: {"$ref": f"#/components/messages/{name}"} for name in events} | {"resync": {"$ref": "#/components/messages/resync"}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": INTRODUCTION, "tags": [{"name": "public"}, {"name": "internal", "description": INTERNAL}]},
        "defaultContentType": "application/json",
        "servers": SERVERS,
        "channels": {name: channel(streamed) for name, channel in CHANNELS.items()},
        "operations": OPERATIONS,
        "components": {
            "schemas": dict(sorted(parts.items())),
            "messages": {**{name: _told(cls) for name, cls in events.items()}, **MESSAGES},
            "securitySchemes": DOORS,
        },
    }


def _pushed() -> Json:
    """Return the schema of a webhook's body."""
    _, found = msgspec.json.schema_components([Pushed])
    body: Json = found["Pushed"]
    body["properties"]["data"]["$ref"] = f"#/components/schemas/{ANY}"
    return body | {"title": "Webhook", "description": "A webhook's body: an event as a stream has it, in the frame that the Standard Webhooks specification gives it."}


def _told(cls: type[Event]) -> Json:
    """Return an event as a message of the streams."""
    name = cls.__name__
    said = " ".join((cls.__dict__.get("__doc__") or "").split())
    left_out = {field.encode_name for field in i.type_info(cls).fields if field.name in personal(cls)[0]}  # type: ignore[attr-defined]
    data = {member: value for member, value in example(cls).items() if member not in left_out}
    payload = {**example(Shown), "event": name, "entityType": homes()[name], "data": data}
    return {
        "name": name, "title": name, **({"summary": said} if said else {}), "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}{MESSAGE}"}, "examples": [{"payload": payload}], "tags": [{"name": homes()[name]}],
    }


INTRODUCTION = (
    "What happens in a clinic, as others can hear it: by server-sent events, and by webhooks with the same `data`. Both are made from the event store, in whose order and with whose "
    "positions everything comes. What is about a person is sealed and stays out, unless a stream is opened with `personal=true` by somebody who may read it.\n\n"
    "The same schemas stand in JSON Schema 2020-12 at `/api/v1/events/schemas`; how commands are given and rows are read is at `/schema/openapi.json`."
)
INTERNAL = "Not for others: between this program's own processes, without any promise for the next release. It stands here so that nobody has to guess."
SERVERS: Json = {
    "gateway": {
        "host": "{host}", "protocol": "https", "description": "The API. On a laptop it is http://127.0.0.1:8000.", "tags": [{"name": "public"}],
        "variables": {"host": {"default": "127.0.0.1:8000", "description": "Where the installation is reached."}},
    },
    "receiver": {
        "host": "{receiver}", "protocol": "https", "description": "Your server: the address you have given for the webhook.", "tags": [{"name": "public"}],
        "variables": {"receiver": {"default": "hooks.example.org", "description": "Yours."}},
    },
    "bus": {
        "host": "{nats}", "protocol": "nats", "description": f"NATS JetStream. {INTERNAL}", "tags": [{"name": "internal"}], "x-internal": True,
        "variables": {"nats": {"default": "127.0.0.1:4222", "description": "Where it listens, for the installation's own processes."}},
    },
}
PAGE: Json = {
    "title": "Page",
    "description": "A stretch of one partition's stored events, as a msgpack list of arrays; bodies are bytes and stay as they are stored, what is sealed included.",
    "type": "array",
    "items": {
        "type": "array", "minItems": (_FIELDS := len(Stored.__struct_fields__)), "maxItems": _FIELDS,
        "description": (
            "Position, stream, version, topic, clinic, kind, partition, event id, command, correlation, causation or nil, actor, person or nil, recording time in microseconds since "
            "1970, MAC, hash, body. Ids are 16 bytes."
        ),
    },
}
DOORS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access token of a session."},
    "apiKey": {"type": "httpApiKey", "in": "header", "name": "X-Api-Key", "description": "A program's key: hears what its scopes let it view. Not for the live feed, which is a person's."},
    "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket", "description": "Taken at POST /api/v1/protected/sse/tickets; opens a stream once."},
}
MESSAGES: Json = {
    "resync": {
        "name": "resync", "title": "Read afresh", "summary": "You were too slow, and what waited for you has been dropped; or you have seen what a restore from a backup left out.", "contentType": "application/json",
        "payload": {"type": "object", "maxProperties": 0}, "examples": [{"payload": {}}],
    },
    "webhook": {
        "name": "webhook", "title": "An event, pushed", "contentType": "application/json", "payload": {"$ref": "#/components/schemas/Webhook"},
        "summary": "`data` is what the stream has as `data`, without what is sealed; the body is the same at every attempt.",
        "headers": {"type": "object", "properties": WEBHOOK_HEADERS, "required": list(WEBHOOK_HEADERS)},
        "bindings": {"http": {"headers": {"type": "object", "properties": WEBHOOK_HEADERS, "required": list(WEBHOOK_HEADERS)}, "bindingVersion": "0.3.0"}},
    },
    "page": {
        "name": "page", "title": "A page of the store", "summary": INTERNAL, "contentType": "application/msgpack", "payload": {"$ref": "#/components/schemas/Page"},
        "headers": {"type": "object", "properties": PAGE_HEADERS, "required": list(PAGE_HEADERS)}, "tags": [{"name": "internal"}],
    },
}
_GATEWAY, _PUBLIC = [{"$ref": "#/servers/gateway"}], [{"name": "public"}]
CHANNELS: dict[str, Callable[[Json], Json]] = {
    "clinicEvents": lambda streamed: {
        "address": "/api/v1/protected/sse/clinic-events", "title": "The clinic's events", "servers": _GATEWAY, "tags": _PUBLIC, "messages": streamed,
        "description": f"Everything in the clinic that you may view; patients hear what is their own. {STREAM}",
    },
    "liveFeed": lambda streamed: {
        "address": "/api/v1/protected/notifications/live-feed", "title": "Your own events", "servers": _GATEWAY, "tags": _PUBLIC, "messages": streamed,
        "description": f"What concerns you: things that are yours or name you, and your account and its sessions. {STREAM}",
    },
    "webhooks": lambda _: {
        "address": None, "title": "Webhooks", "servers": [{"$ref": "#/servers/receiver"}], "tags": _PUBLIC, "messages": {"webhook": {"$ref": "#/components/messages/webhook"}},
        "description": "A POST to the address you have given, signed as the Standard Webhooks specification has it, and repeated for three days until you answer with 2xx: so it may come twice, and in any order.",
    },
    "pages": lambda _: {
        "address": "events.{partition}", "title": "Pages of the store", "description": INTERNAL, "servers": [{"$ref": "#/servers/bus"}], "x-internal": True,
        "parameters": {"partition": {"description": "The clinic's partition, from 0: the last byte of its id modulo their number."}},
        "tags": [{"name": "internal"}], "messages": {"page": {"$ref": "#/components/messages/page"}},
    },
}
_LISTENING: Json = {
    "security": [{"$ref": "#/components/securitySchemes/bearer"}, {"$ref": "#/components/securitySchemes/ticket"}],
    "bindings": {"http": {"method": "GET", "query": {"type": "object", "properties": QUERY}, "bindingVersion": "0.3.0"}},
}
OPERATIONS: Json = {
    "streamClinicEvents": {
        "action": "send", "channel": {"$ref": "#/channels/clinicEvents"}, "title": "Stream the clinic's events", **_LISTENING,
        "security": [*_LISTENING["security"], {"$ref": "#/components/securitySchemes/apiKey"}],
    },
    "streamLiveFeed": {"action": "send", "channel": {"$ref": "#/channels/liveFeed"}, "title": "Stream somebody's own events", **_LISTENING},
    "sendWebhook": {
        "action": "send", "channel": {"$ref": "#/channels/webhooks"}, "title": "Push an event", "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    },
    "publishPages": {"action": "send", "channel": {"$ref": "#/channels/pages"}, "title": "The relay publishes what is stored", "tags": [{"name": "internal"}], "x-internal": True},
    "followPages": {
        "action": "receive", "channel": {"$ref": "#/channels/pages"}, "title": "Projectors and gateways follow it", "tags": [{"name": "internal"}], "x-internal": True,
    },
}
