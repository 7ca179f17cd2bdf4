"""What may be seen of the words of letters."""

from typing import ClassVar, Literal

from domain.kit import Frozen, Id
from domain.kit.letters import Body, Language, Subject, Wording
from schemas.kit import Row

Source = Literal["clinic", "platform", "system"]


class OwnWords(Wording):
    """What a template says in one language, in words of the clinic's or the platform's own."""

    language: Language


class EmailTemplateRow(Row):
    """A template for which the clinic, or the platform, has words of its own; `about` is a custom template's."""

    table: ClassVar[str] = "email_templates"
    permission: ClassVar[str] = "settings.email_templates.view"
    id: Id
    template: str
    about: str | None
    words: list[OwnWords]


class ShownWords(OwnWords):
    """The words that count in a language, and whose they are."""

    source: Source


class Variable(Frozen):
    """What a text may use as {{name}}, and a value such as it has."""

    name: str
    sample: str


class EmailTemplateShown(Frozen):
    """A letter that can be sent: when, in which words, with which variables."""

    key: str
    about: str
    custom: bool
    variables: list[Variable]
    words: list[ShownWords]


class EmailTemplateList(Frozen):
    """All templates, by key."""

    items: list[EmailTemplateShown]


class PreviewAsked(Frozen, forbid_unknown_fields=True):
    """In which language, and with which words instead of those that count."""

    language: Language = "en"
    subject: Subject | None = None
    body: Body | None = None


class Preview(Frozen):
    """A letter as it would be sent, with sample values."""

    language: Language
    subject: str
    text: str
    html: str
