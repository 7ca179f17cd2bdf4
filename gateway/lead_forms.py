"""Where the forms of a clinic's website live: their settings and their tokens."""

from typing import Annotated, Any, NamedTuple
from uuid import UUID

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter

from commands.lead_forms import ChangeLeadForm, CreateLeadForm, DisableLeadForm, RotateLeadFormToken
from domain.kit import NotFound, only
from domain.lead_forms import LeadForm, LeadFormNeedsLabel, LeadFormNotInUse
from domain.lead_forms import LeadOriginForbidden as LeadOriginForbidden  # noqa: PLC0414 - the public door wants them too
from domain.lead_forms import LeadTokenInvalid as LeadTokenInvalid  # noqa: PLC0414
from gateway.kit import Desk, act
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.lead_forms import stands_somewhere as stands_somewhere  # noqa: PLC0414
from schemas.lead_forms import LeadFormRow, LeadForms, LeadFormShown, Standing

PURPOSE = "lead-form"
MODULE = "lead_inbox"
LeadFormId = Annotated[UUID, PathParameter(description="Id of the form.")]


class Opened(NamedTuple):
    """What a token opens: a form of a clinic, and which of its tokens it is."""

    clinic: UUID
    id: UUID
    number: int
    form: LeadForm


async def opened(services: Services, token: str | None) -> Opened | None:
    """Return the form whose token this is or was; None if it was never one of ours."""
    named = services.links.read(PURPOSE, token) if token else None
    clinic = await services.handler.tenant_of(named.subject) if named else None
    if named is None or clinic is None:
        return None
    entry = await services.handler.streams.get(LeadForm, named.subject, clinic)
    assert isinstance(entry.state, LeadForm)
    return Opened(clinic, named.subject, named.number, entry.state)


async def entered(desk: kit.Desk, token: str | None) -> Opened:
    """Go on in the clinic whose form a token opens; whoever has none that counts cannot tell why."""
    found = await opened(desk.call.services, token)
    if found is None:
        raise LeadTokenInvalid
    await desk.enter(found.clinic)
    clinic = await desk.clinic()
    if not clinic.active or clinic.closing or MODULE not in clinic.modules:
        raise LeadTokenInvalid
    found.form.ensure_open(found.number)
    return found


def shown(desk: kit.Desk, row: Any) -> LeadFormShown:
    """Return a form as whoever asks may see it."""
    token = desk.call.services.links.token(PURPOSE, row.id, row.number) if desk.who.may(CreateLeadForm.permission) else None
    return LeadFormShown(**only(Standing, row), token=token)


@get("/", operation_id="ListLeadForms", opt={"permission": LeadFormRow.permission})
async def listed(desk: Desk) -> LeadForms:
    """List: the forms of the clinic's website, disabled ones too. Tokens are shown to whoever may configure forms."""
    no_query(desk.call.query())
    rows = await desk.reader.find(LeadFormRow)
    return LeadForms(items=[shown(desk, row) for row in sorted(rows, key=lambda row: (row.label.casefold(), row.id))])


@post("/", operation_id="CreateLeadForm", status_code=201, opt={"permission": CreateLeadForm.permission, "refusals": [LeadFormNeedsLabel]})
async def create(desk: Desk, data: JSONBody[CreateLeadForm]) -> LeadFormShown:
    """Create a form for the clinic's website. Its token goes into the page; whoever may configure forms sees it in the list as well."""
    return shown(desk, (await desk.handle(data)).row)


@post("/{id:uuid}/rotate", operation_id="RotateLeadFormToken", status_code=200, opt={
    "permission": RotateLeadFormToken.permission, "refusals": [NotFound, LeadFormNotInUse]})
async def rotate(desk: Desk, id: LeadFormId) -> LeadFormShown:  # noqa: A002
    """Give a form a fresh token. The one before is good for nothing from this moment on: put the fresh one into the page first thing."""
    return shown(desk, (await desk.handle(RotateLeadFormToken(), id)).row)


router = Router("/api/v1/leads/form-configs", tags=["Website leads"], route_handlers=[
    listed,
    create,
    act("/{id:uuid}", ChangeLeadForm, "PATCH"),
    rotate,
    act("/{id:uuid}", DisableLeadForm, "DELETE"),
])
