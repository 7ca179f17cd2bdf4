"""What may be seen of reminders, and of how a clinic reminds."""

import datetime as dt
from typing import ClassVar, Literal

from domain.kit import AppointmentId, Frozen, Id, PatientId
from domain.reminders import Quiet, SkipReason
from schemas.kit import Row

ReminderStatus = Literal["queued", "sent", "failed", "skipped", "unknown"]


class ReminderSettingsRow(Row):
    """How a clinic reminds its patients of their visits: how long before, in minutes, and when never."""

    table: ClassVar[str] = "reminder_settings"
    permission: ClassVar[str] = "settings.reminders.manage"
    id: Id
    enabled: bool
    windows: list[int]
    quiet: Quiet | None


class ReminderRow(Row):
    """A reminder of a visit at the time that it had: `window` minutes before it, or by hand where there is none; `skipped` is why nothing was sent.

    `letterPosition` is the position of the event that had the patient written to, by which the outbox knows the letter.
    """

    table: ClassVar[str] = "reminders"
    permission: ClassVar[str] = "appointments.remind"
    indexes: ClassVar[tuple[str, ...]] = ("appointment_id, starts_at", "patient_id", "noted_at")
    id: Id
    appointment_id: AppointmentId
    patient_id: PatientId
    starts_at: dt.datetime
    minutes: int | None
    due_at: dt.datetime
    noted_at: dt.datetime
    noted_by: Id
    skipped: SkipReason | None = None
    letter_position: int | None = None


class ReminderEntry(ReminderRow):
    """A reminder, and what became of it: `sent` once the mail server took it, `failed` with the reason; after ninety days nobody knows any more."""

    table: ClassVar[str] = "reminder_entries"
    status: ReminderStatus
    error: str | None
    settled_at: dt.datetime | None


class PlannedReminder(Frozen):
    """A reminder that is still to come: when it is due, and what would keep it from being sent as things stand."""

    minutes: int
    due_at: dt.datetime
    because: SkipReason | None


class RemindersOfAppointment(Frozen):
    """What a patient was written about a visit, the latest first, and what is still to come. `enabled` says whether the clinic reminds at all."""

    appointment_id: AppointmentId
    enabled: bool
    items: list[ReminderEntry]
    planned: list[PlannedReminder]
