"""One clinic as the demo tells its story: a clock, people with intentions, and the commands they give.

How it works. Everybody's intentions are generators that say until when they wait (`yield` an instant) and give commands in between (`house.ask`). The clock
goes from one wake-up to the next, so the commands come out in the order of their time. Nothing waits for an answer: whoever acts knows enough to
ask only what will be granted, for he keeps the diaries himself, and the ids are his. So the story depends on seed and date alone.

What may go wrong. A command that is refused after all means that story and rules disagree: the demo stops there and says so.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from anamnesis.demo.chance import Deck, one_in
from anamnesis.demo.days import Calendar, Diary, some_minute
from anamnesis.demo.places import KINDS, Kind, Place
from commands.kit import Command
from commands.kit.handling import Who
from domain.kit import PLATFORM
from domain.kit.bills import Line
from domain.kit.grants import Role, granted
from domain.kit.sources import Source
from domain.queue import series_name
from domain.series import series_of
from domain.staff import Profile

HISTORY = 730  # days
AHEAD = 150  # days that can be booked
DAY = 24 * 3600
MINUTE = 60
SUPERADMIN = UUID(int=1)

Intention = Iterator[int]


class Scale(Struct, frozen=True):
    """How large the clinics are: `bookings` in all three together, `growth` from the first day to the last, `grid` the minutes between starts."""

    doctors: int
    desks: int
    bookings: int
    growth: float
    grid: int


class Ask(NamedTuple):
    """A command at its time; one `alone` waits for all before it, and all after it wait for it; after the `last` nobody asks for that stream again.

    `begins` is the id of a series that this one is the first to take a number from, so nobody needs to look what it has given out.
    """

    at: int
    command: Command
    who: Who
    id: UUID
    command_id: UUID
    alone: bool = False
    last: bool = False
    begins: UUID | None = None


class Worker:
    """Somebody who works here."""

    def __init__(self, id_: UUID, who: Who, profile: Profile) -> None:
        self.id = id_
        self.who = who
        self.profile = profile
        self.active = True


class Doctor(Worker):
    """A doctor with a room and a diary."""

    room: UUID
    diary: Diary
    free_at = 0  # when the patient in the chair will have left


class Household:
    """People who live together, and like to come together."""

    def __init__(self, family: str, address: str, phone: str, source: Source | None) -> None:
        self.family = family
        self.address = address
        self.phone = phone
        self.source = source  # how they heard of the clinic
        self.day = -1  # of the next visit of one of them
        self.start = 0
        self.doctor: Doctor | None = None


class Patient:
    """A patient as the front desk knows them."""

    __slots__ = ("archived", "birth", "doctor", "email", "given", "household", "id", "known", "recall", "sex", "stays")

    def __init__(self, id_: UUID, household: Household, given: str, sex: str, birth: date, email: str | None) -> None:
        self.id = id_
        self.household = household
        self.given = given
        self.sex = sex
        self.birth = birth
        self.email = email
        self.doctor: Doctor | None = None
        self.recall = 180
        self.known = False  # the medical history has been taken
        self.archived = False
        self.stays = False  # is never archived


class Wish(NamedTuple):
    """What somebody calls for, and in how many days."""

    kind: Kind
    days: int


class Decks:
    """What happens how often."""

    def __init__(self, rng: Random, apart: Random) -> None:
        self.source: Deck[Source | None] = Deck(apart, {
            "recommendation": 8, "search": 5, "passing-by": 2, "social-media": 2, "practitioner": 2, "website": 1, "insurer": 1, "advertisement": 1, None: 3})
        self.kinds = Deck(rng, {kind.name: kind.share for kind in KINDS if kind.share})
        self.outcome = Deck(rng, {"kept": 158, "missed": 15, "cancelled": 14, "cancelled late": 10, "removed": 3})
        self.moved = Deck(rng, {0: 41, 1: 7, 2: 2})
        self.confirmed = Deck(rng, {True: 8, False: 2})
        self.edited = one_in(rng, 25)
        self.squeezed = one_in(rng, 12)
        self.noted = one_in(rng, 8)
        self.by_clinic = one_in(rng, 7)
        self.household = Deck(rng, {1: 9, 2: 4, 3: 3, 4: 4})
        self.newcomer = one_in(rng, 12)
        self.lost = one_in(rng, 14)
        self.gone = one_in(rng, 40)
        self.returns = one_in(rng, 4)
        self.changed = one_in(rng, 60)
        self.amended = one_in(rng, 15)
        self.billing = Deck(rng, {"at once": 62, "draft": 27, "edited draft": 4, "discarded": 2, "void": 2, "none": 3})
        self.paying = Deck(rng, {"at once": 23, "marked": 4, "later": 9, "parts": 6, "never": 1})
        self.refunded = Deck(rng, {"no": 58, "part": 1, "whole": 1})
        self.method = Deck(rng, {"card": 12, "cash": 3, "insurance": 4, "other": 1})
        self.discount = Deck(rng, {"none": 44, "percent": 3, "amount": 2, "line": 1})
        self.product = one_in(rng, 12)


class House:
    """A clinic, its people and its clock."""

    def __init__(self, place: Place, scale: Scale, seed: int, until: date) -> None:
        self.place = place
        self.scale = scale
        self.rng = Random(f"{seed}/{place.key}")
        self.decks = Decks(self.rng, Random(f"{seed}/{place.key}/sources"))
        first = until - timedelta(days=HISTORY)
        self.holidays = {on: why for year in range(first.year, until.year + 2) for on, why in place.holidays(year).items()}
        self.calendar = Calendar(first, HISTORY + AHEAD, place.zone, frozenset(self.holidays), place.weekdays)
        self.now = self.calendar.at(0, 7 * 60)
        self.end = int(datetime.fromisoformat(f"{until}T00:00:00+00:00").timestamp())
        self.clinic = self.id()
        self.platform = Who(actor=SUPERADMIN, clinic=PLATFORM, role="superadmin", grants=granted("superadmin"))
        self.overseer = Who(actor=SUPERADMIN, clinic=self.clinic, role="superadmin", grants=granted("superadmin"))
        self.admins: list[Worker] = []
        self.doctors: list[Doctor] = []
        self.desks: list[Worker] = []
        self.patients: list[Patient] = []
        self.calls: list[tuple[int, int, Patient, Wish]] = []
        self.issued_in: set[int] = set()  # years in which an invoice has been issued
        self.queued_on = -1  # the last day on which somebody arrived
        self.charged: dict[tuple[UUID, str], list[Line]] = {}  # by doctor and kind of visit
        self._waiting: list[tuple[int, int, Intention]] = []
        self._asked: list[Ask] = []
        self._count = 0

    def who(self, role: Role, id_: UUID) -> Who:
        """Return a member of staff as the one who asks."""
        return Who(actor=id_, clinic=self.clinic, role=role, grants=granted(role, "Pro+"), subject=id_)

    def id(self) -> UUID:
        """Return an id that sorts by the story's time, as a fresh one sorts by the clock's (RFC 9562, version 7)."""
        rest = self.rng.getrandbits(74)
        return UUID(int=(self.now * 1000 << 80) | (7 << 76) | (rest >> 62 << 64) | (2 << 62) | (rest & (1 << 62) - 1))

    def ask(
        self, command: Command, who: Who, id_: UUID | None = None, *, alone: bool = False, last: bool = False, begins: UUID | None = None,
    ) -> UUID:
        """Give a command, now; return the id of what it is about."""
        about = id_ or self.id()
        self._asked.append(Ask(self.now, command, who, about, self.id(), alone, last, begins))
        return about

    def start(self, intention: Intention, at: int | None = None) -> None:
        """Let somebody begin something."""
        self._count += 1
        heappush(self._waiting, (self.now if at is None else at, self._count, intention))

    def asks(self) -> Iterator[Ask]:
        """Let the clock run to the end of the story, and yield every command in the order of time."""
        while self._waiting and self._waiting[0][0] < self.end:
            at, _, intention = heappop(self._waiting)
            self.now = max(at, self.now)
            wake = next(intention, None)
            if wake is not None:
                self.start(intention, max(wake, self.now))
            if self._asked:
                yield from self._asked
                self._asked.clear()

    @property
    def today(self) -> int:
        """Return the day it is, counted from the first."""
        return self.calendar.day(self.now)

    @property
    def admin(self) -> Who:
        """Return the clinic's administrator."""
        return self.admins[0].who

    def desk(self) -> Who:
        """Return whoever is at the front desk."""
        return self.rng.choice(self.desks).who

    def on(self, day: int, minute: int) -> int:
        """Return an instant, but never one that has passed."""
        return max(self.calendar.at(day, minute), self.now + MINUTE)

    def opens_queue(self) -> UUID | None:
        """Return the series of today's numbers to the first who arrives."""
        first, self.queued_on = self.queued_on != self.today, self.today
        on = self.calendar.dates[self.today]
        return series_of(self.clinic, series_name(on), on.year) if first else None

    def some_time(self, day: int) -> int:
        """Return an instant within the opening hours of a day."""
        start, end = self.place.hours
        return self.on(day, some_minute(self.rng, start, end))

    def between(self, start: int, end: int) -> int:
        """Return an instant between two, within opening hours where they allow it."""
        instant = start + int(self.rng.random() * max(end - start, 1))
        day = self.calendar.day(instant)
        opens, closes = (self.calendar.at(day, minute) for minute in self.place.hours)
        if not opens <= instant <= closes:
            instant = opens + int(self.rng.random() * (closes - opens))
        return min(max(instant, start), max(start, end))

    def call(self, patient: Patient, wish: Wish, days: int) -> None:
        """Note that a patient will call in so many days."""
        self._count += 1
        heappush(self.calls, (self.today + days, self._count, patient, wish))


def wall_time(on: date, minute: int) -> datetime:
    """Return a wall-clock time."""
    return datetime(on.year, on.month, on.day) + timedelta(minutes=minute)  # noqa: DTZ001 - the clinic's own zone
