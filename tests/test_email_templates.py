"""Email templates: the clinic's words before the platform's, these before our own; variables are known, and a letter is never markup."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.email_templates import (
    ChangeEmailTemplate,
    ChangeSystemTemplate,
    CreateSystemTemplate,
    ResetEmailTemplate,
    SeedSystemTemplates,
    SendSampleLetter,
)
from commands.staff import HireStaff
from domain.email_templates import (
    Chosen,
    EmailTemplate,
    EmailTemplateChanged,
    EmailTemplateCreated,
    EmailTemplateReset,
    SampleLetterAsked,
    TemplateAsItCame,
    TemplateKnown,
    choose,
    template_of,
)
from domain.kit import PLATFORM, Elsewhere, NotFound
from domain.kit.letters import LANGUAGES, TEMPLATES, TextMalformed, VariableUnknown, Wording, letter, write
from projections.email_templates import email_templates, preview, shown
from schemas.email_templates import EmailTemplateRow, OwnWords, PreviewAsked
from tests.clinic import who
from tests.kit import CLINIC, THIS, facts, given, noon
from tests.mail import MailServer, Outbox, carrying, text
from tests.served import failure, served, until, working

changed = EmailTemplateChanged(key="sample", language="en", subject="Hello {{name}}", body="From {{clinic}}.")
created = EmailTemplateCreated(key="news", about="News", language="es", subject="Hola", body="Noticias de {{clinic}}.")
CHANGE = ChangeEmailTemplate(key="sample", language="en", subject="Hello {{name}}", body="From {{clinic}}.")


def test_a_letter_gets_words_of_ones_own():
    given().when(CHANGE).then(changed)
    given(changed).when(CHANGE).then()
    given(changed).when(replace(CHANGE, language="es")).then(replace(changed, language="es"))
    given().when(replace(CHANGE, key="no-such")).refused(NotFound)


@pytest.mark.parametrize(("subject", "body", "unknown"), [
    ("Hello {{nam}}", "x", ["nam"]), ("x", "{{ code }} {{link}} {{name}}", ["code", "link"]), ("{{__class__}}", "x", None),
    ("x", "{{name", None), ("x", "name}}", None), ("{{name.upper}}", "x", None), ("x", "{{ }}", None), ("x", "{{{{name}}}}", None),
])
def test_a_text_uses_variables_that_there_are(subject, body, unknown):
    why = given().when(replace(CHANGE, subject=subject, body=body)).refused(TextMalformed if unknown is None else VariableUnknown)
    if unknown:
        assert why.details == {"unknown": unknown, "known": ["clinic", "name", "url"]}


def test_words_are_taken_back_in_one_language_or_all():
    spanish = replace(changed, language="es")
    given(changed, spanish).when(ResetEmailTemplate(key="sample", language="en")).then(EmailTemplateReset(key="sample", language="en"))
    assert set(EmailTemplate.replay([changed, spanish, EmailTemplateReset(key="sample", language="en")]).words) == {"es"}
    assert EmailTemplate.replay([changed, spanish, EmailTemplateReset(key="sample")]).words == {}
    given(changed).when(ResetEmailTemplate(key="sample", language="es")).refused(TemplateAsItCame)
    given().when(ResetEmailTemplate(key="sample")).refused(TemplateAsItCame)


def test_a_custom_template_has_a_key_of_its_own_and_keeps_its_words():
    create = CreateSystemTemplate(key="news", about="News", language="es", subject="Hola", body="Noticias de {{clinic}}.")
    given().when(create).then(created)
    given(created).when(create).refused(TemplateKnown)
    given().when(replace(create, key="sample")).refused(TemplateKnown)
    given().when(replace(create, body="{{code}}")).refused(VariableUnknown)
    given(created).when(ResetEmailTemplate(key="news")).refused(TemplateAsItCame)
    given(created).when(ChangeSystemTemplate(key="news", language="en", subject="News", body="x")).then(
        EmailTemplateChanged(key="news", language="en", subject="News", body="x"))


def test_seeding_takes_the_platforms_words_back_wherever_there_are_some(monkeypatch):
    here = replace(noon, clinic=PLATFORM)
    letter("test.other", "A test's.", {}, en=("a", "b"), es=("a", "b"))
    try:
        first = min(TEMPLATES)
        reset = [EmailTemplateReset(key=key) for key in (first, "test.other")]
        there = Elsewhere(state=EmailTemplate, id=template_of(PLATFORM, "test.other"), events=[reset[1]])
        given(at=here).looking(changed=[first, "test.other"]).when(SeedSystemTemplates()).then(reset[0], there)
        given(at=here).looking(changed=["test.other"]).when(SeedSystemTemplates()).then(there)
        given(at=here).looking(changed=[]).when(SeedSystemTemplates()).then()
    finally:
        del TEMPLATES["test.other"]


def test_a_letter_to_try_it_goes_to_whoever_asks():
    someone = replace(noon, subject=THIS)
    given(at=someone).when(SendSampleLetter(key="sample")).then(SampleLetterAsked(key="sample", language="en", staff_id=THIS))
    given().when(SendSampleLetter(key="sample", language="es")).then(SampleLetterAsked(key="sample", language="es"))
    given().when(SendSampleLetter(key="no-such")).refused(NotFound)
    given(created).when(SendSampleLetter(key="news")).then(SampleLetterAsked(key="news", language="en"))


def test_whose_words_count():
    none, own, news = EmailTemplate(), EmailTemplate.replay([changed]), EmailTemplate.replay([created])
    platform = EmailTemplate.replay([replace(changed, subject="Platform"), replace(changed, language="es", subject="Plataforma")])
    ours = {language: Chosen(wording=wording, source="system") for language, wording in TEMPLATES["sample"].words.items()}
    assert choose("sample", "en", none, none) == ours["en"]
    assert choose("sample", "es", own, none) == ours["es"]
    assert (choose("sample", "en", own, platform).source, choose("sample", "es", own, platform).source) == ("clinic", "platform")
    assert choose("news", "en", none, news).wording.subject == "Hola", "in a language that it has"
    with pytest.raises(NotFound):
        choose("no-such", "en", none, none)


def row_of(*events, clinic=CLINIC):
    row = None
    for fact in facts(*events, id=template_of(clinic, events[0].key)):
        row = email_templates(row, fact)
    return row


def test_words_as_they_are_seen():
    words = OwnWords(language="en", subject="Hello {{name}}", body="From {{clinic}}.")
    expected = EmailTemplateRow(id=template_of(CLINIC, "sample"), template="sample", about=None, words=[words])
    assert row_of(changed) == row_of(changed, SampleLetterAsked(key="sample", language="en")) == expected
    assert row_of(changed, EmailTemplateReset(key="sample")).words == []
    assert row_of(SampleLetterAsked(key="sample", language="en")) is None
    (sample,) = [one for one in shown([row_of(changed)], []) if one.key == "sample"]
    assert {one.language: (one.source, one.subject) for one in sample.words} == {
        "en": ("clinic", "Hello {{name}}"), "es": ("system", "Una carta de {{clinic}}"),
    }
    (news,) = [one for one in shown([], [row_of(created)]) if one.custom]
    assert (news.key, news.about, [one.name for one in news.variables]) == ("news", "News", ["name", "clinic", "url"])


def test_a_preview_fills_in_samples_and_keeps_nothing():
    (sample,) = [one for one in shown([row_of(changed)], []) if one.key == "sample"]
    seen = preview(sample, PreviewAsked(body="{{name}} & <b>\n\nhttps://clinic.example/?a=1&b=2"))
    assert (seen.subject, seen.text) == ("Hello Noor Bakker", "Noor Bakker & <b>\n\nhttps://clinic.example/?a=1&b=2\n")
    assert "<p>Noor Bakker &amp; &lt;b&gt;</p>" in seen.html
    assert '<a href="https://clinic.example/?a=1&amp;b=2">https://clinic.example/?a=1&amp;b=2</a>' in seen.html
    with pytest.raises(VariableUnknown):
        preview(sample, PreviewAsked(subject="{{code}}"))


def test_a_value_is_neither_markup_nor_a_line_of_its_own_nor_looked_at_again():
    written = write(Wording(subject="To {{name}}", body="{{name}}"), {"name": "<i>\r\nBcc: x@y {{clinic}}", "clinic": "secret"}, "en")
    assert written.subject == "To <i> Bcc: x@y {{clinic}}"
    assert "&lt;i&gt;" in written.html
    assert "<i>" not in written.html
    assert "secret" not in written.text + written.html


def test_every_letter_speaks_every_language_and_shows_whatever_it_has():
    assert TEMPLATES
    for template in TEMPLATES.values():
        assert set(template.words) == set(LANGUAGES)
        assert template.about.endswith(".")
        for wording in template.words.values():
            used = f"{wording.subject} {wording.body}"
            assert [name for name in template.samples if f"{{{{{name}}}}}" not in used] == [], f"{template.key} never shows it"


PATHS = "/email-templates"
SYSTEM = "/superadmin/emails/templates"
WORDS = {"language": "en", "subject": "Greetings from {{clinic}}", "body": "Dear {{name}}"}


async def test_each_clinic_has_its_own_words_and_the_platform_those_of_all(module_database, make_nats):
    nats = make_nats()
    async with served(module_database, nats) as web, working(module_database, nats):
        here, there = await web.clinic(), await web.clinic()
        me, other, root = await web.person(here, "admin"), await web.person(there, "admin"), await web.person(PLATFORM, "superadmin")
        put = await me("PUT", f"{PATHS}/sample", WORDS)
        assert put.status_code == 200, put.text
        platform = await root("PUT", f"{SYSTEM}/sample", {**WORDS, "subject": "The platform"})
        assert platform.status_code == 200, platform.text
        wait = {"x-position": platform.headers["x-position"]}

        async def subject(person, path=PATHS):
            found = (await person("GET", f"{path}/sample", headers=wait)).json()
            return next((one["source"], one["subject"]) for one in found["words"] if one["language"] == "en")

        assert await subject(me) == ("clinic", WORDS["subject"])
        assert await subject(root, SYSTEM) == ("platform", "The platform")

        async def seen_there():
            return await subject(other) == ("platform", "The platform")

        await until(seen_there)
        assert WORDS["subject"] not in (await other("GET", PATHS, headers=wait)).text
        failure(await other("DELETE", f"{PATHS}/sample"), 409, "TEMPLATE_AS_IT_CAME")
        gone = await me("DELETE", f"{PATHS}/sample", params={"language": "en"})
        assert gone.status_code == 200, gone.text
        wait = await me.seen(gone)
        assert await subject(me) == ("platform", "The platform")


async def test_bad_words_are_refused_and_nobody_else_may_have_any(module_database):
    async with served(module_database) as web:
        clinic = await web.clinic()
        me, root = await web.person(clinic, "admin"), await web.person(PLATFORM, "superadmin")
        (detail,) = failure(await me("PUT", f"{PATHS}/sample", {**WORDS, "body": "{{password}}"}), 400, "VARIABLE_UNKNOWN")
        assert detail == {"unknown": ["password"], "known": ["clinic", "name", "url"]}
        failure(await me("PUT", f"{PATHS}/sample", {**WORDS, "body": "{{ {% x %} }}"}), 400, "TEXT_MALFORMED")
        failure(await me("PUT", f"{PATHS}/sample", {**WORDS, "subject": "x\r\nBcc: all@example.org"}), 400, "BODY_INVALID")
        failure(await me("PUT", f"{PATHS}/sample", {**WORDS, "language": "nl"}), 400, "BODY_INVALID")
        failure(await me("PUT", f"{PATHS}/sample", {**WORDS, "body": "x" * 10_001}), 400, "BODY_INVALID")
        failure(await me("PUT", f"{PATHS}/none.such", WORDS), 404, "NOT_FOUND")
        failure(await me("GET", f"{PATHS}/none.such"), 404, "NOT_FOUND")
        failure(await me("POST", f"{PATHS}/none.such/preview", {}), 404, "NOT_FOUND")
        failure(await me("POST", f"{PATHS}/sample/preview", {"body": "{{x}}"}), 400, "VARIABLE_UNKNOWN")
        failure(await root("POST", SYSTEM, {**WORDS, "key": "sample", "about": "x"}), 409, "TEMPLATE_KNOWN")
        for role in ("doctor", "receptionist", "patient"):
            somebody = await web.person(clinic, role, UUID(int=1) if role == "patient" else None)
            for method, path, body in (("GET", PATHS, None), ("PUT", f"{PATHS}/sample", WORDS), ("POST", f"{PATHS}/sample/test", {})):
                assert (await somebody(method, path, body)).status_code == 403, (role, path)
        for method, path, body in (("GET", SYSTEM, None), ("PUT", f"{SYSTEM}/sample", WORDS), ("POST", f"{SYSTEM}/seed", {})):
            failure(await me(method, path, body), 403, "FORBIDDEN")


async def test_a_letter_to_try_it_arrives_as_it_was_previewed(database):
    with MailServer() as server:
        async with served(database) as web, carrying(database, server):
            me = await web.person(*await web_doctor(web))
            preview = (await me("POST", f"{PATHS}/sample/preview", {})).json()
            assert (await me("POST", f"{PATHS}/sample/test", {})).status_code == 200
            await until(Outbox(database).settled)
    (message,) = server.box.taken
    assert text(message).split("\n")[2:] == preview["text"].replace("Grachten Dental", "Grachten").split("\n")[2:]


async def web_doctor(web):
    """A clinic, and a role and a person in it who can be written to."""
    clinic = await web.clinic()
    hired = await web.services.handler.handle(HireStaff(name="Dr Sam Visser", email="sam@example.org", role="admin"), who(clinic))
    return clinic, "admin", hired.id
