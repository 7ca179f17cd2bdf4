"""Where the waiting queue lives on the web: walk-ins, check-in, who is in the chair, and what the screen in the waiting room shows."""

import datetime as dt
from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, Router, get, patch, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter

from commands.kit import Command
from commands.kit.handling import Receipt
from commands.queue import (
    CheckInAppointment,
    MoveQueuedAppointment,
    MoveQueueEntry,
    PlaceQueueEntry,
    QueuePatient,
    RankQueuedAppointment,
    RankQueueEntry,
)
from domain.kit import AppointmentId, Frozen, NotFound, PatientId, day
from domain.queue import HERE, QueueStatus, VisitMissing
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.errors import BodyInvalid
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections import queue as reading
from schemas.calendar import CalendarRow
from schemas.queue import ActiveSessions, QueueBoard, QueueDay, QueuePlace, QueueRow

LATEST = 2**62  # beyond any position
EntryId = Annotated[UUID, PathParameter(description="Id of the entry: the appointment's if there is one.")]
OnDay = Annotated[dt.date | None, QueryParameter(name="date", description="Day of the clinic; today if left out.")]
OfStatus = Annotated[QueueStatus | None, QueryParameter(name="status")]
Active = Annotated[bool | None, QueryParameter(name="active", description="Only those who wait or are being seen, if true.")]
OfDoctor = Annotated[UUID | None, QueryParameter(name="doctorId")]
OfRoom = Annotated[UUID | None, QueryParameter(name="roomId")]
OfPatient = Annotated[UUID | None, QueryParameter(name="patientId")]
Order = Annotated[Literal["turn", "number"], QueryParameter(name="order", description="By whose turn it is, or by number.")]


class CheckIn(Frozen, forbid_unknown_fields=True):
    """Which appointment, or whose: then it is their next one of today. Either of the two."""

    appointment_id: AppointmentId | None = None
    patient_id: PatientId | None = None


class Hour(Frozen):
    """What time it is, and which day that is in the clinic."""

    now: dt.datetime
    today: dt.date


async def hour(desk: kit.Desk) -> Hour:
    now = dt.datetime.now(dt.UTC)
    return Hour(now=now, today=day(now, (await desk.clinic()).zone))


@get("/", operation_id="GetQueue", summary="Show: the waiting queue of a day", opt={"permission": QueueRow.permission, "refusals": [NotFound]})
async def queue(
    desk: Desk, date: OnDay = None, status: OfStatus = None, active: Active = None, doctor: OfDoctor = None, room: OfRoom = None, patient: OfPatient = None,
    order: Order = "turn",
) -> QueueDay:
    """Who is being seen, then who waits in their turn, then who is done or gone. Whoever sees only their own sees those; how many come before them counts all."""
    no_query(desk.call.query(), ("date", "status", "active", "doctorId", "roomId", "patientId", "order"))
    for kind, id_ in (("staff", doctor), ("rooms", room), ("patients", patient)):
        if id_ is not None and not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=str(id_))
    at = await hour(desk)
    on = date or at.today
    places = seen(desk, await reading.day(desk.reader, on, at.now, at.today))
    wanted = {"status": status, "doctor_id": doctor, "room_id": room, "patient_id": patient}
    places = [
        place for place in places
        if all(value is None or getattr(place, name) == value for name, value in wanted.items()) and (not active or place.status in HERE)]
    if order == "number":
        places.sort(key=lambda place: place.number)
    return QueueDay(
        date=on, waiting=sum(place.status == "WAITING" for place in places), in_progress=sum(place.status == "IN_PROGRESS" for place in places), items=places)


def seen(desk: kit.Desk, places: list[QueuePlace]) -> list[QueuePlace]:
    """Return those of the entries that the caller may see."""
    own = own_column(QueueRow, desk.who)
    return places if own is None else [place for place in places if getattr(place, own) == desk.who.subject]


@get("/board", operation_id="GetQueueBoard", summary="Show: what a screen in the waiting room shows", opt={"permission": "appointments.view_board"})
async def board(desk: Desk) -> QueueBoard:
    """Today's numbers, how things stand with them and where to go, in the order in which it is their turn; nothing about anybody.

    An API key with nothing but `appointments.view_board` is what such a screen needs.
    """
    no_query(desk.call.query())
    at = await hour(desk)
    return QueueBoard(date=at.today, items=reading.board(await reading.day(desk.reader, at.today, at.now, at.today)))


@get("/{id:uuid}", operation_id="GetQueueEntry", summary="Show: somebody's place in the waiting queue", opt={
    "permission": QueueRow.permission, "refusals": [NotFound]})
async def entry(desk: Desk, id: EntryId) -> QueuePlace:  # noqa: A002
    """With how many come before them, and in how many minutes it will probably be their turn, while they wait."""
    no_query(desk.call.query())
    at = await hour(desk)
    found = await reading.one(desk.reader, desk.call.services.handler.keys, id, at.now, at.today)
    if found is None or not seen(desk, [found]):
        raise NotFound(kind="queue", id=str(id))
    return found


async def place(desk: kit.Desk, receipt: Receipt, *, walk_in: bool = False) -> QueuePlace | None:
    """Return an entry as it is after what was just stored, whether or not the read model has got there."""
    at = await hour(desk)
    keys, upto = desk.call.services.handler.keys, receipt.position or LATEST
    return await reading.one(desk.reader, keys, receipt.id, at.now, at.today, upto=upto, walk_in=walk_in)


async def answer(desk: kit.Desk, receipt: Receipt, status: int = 200, *, walk_in: bool = False) -> Response[QueuePlace]:
    found = await place(desk, receipt, walk_in=walk_in)
    if found is None:
        raise NotFound(kind="queue", id=str(receipt.id))
    headers = {"etag": f'"{receipt.version}"', "x-position": str(receipt.position)}
    if status == 201:  # noqa: PLR2004
        headers["location"] = f"/api/v1/protected/queue/{receipt.id}"
    if receipt.replayed:
        headers["idempotency-replayed"] = "true"
    return Response(found, status_code=status, headers=headers)


@post("/", operation_id="QueuePatient", summary="Have a patient wait who came without an appointment", opt={
    "permission": QueuePatient.permission, "refusals": refusals_of(QueuePatient)})
async def add(desk: Desk, data: JSONBody[QueuePatient]) -> Response[QueuePlace]:
    """They get the clinic's next number of the day. Whoever has an appointment is checked in instead.

    Whoever is to come before others needs a reason for it, and so does somebody who is blocked (`despiteBlock`, which takes the permission to overbook).
    """
    no_query(desk.call.query())
    return await answer(desk, await desk.handle(data), 201, walk_in=True)


@patch("/{id:uuid}", operation_id="MoveQueueEntry", summary="Call somebody who waits, note that they are done or gone, or have them wait again", opt={
    "permission": MoveQueueEntry.permission, "refusals": [*refusals_of(MoveQueueEntry), *refusals_of(MoveQueuedAppointment)]})
async def move(desk: Desk, id: EntryId, data: JSONBody[MoveQueueEntry]) -> Response[QueuePlace]:  # noqa: A002
    """WAITING becomes IN_PROGRESS or CANCELLED; IN_PROGRESS becomes COMPLETED, or WAITING again; CANCELLED becomes WAITING again, on the same day under the same number.

    Of an appointment this changes the appointment: IN_PROGRESS is in the chair; CANCELLED takes the arrival back, so that it stands as before.
    """
    return await moved(desk, id, data, MoveQueuedAppointment(status=data.status, reason=data.reason))


@put("/{id:uuid}/rank", operation_id="RankQueueEntry", summary="Let somebody come before others, for a reason, or not any more", opt={
    "permission": RankQueueEntry.permission, "refusals": [*refusals_of(RankQueueEntry), *refusals_of(RankQueuedAppointment)]})
async def rank(desk: Desk, id: EntryId, data: JSONBody[RankQueueEntry]) -> Response[QueuePlace]:  # noqa: A002
    """The reason stays in the history."""
    return await moved(desk, id, data, RankQueuedAppointment(rank=data.rank, reason=data.reason))


async def moved(desk: kit.Desk, id_: UUID, walk_in: Command, appointment: Command) -> Response[QueuePlace]:
    """Have it decided by whichever says how things stand with that entry."""
    no_query(desk.call.query())
    await desk.beside(id_)
    if await desk.known("queue", id_):
        return await answer(desk, await desk.handle(walk_in, id_), walk_in=True)
    return await answer(desk, await desk.handle(appointment, id_))


@put("/{id:uuid}/place", operation_id="PlaceQueueEntry", summary="Have somebody without an appointment seen by another doctor or in another room", opt={
    "permission": PlaceQueueEntry.permission, "refusals": refusals_of(PlaceQueueEntry)})
async def put_elsewhere(desk: Desk, id: EntryId, data: JSONBody[PlaceQueueEntry]) -> Response[QueuePlace]:  # noqa: A002
    """What is left out is open again. Whoever has an appointment is moved in the calendar."""
    no_query(desk.call.query())
    return await answer(desk, await desk.handle(data, id), walk_in=True)


@post("/check-in", operation_id="CheckIn", summary="Note that a patient has arrived", status_code=200, opt={
    "permission": CheckInAppointment.permission, "refusals": [*refusals_of(CheckInAppointment), VisitMissing, NotFound]})
async def check_in(desk: Desk, data: JSONBody[CheckIn]) -> Response[QueuePlace]:
    """Their appointment of today becomes `arrived`, and they wait in the queue under the clinic's next number of the day; both at once."""
    no_query(desk.call.query())
    if (data.appointment_id is None) == (data.patient_id is None):
        raise BodyInvalid(field="appointmentId", problem="Expected one of appointmentId and patientId")
    appointment = data.appointment_id or await next_visit(desk, data.patient_id)
    return await answer(desk, await desk.handle(CheckInAppointment(), appointment))


async def next_visit(desk: kit.Desk, patient: UUID | None) -> UUID:
    """Return a patient's next visit of today for which they have not arrived yet."""
    if patient is None or not await desk.known("patients", patient):
        raise NotFound(kind="patients", id=str(patient))
    visits = await desk.reader.find(CalendarRow, patient_id=patient, date=(await hour(desk)).today, status=["booked", "confirmed"])
    if not visits:
        raise VisitMissing
    return min(visits, key=lambda visit: (visit.starts_at, visit.id)).id


@get("/active-session", operation_id="GetActiveSession", summary="Show: who is in the chair just now", opt={
    "permission": QueueRow.permission, "refusals": [NotFound]})
async def active_session(desk: Desk, doctor: OfDoctor = None, room: OfRoom = None) -> ActiveSessions:
    """By whom and where, since when, and who is next: the first who waits for that doctor or for none in particular."""
    no_query(desk.call.query(), ("doctorId", "roomId"))
    for kind, id_ in (("staff", doctor), ("rooms", room)):
        if id_ is not None and not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=str(id_))
    at = await hour(desk)
    places, lengths = await reading.day(desk.reader, at.today, at.now, at.today), await reading.usual(desk.reader, at.today)
    mine = {place.id for place in seen(desk, places)}
    return ActiveSessions(items=[
        session for session in reading.sessions(places, lengths, mine)
        if (doctor is None or session.doctor_id == doctor) and (room is None or session.room_id == room)])


router = Router("/api/v1/protected", tags=["Scheduling"], route_handlers=[
    Router("/queue", route_handlers=[queue, board, entry, add, move, rank, put_elsewhere]),
    Router("/appointments", route_handlers=[check_in, active_session]),
])
