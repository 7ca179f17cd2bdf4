"""What may be asked about reminding patients of their visits."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.appointments import Appointment
from domain.kit import AppointmentId, At, Elsewhere, Event, NotFound
from domain.message_wishes import MessageWishes, message_wishes_of
from domain.patients import Patient
from domain.reminders import (
    Going,
    Reminded,
    Reminder,
    ReminderChannel,
    ReminderRules,
    ReminderSettings,
    Window,
    ensure_connected,
    ensure_wanted,
    reminder_of,
    reminder_settings_of,
)
from schemas.reminders import ReminderEntry

Instant = Annotated[datetime, Meta(tz=True)]


class ChangeReminderSettings(ReminderRules, Creation):
    """Say whether and how the clinic reminds: up to five windows in minutes before a visit, by which ways, and when nobody is written to.

    What is left out is as it was in the beginning. It counts at once, for all visits still to come; what has been sent is not sent again.
    """

    state = ReminderSettings
    permission = "settings.reminders.manage"

    def stream(self, at: At) -> UUID:
        return reminder_settings_of(at.clinic)

    def decide(self, settings: ReminderSettings, at: At) -> list[Event]:
        return settings.change(self)


class Occasion(NamedTuple):
    """A visit, and the patient who is to be reminded of it, each as it stands; whatever rests on it falls if any of it changes."""

    id: UUID
    visit: Appointment
    arranged_at: datetime
    patient: Patient
    reachable: bool
    wishes: list[MessageWishes]

    def going(self, channel: ReminderChannel) -> Going:
        return Going(
            starts_at=self.times.starts_at, arranged_at=self.arranged_at, active=not self.patient.archived and self.patient.merged_into is None,
            wanted=all(one.wanted("reminders", channel) for one in self.wishes), reachable=self.reachable)

    def reminded(self) -> Reminded:
        return Reminded(patient_id=self.visit.patient, appointment_id=self.id, starts_at=self.times.starts_at)

    def linked(self, now: datetime) -> list[Elsewhere]:
        """Return how the patient is given the link by which they answer, if they have none that is good."""
        shared = self.visit.share(now)
        return [Elsewhere(state=Appointment, id=self.id, events=shared)] if shared else []

    def ensure_writable(self, channel: ReminderChannel, now: datetime) -> None:
        """Refuse to write to somebody who cannot be reached or does not want it, or about a visit that is over."""
        self.visit.ensure_ahead(now)
        ensure_connected(channel)
        self.patient.ensure_reachable(reachable=self.reachable)
        ensure_wanted(wanted=self.going(channel).wanted)

    def at(self, starts_at: datetime) -> bool:
        """Say whether the patient is still to come, at that time."""
        return self.visit.status in {"booked", "confirmed"} and self.visit.arranged is not None and self.visit.arranged.starts_at == starts_at

    @property
    def times(self) -> Any:
        """What the patient was told."""
        if self.visit.arranged is None:
            raise NotFound
        return self.visit.arranged


async def occasion(look: Look, appointment: UUID) -> dict[str, Any]:
    """Return a visit and its patient, held fast."""
    visit = await look.require(Appointment, appointment)
    row, whose = await look.row(Appointment, appointment), visit.patient
    patient = await look.require(Patient, whose)
    return {
        "visit": visit, "arranged_at": row.moved_at or row.booked_at, "patient": patient,
        "reachable": getattr(await look.row(Patient, whose), "email", None) is not None,
        "wishes": [await look.load(MessageWishes, message_wishes_of(record)) for record in (whose, *patient.records)]}


class Remind(Creation):
    """Remind a patient of a visit, once it is time: at the time that the visit has, for one window, by one way."""

    state = Reminder
    permission = "house"
    appointment_id: AppointmentId
    starts_at: Instant
    window: Window
    channel: ReminderChannel

    def stream(self, at: At) -> UUID:
        return reminder_of(self.appointment_id, self.starts_at, self.window, self.channel)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {**await occasion(look, self.appointment_id), "settings": await look.load(ReminderSettings, reminder_settings_of(look.at.clinic))}

    def decide(
        self, reminder: Reminder, at: At, *, visit: Appointment, arranged_at: Instant, patient: Patient, reachable: bool, wishes: list[MessageWishes],
        settings: ReminderSettings,
    ) -> Decision:
        here = Occasion(self.appointment_id, visit, arranged_at, patient, reachable, wishes)
        if not here.at(self.starts_at):
            return []
        due = settings.due(self.window, self.starts_at, at.zone)
        match settings.verdict(self.window, here.going(self.channel), at.now, at.zone):
            case "wait":
                return []
            case "send":
                queued = reminder.queue(here.reminded(), self.window, self.channel, due, visit.link_number, here.times.ends_at)
                return [*queued, *(here.linked(at.now) if queued else [])]
            case why:
                return [*reminder.skip(here.reminded(), self.window, self.channel, due, why)]


class SendReminder(Creation):
    """Remind a patient of a visit now, whatever the windows and the quiet hours."""

    state = Reminder
    permission = "appointments.remind"
    appointment_id: AppointmentId
    channel: ReminderChannel = "email"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await occasion(look, self.appointment_id)

    def decide(
        self, reminder: Reminder, at: At, *, visit: Appointment, arranged_at: Instant, patient: Patient, reachable: bool, wishes: list[MessageWishes],
    ) -> Decision:
        here = Occasion(self.appointment_id, visit, arranged_at, patient, reachable, wishes)
        here.ensure_writable(self.channel, at.now)
        return [*reminder.queue(here.reminded(), None, self.channel, at.now, visit.link_number, here.times.ends_at), *here.linked(at.now)]


class ResendReminder(Command):
    """Send a reminder again, about the time that the visit has by now, to where the patient is reached now."""

    state = Reminder
    permission = "appointments.remind"

    async def gather(self, look: Look) -> dict[str, Any]:
        reminder = await look.require(Reminder, look.at.id)
        found = await look.find(ReminderEntry, id=look.at.id)
        return {**await occasion(look, reminder.about.appointment_id), "settled": bool(found) and found[0].status != "queued"}

    def decide(
        self, reminder: Reminder, at: At, *, visit: Appointment, arranged_at: Instant, patient: Patient, reachable: bool, wishes: list[MessageWishes],
        settled: bool,
    ) -> Decision:
        reminder.ensure_sent()
        here = Occasion(reminder.about.appointment_id, visit, arranged_at, patient, reachable, wishes)
        here.ensure_writable(reminder.channel, at.now)
        return [*reminder.repeat(here.reminded(), visit.link_number, here.times.ends_at, settled=settled), *here.linked(at.now)]


class ForwardReminder(Command):
    """Remind a patient whose record was merged into another one while the reminder was on its way."""

    state = Reminder
    permission = "house"

    async def gather(self, look: Look) -> dict[str, Any]:
        reminder = await look.require(Reminder, look.at.id)
        return await occasion(look, reminder.about.appointment_id)

    def decide(
        self, reminder: Reminder, at: At, *, visit: Appointment, arranged_at: Instant, patient: Patient, reachable: bool, wishes: list[MessageWishes],
    ) -> Decision:
        here = Occasion(reminder.about.appointment_id, visit, arranged_at, patient, reachable, wishes)
        here.ensure_writable(reminder.channel, at.now)
        forwarded = reminder.forward(here.reminded(), visit.link_number, here.times.ends_at)
        return [*forwarded, *(here.linked(at.now) if forwarded else [])]
