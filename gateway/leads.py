"""Where visitors of a clinic's website write, where the clinic sees to them, and where the platform deletes what it is asked to."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, delete, post, route
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from commands.kit.doors import LEAD_FORMS, LEAD_REPLIES, LEADS
from commands.kit.errors import RateLimited
from commands.kit.ids import derived
from commands.leads import ChangeLeadStatus, ConvertLead, Gender, SubmitLead, described
from domain.kit import Frozen, NotFound, PatientId, Reason, day, only
from domain.leads import (
    Enquiry,
    Lead,
    LeadBirthDateImpossible,
    LeadContactMissing,
    LeadForgotten,
    LeadIsPatient,
    LeadMayBeKnown,
    LeadName,
    LeadNeedsGender,
)
from gateway.erasures import AskErasure, forget
from gateway.kit import Desk, act, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.app import call_of
from gateway.kit.cors import allow, origin_of, preflight
from gateway.kit.query import no_query
from gateway.kit.routes import sees
from gateway.lead_forms import LeadOriginForbidden, LeadTokenInvalid, entered, opened, stands_somewhere
from projections.patients import likenesses
from schemas.erasures import ErasureReport
from schemas.leads import LeadConversion, LeadEntry, LeadLikeness, LeadRow, LeadTaken, LeadTraceRow

DOCUMENTED, NEUTRAL = "X-OdontoX-Token", "X-Form-Token"
SENT = f"Content-Type, Idempotency-Key, {DOCUMENTED}, {NEUTRAL}"
BLOCKING = {"certain", "likely"}
ASKED = "The platform was asked to delete it."
Token = Annotated[str | None, HeaderParameter(name=DOCUMENTED, description="The token of the form.")]
OtherToken = Annotated[str | None, HeaderParameter(name=NEUTRAL, description="The same, by another name.")]
LeadId = Annotated[UUID, PathParameter(description="Id of the lead.")]
Why = Annotated[Reason | None, QueryParameter(description="Why; kept for ever in the history.")]
Trap = Annotated[str, Meta(max_length=2000, description="A field that people do not see and leave empty. What fills it in lands among the spam.", examples=[""])]


class WebsiteForm(Enquiry, forbid_unknown_fields=True):
    """Who you are and what you wish; leave a telephone number or an e-mail address."""

    first_name: LeadName
    website: Trap = ""


class LeadConvert(Frozen, forbid_unknown_fields=True):
    """Who the lead is: the patient of the clinic named by `patientId`, or somebody to be registered; `despiteLikeness` registers them although somebody in the books is like them."""

    gender: Gender = None
    patient_id: PatientId | None = None
    despite_likeness: bool = False


# --- the door for everybody


async def show_to_page(request: Request[Any, Any, Any]) -> None:
    """Let a page on which the form stands see the answer, errors included; before anything else is looked at."""
    call = call_of(request.scope)
    origin = origin_of(call.headers)
    token = call.headers.get(DOCUMENTED.lower().encode(), call.headers.get(NEUTRAL.lower().encode(), b"")).decode("latin-1")
    if origin is not None and (found := await opened(call.services, token)) is not None and found.form.stands_on(origin):
        allow(call, origin)


@route("/", http_method=["OPTIONS"], operation_id="PreflightLead", status_code=204, opt={"public": True, "preflight": True})
async def asked_before(desk: Desk) -> Response[None]:
    """Say whether pages of a website may send a form: those may on which some form stands that is in use.

    A browser asks this by itself, before it tells the token. Which form it is, and whether it stands there, is looked at when it is sent.
    """
    origin = origin_of(desk.call.headers)
    headers = preflight(origin, "POST", SENT) if origin is not None and await stands_somewhere(desk.reader, origin) else []
    return Response(None, status_code=204, headers={"vary": "Origin", **{name.decode(): value.decode() for name, value in headers}})


@post("/", operation_id="SubmitLead", status_code=201, before_request=show_to_page, opt={
    "public": True, "refusals": [LeadTokenInvalid, LeadOriginForbidden, LeadContactMissing, LeadBirthDateImpossible]})
async def submit(desk: Desk, data: JSONBody[WebsiteForm], token: Token = None, other: OtherToken = None) -> LeadTaken:
    """Write to a clinic by a form of its website.

    The same once more on the same day is the same lead. Twenty an hour from one network address, two hundred an hour by one form.
    """
    no_query(desk.call.query())
    doors = desk.call.services.doors
    await doors.enter(LEADS, desk.call.address)
    found = await entered(desk, token or other)
    found.form.ensure_from(origin_of(desk.call.headers))
    await doors.enter(LEAD_FORMS, str(found.id))
    said = only(Enquiry, data)
    command = SubmitLead(**said, form_id=found.id, number=found.number, trapped=bool(data.website), answer=await may_answer(desk, data))
    receipt = await desk.handle(command, command_id=await submission(desk, found.id, said))
    return LeadTaken(ok=True, lead_id=receipt.id)


async def may_answer(desk: kit.Desk, data: WebsiteForm) -> bool:
    """Say whether an address may be written to: it is whoever's the visitor says it is, who may have had letters of ours by strangers' doing."""
    if data.email is None or data.website:
        return False
    try:
        await desk.call.services.doors.enter(LEAD_REPLIES, data.email.lower())
    except RateLimited:
        return False
    return True


async def submission(desk: kit.Desk, form: UUID, said: dict[str, Any]) -> UUID:
    """Return the id of what is said by a form on a day: sent twice, it happens once. It tells nothing to whoever lacks our key."""
    today = day(datetime.now(UTC), (await desk.clinic()).zone)
    return derived(b"lead", form.bytes, today.isoformat().encode(), desk.call.services.handler.mac(msgspec.json.encode(said, order="deterministic")))


# --- the clinic's inbox


@post("/{id:uuid}/convert", operation_id="ConvertLead", status_code=200, opt={
    "permission": ConvertLead.permission,
    "refusals": [NotFound, LeadIsPatient, LeadMayBeKnown, LeadNeedsGender, LeadForgotten]})
async def convert(desk: Desk, id: LeadId, data: JSONBody[LeadConvert]) -> LeadConversion:  # noqa: A002
    """Register a lead as a patient, in one step; or say with `patientId` which patient they are.

    Whoever is in the books already and is certainly or likely this person stands in the way, and is named. Whoever merely has the same e-mail address or telephone does
    not, and is named in the answer.
    """
    no_query(desk.call.query())
    alike = [] if data.patient_id else await known_as(desk, id)
    if not data.despite_likeness and (found := [one for one in alike if one.grade in BLOCKING]):
        raise LeadMayBeKnown(alike=msgspec.to_builtins(found))
    receipt = await desk.handle(ConvertLead(gender=data.gender, patient_id=data.patient_id), id)
    lead: Any = receipt.row
    patient: Any = (await desk.call.services.handler.streams.get(desk.call.services.kinds.patient, lead.patient_id, desk.who.clinic, row=True)).row
    return LeadConversion(lead=lead, patient=patient if patient is not None and sees(desk.who, patient) else None, alike=alike)


async def known_as(desk: kit.Desk, lead: UUID) -> list[LeadLikeness]:
    """Return which patients may be the one that wrote; nobody once that is settled."""
    services = desk.call.services
    if not await desk.known(Lead.kind, lead):
        raise NotFound(kind=Lead.kind, id=str(lead))
    row: Any = (await services.handler.streams.get(Lead, lead, desk.who.clinic, row=True)).row
    if row is None or row.status == "converted":
        return []
    reader = await services.reader(desk.who.clinic, await desk.reader.head())  # whoever was registered a moment ago is in the books
    return [LeadLikeness(patient_id=one.patient.id, grade=one.grade, reasons=one.reasons) for one in await likenesses(reader, described(row))]


# --- the platform's


@delete("/{id:uuid}", operation_id="DeleteLead", status_code=200, opt={"permission": "superadmin", "refusals": [NotFound]})
async def erase(desk: Desk, id: LeadId, reason: Why = None) -> ErasureReport:  # noqa: A002
    """Delete a lead of any clinic for good: its key is destroyed, and it leaves the inbox.

    Nobody can read any more who wrote, and what, in the event log, the stream or backups. That it was there and was deleted, by whom and why, stays in the audit of the clinic.
    """
    return await forget(desk, AskErasure(kind="leads", person_id=id, reason=reason or ASKED))


router = Router("/api/v1", tags=["Website leads"], route_handlers=[
    Router("/public/leads", route_handlers=[asked_before, submit]),
    Router("/leads", route_handlers=[
        browse(
            "/", LeadEntry, by=["status", "form_id", "suspected", "earlier_id", "patient_id", "submitted_at.."], sort="-submitted_at", sorts=["status"]),
        fetch("/{id:uuid}", LeadRow),
        act("/{id:uuid}", ChangeLeadStatus, "PATCH"),
        convert,
    ]),
    Router("/protected/admin/admin/leads", route_handlers=[
        browse("/", LeadTraceRow, by=["clinic", "status", "email", "phone", "submitted_at.."], sort="-submitted_at"),
        erase,
    ]),
])
