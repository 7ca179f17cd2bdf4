"""What may be asked about reminding patients of their visits."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from msgspec import Meta

from commands.kit import Creation, Decision, Look
from commands.patients import addressee
from domain.appointments import Appointment
from domain.kit import AppointmentId, At, Elsewhere, Event, NotFound
from domain.message_wishes import MessageWishes, message_wishes_of
from domain.patients import Patient
from domain.reminders import (
    Going,
    Reminded,
    Reminder,
    ReminderRules,
    ReminderSettings,
    Window,
    ensure_wanted,
    reminder_of,
    reminder_settings_of,
)

Instant = Annotated[datetime, Meta(tz=True)]


class ChangeReminderSettings(ReminderRules, Creation):
    """Say whether and how the clinic reminds: up to five windows in minutes before a visit, and when nobody is written to.

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

    @property
    def going(self) -> Going:
        return Going(
            starts_at=self.times.starts_at, arranged_at=self.arranged_at, active=not self.patient.archived and self.patient.merged_into is None,
            wanted=all("reminders" not in one.unwanted for one in self.wishes), reachable=self.reachable)

    @property
    def reminded(self) -> Reminded:
        return Reminded(patient_id=self.visit.patient, appointment_id=self.id, starts_at=self.times.starts_at)

    @property
    def times(self) -> Any:
        """What the patient was told."""
        if self.visit.arranged is None:
            raise NotFound
        return self.visit.arranged

    def at(self, starts_at: datetime) -> bool:
        """Say whether the patient is still to come, at that time."""
        return self.visit.status in {"booked", "confirmed"} and self.visit.arranged is not None and self.visit.arranged.starts_at == starts_at

    def queued(self, reminder: Reminder, window: int | None, due: datetime, now: datetime) -> Decision:
        """Have the patient written to, with the link by which they answer: a new one if they have none that is good."""
        queued = reminder.queue(self.reminded, window, due, self.visit.link_number, self.times.ends_at)
        shared = self.visit.share(now) if queued else []
        return [*queued, *([Elsewhere(state=Appointment, id=self.id, events=shared)] if shared else [])]


async def occasion(look: Look, appointment: UUID) -> dict[str, Any]:
    """Return a visit and its patient, held fast."""
    visit = await look.require(Appointment, appointment)
    row, whose = await look.row(Appointment, appointment), visit.patient
    to = await addressee(look, whose)
    wishes = [await look.load(MessageWishes, message_wishes_of(record)) for record in (whose, *to["patient"].records)]
    return {**to, "visit": visit, "arranged_at": row.moved_at or row.booked_at, "wishes": wishes}


class Remind(Creation):
    """Remind a patient of a visit, once it is time: at the time that the visit has, for one window."""

    state = Reminder
    permission = "house"
    appointment_id: AppointmentId
    starts_at: Instant
    window: Window

    def stream(self, at: At) -> UUID:
        return reminder_of(self.appointment_id, self.starts_at, self.window)

    async def gather(self, look: Look) -> dict[str, Any]:
        found = await occasion(look, self.appointment_id)
        before = [await look.load(Reminder, reminder_of(self.appointment_id, one, self.window)) for one in found["visit"].earlier]
        return {**found, "settings": await look.load(ReminderSettings, reminder_settings_of(look.at.clinic)), "before": before}

    def decide(
        self, reminder: Reminder, at: At, *, visit: Appointment, arranged_at: Instant, patient: Patient, reachable: bool, wishes: list[MessageWishes],
        settings: ReminderSettings, before: list[Reminder] = [],  # noqa: B006 - only read
    ) -> Decision:
        here = Occasion(self.appointment_id, visit, arranged_at, patient, reachable, wishes)
        if not here.at(self.starts_at):
            return []
        due = settings.due(self.window, self.starts_at, at.zone)
        if due <= at.now and any(one.sent for one in before):  # the same time on the wall was another instant then
            return [*reminder.skip(here.reminded, self.window, due, "sent-before")]
        match settings.verdict(self.window, here.going, at.now, at.zone):
            case "wait":
                return []
            case "send":
                return here.queued(reminder, self.window, due, at.now)
            case why:
                return [*reminder.skip(here.reminded, self.window, due, why)]


class SendReminder(Creation):
    """Remind a patient of a visit now, whatever the windows and the quiet hours."""

    state = Reminder
    permission = "appointments.remind"
    appointment_id: AppointmentId

    async def gather(self, look: Look) -> dict[str, Any]:
        return await occasion(look, self.appointment_id)

    def decide(
        self, reminder: Reminder, at: At, *, visit: Appointment, arranged_at: Instant, patient: Patient, reachable: bool, wishes: list[MessageWishes],
    ) -> Decision:
        here = Occasion(self.appointment_id, visit, arranged_at, patient, reachable, wishes)
        visit.ensure_ahead(at.now)
        patient.ensure_reachable(reachable=reachable)
        ensure_wanted(wanted=here.going.wanted)
        return here.queued(reminder, None, at.now, at.now)
