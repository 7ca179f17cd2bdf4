"""Readers of an event stream by clients of other makes. Each returns what it was told, as (id, type, data), up to the event that says `END`."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import cycle
from typing import Any

import httpx
import msgspec
import requests
from httpx_sse import aconnect_sse
from requests_sse import EventSource, InvalidContentTypeError

from tests.served import Person

Told = tuple[str, str, str]

END = "That is all"
AWKWARD = ("Zaal 3 · Ψ", "診察室", "🦷🪥", "a\u2028b\u2029c\x85d", "data: id: 7", "\\n\\n", 'quoted "twice"', "x" * 120)
"""What a reader trips over that cuts lines, letters or events at the wrong place."""


async def by_httpx(url: str, headers: dict[str, str]) -> list[Told]:
    """`httpx-sse` reads; who comes back, and from where on, is up to its user."""
    told: list[Told] = []
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        while not ended(told):
            since = {"last-event-id": told[-1][0]} if told else {}
            with suppress(httpx.TransportError):
                async with aconnect_sse(client, "GET", url, headers=since) as source:
                    async for event in source.aiter_sse():
                        if event.data:
                            told.append((event.id, event.event, event.data))
                        if ended(told):
                            break
    return told


def by_requests(url: str, headers: dict[str, str]) -> list[Told]:
    """`requests-sse` comes back by itself, but where the head of an answer was cut: that it takes for an answer of another type, and its user comes back."""
    told: list[Told] = []
    while not ended(told):
        since = told[-1][0] if told else None
        with suppress(InvalidContentTypeError), EventSource(
            url, headers=headers, timeout=30, reconnection_time=timedelta(milliseconds=5), max_connect_retry=6, latest_event_id=since,
        ) as source:
            for event in source:
                told.append((event.last_event_id, str(event.type), str(event.data)))
                if ended(told):
                    break
    return told


def straight(url: str, headers: dict[str, str]) -> list[Told]:
    """What there is to read, over a line that holds, taken apart by the letter of the standard."""
    told: list[Told] = []
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        for block in blocks(answer.iter_content(None)):
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            if "data" in fields:
                told.append((fields["id"], fields["event"], fields["data"]))
                if ended(told):
                    break
    return told


def blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        yield from whole


def ended(told: list[Told]) -> bool:
    return bool(told) and END in told[-1][2]


async def busy(person: Person | Any, count: int, *, last: str = END) -> None:
    """Do so many things in a clinic, of several sorts and with awkward names."""
    for n, awkward in zip(range(count), cycle(AWKWARD), strict=False):
        if n % 3 == 2:
            await done(person, "/patients", {"givenName": "Noor", "familyName": f"Bakker {n}"})
        await done(person, "/rooms", {"type": "surgery", "name": f"{n} before {last.lower()}: {awkward}"})
    await done(person, "/rooms", {"type": "surgery", "name": last})


async def done(person: Person | Any, path: str, body: dict[str, str]) -> None:
    answer = await person("POST", path, body)
    assert answer.status_code == 201, answer.text


def names(told: list[Told]) -> list[str]:
    """The rooms' names that were told."""
    return [event["data"]["name"] for _, kind, text in told if kind == "RoomAdded" and (event := msgspec.json.decode(text))]
