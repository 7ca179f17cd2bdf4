"""Reminders: patients are reminded of a visit so long before it as the clinic says, once for each of these times, and never at night.

How it works: a clinic names its windows, such as 48 and 2 hours before a visit. A reminder is due so long before the visit; what falls into the quiet hours is sent when they end, and dropped if
the visit has begun by then. Each visit's time and window has one stream, so there is one reminder whoever asks for it and how often; a visit that is moved has another time, and its windows begin
anew. What lay behind when the visit was booked or moved is skipped, and so is a window if a later one is due as well: nobody is written to twice at once. Whatever is skipped says why.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import AppointmentId, Event, Frozen, Invalid, PatientId, Refused, State, only, wall, zone
from domain.kit.letters import letter

SkipReason = Literal["sent-before", "short-notice", "overtaken", "inactive", "unwanted", "unreachable", "quiet-hours"]
Window = Annotated[int, Meta(ge=5, le=60 * 24 * 60, description="Minutes before the visit.")]
Windows = Annotated[list[Window], Meta(min_length=1, max_length=5, description="How long before a visit, in minutes.", examples=[[2880, 120]])]
QuietTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Wall-clock time in the clinic's zone.", examples=["21:00"])]
LinkNumber = Annotated[int, Meta(ge=1, description="Of the link by which the patient answers.")]


class Quiet(Frozen):
    """When nobody is written to: from a time of the day until another one, over midnight if that is the earlier one."""

    start: QuietTime
    end: QuietTime


class ReminderRules(Frozen):
    """How a clinic reminds: whether at all, how long before, and when never."""

    enabled: bool = False
    windows: Windows = field(default_factory=lambda: [2880, 120])
    quiet: Quiet | None = Quiet(start="21:00", end="08:00")


class ReminderSettingsChanged(Event, ReminderRules): ...


class Reminded(Frozen):
    """Who is reminded of which visit, at which time."""

    patient_id: PatientId
    appointment_id: AppointmentId
    starts_at: datetime


class ReminderQueued(Event, Reminded):
    """The patient is to be written to; `window` null: because somebody asked for it. Their link to the visit is good `until` it is over."""

    window: Window | None
    due_at: datetime
    number: LinkNumber
    until: datetime


class ReminderSkipped(Event, Reminded):
    """The patient is not reminded, and why not."""

    window: Window
    due_at: datetime
    why: SkipReason


ReminderSettingsEvent = ReminderSettingsChanged
ReminderEvent = ReminderQueued | ReminderSkipped


class QuietHoursEndless(Invalid):
    """Quiet hours begin and end at different times."""


class ReminderUnwanted(Refused):
    """This patient does not want to be reminded. Ask them, and note it, before you send anything."""


class Going(Frozen):
    """A visit as a reminder sees it: when it is, since when it has been arranged so, and whether its patient may and can be written to."""

    starts_at: datetime
    arranged_at: datetime
    active: bool
    wanted: bool
    reachable: bool


class ReminderSettings(State):
    """How a clinic reminds."""

    kind: ClassVar[str] = "reminder_settings"
    rules: ReminderRules = ReminderRules()

    def evolve(self, event: ReminderSettingsEvent) -> Self:
        return replace(self, rules=ReminderRules(**only(ReminderRules, event)))

    def change(self, wanted: ReminderRules) -> list[Event]:
        if wanted.quiet and wanted.quiet.start == wanted.quiet.end:
            raise QuietHoursEndless
        rules = ReminderRules(enabled=wanted.enabled, windows=sorted({*wanted.windows}, reverse=True), quiet=wanted.quiet)
        return [] if rules == self.rules else [ReminderSettingsChanged(**only(ReminderRules, rules))]

    def due(self, window: int, starts_at: datetime, zone_name: str) -> datetime:
        """Return when a visit's reminder is to be sent: when the quiet hours are over, if that is before the visit."""
        due = starts_at - timedelta(minutes=window)
        over = self.awake(due, zone_name)
        return over if over is not None and over < starts_at else due

    def awake(self, moment: datetime, zone_name: str) -> datetime | None:
        """Return when the quiet hours end in which a moment lies; None if it lies in none."""
        if (quiet := self.rules.quiet) is None:
            return None
        local = wall(moment, zone_name)
        now = f"{local:%H:%M}"
        if not (quiet.start <= now < quiet.end if quiet.start < quiet.end else now >= quiet.start or now < quiet.end):
            return None
        last = local.date() if now < quiet.end else local.date() + timedelta(days=1)
        return datetime.combine(last, time.fromisoformat(quiet.end), zone(zone_name)).astimezone(UTC)  # a time that the clocks skip or repeat is no reason to stay silent

    def verdict(self, window: int, going: Going, now: datetime, zone_name: str) -> Literal["wait", "send"] | SkipReason:
        """Say what is to be done about a visit's reminder now; `wait` as well where there is, or will be, nothing to do."""
        starts, due = going.starts_at, self.due(window, going.starts_at, zone_name)
        if not self.rules.enabled or window not in self.rules.windows or due > now or starts <= now:
            return "wait"
        if due < going.arranged_at:
            return "short-notice"
        if any(self.due(other, starts, zone_name) <= now for other in self.rules.windows if other < window):
            return "overtaken"
        if (why := unwritten(going)) is not None:
            return why
        if (over := self.awake(now, zone_name)) is not None:
            return "wait" if over < starts else "quiet-hours"
        return "send"

    def expected(self, window: int, going: Going, now: datetime, zone_name: str) -> SkipReason | None:
        """Say why a reminder that is still to come would be skipped, as things stand."""
        due = self.due(window, going.starts_at, zone_name)
        if due < going.arranged_at:
            return "short-notice"
        return unwritten(going) or ("quiet-hours" if self.awake(max(due, now), zone_name) else None)


def unwritten(going: Going) -> SkipReason | None:
    """Return why a patient is not written to at all."""
    reasons: dict[SkipReason, bool] = {"inactive": not going.active, "unwanted": not going.wanted, "unreachable": not going.reachable}
    return next((why for why, so in reasons.items() if so), None)


class Reminder(State):
    """One reminder of a visit, sent or skipped once and for all."""

    kind: ClassVar[str] = "reminders"
    settled: bool = False
    sent: bool = False

    def evolve(self, event: ReminderEvent) -> Self:
        return replace(self, settled=True, sent=isinstance(event, ReminderQueued))

    def queue(self, whom: Reminded, window: int | None, due_at: datetime, number: int, until: datetime) -> list[Event]:
        """Have the patient written to, once; what comes of it the outbox says."""
        return [] if self.settled else [ReminderQueued(**only(Reminded, whom), window=window, due_at=due_at, number=number, until=until)]

    def skip(self, whom: Reminded, window: int, due_at: datetime, why: SkipReason) -> list[Event]:
        return [] if self.settled else [ReminderSkipped(**only(Reminded, whom), window=window, due_at=due_at, why=why)]


def ensure_wanted(*, wanted: bool) -> None:
    if not wanted:
        raise ReminderUnwanted


def reminder_settings_of(clinic: UUID) -> UUID:
    """Return the id under which a clinic's way to remind is kept."""
    return uuid5(clinic, "reminders/settings")


def reminder_of(appointment: UUID, starts_at: datetime, window: int) -> UUID:
    """Return the id of a visit's one reminder for a window, at the time that the visit has."""
    return uuid5(appointment, f"reminders/{starts_at.astimezone(UTC).isoformat()}/{window}")


REMINDER_LETTER = letter(
    "appointments.reminder", "Reminds a patient of an appointment, with a link to confirm or cancel it; it says neither with whom nor for what.",
    {
        "date": "2026-03-02", "time": "09:00", "zone": "Europe/Amsterdam", "address": "Singel 1, Amsterdam", "phone": "+31 20 123 4567",
        "link": "https://clinic.example/api/v1/appointments/links/01936f5e.x7Kq", "unsubscribe": "https://clinic.example/api/v1/message-wishes/reminders/x7Kq",
    },
    en=("{{date}}, {{time}}: your appointment at {{clinic}}", """
Dear {{name}},

We expect you at {{clinic}}:

{{date}}, {{time}} ({{zone}})

By this link you can confirm your appointment or cancel it. It is for you alone:

{{link}}

{{address}}
{{phone}}

You do not want to be reminded any more? {{unsubscribe}}
"""),
    es=("{{date}}, {{time}}: su cita en {{clinic}}", """
Hola, {{name}}:

Le esperamos en {{clinic}}:

{{date}}, {{time}} ({{zone}})

Con este enlace puede confirmar su cita o cancelarla. Es solo para usted:

{{link}}

{{address}}
{{phone}}

¿No quiere recibir más recordatorios? {{unsubscribe}}
"""),
)
