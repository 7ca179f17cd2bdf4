"""How the words of letters become rows, and which of them count."""

from collections.abc import Iterable

from msgspec.structs import replace

from domain.email_templates import (
    EmailTemplateChanged,
    EmailTemplateCreated,
    EmailTemplateEvent,
    EmailTemplateReset,
    TemplateWords,
)
from domain.kit import Fact, only
from domain.kit.letters import ALWAYS, TEMPLATES, Language, Wording, write
from projections.kit import projects
from schemas.email_templates import (
    EmailTemplateRow,
    EmailTemplateShown,
    OwnWords,
    Preview,
    PreviewAsked,
    ShownWords,
    Source,
    Variable,
)


@projects(EmailTemplateRow, of=EmailTemplateEvent)
def email_templates(row: EmailTemplateRow | None, fact: Fact) -> EmailTemplateRow | None:
    match fact.event:
        case EmailTemplateCreated(key=key, about=about) as event:
            return EmailTemplateRow(id=fact.id, template=key, about=about, words=[own(event)])
        case EmailTemplateChanged(key=key, language=language) as event:
            row = row or EmailTemplateRow(id=fact.id, template=key, about=None, words=[])
            return replace(row, words=[*(w for w in row.words if w.language != language), own(event)])
        case EmailTemplateReset(language=language) if row:
            return replace(row, words=[w for w in row.words if language not in {None, w.language}])
    return row


def own(event: TemplateWords) -> OwnWords:
    """Return what an event says of one language."""
    return OwnWords(**only(OwnWords, event))


def shown(own: Iterable[EmailTemplateRow], platform: Iterable[EmailTemplateRow]) -> list[EmailTemplateShown]:
    """Return every template with the words that count, given those of the clinic's own and the platform's."""
    mine, theirs = {row.template: row for row in own}, {row.template: row for row in platform}
    custom = [row for row in (mine | theirs).values() if row.about]
    found = [_system(key, mine.get(key), theirs.get(key)) for key in TEMPLATES] + [_custom(row) for row in custom]
    return sorted(found, key=lambda template: template.key)


def _system(key: str, mine: EmailTemplateRow | None, theirs: EmailTemplateRow | None) -> EmailTemplateShown:
    template = TEMPLATES[key]
    words = {language: _words(wording, language, "system") for language, wording in template.words.items()}
    ours: tuple[tuple[EmailTemplateRow | None, Source], ...] = ((theirs, "platform"), (mine, "clinic"))
    for row, source in ours:
        words |= {w.language: _words(w, w.language, source) for w in (row.words if row else [])}
    return EmailTemplateShown(key=key, about=template.about, custom=False, variables=_variables(template.variables), words=list(words.values()))


def _custom(row: EmailTemplateRow) -> EmailTemplateShown:
    words = [_words(w, w.language, "platform") for w in row.words]
    return EmailTemplateShown(key=row.template, about=row.about or "", custom=True, variables=_variables(ALWAYS), words=words)


def _words(wording: Wording, language: Language, source: Source) -> ShownWords:
    return ShownWords(language=language, source=source, **only(Wording, wording))


def _variables(samples: dict[str, str]) -> list[Variable]:
    return [Variable(name=name, sample=sample) for name, sample in samples.items()]


def preview(template: EmailTemplateShown, asked: PreviewAsked) -> Preview:
    """Return a letter as it would be sent, in the words asked for or else those that count."""
    there = {words.language: words for words in template.words}
    counts = there.get(asked.language) or template.words[0]
    wording = Wording(subject=asked.subject or counts.subject, body=asked.body or counts.body)
    samples = {variable.name: variable.sample for variable in template.variables}
    wording.check(samples)
    written = write(wording, samples, asked.language)
    return Preview(language=asked.language, subject=written.subject, text=written.text, html=written.html)
