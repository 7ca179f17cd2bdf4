"""Where appointments live on the web, with the calendar and the slots that are free; and the door by which a patient answers without an account."""

import datetime as dt
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from msgspec import Meta
from msgspec.structs import replace

from commands.appointments import (
    AnswerAppointment,
    BookAppointment,
    ChangeAppointment,
    ChangeAppointmentStatus,
    RemoveAppointment,
    RevokeAppointmentLink,
    SendAppointmentSummary,
    ShareAppointment,
    UndoMissedAppointment,
)
from commands.kit import StaleVersion
from commands.kit.codes import bearing
from domain.appointments import (
    LINK,
    Appointment,
    AppointmentLinkOver,
    CancellationTooLate,
    VisitCancelled,
    VisitNotAhead,
)
from domain.appointments import (
    Response as PatientsWord,
)
from domain.kit import Frozen, NotFound, Reason, RoomType, day
from domain.kit.calendars import MEDIA, Occasion, written
from domain.kit.links import link_of
from domain.places import Place
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.errors import ClinicIsClosing
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.payment_accounts import account_of
from projections.booking_deposits import paid_for
from projections.calendar import CalendarTooLong, week, week_then
from projections.conflicts import Which, conflicts
from projections.slots import Sought, available, first_free
from schemas.appointments import AppointmentLink, AppointmentRow, AppointmentShown
from schemas.calendar import Calendar, CalendarEntry, CalendarRow
from schemas.conflicts import AppointmentConflicts
from schemas.slots import AvailableSlots

Doctor = Annotated[UUID | None, QueryParameter(name="doctorId", description="With this doctor; with any, if left out.")]
Room = Annotated[UUID | None, QueryParameter(name="roomId", description="Only slots at which this room is free.")]
RoomKind = Annotated[RoomType | None, QueryParameter(name="roomType", description="Only slots at which a room of this kind is free.")]
There = Annotated[UUID | None, QueryParameter(name="placeId", description="Only slots at this place.")]
Kind = Annotated[UUID | None, QueryParameter(name="typeId", description="For a visit of this kind: as long as it takes, at its starts, and in the rooms that it needs.")]
Whose = Annotated[UUID | None, QueryParameter(name="patientId", description="Only slots at which this patient has no other visit.")]
First = Annotated[dt.date, QueryParameter(name="from", description="First day, in the clinic's zone.")]
Last = Annotated[dt.date, QueryParameter(name="to", description="Last day, included.")]
Days = Annotated[int, QueryParameter(ge=1, le=31, description="How many days from `date` on.")]
AppointmentId = Annotated[UUID, PathParameter(description="Id of the appointment.")]
Token = Annotated[str, PathParameter(description="The token of the patient's link.")]
MOST_DAYS = 62  # of which conflicts are listed at once
SECRET = {"cache-control": "no-store", "referrer-policy": "no-referrer"}  # what a link shows or is is its patient's alone
Duration = Annotated[int | None, QueryParameter(ge=5, le=1440, description="Minutes; if left out, as long as visits of that kind are, or half an hour.")]
Since = Annotated[dt.date | None, QueryParameter(name="from", description="First day, in the clinic's zone; today, if left out.")]
Within = Annotated[int, QueryParameter(ge=1, le=366, description="How many days are looked at.")]
Most = Annotated[int, QueryParameter(ge=1, le=100, description="How many slots at most.")]
SOUGHT = ("doctorId", "duration", "roomId", "roomType", "placeId", "typeId", "patientId")


@get("/available-slots", operation_id="BrowseAvailableSlots", summary="List: visits that could be booked")
async def available_slots(
    desk: Desk, date: FromQuery[dt.date], days: Days = 1, doctor: Doctor = None, duration: Duration = None, room: Room = None, kind: RoomKind = None,
    place: There = None, of: Kind = None, patient: Whose = None,
) -> AvailableSlots:
    """From now on, on the doctors' grids or that of the kind of visit, each with the rooms there that are free all the while.

    What is listed can be booked as asked for; of a kind of visit, nothing else can, but by overbooking.
    """
    no_query(desk.call.query(), ("date", "days", *SOUGHT))
    asked = Sought(first=date, days=days, doctor=doctor, minutes=duration, room=room, room_type=kind, place=place, kind=of, patient=patient)
    return AvailableSlots(items=await available(desk.reader, await allowed(desk, asked), dt.datetime.now(dt.UTC)))


@get("/available-slots/first", operation_id="ListFirstFreeSlots", summary="List: the first visits that could be booked", opt={"refusals": [NotFound]})
async def first_slots(
    desk: Desk, since: Since = None, days: Within = 92, most: Most = 1, doctor: Doctor = None, duration: Duration = None, room: Room = None,
    kind: RoomKind = None, place: There = None, of: Kind = None, patient: Whose = None,
) -> AvailableSlots:
    """The earliest of the available slots, with whichever doctor; none, if none of those days has any."""
    no_query(desk.call.query(), ("from", "days", "most", *SOUGHT))
    now = dt.datetime.now(dt.UTC)
    here = await desk.clinic()
    asked = Sought(
        first=since or day(now, here.zone), days=days, doctor=doctor, minutes=duration, room=room, room_type=kind, place=place, kind=of, patient=patient)
    return AvailableSlots(items=await first_free(desk.reader, await allowed(desk, asked), now, most))


async def allowed(desk: Desk, sought: Sought) -> Sought:
    """Return what is asked for, as far as whoever asks may know it: what is free says what is taken."""
    await known(desk, sought.doctor, sought.room)
    for kind, id_ in (("places", sought.place), ("appointment_types", sought.kind), ("patients", sought.patient)):
        if id_ is not None and not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=str(id_))
    own, subject = own_column(CalendarRow, desk.who), desk.who.subject
    if own == "doctor_id" and sought.doctor not in {None, subject}:
        raise NotFound(kind="staff", id=str(sought.doctor))
    if own == "patient_id" and sought.patient not in {None, subject}:
        raise NotFound(kind="patients", id=str(sought.patient))
    return replace(sought, doctor=subject) if own == "doctor_id" else sought


@get("/calendar", operation_id="GetCalendar", summary="Show: the calendar from one day to another", opt={
    "permission": CalendarRow.permission, "refusals": [CalendarTooLong, NotFound]})
async def calendar(
    desk: Desk, first: First, last: Last, doctor: Annotated[UUID | None, QueryParameter(name="doctorId")] = None, as_of: AsOf = None,
) -> Response[Calendar]:
    """Everybody's appointments and blocked time, or one doctor's; patients see their own.

    As it was: days on which up to 2,000 appointments had ever been by then; with the names that those concerned had.
    """
    no_query(desk.call.query(), ("from", "to", "doctorId", "asOf"))
    await known(desk, doctor)
    whose = {"doctor_id": doctor} if doctor else {}
    own = own_column(CalendarRow, desk.who)
    if own is not None and desk.who.subject is not None:
        if whose.get(own, desk.who.subject) != desk.who.subject:
            raise NotFound
        whose[own] = desk.who.subject
    if as_of is not None:
        position = await desk.then(as_of)
        told = await week_then(desk.reader, desk.call.services.handler.keys, first, last, whose, position)
        return Response(told, media_type="application/json", headers={"X-Position": str(position)})  # type: ignore[arg-type]
    return Response(await week(desk.reader, first, last, whose), media_type="application/json")  # type: ignore[arg-type]


@get("/conflicts", operation_id="BrowseConflicts", summary="List: what the appointments of some days collide with", opt={
    "permission": CalendarRow.permission, "refusals": [CalendarTooLong, NotFound]})
async def colliding(
    desk: Desk, first: First, last: Last, doctor: Annotated[UUID | None, QueryParameter(name="doctorId")] = None,
) -> AppointmentConflicts:
    """Overbooked, or booked before time was blocked or hours were changed: everybody's appointments, or one doctor's, of up to 62 days."""
    no_query(desk.call.query(), ("from", "to", "doctorId"))
    await known(desk, doctor)
    if (last - first).days >= MOST_DAYS:
        raise CalendarTooLong
    own, subject = own_column(CalendarRow, desk.who), desk.who.subject
    if own == "doctor_id" and doctor not in {None, subject}:
        raise NotFound(kind="staff", id=str(doctor))
    which = Which(days=(first, last), doctor=subject if own == "doctor_id" else doctor, patient=subject if own == "patient_id" else None)
    return AppointmentConflicts(items=await conflicts(desk.reader, which, named=own is None))


@get("/{id:uuid}/conflicts", operation_id="GetAppointmentConflicts", summary="Show: what an appointment collides with", opt={
    "permission": CalendarRow.permission, "refusals": [NotFound]})
async def conflicts_of(desk: Desk, id: AppointmentId) -> AppointmentConflicts:  # noqa: A002
    """As things stand now: another appointment of the doctor, the room or the patient, blocked time, or hours that the doctor does not work. One that holds no time has none."""
    no_query(desk.call.query())
    own = own_column(CalendarRow, desk.who)
    if not await desk.reader.find(CalendarRow, id=id, **({own: desk.who.subject} if own else {})):
        raise NotFound
    return AppointmentConflicts(items=await conflicts(desk.reader, Which(appointment=id), named=own is None))


async def known(desk: Desk, doctor: UUID | None, room: UUID | None = None) -> None:
    for kind, id_ in (("staff", doctor), ("rooms", room)):
        if id_ is not None and not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=str(id_))


# --- the patient's link


class PatientsAnswer(Frozen, forbid_unknown_fields=True):
    """What a patient answers to their appointment, with the token of their link."""

    token: Annotated[str, Meta(
        min_length=1, max_length=200, description="The token of the patient's link.", examples=["01936f5e00007000800000000000002a.x7KqVb2n"])]
    response: PatientsWord
    reason: Annotated[Reason | None, Meta(description="Why, if it is cancelled.")] = None


@get("/{id:uuid}/share-link", operation_id="ShareAppointment", summary="Give out a link by which the patient answers to their appointment", opt={
    "permission": ShareAppointment.permission, "refusals": [*refusals_of(ShareAppointment), VisitNotAhead]})
async def share(desk: Desk, id: AppointmentId) -> Response[AppointmentLink]:  # noqa: A002
    """By it the patient looks at the appointment, confirms it or cancels it, without an account.

    It is good until the appointment is over, cancelled or another patient's, or the link is taken back. Each time the address is another one, for none is
    kept; those before stay good beside it.
    """
    no_query(desk.call.query())
    if desk.who.closing:  # it is on record that there is a link, and in such a clinic nothing comes on record any more
        raise ClinicIsClosing
    await desk.beside(id)
    receipt = await desk.handle(ShareAppointment(), id)
    state: Any = (await desk.call.services.handler.streams.get(Appointment, id, desk.who.clinic)).state
    until: dt.datetime = state.linked_until
    left = max(1, int((until - dt.datetime.now(dt.UTC)).total_seconds()))
    secret = await desk.call.services.codes.issue(LINK, link_of(receipt.id, state.links), left, desk.who.clinic)
    token = bearing(receipt.id, secret)
    return Response(AppointmentLink(url=f"{desk.call.services.address}/api/v1/appointments/links/{token}", token=token, expires_at=until), headers=SECRET)


class Linked(NamedTuple):
    """An appointment that a token is about, and the id of the link it belongs to."""

    appointment: UUID
    link: UUID
    state: Appointment
    row: Any
    version: int


async def linked(desk: kit.Desk, text: str) -> Linked:
    """Return what a token is about, as it is in the store, and go on in its clinic; whatever is wrong with a token, the answer is the same."""
    if (led := await desk.led(LINK, text)) is None:
        raise AppointmentLinkOver
    entry = await desk.call.services.handler.streams.latest(Appointment, led.stream, desk.who.clinic, row=True)  # it may just have been taken back elsewhere
    state: Any = entry.state
    state.ensure_linked(led.stream, led.link, dt.datetime.now(dt.UTC))
    return Linked(led.stream, led.link, state, entry.row, entry.version)


@get("/links/{token:str}", operation_id="GetSharedAppointment", summary="Show: an appointment, to the patient who has its link", opt={
    "public": True, "refusals": [AppointmentLinkOver]})
async def look(desk: Desk, token: Token) -> Response[AppointmentShown]:
    """When, with whom and where; and until when it can be cancelled by the link. The ETag can be sent back as `If-Match` with the answer."""
    no_query(desk.call.query())
    found = await linked(desk, token)
    found.state.ensure_shown(found.appointment, found.link, dt.datetime.now(dt.UTC))
    return Response(await shown(desk, found.row), headers={**SECRET, "etag": f'"{found.version}"'})


async def shown(desk: kit.Desk, row: Any) -> AppointmentShown:
    """Return what a patient's link shows of an appointment."""
    services, clinic = desk.call.services, desk.who.clinic
    doctor: Any = (await services.handler.streams.get(services.kinds.staff, row.doctor_id, clinic, row=True)).row
    here: Any = (await services.handler.streams.get(services.kinds.clinic, clinic, clinic, row=True)).row
    there: Any = (await services.handler.streams.get(Place, row.place_id, clinic, row=True)).row if row.place_id else None
    return AppointmentShown(
        status=row.status, start_local=row.start_local, zone=row.zone, minutes=(row.ends_at - row.starts_at) // dt.timedelta(minutes=1),
        doctor_name=doctor.name if doctor else None, clinic_name=here.name, clinic_phone=(there and there.phone) or here.phone,
        clinic_address=(there and there.address) or here.address,
        cancel_until=row.starts_at - dt.timedelta(hours=here.cancel_notice), deposit=row.deposit, currency=here.currency, **await deposited(desk, row))


async def deposited(desk: kit.Desk, row: Any) -> dict[str, Any]:
    """Return what was paid beforehand for a visit, and whether the rest can be paid by card."""
    if not row.deposit:
        return {}
    paid = await paid_for(desk.reader, row.id)
    account = await account_of(desk.call.services, desk.who.clinic)
    ahead = row.status in {"booked", "confirmed"} and row.starts_at > dt.datetime.now(dt.UTC)
    return {"deposit_paid": paid, "deposit_payable": ahead and paid < row.deposit and account.keys is not None}


@get("/links/{token:str}/calendar.ics", operation_id="DownloadSharedAppointment", summary="Show: an appointment for the calendar of the patient who has its link",
     opt={"public": True, "refusals": [AppointmentLinkOver], "media": MEDIA})
async def take_along(desk: Desk, token: Token) -> Response[bytes]:
    """As a file that calendars read (RFC 5545): the same appointment and edition as in the letters about it, so a calendar holds it once."""
    no_query(desk.call.query())
    found = await linked(desk, token)
    found.state.ensure_shown(found.appointment, found.link, dt.datetime.now(dt.UTC))
    said = await shown(desk, found.row)
    return download(found.row, found.state.sequence, (said.clinic_name, said.doctor_name or "", said.clinic_address))


@get("/{id:uuid}/calendar.ics", operation_id="DownloadAppointment", summary="Show: an appointment for a calendar", opt={
    "permission": AppointmentRow.detail, "refusals": [NotFound], "media": MEDIA})
async def take(desk: Desk, id: AppointmentId) -> Response[bytes]:  # noqa: A002
    """As a file that calendars read (RFC 5545): when, what for and with whom, and no word about the patient, for calendars travel."""
    no_query(desk.call.query())
    await desk.beside(id)
    services, clinic = desk.call.services, desk.who.clinic
    entry = await services.handler.streams.latest(Appointment, id, clinic, row=True)
    row, state = entry.row, entry.state
    own = own_column(AppointmentRow, desk.who)
    if not isinstance(row, AppointmentRow) or not isinstance(state, Appointment) or (own is not None and getattr(row, own) != desk.who.subject):
        raise NotFound(kind="appointments", id=str(id))
    said = await shown(desk, row)
    return download(row, state.sequence, (row.type, said.doctor_name or "", said.clinic_name))


def download(row: AppointmentRow, sequence: int, words: tuple[str, str, str]) -> Response[bytes]:
    """Return a calendar of one appointment; the words say what it is, with whom and where."""
    summary, description, location = words
    occasion = Occasion(
        id=row.id, sequence=sequence, starts_at=row.starts_at, ends_at=row.ends_at, zone=row.zone, cancelled=row.status in {"cancelled", "no-show"},
        summary=summary, description=description, location=location)
    text = written("PUBLISH", [occasion], dt.datetime.now(dt.UTC))
    return Response(text.encode(), media_type=MEDIA, headers={**SECRET, "content-disposition": 'attachment; filename="appointment.ics"'})


@post("/respond", operation_id="AnswerAppointment", status_code=200, opt={
    "public": True, "refusals": [AppointmentLinkOver, VisitCancelled, VisitNotAhead, CancellationTooLate, StaleVersion]})
async def respond(data: JSONBody[PatientsAnswer], desk: Desk) -> Response[AppointmentShown]:
    """Confirm an appointment or cancel it, as its patient, by the link they were given.

    The same answer twice is one. How long before the visit it can still be cancelled is the clinic's to say (`cancelNotice`); after that, and once
    the visit has begun, the answer says so. With `If-Match` only the appointment that was looked at is answered to, not one that was moved meanwhile.
    """
    found = await linked(desk, data.token)
    receipt = await desk.handle(AnswerAppointment(response=data.response, reason=data.reason, link=found.link), found.appointment)
    return Response(await shown(desk, receipt.row), headers={**SECRET, "etag": f'"{receipt.version}"'})


public = Router("/api/v1/appointments", tags=["Scheduling"], route_handlers=[look, take_along, respond])
router = Router("/api/v1/protected/appointments", tags=["Scheduling"], route_handlers=[
    browse("/", CalendarEntry, by=["date", "date..", "doctor_id", "patient_id", "room_id", "status", "group_id"], sort="-starts_at"),
    available_slots,
    first_slots,
    calendar,
    colliding,
    fetch("/{id:uuid}", AppointmentRow),
    conflicts_of,
    create("/", BookAppointment),
    act("/{id:uuid}", ChangeAppointment, method="PUT"),
    act("/{id:uuid}/status", ChangeAppointmentStatus, method="PATCH"),
    act("/{id:uuid}/undo-no-show", UndoMissedAppointment),
    act("/{id:uuid}", RemoveAppointment, method="DELETE"),
    act("/{id:uuid}/send-summary", SendAppointmentSummary),
    take,
    share,
    act("/{id:uuid}/share-link", RevokeAppointmentLink, method="DELETE"),
])
