"""Errors in the client's language: which it is, and that nothing is left unsaid in it."""

import ast
import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from babel.messages.pofile import read_po
from msgspec import Meta

from gateway.kit.errors import UNANSWERED, offset, problem, sentence
from gateway.kit.languages import LANGUAGES, translated, wanted
from tests.laws.project import REFUSALS
from tests.served import failure, served

ROOT = Path(__file__).parents[1]
DECODER = "said by the decoder"
Entries = dict[str, tuple[str, list[str]]]


@pytest.mark.parametrize(("header", "language"), [
    ("", "en"), ("es", "es"), ("ES", "es"), ("es-MX", "es"), ("es-419, en;q=0.5", "es"), ("en, es", "en"), ("en;q=0.8, es;q=0.9", "es"), ("es;q=0", "en"),
    ("fr, es;q=0.2", "es"), ("fr, de;q=0.9", "en"), ("*", "en"), ("es;q=0.3, *;q=0.5", "en"), ("*;q=0.1, es;q=0.4", "es"), ("es;q=1.000", "es"),
    ("es;q=2", "en"), ("es;level=1", "en"), (";;;,,,", "en"), ("es" * 5000, "en"), (" es ; q=0.7 , en ; q=0.6 ", "es"), ("español", "en"),
])
def test_the_language_is_the_one_wanted_most_of_those_there_are(header: str, language: str) -> None:
    assert wanted(header.encode()) == language


async def test_errors_speak_spanish_to_whoever_wants_it_on_both_ways(module_database: Any) -> None:
    spanish = {"accept-language": "es-ES,es;q=0.9,en;q=0.8"}
    async with served(module_database) as web:
        admin = await web.person(await web.clinic(), "admin")
        ours = await admin("POST", "/rooms", {"name": ""}, headers=spanish)
        (detail,) = failure(ours, 400, "BODY_INVALID")
        assert ours.json()["error"] == "El cuerpo no se ajusta a esta petición. `details` dice qué campo y por qué."
        assert detail == {"field": "name", "problem": "Se esperaba `str` de longitud >= 1"}
        litestars = await web.client.post("/api/v1/auth/signin", json={"email": "nobody@clinic.example"}, headers=spanish)
        (detail,) = failure(litestars, 400, "BODY_INVALID")
        assert detail == {"field": "password", "problem": "Falta el campo obligatorio `password`"}
        for answer in (ours, litestars, await web.client.get("/nowhere", headers=spanish)):
            assert (answer.headers["content-language"], answer.headers["vary"]) == ("es", "Accept-Language")
        plain = await admin("POST", "/rooms", {"name": ""})
        assert (plain.headers["content-language"], plain.json()["error"]) == ("en", "The body does not fit this request. `details` says which field and why.")


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    a: int


@pytest.mark.parametrize(("body", "kind"), [
    (b"{}", Sample), (b'{"a":1,"b":2}', Sample), (b'{"a":"x"}', Sample), (b"0", Annotated[int, Meta(ge=1)]), (b"3", Annotated[int, Meta(le=1)]),
    (b'""', Annotated[str, Meta(min_length=1)]), (b'"aa"', Annotated[str, Meta(max_length=1)]), (b"[]", Annotated[list[int], Meta(min_length=1)]),
    (b'"x"', Annotated[str, Meta(pattern="^a$")]), (b'"x"', Literal["a"]), (b'"x"', UUID), (b'"x"', datetime), (b'"x"', date),
    (b'"2026-01-01T00:00:00"', Annotated[datetime, Meta(tz=True)]), (b'"2026-01-01T00:00:00Z"', Annotated[datetime, Meta(tz=False)]),
    (b"[1,2]", tuple[int]), (b"3", Annotated[int, Meta(multiple_of=2)]), (b'"x"', bytes),
    (b'{"a":', Sample), (b'{"a":1}x', Sample), (b"{a", Sample), (b'{"a":1 2', Sample), (b"\xff", Sample), (b"[1,]", list[int]),
])
def test_what_the_decoder_says_is_translated(body: bytes, kind: Any) -> None:
    with pytest.raises(msgspec.DecodeError) as wrong:
        msgspec.json.decode(body, type=kind)
    said = problem(str(wrong.value)) if isinstance(wrong.value, msgspec.ValidationError) else offset(str(wrong.value))
    assert translated(said["problem"], "es") != said["problem"]


# --- the catalogues


def catalogue(language: str) -> Entries:
    """Return a catalogue's entries, each with its comments."""
    with (ROOT / f"gateway/kit/words/{language}.po").open("rb") as file:
        return {str(entry.id): (str(entry.string), list(entry.auto_comments)) for entry in read_po(file) if entry.id}


def sayable() -> set[str]:
    """Return every sentence of ours that an error may hold: the refusals', and the problems named in the code."""
    found = {sentence(refusal) for refusal in REFUSALS} | {UNANSWERED}
    for folder in ("domain", "commands", "projections", "gateway"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found |= set(problems(ast.parse(path.read_text("utf-8"))))
    return found


def problems(tree: ast.AST) -> Iterator[str]:
    """Yield what stands after `problem=`, with gaps for what is filled in."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="problem", value=ast.Constant(value=str(text))):
                yield text
            case ast.keyword(arg="problem", value=ast.JoinedStr(values=values)):
                gaps = iter(range(10))
                yield "".join(str(v.value) if isinstance(v, ast.Constant) else f"{{{next(gaps)}}}" for v in values)


def faults(entries: Entries, said: set[str]) -> Iterator[str]:
    """Yield what a catalogue lacks, and what it has in vain."""
    yield from (f"nobody has translated: {text}" for text in sorted(said - {text for text, (there, _) in entries.items() if there}))
    yield from (f"nobody says any more: {text}" for text, (_, notes) in entries.items() if text not in said and DECODER not in notes)
    yield from (f"has other gaps: {text}" for text, (there, _) in entries.items() if sorted(re.findall(r"{\d}", text)) != sorted(re.findall(r"{\d}", there)))


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_error_has_its_sentence_and_no_sentence_is_stale(language: str) -> None:
    assert list(faults(catalogue(language), sayable())) == []


def test_a_missing_a_stale_and_a_torn_sentence_are_caught() -> None:
    entries: Entries = {"Good.": ("Bueno.", []), "Old.": ("Viejo.", []), "Empty.": ("", []), "Of {0}": ("De", []), "theirs": ("suyo", [DECODER])}
    assert len(list(faults(entries, {"Good.", "Empty.", "Of {0}", "New."}))) == 4
    assert list(problems(ast.parse('f(problem=f"a {b} c {d}", other="x"); g(problem="plain")'))) == ["a {0} c {1}", "plain"]
