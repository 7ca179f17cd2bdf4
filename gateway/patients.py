"""Where patients live on the web."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, field

from commands.kit.ids import derived, new_id
from commands.patients import (
    AddMedicalEntry,
    AmendMedicalEntry,
    ArchivePatient,
    BlockPatient,
    ChangeMedicalHistory,
    ChangeOwnPreferences,
    ChangeOwnRecord,
    ChangePatient,
    ChangePatientGroups,
    ChangePatientPreferences,
    EndMedicalEntry,
    MergePatients,
    RefuteMedicalEntry,
    RegisterPatient,
    ReopenMedicalEntry,
    ReportMedicalHistory,
    RestorePatient,
    UnblockPatient,
    UnmergePatients,
)
from domain.kit import Elsewhere, Frozen, NotFound, Reason, Refused, day, only
from domain.patients import (
    Demographics,
    Groups,
    MedicalEndImpossible,
    MedicalEntry,
    MedicalEntryClosed,
    MedicalEntryDoubled,
    MedicalEntryMisplaced,
    MedicalEntryOpen,
    MedicalEntryUnknown,
    MedicalList,
    MergedWithItself,
    PatientErased,
    PatientMerged,
    PatientNotActive,
    PatientReplaced,
    Preferences,
    PreferredNotADoctor,
    VisitsClash,
)
from domain.patients import alike as same_entry
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.call import Call
from gateway.kit.errors import NotWhileImpersonating, code
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.kit import PROJECTIONS
from projections.patients import due, groups, likenesses, mine, preferences_of, search, statistics, whole_history
from schemas.patients import (
    Grouped,
    GroupedPatients,
    Likenesses,
    MedicalHistoryRow,
    MedicalRecord,
    MergePreview,
    OwnRecord,
    PatientGroups,
    PatientPreferencesRow,
    PatientRow,
    PatientsFound,
    PatientStatistics,
    PreferencesOfPatient,
    Reported,
)

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
LoserId = Annotated[UUID, PathParameter(description="Id of the other record.")]
Typed = Annotated[str, QueryParameter(name="q", min_length=1, max_length=200, description="Name in any order, telephone, e-mail address, day of birth or number.")]
Most = Annotated[int, QueryParameter(name="limit", ge=1, le=100)]


@get("/search", operation_id="SearchPatients", opt={"permission": PatientRow.permission})
async def found(desk: Desk, q: Typed, limit: Most = 20) -> PatientsFound:
    """Find patients.

    Names in any order and with a slip of the keyboard, a telephone in any form, an e-mail address, a day of birth, the patient's number here, in
    another program or on their papers, or several of these; the best fit first, a number before anything else.
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


# --- medical histories, entry by entry

REFUSED = [NotFound, PatientNotActive, PatientMerged]
MEDICAL = {"permission": AddMedicalEntry.permission}
EntryId = Annotated[UUID, PathParameter(description="Id of the entry.")]


async def history_of(desk: kit.Desk, patient: UUID) -> MedicalHistoryRow | None:
    """Return a medical history as the store has it this very moment, all records of the patient's together."""
    keys, streams = desk.call.services.handler.keys, desk.call.services.handler.streams
    found: Any = (await streams.projected(PROJECTIONS[MedicalHistoryRow.table], patient, desk.who.clinic))[0]
    return found and await whole_history(desk.reader, keys, found, None)


async def entry_after(desk: kit.Desk, command: AddMedicalEntry | AmendMedicalEntry | EndMedicalEntry | RefuteMedicalEntry | ReopenMedicalEntry, patient: UUID,
                      status: int = 200) -> Response[MedicalRecord]:
    """Have a command decided and return the entry that it is about, as it is then."""
    receipt = await desk.handle(command, patient)
    found = await history_of(desk, patient)
    entries = (found.entries if found else None) or []
    if isinstance(command, AddMedicalEntry):
        mine = [one for one in entries if one.what == command.what and same_entry(one.changes[0].entry) == same_entry(command.entry)]
    else:
        mine = [one for one in entries if one.id == command.entry_id]
    if not mine:  # the patient has been forgotten since
        raise MedicalEntryUnknown
    return Response(mine[-1], status_code=status, headers={"x-position": str(receipt.position), "etag": f'"{receipt.version}"'})


class MedicalAddition(MedicalEntry, forbid_unknown_fields=True):
    """An entry to be added, and to which list."""

    what: MedicalList


class MedicalAmendment(MedicalEntry, forbid_unknown_fields=True):
    """What an entry says from now on, and why."""

    reason: Reason


class MedicalEnd(Frozen, forbid_unknown_fields=True):
    """On which day it ended (today, if it is not said), and why."""

    ended_on: dt.date | None = None
    reason: Reason | None = None


class MedicalRefutation(Frozen, forbid_unknown_fields=True):
    """Why an entry never held."""

    reason: Reason


class MedicalReopening(Frozen, forbid_unknown_fields=True):
    """Why an entry holds after all."""

    reason: Reason | None = None


@post("/{id:uuid}/medical/entries", operation_id="AddMedicalEntry", status_code=201, summary="Add an allergy, a condition or a medication to a medical history", opt={
    **MEDICAL, "refusals": [*REFUSED, MedicalEntryDoubled, MedicalEntryMisplaced]})
async def add_entry(desk: Desk, id: PatientId, data: JSONBody[MedicalAddition]) -> Response[MedicalRecord]:  # noqa: A002
    """Severity and certainty are an allergy's, a dosage is a medication's. What is there already is amended instead."""
    return await entry_after(desk, AddMedicalEntry(what=data.what, entry=MedicalEntry(**only(MedicalEntry, data))), id, 201)


@put("/{id:uuid}/medical/entries/{entryId:uuid}", operation_id="AmendMedicalEntry", summary="Amend an entry of a medical history, and say why", opt={
    **MEDICAL, "refusals": [*REFUSED, MedicalEntryUnknown, MedicalEntryClosed, MedicalEntryDoubled, MedicalEntryMisplaced]})
async def amend_entry(desk: Desk, id: PatientId, entryId: EntryId, data: JSONBody[MedicalAmendment]) -> Response[MedicalRecord]:  # noqa: A002, N803
    """What is left out is cleared; what it said before stays with it."""
    return await entry_after(desk, AmendMedicalEntry(entry_id=entryId, entry=MedicalEntry(**only(MedicalEntry, data)), reason=data.reason), id)


@post("/{id:uuid}/medical/entries/{entryId:uuid}/end", operation_id="EndMedicalEntry", status_code=200, summary="Note that an entry of a medical history holds no more", opt={
    **MEDICAL, "refusals": [*REFUSED, MedicalEntryUnknown, MedicalEntryClosed, MedicalEndImpossible]})
async def end_entry(desk: Desk, id: PatientId, entryId: EntryId, data: JSONBody[MedicalEnd]) -> Response[MedicalRecord]:  # noqa: A002, N803
    """A medicine is not taken any more, a condition has healed, an allergy was outgrown."""
    return await entry_after(desk, EndMedicalEntry(entry_id=entryId, ended_on=data.ended_on, reason=data.reason), id)


@post("/{id:uuid}/medical/entries/{entryId:uuid}/refute", operation_id="RefuteMedicalEntry", status_code=200, summary="Note that an entry of a medical history was entered in error", opt={
    **MEDICAL, "refusals": [*REFUSED, MedicalEntryUnknown, MedicalEntryClosed]})
async def refute_entry(desk: Desk, id: PatientId, entryId: EntryId, data: JSONBody[MedicalRefutation]) -> Response[MedicalRecord]:  # noqa: A002, N803
    """It never held; it stays on record, with the reason."""
    return await entry_after(desk, RefuteMedicalEntry(entry_id=entryId, reason=data.reason), id)


@post("/{id:uuid}/medical/entries/{entryId:uuid}/reopen", operation_id="ReopenMedicalEntry", status_code=200, summary="Note that an entry of a medical history holds after all", opt={
    **MEDICAL, "refusals": [*REFUSED, MedicalEntryUnknown, MedicalEntryOpen, MedicalEntryDoubled]})
async def reopen_entry(desk: Desk, id: PatientId, entryId: EntryId, data: JSONBody[MedicalReopening]) -> Response[MedicalRecord]:  # noqa: A002, N803
    """Undoes that it was ended, or was entered in error."""
    return await entry_after(desk, ReopenMedicalEntry(entry_id=entryId, reason=data.reason), id)


# --- many patients at once


class GroupChange(Frozen, forbid_unknown_fields=True):
    """Whom to put into which groups, and out of which."""

    patient_ids: Annotated[list[UUID], Meta(min_length=1, max_length=200, description="Ids of patients of the clinic.")]
    add: Groups = field(default_factory=list)
    remove: Groups = field(default_factory=list)


@get("/groups", operation_id="ListPatientGroups", summary="List: the groups that patients are in", opt={"permission": PatientRow.permission})
async def grouped(desk: Desk) -> PatientGroups:
    """Each by its name, with how many patients are in it; a group is there as long as somebody is in it."""
    no_query(desk.call.query())
    return PatientGroups(items=await groups(desk.reader))


@post("/groups", operation_id="GroupPatients", status_code=200, summary="Put many patients into groups, or take them out of some", opt={
    "permission": ChangePatientGroups.permission, "refusals": [NotFound]})
async def regroup(desk: Desk, data: JSONBody[GroupChange]) -> GroupedPatients:
    """Each by themselves: `skipped` says what was in the way of whom."""
    desk.require(ChangePatientGroups.permission)
    for patient in data.patient_ids:
        if not await desk.known("patients", patient):
            raise NotFound(kind="patients", id=str(patient))
    batch = derived(b"patient groups", desk.who.clinic.bytes, desk.who.actor.bytes, desk.call.key.encode()) if desk.call.key else new_id()
    wanted = ChangePatientGroups(add=data.add, remove=data.remove)
    return GroupedPatients(items=[await one_grouped(desk, wanted, batch, patient) for patient in dict.fromkeys(data.patient_ids)])


async def one_grouped(desk: kit.Desk, wanted: ChangePatientGroups, batch: UUID, patient: UUID) -> Grouped:
    """Put one of many into groups, or say why not."""
    try:
        await desk.each(wanted, derived(b"groups of a patient", batch.bytes, patient.bytes), patient)
    except Refused as refused:
        if refused.status >= 500:  # noqa: PLR2004 - it is not this patient who is in the way
            raise
        return Grouped(patient_id=patient, skipped=code(type(refused)))
    return Grouped(patient_id=patient)


@get("/statistics", operation_id="GetPatientStatistics", summary="Show: how many patients there are, of which kinds", opt={
    "permission": PatientRow.permission})
async def counted(desk: Desk) -> PatientStatistics:
    """In days of the clinic. Records that were merged into another one count with it."""
    no_query(desk.call.query())
    today = day(dt.datetime.now(dt.UTC), (await desk.clinic()).zone)
    return await statistics(desk.reader, desk.who.actor, today)


@post("/duplicates/check", operation_id="CheckDuplicates", status_code=200, summary="Show: who is in the books already and may be this person", opt={
    "permission": PatientRow.permission})
async def alike(desk: Desk, data: JSONBody[Demographics]) -> Likenesses:
    """Ask before you register somebody; nothing is stored. It says by what each was recognised, and how surely: by papers, e-mail, telephone or day of birth with a name that is the same or nearly so."""
    no_query(desk.call.query())
    return Likenesses(items=await likenesses(desk.reader, data))


async def favourites_only(call: Call) -> Sequence[tuple[str, str, Any]]:
    """Leave those whom the caller has marked."""
    return [("id", "any", await mine(await call.reader(), call.who.actor))]


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


@get("/{id:uuid}/preferences", operation_id="GetPatientPreferences", summary="Show: what a patient likes best", opt={
    "permission": PatientPreferencesRow.detail, "refusals": [NotFound]})
async def preferences(desk: Desk, id: PatientId) -> PreferencesOfPatient:  # noqa: A002
    """Language, ways and times to be reached, doctor, and what is to be seen to; as it was said last, under whichever of their records."""
    no_query(desk.call.query())
    own_only = own_column(PatientPreferencesRow, desk.who) is not None and id != desk.who.subject
    if own_only or (row := await desk.reader.one(PatientRow, id)) is None:
        raise NotFound(kind="patients", id=str(id))
    return await preferences_of(desk.reader, row)


@get("/profile/preferences", operation_id="GetOwnPreferences", summary="Show: what you like best, as a patient", opt={"permission": "self", "refusals": [NotFound]})
async def own_preferences(desk: Desk) -> PreferencesOfPatient:
    """Your language, how and when you are reached, whom you see, and what is to be seen to."""
    no_query(desk.call.query())
    if (row := await desk.reader.one(PatientRow, oneself(desk))) is None:
        raise NotFound(kind="patients")
    return await preferences_of(desk.reader, row)


@put("/profile/preferences", operation_id="ChangeOwnPreferences", summary="Say what you like best, as a patient", opt={
    "permission": "self", "refusals": [NotFound, PatientNotActive, PatientMerged, PreferredNotADoctor, NotWhileImpersonating]})
async def change_own_preferences(data: JSONBody[ChangeOwnPreferences], desk: Desk) -> Preferences:
    """What is left out is cleared."""
    desk.call.only_owner()
    await desk.handle(data, oneself(desk))
    return Preferences(**only(Preferences, data))


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
    browse(
        "/", PatientRow, by=["archived", "registered_on..", "blocked", "birth_date..", "source", "groups[]", "number", "external_id"], sort="sort_name", only={"merged_into": None},
        flags={"favouritesOnly": favourites_only}),
    found,
    grouped,
    regroup,
    counted,
    alike,
    fetch("/{id:uuid}", PatientRow),
    fetch("/{id:uuid}/medical", MedicalHistoryRow, whole_history),
    create("/", RegisterPatient),
    act("/{id:uuid}", ChangePatient, "PUT"),
    act("/{id:uuid}/medical", ChangeMedicalHistory, "PUT"),
    add_entry,
    amend_entry,
    end_entry,
    refute_entry,
    reopen_entry,
    act("/{id:uuid}", ArchivePatient, "DELETE"),
    act("/{id:uuid}/restore", RestorePatient),
    act("/{id:uuid}/block", BlockPatient),
    act("/{id:uuid}/block", UnblockPatient, "DELETE"),
    act("/{id:uuid}/groups", ChangePatientGroups),
    rehearsed,
    act("/{id:uuid}/merge", MergePatients),
    act("/{id:uuid}/unmerge", UnmergePatients),
    preferences,
    act("/{id:uuid}/preferences", ChangePatientPreferences, "PUT"),
    own_record,
    change_own,
    own_preferences,
    change_own_preferences,
    report,
])
