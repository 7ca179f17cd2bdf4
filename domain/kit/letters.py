"""Letters: what the installation writes to people, as texts with variables; pure.

How it works: a template is declared once, with the variables it has (by example values, which a preview shows) and its words in each language. Words
are plain text: `{{name}}` is a variable, a blank line a new paragraph. The HTML form is made from the same words, everything escaped; an address on the web
becomes a link. Clinics and the platform may have words of their own, which may use the template's variables and no others.

What may go wrong: a value is never looked at for variables again, so nobody's name can name one. A subject is one line, whatever its values hold.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Annotated, Literal

from msgspec import Meta

from domain.kit.model import Frozen, Invalid

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "es")
LetterLanguage = Annotated[Language | None, Meta(description="Language of the letter; the clinic's unless said.")]
Subject = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\r\n]*\S[^\r\n]*$", description="One line; may hold {{variables}}.",
                              examples=["A letter from {{clinic}}"])]
Body = Annotated[str, Meta(min_length=1, max_length=10_000, pattern=r"\S", description="Plain text; may hold {{variables}}. A blank line begins a new paragraph.",
                           examples=["Dear {{name}},\n\nThis is a letter from {{clinic}}."])]

ALWAYS = {"name": "Noor Bakker", "clinic": "Grachten Dental", "url": "https://clinic.example"}  # every letter has these
_VARIABLE = re.compile(r"{{\s*([a-z][a-z_]*)\s*}}")
_LINK = re.compile(r"(https?://[^\s<>]+)")
_LINE = re.compile(r"[\r\n\0]+")
_FRAME = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{subject}</title></head>
<body style="margin:0;padding:24px;background:#f4f5f7;font:16px/1.5 system-ui,sans-serif;color:#1d2129">
<div style="max-width:36em;margin:auto;padding:24px 32px;background:#fff;border-radius:8px">
{paragraphs}
</div></body></html>
"""


class VariableUnknown(Invalid):
    """The text uses a variable that this letter does not have. `details` names it and lists those there are."""


class TextMalformed(Invalid):
    """Double braces hold the name of a variable, such as {{name}}, and nothing else."""


class Wording(Frozen):
    """What a letter says."""

    subject: Subject
    body: Body

    def check(self, known: Iterable[str]) -> None:
        """Refuse variables that there are not."""
        known = sorted(known)
        for text in (self.subject, self.body):
            rest = _VARIABLE.sub("", text)
            if "{{" in rest or "}}" in rest:
                raise TextMalformed
            if unknown := sorted(set(_VARIABLE.findall(text)) - set(known)):
                raise VariableUnknown(unknown=unknown, known=known)


class Written(Frozen):
    """A letter as it is sent: its subject, and the same text plain and as HTML."""

    subject: str
    text: str
    html: str


class LetterTemplate(Frozen):
    """A letter that the installation can write. `samples` are its own variables with a value such as each has."""

    key: str
    about: str
    samples: dict[str, str]
    words: dict[Language, Wording]

    @property
    def variables(self) -> dict[str, str]:
        """All variables, with a value such as each has."""
        return {**ALWAYS, **self.samples}


TEMPLATES: dict[str, LetterTemplate] = {}


def letter(key: str, about: str, samples: Mapping[str, str], **words: tuple[str, str]) -> str:
    """Declare a letter, with subject and body by language, and return its key."""
    assert key not in TEMPLATES, f"two letters are called {key}"
    assert set(words) == set(LANGUAGES), f"{key} lacks a language"
    texts = {language: Wording(subject=words[language][0], body=words[language][1].strip()) for language in LANGUAGES}
    made = LetterTemplate(key=key, about=about, samples=dict(samples), words=texts)
    for wording in texts.values():
        wording.check(made.variables)
    TEMPLATES[key] = made
    return key


def write(wording: Wording, values: Mapping[str, str], language: str) -> Written:
    """Fill words with values."""
    subject = _LINE.sub(" ", _filled(wording.subject, values))
    text = _filled(wording.body, values).strip() + "\n"
    paragraphs = "\n".join(f"<p>{_marked(p)}</p>" for p in re.split(r"\n\s*\n", text.strip()))
    return Written(subject=subject, text=text, html=_FRAME.format(language=language, subject=escape(subject), paragraphs=paragraphs))


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1], ""), text)


def _marked(paragraph: str) -> str:
    """Return a paragraph as HTML: escaped, addresses as links, lines kept."""
    pieces = _LINK.split(paragraph)
    marked = [f'<a href="{escape(p)}">{escape(p)}</a>' if n % 2 else escape(p) for n, p in enumerate(pieces)]
    return "".join(marked).replace("\n", "<br>\n")
