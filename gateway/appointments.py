"""Where appointments live on the web, with the calendar and the slots that are free."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import FromQuery, QueryParameter

from commands.appointments import BookAppointment, ChangeAppointment, ChangeAppointmentStatus, RemoveAppointment
from domain.kit import NotFound
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.calendar import CalendarTooLong, week, week_then
from projections.slots import available
from schemas.appointments import AppointmentRow
from schemas.calendar import Calendar, CalendarEntry, CalendarRow
from schemas.slots import AvailableSlots

Doctor = Annotated[UUID, QueryParameter(name="doctorId")]
Room = Annotated[UUID | None, QueryParameter(name="roomId", description="Only slots at which this room is free.")]
First = Annotated[dt.date, QueryParameter(name="from", description="First day, in the clinic's zone.")]
Last = Annotated[dt.date, QueryParameter(name="to", description="Last day, included.")]
Days = Annotated[int, QueryParameter(ge=1, le=31, description="How many days from `date` on.")]
Duration = Annotated[int, QueryParameter(ge=5, le=1440, description="Minutes.")]


@get("/available-slots", operation_id="BrowseAvailableSlots", summary="List: visits that could be booked")
async def available_slots(desk: Desk, doctor: Doctor, date: FromQuery[dt.date], days: Days = 1, duration: Duration = 30, room: Room = None) -> AvailableSlots:
    """From now on, on the doctor's grid, each with the rooms that are free all the while."""
    no_query(desk.call.query(), ("doctorId", "date", "days", "duration", "roomId"))
    await known(desk, doctor, room)
    if own_column(CalendarRow, desk.who) == "doctor_id" and doctor != desk.who.subject:  # what is free says what is taken
        raise NotFound(kind="staff", id=str(doctor))
    now = dt.datetime.now(dt.UTC)
    return AvailableSlots(items=await available(desk.reader, doctor, first=date, days=days, minutes=duration, now=now, room=room))


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


async def known(desk: Desk, doctor: UUID | None, room: UUID | None = None) -> None:
    for kind, id_ in (("staff", doctor), ("rooms", room)):
        if id_ is not None and not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=str(id_))


router = Router("/api/v1/protected/appointments", tags=["Scheduling"], route_handlers=[
    browse("/", CalendarEntry, by=["date", "date..", "doctor_id", "patient_id", "room_id", "status"], sort="-starts_at"),
    available_slots,
    calendar,
    fetch("/{id:uuid}", AppointmentRow),
    create("/", BookAppointment),
    act("/{id:uuid}", ChangeAppointment, method="PUT"),
    act("/{id:uuid}/status", ChangeAppointmentStatus, method="PATCH"),
    act("/{id:uuid}", RemoveAppointment, method="DELETE"),
])
