"""Where forms of consent live on the web, and what patients have agreed to: noted by the clinic, or said by themselves."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from commands.consents import (
    DefineConsentForm,
    GiveOwnConsent,
    RecordConsent,
    RestoreConsentForm,
    RetireConsentForm,
    ReviseConsentForm,
    WithdrawConsent,
    WithdrawOwnConsent,
)
from domain.consents import ConsentFormIsRetired, ConsentNotGiven, ConsentVersion, ConsentVersionUnknown
from domain.kit import Frozen, NotFound, Reason, day
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.errors import NotWhileImpersonating
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.consents import consents_of, missing
from projections.kit.reading import CursorInvalid
from schemas.consents import ConsentFormRow, ConsentRow, ConsentsMissing, ConsentsOfPatient

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
FormInPath = Annotated[UUID, PathParameter(description="Id of the form.")]
Form = Annotated[UUID, QueryParameter(name="formId", description="The form of consent.")]
Current = Annotated[bool, QueryParameter(name="current", description="Whether only a consent to the form's words of today will do.")]
Most = Annotated[int, QueryParameter(name="limit", ge=1, le=200)]
Cursor = Annotated[str | None, QueryParameter(name="cursor", description="The `next` of the page before.", max_length=2000)]


async def today(desk: kit.Desk) -> dt.date:
    """Return the clinic's day."""
    return day(dt.datetime.now(dt.UTC), (await desk.clinic()).zone)


@get("/patient/{patientId:uuid}", operation_id="ListConsentsOfPatient", summary="List: what a patient has agreed to, form by form", opt={
    "permission": ConsentRow.permission, "refusals": [NotFound]})
async def of_patient(desk: Desk, patientId: PatientId) -> ConsentsOfPatient:  # noqa: N803
    """Each form that is in use, or that something was said to, with the words that were agreed to and all that was said; on all records of the patient."""
    no_query(desk.call.query())
    if (own_column(ConsentRow, desk.who) and patientId != desk.who.subject) or not await desk.known("patients", patientId):
        raise NotFound(kind="patients", id=str(patientId))
    now = await today(desk)
    return ConsentsOfPatient(patient_id=patientId, day=now, items=await consents_of(desk.reader, patientId, now))


@get("/missing", operation_id="ListMissingConsents", summary="List: who has no valid consent to something", opt={
    "permission": ConsentRow.permission, "refusals": [NotFound, CursorInvalid]})
async def without(desk: Desk, formId: Form, current: Current = False, limit: Most = 50, cursor: Cursor = None) -> ConsentsMissing:  # noqa: N803
    """Of all patients who are not archived: who never agreed, took it back, or whose consent has run out; with `current` also whoever agreed to earlier words. By name."""
    no_query(desk.call.query(), ("formId", "current", "limit", "cursor"))
    if own_column(ConsentRow, desk.who):
        raise NotFound(kind="consent_forms", id=str(formId))
    form = await desk.reader.one(ConsentFormRow, formId)
    if form is None:
        raise NotFound(kind="consent_forms", id=str(formId))
    return await missing(desk.reader, formId, await today(desk), form.version if current else 0, limit, cursor)


# --- patients about themselves


class OwnConsent(Frozen, forbid_unknown_fields=True):
    """To which version of the form's words: the one that you have read."""

    version: ConsentVersion


class OwnWithdrawal(Frozen, forbid_unknown_fields=True):
    """Why, if you want to say so."""

    reason: Reason | None = None


def oneself(desk: kit.Desk) -> UUID:
    """Return the record of the patient who asks; whoever is no patient has none."""
    if desk.who.role != "patient" or desk.who.subject is None:
        raise NotFound(kind="patients")
    return desk.who.subject


@get("/own", operation_id="ListOwnConsents", summary="List: what you have agreed to, as a patient, and what you may", opt={
    "permission": "self", "refusals": [NotFound]})
async def own(desk: Desk) -> ConsentsOfPatient:
    """Each form with its words; and all that you, or whoever answers for you, said to it."""
    no_query(desk.call.query())
    me, now = oneself(desk), await today(desk)
    return ConsentsOfPatient(patient_id=me, day=now, items=await consents_of(desk.reader, me, now))


@post("/own/{formId:uuid}", operation_id="GiveOwnConsent", status_code=200, summary="Agree to what a form says, as a patient", opt={
    "permission": "self", "refusals": [NotFound, ConsentFormIsRetired, ConsentVersionUnknown, NotWhileImpersonating]})
async def give_own(desk: Desk, formId: FormInPath, data: JSONBody[OwnConsent]) -> Response[ConsentRow]:  # noqa: N803
    """To the words that you have read; it can be taken back."""
    desk.call.only_owner()
    oneself(desk)
    return desk.answer(GiveOwnConsent, await desk.handle(GiveOwnConsent(form_id=formId, version=data.version)))


@post("/own/{formId:uuid}/withdraw", operation_id="WithdrawOwnConsent", status_code=200, summary="Take back what you have agreed to, as a patient", opt={
    "permission": "self", "refusals": [NotFound, ConsentNotGiven, NotWhileImpersonating]})
async def withdraw_own(desk: Desk, formId: FormInPath, data: JSONBody[OwnWithdrawal]) -> Response[ConsentRow]:  # noqa: N803
    """From today on; that you had agreed stays on record."""
    desk.call.only_owner()
    oneself(desk)
    return desk.answer(WithdrawOwnConsent, await desk.handle(WithdrawOwnConsent(form_id=formId, reason=data.reason)))


router = Router("/api/v1/protected", tags=["Consents"], route_handlers=[
    Router("/consent-forms", route_handlers=[
        browse("/", ConsentFormRow, by=["purpose", "retired"], sort="name"),
        fetch("/{id:uuid}", ConsentFormRow),
        create("/", DefineConsentForm),
        act("/{id:uuid}", ReviseConsentForm, "PUT"),
        act("/{id:uuid}", RetireConsentForm, "DELETE"),
        act("/{id:uuid}/restore", RestoreConsentForm),
    ]),
    Router("/consents", route_handlers=[
        browse("/", ConsentRow, by=["patient_id", "form_id", "withdrawn", "given_on..", "valid_until..", "way"], sort="-noted_at", sorts=["given_on", "valid_until"]),
        of_patient,
        without,
        create("/", RecordConsent),
        act("/withdraw", WithdrawConsent),
        own,
        give_own,
        withdraw_own,
    ]),
])
