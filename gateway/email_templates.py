"""Where the words of letters live on the web: a clinic's own, and those of the platform."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter

from commands.email_templates import (
    ChangeEmailTemplate,
    ChangeSystemTemplate,
    CreateSystemTemplate,
    ResetEmailTemplate,
    ResetSystemTemplate,
    SeedSystemTemplates,
    SendSampleLetter,
    SendSystemSample,
)
from domain.email_templates import TemplateKey
from domain.kit import PLATFORM, NotFound
from domain.kit.letters import TextMalformed, VariableUnknown
from gateway.kit import Desk, act, create
from gateway.kit.query import no_query
from projections.email_templates import preview, shown
from schemas.email_templates import EmailTemplateList, EmailTemplateRow, EmailTemplateShown, Preview, PreviewAsked

Key = Annotated[TemplateKey, PathParameter(description="Which letter, such as `password.reset`.")]
CLINIC, SYSTEM = {"permission": EmailTemplateRow.permission}, {"permission": "superadmin"}
WRONG = [VariableUnknown, TextMalformed]


async def templates(desk: Desk) -> list[EmailTemplateShown]:
    """Return all templates as they count where somebody is."""
    no_query(desk.call.query())
    platform = await (await desk.call.services.reader(PLATFORM)).find(EmailTemplateRow)
    return shown([] if desk.who.clinic == PLATFORM else await desk.reader.find(EmailTemplateRow), platform)


async def template(desk: Desk, key: str) -> EmailTemplateShown:
    """Return one of them."""
    found = next((one for one in await templates(desk) if one.key == key), None)
    if found is None:
        raise NotFound(kind="email_templates", key=key)
    return found


@get("/", operation_id="BrowseEmailTemplates", summary="List: the letters and their words", opt=CLINIC)
async def clinic_templates(desk: Desk) -> EmailTemplateList:
    """Each letter with its variables and the words that count: the clinic's own, the platform's, or those that the program comes with."""
    return EmailTemplateList(items=await templates(desk))


@get("/{key:str}", operation_id="GetEmailTemplate", summary="Show: a letter and its words", opt=CLINIC)
async def clinic_template(desk: Desk, key: Key) -> EmailTemplateShown:
    """With its variables, and the words that count in each language."""
    return await template(desk, key)


@post("/{key:str}/preview", operation_id="PreviewEmailTemplate", status_code=200, summary="Show a letter as it would be sent", opt={**CLINIC, "refusals": WRONG})
async def clinic_preview(desk: Desk, key: Key, data: JSONBody[PreviewAsked]) -> Preview:
    """With sample values, in the words that count or in others that are to be tried; nothing is kept or sent."""
    return preview(await template(desk, key), data)


@get("/", operation_id="BrowseSystemTemplates", summary="List: the platform's letters and their words", opt=SYSTEM)
async def system_templates(desk: Desk) -> EmailTemplateList:
    """Each letter with its variables and the words that count for clinics that have none of their own; custom ones too."""
    return EmailTemplateList(items=await templates(desk))


@get("/{key:str}", operation_id="GetSystemTemplate", summary="Show: one of the platform's letters and its words", opt=SYSTEM)
async def system_template(desk: Desk, key: Key) -> EmailTemplateShown:
    """With its variables, and the words that count in each language."""
    return await template(desk, key)


@post("/{key:str}/preview", operation_id="PreviewSystemTemplate", status_code=200, summary="Show a letter in the platform's words", opt={**SYSTEM, "refusals": WRONG})
async def system_preview(desk: Desk, key: Key, data: JSONBody[PreviewAsked]) -> Preview:
    """With sample values, in the words that count or in others that are to be tried; nothing is kept or sent."""
    return preview(await template(desk, key), data)


clinics = Router("/api/v1/protected/email-templates", tags=["Email Templates"], route_handlers=[
    clinic_templates,
    clinic_template,
    clinic_preview,
    act("/{key}", ChangeEmailTemplate, method="PUT"),
    act("/{key}", ResetEmailTemplate, method="DELETE"),
    act("/{key}/test", SendSampleLetter),
])
platform = Router("/api/v1/protected/superadmin/emails/templates", tags=["Email Templates"], route_handlers=[
    system_templates,
    system_template,
    system_preview,
    create("/", CreateSystemTemplate),
    act("/seed", SeedSystemTemplates),
    act("/{key}", ChangeSystemTemplate, method="PUT"),
    act("/{key}", ResetSystemTemplate, method="DELETE"),
    act("/{key}/test", SendSystemSample),
])
router = Router("/", route_handlers=[clinics, platform])
