"""Where reminders live on the web: how the clinic reminds, what was sent and what is to come; and where they come about by themselves."""

import asyncio
import datetime as dt
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter

from commands.kit.receipt import house
from commands.reminders import ChangeReminderSettings, Remind, SendReminder
from domain.kit import PLATFORM, NotFound, Refused, only
from domain.reminders import ReminderRules, ReminderSettings, reminder_settings_of
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.reminders import Due, due, of_appointment
from schemas.reminders import ReminderEntry, ReminderRow, ReminderSettingsRow, RemindersOfAppointment

AppointmentId = Annotated[UUID, PathParameter(description="Id of the appointment.")]
MANY = 5000  # reminders that are seen to in one round
TOGETHER = 25  # of which so many are under way
SETTINGS = {"permission": ReminderSettingsRow.permission}
VIEW = {"permission": ReminderRow.permission, "refusals": [NotFound]}


@get("/settings", operation_id="GetReminderSettings", summary="Show: how the clinic reminds", opt=SETTINGS)
async def settings(desk: Desk) -> ReminderSettingsRow:
    """As it was said, or as it is in the beginning: nobody is reminded until a clinic wants it."""
    no_query(desk.call.query())
    id_ = reminder_settings_of(desk.who.clinic)
    return await desk.reader.one(ReminderSettingsRow, id_) or ReminderSettingsRow(id=id_, **only(ReminderRules, ReminderSettings().rules))


@get("/appointment/{appointmentId:uuid}", operation_id="ListRemindersOfAppointment", summary="List: what a patient was and will be written about an appointment", opt=VIEW)
async def about(desk: Desk, appointmentId: AppointmentId) -> RemindersOfAppointment:  # noqa: N803
    """Each reminder with what became of it, or why it was skipped; and those to come, with when they are due and what would keep them from being sent as things stand."""
    no_query(desk.call.query())
    found = await of_appointment(desk.reader, appointmentId, dt.datetime.now(dt.UTC))
    if found is None:
        raise NotFound(kind="appointments", id=str(appointmentId))
    return found


async def tend(services: Services, now: dt.datetime | None = None) -> None:
    """Remind whoever is due to be reminded, each once, however many gateways look; `now` is another moment than this one, if a test says so."""
    found = await due(services.reading.lanes, now or dt.datetime.now(dt.UTC), MANY)
    for first in range(0, len(found), TOGETHER):
        await asyncio.gather(*(remind(services, one, now) for one in found[first : first + TOGETHER]))


async def remind(services: Services, one: Due, now: dt.datetime | None) -> None:
    """Remind a patient of a visit, or note why not; none keeps the others waiting, and whoever else sees to it at the same moment finds it done."""
    command = Remind(appointment_id=one.appointment, starts_at=one.starts_at, window=one.window)
    with suppress(Refused):  # the visit is gone meanwhile, or the database away: the next round looks again
        await services.handler.handle(command, house(PLATFORM, one.clinic), now=now)


router = Router("/api/v1/protected/reminders", tags=["Reminders"], route_handlers=[
    browse(
        "/", ReminderEntry, by=["appointment_id", "patient_id", "status", "skipped", "starts_at..", "noted_at.."], sort="-noted_at",
        sorts=["starts_at", "due_at"]),
    settings,
    act("/settings", ChangeReminderSettings, "PUT"),
    about,
    fetch("/{id:uuid}", ReminderEntry),
    create("/", SendReminder),
])
