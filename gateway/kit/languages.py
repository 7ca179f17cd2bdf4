"""Which language an error speaks, and its sentences in that language.

How it works: what is written in the code is English and is the key; `words/es.po` has each sentence in Spanish, in the format that translators' tools
read. A sentence may have gaps, as `{0}` in the catalogue: what was filled in is found again and put into the translation. `Accept-Language` chooses by its
quality values; English is the default, and where nothing else is wanted.

What may go wrong: a sentence that was changed in the code alone would be English to everybody; `tests/test_languages.py` finds it.
"""

import re
from functools import cache, lru_cache
from importlib.resources import files

from babel.messages.pofile import read_po

DEFAULT = "en"
LANGUAGES = (DEFAULT, "es")
LONGEST = 256  # bytes of a header that are worth a look
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?")
_GAP = re.compile(r"\\{\d\\}")


@lru_cache(1024)
def wanted(header: bytes) -> str:
    """Return the language that an Accept-Language header wants most, of those there are."""
    best, chosen = 0.0, DEFAULT
    for one in header[:LONGEST].decode("latin-1").split(","):
        found = _RANGE.fullmatch(one)
        quality = float(found[2] or 1) if found else 0.0
        if found and quality > best and found[1].lower() in {*LANGUAGES, "*"}:
            best, chosen = quality, DEFAULT if found[1] == "*" else found[1].lower()
    return chosen


def translated(sentence: str, language: str) -> str:
    """Return a sentence in a language; in English if it has no translation."""
    if language == DEFAULT:
        return sentence
    plain, gapped = _catalogue(language)
    if (found := plain.get(sentence)) is not None:
        return found
    for pattern, there in gapped:
        if filled := pattern.fullmatch(sentence):
            return there.format(*filled.groups())
    return sentence


@cache
def _catalogue(language: str) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Return the sentences of a language: those that stand as they are, and those with gaps."""
    with files("gateway.kit").joinpath(f"words/{language}.po").open("rb") as file:
        said = {str(entry.id): str(entry.string) for entry in read_po(file) if entry.id and entry.string}
    gapped = [(re.compile(_GAP.sub("(.+)", re.escape(there)), re.DOTALL), ours) for there, ours in said.items() if "{0}" in there]
    return {there: ours for there, ours in said.items() if "{0}" not in there}, gapped
