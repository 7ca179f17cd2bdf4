"""Where reminders live on the web: how the clinic reminds, what was sent and what is to come; and where they come about by themselves."""

import asyncio
import datetime as dt
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter, QueryParameter

from commands.kit import Command
from commands.kit.ids import derived
from commands.kit.receipt import house
from commands.reminders import (
    ChangeReminderSettings,
    ForwardReminder,
    Remind,
    ResendReminder,
    SendReminder,
)
from domain.kit import PLATFORM, NotFound, Refused, only
from domain.kit.letters import Language, Wording, write
from domain.reminders import REMINDER_LETTER, ReminderRules, ReminderSettings, reminder_settings_of
from gateway.email_templates import template
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.reminders import Due, astray, due, of_appointment, particulars
from schemas.reminders import (
    ReminderEntry,
    ReminderPreview,
    ReminderRow,
    ReminderSettingsRow,
    RemindersOfAppointment,
)

AppointmentId = Annotated[UUID, PathParameter(description="Id of the appointment.")]
In = Annotated[Language | None, QueryParameter(name="language", description="The clinic's unless said.")]
MANY = 5000  # reminders that are seen to in one round
TOGETHER = 25  # of which so many are under way
EXAMPLE = "x7Kq..."  # where a token would be
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


@get("/appointment/{appointmentId:uuid}/preview", operation_id="PreviewReminder", summary="Show a reminder as it would be sent", opt=VIEW)
async def preview(desk: Desk, appointmentId: AppointmentId, language: In = None) -> ReminderPreview:  # noqa: N803
    """In the words that count, the clinic's own if it has any; nothing is sent."""
    no_query(desk.call.query(), ("language",))
    values = await particulars(desk.reader, appointmentId)
    if values is None:
        raise NotFound(kind="appointments", id=str(appointmentId))
    wanted: Language = language or values.pop("language", None) or "en"  # type: ignore[assignment]
    address, words = desk.call.services.address, (await template(desk, REMINDER_LETTER)).words
    said = next((one for one in words if one.language == wanted), words[0])
    links = {"url": address, "link": f"{address}/api/v1/appointments/links/{EXAMPLE}", "unsubscribe": f"{address}/api/v1/message-wishes/reminders/{EXAMPLE}"}
    written = write(Wording(**only(Wording, said)), {**values, **links}, said.language)
    return ReminderPreview(language=said.language, subject=written.subject, text=written.text, html=written.html)


async def tend(services: Services) -> None:
    """Remind whoever is due to be reminded, and again those whose record was merged meanwhile; each once, however many gateways look."""
    found = await due(services.reading.lanes, MANY)
    for first in range(0, len(found), TOGETHER):
        await asyncio.gather(*(remind(services, one) for one in found[first : first + TOGETHER]))
    for one in await astray(services.reading.lanes, MANY):
        await settled(services, ForwardReminder(), one.clinic, one.reminder)


async def remind(services: Services, one: Due) -> None:
    """Remind a patient of a visit, or note why not; whoever else sees to it at the same moment finds it done."""
    command = Remind(appointment_id=one.appointment, starts_at=one.starts_at, window=one.window, channel=one.channel)  # type: ignore[arg-type]
    once = derived(b"reminder", one.appointment.bytes, one.starts_at.isoformat().encode(), b"%d" % one.window, one.channel.encode())
    await settled(services, command, one.clinic, None, once)


async def settled(services: Services, command: Command, clinic: UUID, id_: UUID | None, once: UUID | None = None) -> None:
    """Have the program itself see to one of many, of which none keeps the others waiting."""
    with suppress(Refused):  # the visit is gone meanwhile, or the database away: the next round looks again
        await services.handler.handle(command, house(PLATFORM, clinic), id=id_, command_id=once)


router = Router("/api/v1/protected/reminders", tags=["Reminders"], route_handlers=[
    browse(
        "/", ReminderEntry, by=["appointment_id", "patient_id", "status", "skipped", "channel", "starts_at..", "noted_at.."], sort="-noted_at",
        sorts=["starts_at", "due_at"]),
    settings,
    act("/settings", ChangeReminderSettings, "PUT"),
    about,
    preview,
    fetch("/{id:uuid}", ReminderEntry),
    create("/", SendReminder),
    act("/{id:uuid}/resend", ResendReminder),
])
