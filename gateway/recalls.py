"""Where patients who are to be called back live on the web: the queue, what becomes of each, and whole cohorts at once."""

import asyncio
import datetime as dt
from calendar import monthrange
from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta
from msgspec.structs import replace

from commands.kit.errors import NameTaken
from commands.kit.ids import derived, new_id
from commands.kit.receipt import house
from commands.recalls import (
    AnswerRecall,
    BookRecall,
    CancelRecall,
    ChangeRecall,
    DeclineRecall,
    GenerateRecall,
    LoseRecallVisit,
    NoteRecallAttempt,
    RecallMessage,
    RefuseRecalls,
    ReopenRecall,
    ScheduleRecall,
    WelcomeRecalls,
)
from domain.kit import PLATFORM, Frozen, NotFound, Refused, StaffId, day
from domain.recalls import RecallChannel, RecallDateOutOfRange, RecallDay, RecallKind, ensure_ahead
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.errors import code
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.recalls import Cohort, ToSettle, cohort, to_settle, unwanted
from schemas.recalls import RecallBatch, RecallCandidate, RecallEntry, RecallRow, RecallsOfPatient, RecallWishRow

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
MOST = 200  # recalls made at once
TOGETHER = 25  # of which so many are under way
MONTHS = 12
FILTERS = ["kind", "status", "channel", "batch_id", "patient_id", "doctor_id", "overdue", "date..", "scheduled_at.."]


class RecallCohort(Frozen, forbid_unknown_fields=True):
    """Which patients: whose last visit that took place is longer ago than so many months; and how they are to be called.

    Without `date` they are due today. `doctorId` only takes those whose last visit was to that doctor.
    """

    kind: RecallKind
    months: Annotated[int, Meta(ge=1, le=120)] = MONTHS
    date: RecallDay | None = None
    channel: RecallChannel = "phone"
    message: RecallMessage | None = None
    doctor_id: StaffId | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many at most.")] = MOST
    dry_run: bool = False


@get("/patient/{patientId:uuid}", operation_id="ListRecallsOfPatient", summary="List: a patient's recalls", opt={
    "permission": RecallRow.permission, "refusals": [NotFound]})
async def of_patient(desk: Desk, patientId: PatientId) -> RecallsOfPatient:  # noqa: N803
    """The latest day first; and whether the patient wants to be called back at all."""
    no_query(desk.call.query())
    if not await desk.known("patients", patientId):
        raise NotFound(kind="patients", id=str(patientId))
    found = await desk.reader.find(RecallEntry, patient_id=patientId)
    return RecallsOfPatient(
        patient_id=patientId, unwanted=await unwanted(desk.reader, patientId),
        items=sorted(found, key=lambda one: (one.date, one.scheduled_at, one.id), reverse=True))


@post("/batch-generate", operation_id="GenerateRecalls", status_code=200, opt={
    "permission": GenerateRecall.permission, "refusals": [NotFound, RecallDateOutOfRange]})
async def generate(desk: Desk, data: JSONBody[RecallCohort]) -> RecallBatch:
    """Have a whole cohort called back.

    Patients whose last visit is so long ago, who have no visit to come and no open recall of the kind, who did not decline one since, are not archived and did not ask to be left alone. Those
    who have waited longest come first. Try `dryRun` first: it gives the same counts and the same list, and makes nothing. However often and by however many it is asked, nobody gets two.
    """
    if data.doctor_id is not None and not await desk.known("staff", data.doctor_id):
        raise NotFound(kind="staff", id=str(data.doctor_id))
    today = day(dt.datetime.now(dt.UTC), (await desk.clinic()).zone)
    due = data.date or today
    ensure_ahead(due, today)
    found, count, *_ = await cohort(desk.reader, Cohort(data.kind, months_before(today, data.months), today, data.doctor_id), data.limit)
    if data.dry_run:
        return RecallBatch(batch_id=None, dry_run=True, found=count, created=0, skipped=0, items=found)
    batch = derived(b"recall batch", desk.who.clinic.bytes, desk.who.actor.bytes, desk.call.key.encode()) if desk.call.key else new_id()
    made: list[RecallCandidate] = []
    for first in range(0, len(found), TOGETHER):
        made += await asyncio.gather(*(generated(desk, data, due, batch, one) for one in found[first : first + TOGETHER]))
    created = sum(one.recall_id is not None for one in made)
    return RecallBatch(batch_id=batch, dry_run=False, found=count, created=created, skipped=len(made) - created, items=made)


async def generated(desk: kit.Desk, data: RecallCohort, due: dt.date, batch: UUID, one: RecallCandidate) -> RecallCandidate:
    """Have one patient of a cohort called back, or say why not: somebody else may have been quicker."""
    command = GenerateRecall(
        patient_id=one.patient_id, kind=data.kind, date=due, channel=data.channel, doctor_id=data.doctor_id, message=data.message, batch_id=batch)
    try:
        receipt = await desk.each(command, derived(b"recall of a batch", batch.bytes, one.patient_id.bytes))
    except NameTaken:
        return replace(one, skipped="RECALL_ALREADY_OPEN")
    except Refused as refused:
        if refused.status >= 500:  # noqa: PLR2004 - it is not this patient who is in the way
            raise
        return replace(one, skipped=code(type(refused)))
    return replace(one, recall_id=receipt.id)


def months_before(today: dt.date, months: int) -> dt.date:
    """Return the day so many months before; the last of its month where that is shorter."""
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return dt.date(year, month + 1, min(today.day, monthrange(year, month + 1)[1]))


class Tending:
    """Notes, again and again, which recalls are answered by a visit that was booked, and which are open again because theirs came to nothing.

    Every gateway does: what one has noted the others find done. At first all recalls are looked at, then those whom something that happened since is about.
    """

    __name__ = "recalls"

    def __init__(self) -> None:
        self.since: int | None = None

    async def __call__(self, services: Services) -> None:
        found, upto = await to_settle(services.reading.lanes, self.since)
        if all([await settled(services, one) for one in found]):
            self.since = upto


async def settled(services: Services, one: ToSettle) -> bool:
    """Note what a visit has done to a recall; say whether that could be decided just now."""
    command = (LoseRecallVisit if one.lost else AnswerRecall)(appointment_id=one.appointment)
    try:
        await services.handler.handle(command, house(PLATFORM, one.clinic), id=one.recall)
    except Refused as refused:  # somebody has settled it meanwhile, or another one of the kind is open by now
        return refused.status < 500  # noqa: PLR2004
    return True


router = Router("/api/v1/protected/patient-recalls", tags=["Recalls"], route_handlers=[
    browse("/", RecallEntry, by=FILTERS, sort="date", sorts=["scheduled_at", "attempted_at", "kind", "status"]),
    browse("/wishes", RecallWishRow, by=["patient_id", "unwanted"], sort="-noted_at"),
    of_patient,
    fetch("/{id:uuid}", RecallRow),
    create("/", ScheduleRecall),
    generate,
    act("/{id:uuid}", ChangeRecall, "PUT"),
    act("/{id:uuid}/attempts", NoteRecallAttempt),
    act("/{id:uuid}/book", BookRecall),
    act("/{id:uuid}/decline", DeclineRecall),
    act("/{id:uuid}/reopen", ReopenRecall),
    act("/{id:uuid}", CancelRecall, "DELETE"),
    act("/patient/{patientId:uuid}/wish", RefuseRecalls, "PUT"),
    act("/patient/{patientId:uuid}/wish", WelcomeRecalls, "DELETE"),
])
