"""A front desk's book, kept a second time: simple, by the minute, with nothing of the product.

The rules, as whoever sits there would say them. A visit takes a doctor's and a room's time with the minutes kept free around it, and the patient's without; so does time that is held, and
blocked time takes the doctor's. Nothing is put where anything is, and not where the doctor does not work, unless it is by force. What is cancelled, missed or struck out takes no time.
What is moved together may move into each other's places; of two that want one time the earlier has it, and whoever cannot have what they want stays where they are, in everybody's way.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
TAKES = {"booked", "confirmed"}
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Doctor:
    """When a doctor works, each day alike; how long is kept free around a visit; and how far apart the starts are that are offered."""

    first: str
    last: str
    before: int
    after: int
    grid: int


@dataclass(frozen=True)
class Visit:
    """A visit as it stands."""

    id: str
    patient: str
    doctor: str
    room: str | None
    start: datetime
    minutes: int
    before: int
    after: int
    forced: bool = False
    status: str = "booked"

    @property
    def end(self) -> datetime:
        return self.start + self.minutes * MINUTE

    @property
    def held(self) -> Span:
        return self.start - self.before * MINUTE, self.end + self.after * MINUTE

    def takes(self) -> Iterator[tuple[str, Span]]:
        """Whose time it takes."""
        if self.status in TAKES:
            yield self.doctor, self.held
            yield self.patient, (self.start, self.end)
            if self.room:
                yield self.room, self.held


@dataclass(frozen=True)
class Hold:
    """Time that is held; it looks like a visit of nobody's."""

    doctor: str
    room: str | None
    start: datetime
    minutes: int
    span: Span

    def takes(self) -> Iterator[tuple[str, Span]]:
        yield self.doctor, self.span
        if self.room:
            yield self.room, self.span


@dataclass(frozen=True)
class Block:
    """Time in which a doctor is away."""

    doctor: str
    start: datetime
    end: datetime

    def takes(self) -> Iterator[tuple[str, Span]]:
        yield self.doctor, (self.start, self.end)


@dataclass
class Series:
    """Visits that belong together: by number, with the day and the time at which each was arranged with the others."""

    visits: dict[int, str]
    planned: dict[int, str]


Way = Callable[[Visit, "Others"], Visit | None]
"""What would become of a visit, given the others; None if it cannot be had."""


@dataclass
class Others:
    """What is in the way of something."""

    book: "Book"
    spans: list[tuple[str, Span]]

    def free(self, what: Visit | Hold) -> bool:
        return not any(who == whose and start < ends and begins < end for who, (start, end) in what.takes() for whose, (begins, ends) in self.spans)


@dataclass
class Book:
    """The book."""

    zone: str
    doctors: dict[str, Doctor]
    days: tuple[date, date]  # in which anybody works
    visits: dict[str, Visit] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)  # what is offered to somebody who waits is a hold as well
    blocks: dict[str, Block] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.works = {id_: set(self.minutes(one)) for id_, one in self.doctors.items()}

    def minutes(self, doctor: Doctor) -> Iterator[datetime]:
        """The minutes at which the wall shows that the doctor works."""
        first, last = (datetime(one.year, one.month, one.day, tzinfo=UTC) for one in self.days)
        for n in range(int((last - first) / MINUTE)):
            moment = first + n * MINUTE
            if doctor.first <= f"{self.wall(moment):%H:%M}" < doctor.last:
                yield moment

    def wall(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)

    def visit(self, id_: str, patient: str, doctor: str, room: str | None, start: datetime, minutes: int, *, forced: bool = False) -> Visit:
        return Visit(id_, patient, doctor, room, start, minutes, self.doctors[doctor].before, self.doctors[doctor].after, forced)

    def others(self, without: Iterable[str] = ()) -> Others:
        """All that is in the way of something, but these visits and holds."""
        gone = set(without)
        there = [*self.visits.items(), *self.holds.items(), *self.blocks.items()]
        return Others(self, [span for id_, one in there if id_ not in gone for span in one.takes()])

    def why_not(self, what: Visit | Hold, without: Iterable[str] = ()) -> str | None:
        """Why something cannot be put into the book, if it cannot."""
        if isinstance(what, Visit) and what.forced:
            return None
        if not self.worked(what):
            return "DOCTOR_NOT_WORKING"
        return None if self.others(without).free(what) else "TIME_TAKEN"

    def worked(self, what: Visit | Hold) -> bool:
        return all(what.start + n * MINUTE in self.works[what.doctor] for n in range(what.minutes))

    def starts(self, doctor: str) -> list[datetime]:
        """The starts that the doctor's hours offer."""
        hours = self.doctors[doctor]
        first = int(hours.first[:2]) * 60 + int(hours.first[3:])
        return sorted(one for one in self.works[doctor] if (self.wall(one).hour * 60 + self.wall(one).minute - first) % hours.grid == 0)

    def at(self, doctor: str | None, start: datetime | None = None) -> Way:
        """To another doctor, or another time."""

        def way(visit: Visit, others: Others) -> Visit | None:
            to = self.visit(visit.id, visit.patient, doctor or visit.doctor, visit.room, start or visit.start, visit.minutes)
            return replace(to, status=visit.status) if self.worked(to) and others.free(to) else None

        return way

    def first_free(self, visit: Visit, others: Others) -> Visit | None:
        """The first time at which the same doctor can, after the visit's own."""
        for start in self.starts(visit.doctor):
            if start > visit.start and (found := self.at(None, start)(visit, others)):
                return found
        return None

    def settled(self, wishes: dict[str, list[Way]]) -> dict[str, Visit | None]:
        """What becomes of visits that want something together, in this order: each its best way before anybody's next; None stays."""
        refused: set[str] = set()
        while True:
            others = self.others(set(wishes) - refused)
            had: dict[str, Visit] = {}
            for rank in range(max((len(ways) for ways in wishes.values()), default=0)):
                for id_, ways in wishes.items():
                    if id_ not in refused and id_ not in had and rank < len(ways) and (to := ways[rank](self.visits[id_], others)):
                        had[id_] = to
                        others.spans += to.takes()
            if not (more := set(wishes) - refused - set(had)):
                return {id_: had.get(id_) for id_ in wishes}
            refused |= more

    def away(self, block: Block) -> list[str]:
        """The visits that stand in blocked time, the earliest first."""
        found = [one for one in self.visits.values() if one.status in TAKES and one.doctor == block.doctor and one.held[0] < block.end and block.start < one.held[1]]
        return [one.id for one in sorted(found, key=lambda one: (one.start, one.id))]

    def overlaps(self) -> Iterator[tuple[Visit, Visit]]:
        """The pairs of visits that take the same time of somebody, neither by force."""
        there = [(one, whose, span) for one in self.visits.values() if not one.forced for whose, span in one.takes()]
        for n, (one, whose, (start, end)) in enumerate(there):
            for other, who, (begins, ends) in there[n + 1 :]:
                if who == whose and other is not one and start < ends and begins < end:
                    yield one, other
