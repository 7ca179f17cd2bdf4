"""Where devices that go on without a connection catch up, and hand in what they did meanwhile.

How it works: what a device hands in are the desk's own commands, decided in its order as the caller, each once by the device's id for it. A change names what was changed and the position of
what the device knew: what somebody else has changed since stays, and only where both have changed the same is it a conflict. Whatever the books stand in the way of
is kept as a conflict, until somebody has it done after all or dismisses it; what is wrong by itself, or not for the caller to do, is refused, and the device's to mend.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, cast
from uuid import UUID

import msgspec
from litestar import Router, post
from litestar.params import JSONBody, PathParameter

from commands.appointments import BookAppointment, ChangeAppointment, ChangeAppointmentStatus
from commands.kit import Command, Creation
from commands.kit.errors import Contended, StaleVersion
from commands.kit.handling import Receipt, Who
from commands.kit.ids import derived
from commands.kit.receipt import own_column
from commands.patient_notes import AmendPatientNote, RemovePatientNote, WritePatientNote
from commands.patients import ArchivePatient, ChangePatient, RegisterPatient, RestorePatient
from commands.sync import DismissSyncConflict, KeepSyncConflict, NoteSyncConflictApplied
from domain.kit import Forbidden, NotFound, Refused, only
from domain.patients import Demographics, PatientErased
from domain.sync import (
    Action,
    ChangedElsewhere,
    IdNotYours,
    NothingToApply,
    PatientMayBeKnown,
    RemovedElsewhere,
    SyncConflictOver,
)
from gateway.kit import Desk, act, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.errors import BodyInvalid, code, problem, sentence
from gateway.kit.query import no_query
from gateway.kit.routes import sees
from projections.kit import PROJECTIONS
from projections.kit.past import past
from projections.kit.reading import Reader
from projections.patients import likenesses
from projections.sync import KINDS, MarkInvalid, Sight, pulled
from schemas.appointments import AppointmentRow
from schemas.kit import Row
from schemas.patient_notes import PatientNoteRow
from schemas.patients import PatientRow
from schemas.sync import PullAsked, PulledChanges, PushAsked, PushedChange, PushOutcome, PushOutcomes, SyncConflictRow

ConflictId = Annotated[UUID, PathParameter(description="Id of the conflict.")]

CONFLICT = 409
TRIES = 20  # at a thing that others change in the same moment


class Push(NamedTuple):
    """How an action is done: by which command, to what; and, if it changes a part, how the command would be that changes nothing."""

    command: type[Command]
    row: type[Row]
    as_is: Callable[[Any], Command] | None = None


def unchanged_patient(row: PatientRow) -> ChangePatient:
    if row.given_name is None:
        raise PatientErased
    return msgspec.convert(msgspec.to_builtins(Demographics(**only(Demographics, row))), ChangePatient)


def unchanged_appointment(row: AppointmentRow) -> ChangeAppointment:
    minutes = int((row.ends_at - row.starts_at).total_seconds()) // 60
    said = {
        "doctorId": str(row.doctor_id), "roomId": row.room_id and str(row.room_id), "type": row.type, "start": row.start_local, "fold": row.fold, "duration": minutes,
        "notes": row.notes, "overbook": row.overbooked, "reason": row.overbooked_because,
    }
    return msgspec.convert(said, ChangeAppointment)


PUSHES: dict[Action, Push] = {
    "RegisterPatient": Push(RegisterPatient, PatientRow),
    "ChangePatient": Push(ChangePatient, PatientRow, unchanged_patient),
    "ArchivePatient": Push(ArchivePatient, PatientRow),
    "RestorePatient": Push(RestorePatient, PatientRow),
    "BookAppointment": Push(BookAppointment, AppointmentRow),
    "ChangeAppointment": Push(ChangeAppointment, AppointmentRow, unchanged_appointment),
    "ChangeAppointmentStatus": Push(ChangeAppointmentStatus, AppointmentRow),
    "WritePatientNote": Push(WritePatientNote, PatientNoteRow),
    "AmendPatientNote": Push(AmendPatientNote, PatientNoteRow, lambda row: AmendPatientNote(text=row.text or "")),
    "RemovePatientNote": Push(RemovePatientNote, PatientNoteRow),
}

POSSIBLE = {refusal.__name__: refusal for how in PUSHES.values() for refusal in refusals_of(how.command)}.values()


# --- what a device does not know yet


@post("/pull", operation_id="PullChanges", summary="Show: what has changed since a device last asked", status_code=200, opt={"permission": "self", "refusals": [MarkInvalid]})
async def pull(desk: Desk, data: JSONBody[PullAsked]) -> PulledChanges:
    """Begin without a mark, go on with that of the answer before, at once while there is `more`.

    You get what you may see of staff, rooms, schedules, blocked times, patients, notes, appointments, recalls, invoices and conflicts. Whoever may see more or less than before gets it
    anew, or is told so. That patients' records were handed out is on record as a look at their charts.
    """
    no_query(desk.call.query())
    head = await desk.reader.head()
    reader = await desk.call.services.reader(desk.who.clinic, head)
    sights = {kind: sight for kind, row in KINDS.items() if (sight := sight_of(row, desk.who)) is not None}
    found = await pulled(reader, sights, data.mark, head, data.limit)
    if (patients := found.changes.get(PatientRow.table)) is not None:
        for one in patients.changed:
            await desk.call.saw("sync", msgspec.json.decode(one.row, type=Named).id)
    return found


class Named(msgspec.Struct):
    id: UUID


def sight_of(row: type[Row], who: Who) -> Sight | None:
    """Return which rows somebody sees; None if none."""
    if not who.may(row.detail or row.permission):
        return None
    try:
        column = own_column(row, who)
    except Forbidden:
        return None
    return Sight(column, who.subject if column else None)


# --- what a device did by itself


@post("/push", operation_id="PushChanges", summary="Hand in what a device did without a connection", status_code=200, opt={"permission": "self"})
async def push(desk: Desk, data: JSONBody[PushAsked]) -> PushOutcomes:
    """Each is decided by itself, in their order, as if you did it now; sent again, it happens once.

    A new thing keeps the id that the device gave it. A patient who may be in the books already is registered all the same, and that it may be so is kept as a conflict.
    """
    no_query(desk.call.query())
    return PushOutcomes(items=[await outcome(desk, data.device_id, one) for one in data.changes])


async def outcome(desk: kit.Desk, device: UUID, pushed: PushedChange) -> PushOutcome:
    """Do what a device did, or say what is in the way."""
    clinic = desk.who.clinic.bytes
    conflict = derived(b"conflict of a push", clinic, pushed.op.bytes)
    if await desk.known("sync_conflicts", conflict):
        return PushOutcome(op=pushed.op, id=pushed.id, outcome="conflict", code=code(SyncConflictOver) if await settled(desk, conflict) else None, conflict_id=conflict)
    try:
        alike = await known_as(desk, pushed)
        receipt = await done(desk, pushed, derived(b"pushed", clinic, pushed.op.bytes))
    except Refused as refused:
        if refused.status >= 500:  # noqa: PLR2004 - it is not this one that is in the way
            raise
        return await in_the_way(desk, device, pushed, conflict, refused)
    row = receipt.row if receipt.row is not None and sees(desk.who, receipt.row) else None
    kept = None
    if alike:
        kept = await keep(desk, derived(b"likeness of a push", clinic, pushed.op.bytes), about(device, pushed, pushed.id, code(PatientMayBeKnown), alike=alike))
    return PushOutcome(op=pushed.op, id=receipt.id, outcome="applied", conflict_id=kept, alike=alike, position=receipt.position, row=row)


async def done(desk: kit.Desk, pushed: PushedChange, command_id: UUID) -> Receipt:
    """Have it decided; a change against what the device knew."""
    how = PUSHES[pushed.action]
    await ensure_free(desk, how.command, pushed.id)
    if how.as_is is None:
        return await desk.each(built(how.command, pushed.values), command_id, pushed.id)
    for _ in range(TRIES):
        command, version = await merged(desk, how, pushed)
        try:
            return await desk.each(command, command_id, pushed.id, expect=version)
        except StaleVersion:
            continue  # somebody was there in this very moment; look again at what they did
    raise Contended


async def ensure_free(desk: kit.Desk, command: type[Command], id: UUID) -> None:  # noqa: A002
    """Refuse the id of something of another kind, or of somebody else's; the store would, too, but only after it has tried in vain for a while."""
    handler = desk.call.services.handler
    kind = await handler.streams.kind(id, desk.who.clinic)
    if kind not in {None, command.state.kind} or (kind is None and issubclass(command, Creation) and await handler.tenant_of(id) is not None):
        raise IdNotYours


async def merged(desk: kit.Desk, how: Push, pushed: PushedChange) -> tuple[Command, int]:
    """Return the command that changes what the device changed and nothing else, and the version it rests on; refuse what somebody else has changed as well."""
    assert how.as_is is not None
    own = sight_of(how.row, desk.who)
    if own is None:
        raise Forbidden(permission=how.row.permission)
    reader = await level(desk)
    equals = {"id": pushed.id, **({own.column: own.id} if own.column else {})}
    before = await known_row(desk, pushed)
    if (found := await reader.fetch(how.row, equals)) is None:
        if before is not None and (not own.column or getattr(before, own.column) == own.id):
            raise RemovedElsewhere
        raise NotFound(kind=how.row.table, id=str(pushed.id))
    now = msgspec.to_builtins(how.as_is(msgspec.json.decode(found.body, type=how.row)))
    command = built(how.command, {**now, **pushed.values})
    wanted = msgspec.to_builtins(command)
    was = msgspec.to_builtins(how.as_is(before)) if before else {}
    if both := [name for name in pushed.values if now.get(name) != was.get(name) and now.get(name) != wanted.get(name)]:
        raise ChangedElsewhere(fields=sorted(both))
    return command, found.version


async def known_row(desk: kit.Desk, pushed: PushedChange) -> Any:
    """Return the thing as the device knew it; None if it knew nothing."""
    projection = PROJECTIONS[PUSHES[pushed.action].row.table]
    found = await past(desk.reader, desk.call.services.handler.keys, projection, pushed.id, pushed.base) if pushed.base else None
    return found.row if found else None


def built(command: type[Command], values: dict[str, Any]) -> Command:
    """Return the command that says these values."""
    try:
        return msgspec.convert(values, command)
    except msgspec.ValidationError as error:
        raise BodyInvalid(**problem(str(error))) from None


async def level(desk: kit.Desk) -> Reader:
    """Return a reader that has reached all that there is, what this request did included."""
    return await desk.call.services.reader(desk.who.clinic, max(await desk.reader.head(), desk.call.written))


async def known_as(desk: kit.Desk, pushed: PushedChange) -> list[UUID]:
    """Return the patients who may be the one that is to be registered."""
    if pushed.action != "RegisterPatient":
        return []
    person = Demographics(**only(Demographics, built(RegisterPatient, pushed.values)))
    desk.require(RegisterPatient.permission)
    return [one.patient.id for one in await likenesses(await level(desk), person) if one.patient.id != pushed.id]


# --- what is kept


async def in_the_way(desk: kit.Desk, device: UUID, pushed: PushedChange, conflict: UUID, refused: Refused) -> PushOutcome:
    """Keep what cannot be done because of what happened meanwhile; say what is in the way."""
    why, fields = code(type(refused)), list(refused.details.get("fields", []))
    said = {"op": pushed.op, "id": pushed.id, "code": why, "reason": sentence(type(refused)), "fields": fields}
    patient = await patient_of(desk, pushed) if refused.status == CONFLICT and not isinstance(refused, Contended) else None
    if patient is None:
        return PushOutcome(outcome="refused", **said)  # type: ignore[arg-type]
    kept = await keep(desk, conflict, about(device, pushed, patient, why, fields=fields, doctor=await doctor_of(desk, pushed)))
    return PushOutcome(outcome="conflict", conflict_id=kept, **said)  # type: ignore[arg-type]


def about(
    device: UUID, pushed: PushedChange, patient: UUID, why: str, *, fields: list[str] | None = None, alike: list[UUID] | None = None, doctor: UUID | None = None,
) -> KeepSyncConflict:
    return KeepSyncConflict(
        device_id=device, action=pushed.action, entity_id=pushed.id, patient_id=patient, doctor_id=doctor, base=pushed.base, code=why, fields=fields or [],
        alike=alike or [], values=pushed.values)


async def keep(desk: kit.Desk, id: UUID, command: KeepSyncConflict) -> UUID:  # noqa: A002
    """Keep a conflict; the program does so, whatever its user may do."""
    await desk.call.settle(command, desk.who.account, id=id, clinic=desk.who.clinic, command_id=derived(b"kept", id.bytes))
    return id


async def settled(desk: kit.Desk, conflict: UUID) -> bool:
    found = await (await level(desk)).one(SyncConflictRow, conflict)
    return found is not None and found.status != "open"


async def patient_of(desk: kit.Desk, pushed: PushedChange) -> UUID | None:
    """Return about whom a push is; None if that is nobody of the clinic's whose words may be kept."""
    row = PUSHES[pushed.action].row
    if row is PatientRow:
        patient = pushed.id
    elif (named := pushed.values.get("patientId")) is not None:
        patient = UUID(str(named))
    else:
        found: Any = await (await level(desk)).one(row, pushed.id) or await known_row(desk, pushed)
        if found is None:
            return None
        patient = found.patient_id
    kept = await (await level(desk)).one(PatientRow, patient)
    return patient if kept is not None and kept.given_name is not None else None


async def doctor_of(desk: kit.Desk, pushed: PushedChange) -> UUID | None:
    """Return whose appointment a push is about."""
    if PUSHES[pushed.action].row is not AppointmentRow:
        return None
    if (named := pushed.values.get("doctorId")) is not None:
        return UUID(str(named))
    found = await desk.reader.one(AppointmentRow, pushed.id) or await known_row(desk, pushed)
    return cast("UUID | None", found and found.doctor_id)


@post("/conflicts/{id:uuid}/apply", operation_id="ApplySyncConflict", summary="Have done after all what a device wanted", status_code=200, opt={
    "permission": SyncConflictRow.permission, "refusals": [NotFound, SyncConflictOver, NothingToApply, BodyInvalid, *POSSIBLE]})
async def apply(desk: Desk, id: ConflictId) -> SyncConflictRow:  # noqa: A002
    """As things stand now, over what somebody else has changed since; it takes the keys of the operation itself. What still stands in the way is told, and the conflict stays."""
    no_query(desk.call.query())
    sight = sight_of(SyncConflictRow, desk.who)
    reader = await level(desk)
    found = await reader.one(SyncConflictRow, id, **({sight.column: sight.id} if sight and sight.column else {}))
    if found is None:
        raise NotFound(kind="sync_conflicts", id=str(id))
    if found.status != "open":
        raise SyncConflictOver
    if found.code == code(PatientMayBeKnown) or found.values is None:
        raise NothingToApply
    pushed = PushedChange(op=id, action=found.action, id=found.entity_id, base=await reader.head(), values=found.values)  # what anybody did until now is known, and gives way
    await done(desk, pushed, derived(b"applied after all", id.bytes))
    receipt = await desk.call.settle(NoteSyncConflictApplied(), desk.who.account, id=id, clinic=desk.who.clinic)
    return cast("SyncConflictRow", receipt.row)


router = Router("/api/v1/protected/sync", tags=["Sync"], route_handlers=[
    pull,
    push,
    browse("/conflicts", SyncConflictRow, by=["status", "device_id", "patient_id", "entity_id"], sort="-kept_at"),
    fetch("/conflicts/{id:uuid}", SyncConflictRow),
    apply,
    act("/conflicts/{id:uuid}/dismiss", DismissSyncConflict),
])
