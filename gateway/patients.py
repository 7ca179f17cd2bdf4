"""Where patients live on the web."""

from collections import Counter
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, get, put
from litestar.params import JSONBody, PathParameter, QueryParameter

from commands.patients import (
    ArchivePatient,
    ChangeMedicalHistory,
    ChangeOwnRecord,
    ChangePatient,
    MergePatients,
    RegisterPatient,
    ReportMedicalHistory,
    RestorePatient,
    UnmergePatients,
)
from domain.kit import Elsewhere, NotFound, only
from domain.patients import (
    Demographics,
    MergedWithItself,
    PatientErased,
    PatientMerged,
    PatientNotActive,
    PatientReplaced,
    VisitsClash,
)
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.errors import NotWhileImpersonating
from gateway.kit.query import no_query
from projections.patients import due, search, whole_history
from schemas.patients import MedicalHistoryRow, MergePreview, OwnRecord, PatientRow, PatientsFound, Reported

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
LoserId = Annotated[UUID, PathParameter(description="Id of the other record.")]
Typed = Annotated[str, QueryParameter(name="q", min_length=1, max_length=200, description="Name in any order, telephone, e-mail address or day of birth.")]
Most = Annotated[int, QueryParameter(name="limit", ge=1, le=100)]


@get("/search", operation_id="SearchPatients", opt={"permission": PatientRow.permission})
async def found(desk: Desk, q: Typed, limit: Most = 20) -> PatientsFound:
    """Find patients.

    Names in any order and with a slip of the keyboard, a telephone in any form, an e-mail address, a day of birth, or several of these;
    the best fit first.
    """
    no_query(desk.call.query(), ("q", "limit"))
    return PatientsFound(items=await search(desk.reader, q, limit))


@get("/{id:uuid}/merge/{loserId:uuid}", operation_id="PreviewMerge", opt={
    "permission": MergePatients.permission, "refusals": [PatientMerged, PatientNotActive, MergedWithItself, PatientErased, VisitsClash, NotFound]})
async def rehearsed(desk: Desk, id: PatientId, loserId: LoserId) -> MergePreview:  # noqa: A002, N803
    """Show: what merging another record into this one would move, without moving it.

    It is decided as the merge itself, so what forbids that is said here too.
    """
    no_query(desk.call.query())
    plans = await desk.rehearse(MergePatients(loser_id=loserId), id)
    events = [event for plan in plans if isinstance(plan, Elsewhere) for event in plan.events]
    moved = [one for event in events if isinstance(event, PatientReplaced) for one in event.moved]
    bills = [one.id for one in moved if one.kind == "invoices"]
    count = Counter(one.kind for one in moved)
    return MergePreview(
        survivor_id=id, loser_id=loserId, appointments=count["appointments"], invoices=len(bills), recalls=count["recalls"],
        due=await due(desk.reader, bills), moved=moved)


# --- patients about themselves


def oneself(desk: kit.Desk) -> UUID:
    """Return the record of the patient who asks; whoever is no patient has none."""
    if desk.who.role != "patient" or desk.who.subject is None:
        raise NotFound(kind="patients")
    return desk.who.subject


async def own(desk: kit.Desk, row: Any) -> OwnRecord:
    """Return a record as its patient sees it: without what the staff note among themselves."""
    keys = desk.call.services.handler.keys
    found = await desk.reader.one(MedicalHistoryRow, row.id)
    history: Any = found and await whole_history(desk.reader, keys, found, None)
    who = {name: value for name, value in only(Demographics, row).items() if name in OwnRecord.__struct_fields__}
    return OwnRecord(
        id=row.id, registered_on=row.registered_on, reported=history.reported if history else None, reported_at=history.reported_at if history else None, **who)


@get("/profile", operation_id="GetOwnRecord", summary="Show: your own record, as a patient", opt={"permission": "self", "refusals": [NotFound]})
async def own_record(desk: Desk) -> OwnRecord:
    """Who you are to the clinic, how it reaches you, and what you have said of your health."""
    no_query(desk.call.query())
    if (row := await desk.reader.one(PatientRow, oneself(desk))) is None:
        raise NotFound(kind="patients")
    return await own(desk, row)


@put("/profile", operation_id="ChangeOwnRecord", summary="Change how the clinic reaches you; what is left out stays", opt={
    "permission": "self", "refusals": [NotFound, PatientNotActive, PatientMerged, NotWhileImpersonating]})
async def change_own(data: JSONBody[ChangeOwnRecord], desk: Desk) -> OwnRecord:
    """Your name, day of birth and national id are the clinic's to change, which has seen your papers."""
    desk.call.only_owner()
    return await own(desk, (await desk.handle(data, oneself(desk))).row)


@put("/profile/medical", operation_id="ReportMedicalHistory", summary="Say which allergies, conditions and medications you have", opt={
    "permission": "self", "refusals": [NotFound, PatientNotActive, PatientMerged, NotWhileImpersonating]})
async def report(data: JSONBody[ReportMedicalHistory], desk: Desk) -> Reported:
    """All that you know of, each time.

    It stands beside what the clinic has noted, which it neither changes nor takes away, for whoever treats you to see; what you said before stays on record.
    """
    desk.call.only_owner()
    await desk.handle(data, oneself(desk))
    return Reported(allergies=data.allergies, conditions=data.conditions, medications=data.medications)


router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[
    browse("/", PatientRow, by=["archived", "registered_on.."], sort="sort_name", only={"merged_into": None}),
    found,
    fetch("/{id:uuid}", PatientRow),
    fetch("/{id:uuid}/medical", MedicalHistoryRow, whole_history),
    create("/", RegisterPatient),
    act("/{id:uuid}", ChangePatient, "PUT"),
    act("/{id:uuid}/medical", ChangeMedicalHistory, "PUT"),
    act("/{id:uuid}", ArchivePatient, "DELETE"),
    act("/{id:uuid}/restore", RestorePatient),
    rehearsed,
    act("/{id:uuid}/merge", MergePatients),
    act("/{id:uuid}/unmerge", UnmergePatients),
    own_record,
    change_own,
    report,
])
