"""Email templates: the words of the letters, where a clinic or the platform has words of its own.

A clinic's words outrank the platform's, and these the ones that the program comes with (`domain.letters`). The platform may also have templates that belong to
no event: custom ones, whose variables are those that every letter has.
"""

from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Event, Frozen, NotFound, Refused, StaffId, State, Text, only
from domain.kit.letters import ALWAYS, TEMPLATES, Language, Wording

EMAIL_TEMPLATES = UUID("b1d5c1c8-5d0a-5c2c-8f0e-0c5b0a3e7c44")
TemplateKey = Annotated[str, Meta(min_length=2, max_length=80, pattern=r"^[a-z][a-z0-9]*([._-][a-z0-9]+)*$", examples=["sample"])]


class TemplateWords(Wording):
    """What a template says in one language."""

    key: TemplateKey
    language: Language


class EmailTemplateCreated(Event, TemplateWords):
    about: Text


class EmailTemplateChanged(Event, TemplateWords): ...


class EmailTemplateReset(Event):
    """Back to the words that count without ours, in one language or all."""

    key: TemplateKey
    language: Language | None = None


class SampleLetterAsked(Event):
    """Somebody wants to see the letter in his own mailbox: a member of staff, or the account that asked."""

    key: TemplateKey
    language: Language
    staff_id: StaffId | None = None


EmailTemplateEvent = EmailTemplateCreated | EmailTemplateChanged | EmailTemplateReset | SampleLetterAsked


class TemplateKnown(Refused):
    """There is a template with that key already. Change it, or choose another key."""


class TemplateAsItCame(Refused):
    """That template has no words of yours to take back."""


def template_of(tenant: UUID, key: str) -> UUID:
    """Return the id of a tenant's template."""
    return uuid5(EMAIL_TEMPLATES, f"{tenant}/{key}")


class EmailTemplate(State):
    """One template, as far as a clinic or the platform has words of its own for it."""

    kind: ClassVar[str] = "email_templates"
    about: str = ""  # of a custom one
    words: dict[Language, Wording] = field(default_factory=dict)

    def evolve(self, event: EmailTemplateEvent) -> Self:
        match event:
            case EmailTemplateCreated(about=about, language=language):
                return replace(self, about=about, words={language: Wording(**only(Wording, event))})
            case EmailTemplateChanged(language=language):
                return replace(self, words={**self.words, language: Wording(**only(Wording, event))})
            case EmailTemplateReset(language=language):
                return replace(self, words={k: v for k, v in self.words.items() if language not in {None, k}})
            case SampleLetterAsked():
                return self

    def create(self, words: TemplateWords, about: str) -> list[Event]:
        if words.key in TEMPLATES or self.about:
            raise TemplateKnown(key=words.key)
        words.check(ALWAYS)
        return [EmailTemplateCreated(about=about, **only(TemplateWords, words))]

    def change(self, words: TemplateWords) -> list[Event]:
        words.check(self.variables(words.key))
        if self.words.get(words.language) == Wording(**only(Wording, words)):
            return []
        return [EmailTemplateChanged(**only(TemplateWords, words))]

    def reset(self, key: str, language: Language | None) -> list[Event]:
        """Take our words back; a custom template keeps those it has, for it has no others."""
        if self.about or not (self.words if language is None else language in self.words):
            raise TemplateAsItCame
        return [EmailTemplateReset(key=key, language=language)]

    def sample(self, key: str, language: Language, staff: UUID | None) -> list[Event]:
        self.variables(key)
        return [SampleLetterAsked(key=key, language=language, staff_id=staff)]

    def variables(self, key: str) -> dict[str, str]:
        """Return the template's variables, with a value such as each has; a custom one has only those that every letter has."""
        if (system := TEMPLATES.get(key)) is not None:
            return system.variables
        if not self.about:
            raise NotFound(kind=self.kind, key=key)
        return ALWAYS


class Chosen(Frozen):
    """The words that count, and whose they are."""

    wording: Wording
    source: str


def choose(key: str, language: Language, clinic: EmailTemplate, platform: EmailTemplate) -> Chosen:
    """Return the words that count in a language: the clinic's, the platform's, the program's; of a custom template any it has."""
    for state, source in ((clinic, "clinic"), (platform, "platform")):
        if (wording := state.words.get(language)) is not None:
            return Chosen(wording=wording, source=source)
    if (system := TEMPLATES.get(key)) is not None:
        return Chosen(wording=system.words[language], source="system")
    if not platform.words:
        raise NotFound(kind=EmailTemplate.kind, key=key)
    return Chosen(wording=next(iter(platform.words.values())), source="platform")
