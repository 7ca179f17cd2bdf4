"""Reminders: patients are reminded of a visit so long before it as the clinic says, once for each of these times, and never at night.

How it works: a clinic names its windows, such as 48 and 2 hours before a visit. A reminder is due so long before the visit; what falls into the quiet hours is sent when they end if the visit is
still ahead by then, else before they begin. Each visit's time, window and channel has one stream, so there is one reminder whoever asks for it and how often; a visit that is moved has another time, and its
windows begin anew. What lay behind when the visit was booked or moved is skipped, and so is a window if a later one is due as well: nobody is written to twice at once. Whatever is skipped says why.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import AppointmentId, Event, Frozen, Invalid, NotFound, PatientId, Refused, State, only, wall, zone
from domain.kit.letters import letter

ReminderChannel = Literal["email", "sms", "whatsapp"]
SkipReason = Literal["short-notice", "overtaken", "inactive", "unwanted", "unreachable", "quiet-hours"]
RepeatReason = Literal["asked", "merged"]
Window = Annotated[int, Meta(ge=5, le=60 * 24 * 60, description="Minutes before the visit.")]
Windows = Annotated[list[Window], Meta(min_length=1, max_length=5, description="How long before a visit, in minutes.", examples=[[2880, 120]])]
Channels = Annotated[list[ReminderChannel], Meta(min_length=1, max_length=3)]
QuietTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Wall-clock time in the clinic's zone.", examples=["21:00"])]
Number = Annotated[int, Meta(ge=1, description="Of the link by which the patient answers.")]

CONNECTED: frozenset[ReminderChannel] = frozenset({"email"})  # ways by which something can be sent
BEFORE_QUIET = timedelta(minutes=15)  # that a reminder comes before the quiet hours which it must not wait for
MOST = 10  # times that one is sent again


class Quiet(Frozen):
    """When nobody is written to: from a time of the day until another one, over midnight if that is the earlier one."""

    start: QuietTime
    end: QuietTime


class ReminderRules(Frozen):
    """How a clinic reminds: whether at all, how long before, by which ways, and when never."""

    enabled: bool = False
    windows: Windows = field(default_factory=lambda: [2880, 120])
    channels: Channels = field(default_factory=lambda: ["email"])
    quiet: Quiet | None = Quiet(start="21:00", end="08:00")


class ReminderSettingsChanged(Event, ReminderRules): ...


class Reminded(Frozen):
    """Who is reminded of which visit, at which time."""

    patient_id: PatientId
    appointment_id: AppointmentId
    starts_at: datetime


class ReminderQueued(Event, Reminded):
    """The patient is to be written to; `window` null: because somebody asked for it."""

    window: Window | None
    channel: ReminderChannel
    due_at: datetime
    number: Number
    until: datetime


class ReminderSkipped(Event, Reminded):
    """The patient is not reminded, and why not."""

    window: Window
    channel: ReminderChannel
    due_at: datetime
    why: SkipReason


class ReminderRepeated(Event, Reminded):
    """The patient is to be written to again: because somebody asked for it, or since what was on its way went to a record that was merged into another one."""

    number: Number
    until: datetime
    why: RepeatReason


ReminderSettingsEvent = ReminderSettingsChanged
ReminderEvent = ReminderQueued | ReminderSkipped | ReminderRepeated


class ReminderChannelMissing(Refused):
    """Nothing can be sent by that way yet: no service for it is connected. Remind by e-mail."""

    status = 503


class QuietHoursEndless(Invalid):
    """Quiet hours begin and end at different times."""


class ReminderNotSent(Refused):
    """This reminder was skipped, so there is nothing to send again. Send one by hand."""


class ReminderOnItsWay(Refused):
    """This reminder has not been sent yet. Wait for what becomes of it."""


class ReminderSentTooOften(Refused):
    """This reminder has been sent again ten times already. Look into why it does not arrive."""


class ReminderUnwanted(Refused):
    """This patient does not want to be reminded in this way. Ask them, and note it, before you send anything."""


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
        if missing := sorted({*wanted.channels} - CONNECTED):
            raise ReminderChannelMissing(channels=missing)
        if wanted.quiet and wanted.quiet.start == wanted.quiet.end:
            raise QuietHoursEndless
        rules = ReminderRules(
            enabled=wanted.enabled, windows=sorted({*wanted.windows}, reverse=True), channels=sorted({*wanted.channels}), quiet=wanted.quiet)
        return [] if rules == self.rules else [ReminderSettingsChanged(**only(ReminderRules, rules))]

    def due(self, window: int, starts_at: datetime, zone_name: str) -> datetime:
        """Return when a visit's reminder is to be sent."""
        due = starts_at - timedelta(minutes=window)
        if (night := self.night(due, zone_name)) is None:
            return due
        begins, ends = night
        return ends if ends < starts_at else begins - BEFORE_QUIET

    def night(self, moment: datetime, zone_name: str) -> tuple[datetime, datetime] | None:
        """Return from when to when the quiet hours last in which a moment lies; None if it lies in none."""
        if (quiet := self.rules.quiet) is None:
            return None
        begin, end, local = time.fromisoformat(quiet.start), time.fromisoformat(quiet.end), wall(moment, zone_name)
        if not (begin <= local.time() < end if begin < end else local.time() >= begin or local.time() < end):
            return None
        first = local.date() if local.time() >= begin else local.date() - timedelta(days=1)
        last = first if begin < end else first + timedelta(days=1)
        there = zone(zone_name)  # a time that the clocks skip or repeat is no reason to stay silent
        return datetime.combine(first, begin, there).astimezone(UTC), datetime.combine(last, end, there).astimezone(UTC)

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
        if (night := self.night(now, zone_name)) is not None:
            return "wait" if night[1] < starts else "quiet-hours"
        return "send"


def unwritten(going: Going) -> SkipReason | None:
    """Return why a patient is not written to at all."""
    reasons: dict[SkipReason, bool] = {"inactive": not going.active, "unwanted": not going.wanted, "unreachable": not going.reachable}
    return next((why for why, so in reasons.items() if so), None)


class Reminder(State):
    """One reminder of a visit."""

    kind: ClassVar[str] = "reminders"
    reminded: Reminded | None = None
    window: int | None = None
    channel: ReminderChannel = "email"
    sent: bool = False  # rather: that it is to be sent, the outbox says what came of it
    again: int = 0

    def evolve(self, event: ReminderEvent) -> Self:
        match event:
            case ReminderQueued():
                return replace(self, reminded=reminded_of(event), window=event.window, channel=event.channel, sent=True)
            case ReminderSkipped():
                return replace(self, reminded=reminded_of(event), window=event.window, channel=event.channel)
            case ReminderRepeated():
                return replace(self, reminded=reminded_of(event), sent=True, again=self.again + (event.why == "asked"))

    def queue(self, whom: Reminded, window: int | None, channel: ReminderChannel, due_at: datetime, number: int, until: datetime) -> list[Event]:
        """Have the patient written to, once."""
        if self.reminded is not None:
            return []
        return [ReminderQueued(**only(Reminded, whom), window=window, channel=channel, due_at=due_at, number=number, until=until)]

    def skip(self, whom: Reminded, window: int, channel: ReminderChannel, due_at: datetime, why: SkipReason) -> list[Event]:
        if self.reminded is not None:
            return []
        return [ReminderSkipped(**only(Reminded, whom), window=window, channel=channel, due_at=due_at, why=why)]

    def repeat(self, whom: Reminded, number: int, until: datetime, *, settled: bool) -> list[Event]:
        """Write to the patient again, whoever has the visit now, about the time that it has now."""
        self.ensure_sent()
        if not settled:
            raise ReminderOnItsWay
        if self.again >= MOST:
            raise ReminderSentTooOften
        return [ReminderRepeated(**only(Reminded, whom), number=number, until=until, why="asked")]

    def forward(self, whom: Reminded, number: int, until: datetime) -> list[Event]:
        """Write to the record whose the visit is now, if what was on its way went to another one."""
        if not self.sent or self.about.patient_id == whom.patient_id or self.about.starts_at != whom.starts_at:
            return []
        return [ReminderRepeated(**only(Reminded, whom), number=number, until=until, why="merged")]

    def ensure_sent(self) -> None:
        if not self.sent:
            self.about  # noqa: B018 - one that is not there was not skipped either
            raise ReminderNotSent

    @property
    def about(self) -> Reminded:
        """Who is reminded of what."""
        if self.reminded is None:
            raise NotFound
        return self.reminded


def ensure_wanted(*, wanted: bool) -> None:
    if not wanted:
        raise ReminderUnwanted


def ensure_connected(channel: ReminderChannel) -> None:
    if channel not in CONNECTED:
        raise ReminderChannelMissing(channels=[channel])


def reminded_of(event: ReminderEvent) -> Reminded:
    return Reminded(**only(Reminded, event))


def reminder_settings_of(clinic: UUID) -> UUID:
    """Return the id under which a clinic's way to remind is kept."""
    return uuid5(clinic, "reminders/settings")


def reminder_of(appointment: UUID, starts_at: datetime, window: int, channel: str) -> UUID:
    """Return the id of a visit's one reminder for a window and a channel, at the time that the visit has."""
    return uuid5(appointment, f"reminders/{starts_at.astimezone(UTC).isoformat()}/{window}/{channel}")


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
