"""What may be asked of the words of letters: by a clinic for its own, by the platform for everybody's."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Decision, Look
from domain.email_templates import EmailTemplate, EmailTemplateReset, TemplateKey, TemplateWords, template_of
from domain.kit import At, Elsewhere, Event, Text
from domain.kit.letters import TEMPLATES, Language


class ChangeEmailTemplate(Creation, TemplateWords):
    """Give a letter words of the clinic's own, in one language. Its variables are checked now."""

    state = EmailTemplate
    permission = "settings.email_templates.edit"

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, self.key)

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.change(self)


class ResetEmailTemplate(Creation):
    """Take the clinic's words for a letter back, in one language or all; those of the platform count again."""

    state = EmailTemplate
    permission = "settings.email_templates.edit"
    key: TemplateKey
    language: Language | None = None

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, self.key)

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.reset(self.key, self.language)


class SendSampleLetter(Creation):
    """Send the letter to yourself, with sample values, in the words that count."""

    state = EmailTemplate
    permission = "settings.email_templates.test"
    key: TemplateKey
    language: Language = "en"

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, self.key)

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.sample(self.key, self.language, at.subject)


class CreateSystemTemplate(Creation, TemplateWords):
    """Create a custom template of the platform's; its variables are those that every letter has."""

    state = EmailTemplate
    permission = "superadmin"
    about: Text

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, self.key)

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.create(self, self.about)


class ChangeSystemTemplate(ChangeEmailTemplate):
    """Give a letter words of the platform's, for every clinic that has none of its own."""

    state = EmailTemplate
    permission = "superadmin"

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.change(self)


class ResetSystemTemplate(ResetEmailTemplate):
    """Take the platform's words for a letter back, in one language or all; those that the program comes with count again."""

    state = EmailTemplate
    permission = "superadmin"

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.reset(self.key, self.language)


class SendSystemSample(SendSampleLetter):
    """Send the letter to yourself, with sample values, in the platform's words."""

    state = EmailTemplate
    permission = "superadmin"

    def decide(self, template: EmailTemplate, at: At) -> list[Event]:
        return template.sample(self.key, self.language, at.subject)


class SeedSystemTemplates(Creation):
    """Put every system template back to the words that the program comes with. Custom ones and clinics' own words stay."""

    state = EmailTemplate
    permission = "superadmin"

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, min(TEMPLATES))

    async def gather(self, look: Look) -> dict[str, Any]:
        states = {key: await look.load(EmailTemplate, template_of(look.at.clinic, key)) for key in TEMPLATES}
        return {"changed": [key for key, state in states.items() if state.words]}

    def decide(self, template: EmailTemplate, at: At, *, changed: list[str]) -> Decision:
        streams: dict[UUID, list[Event]] = {template_of(at.clinic, key): [EmailTemplateReset(key=key)] for key in TEMPLATES if key in changed}
        own = streams.pop(self.stream(at), [])
        return [*own, *(Elsewhere(state=EmailTemplate, id=id_, events=events) for id_, events in streams.items())]
