"""The waiting queue: who is there today, under which number, who is being seen, and how long the others will probably wait.

How it works: of a patient with an appointment the appointment alone says how things stand (arrived: they wait; in the chair: they are being seen), and its arrival bears the number; whoever comes
without one has a stream of their own, which is this module's. So nothing is said twice, and the two cannot disagree. Numbers are given out by the clinic's series of the day, beginning with 1.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Claim,
    Event,
    Frozen,
    Note,
    NotFound,
    PatientId,
    Personal,
    Reason,
    Refused,
    RoomId,
    StaffId,
    State,
    UniqueClaim,
    only,
)
from domain.kit.turns import RANKS, NobodyWaits, Rank, ensure_reason

QueueStatus = Literal["WAITING", "IN_PROGRESS", "COMPLETED", "CANCELLED"]
QueueNumber = Annotated[int, Meta(description="The clinic's number of the day: 1, 2, 3, ...")]

NEXT: dict[QueueStatus, frozenset[QueueStatus]] = {
    "WAITING": frozenset({"IN_PROGRESS", "CANCELLED"}),
    "IN_PROGRESS": frozenset({"COMPLETED", "WAITING"}),  # back: called too soon, or the wrong one
    "CANCELLED": frozenset({"WAITING"}),  # they are there after all
}
HERE: frozenset[QueueStatus] = frozenset({"WAITING", "IN_PROGRESS"})
USUAL = 20  # minutes, where nothing is known of a doctor's visits, nor was anything agreed


class Place(Frozen):
    """Whom a patient waits for, and where they are seen; neither need be known yet."""

    doctor_id: StaffId | None = None
    room_id: RoomId | None = None


class Queued(Frozen):
    """Who waits, on which day of the clinic, and for whom, if for somebody in particular."""

    patient_id: PatientId
    on: date
    doctor_id: StaffId | None = None


class PatientQueued(Event, Queued):
    """Somebody without an appointment waits to be seen."""

    room_id: RoomId | None = None
    number: QueueNumber
    rank: Rank = "normal"
    reason: Annotated[Reason | None, Personal("patient_id")] = None  # of the rank, or of a walk-in despite a block
    notes: Annotated[Note | None, Personal("patient_id")] = None


class QueueEntryStarted(Event, Queued): ...


class QueueEntryReturned(Event, Queued):
    """They wait again: they were called too soon, or are there after all."""


class QueueEntryCompleted(Event, Queued): ...


class QueueEntryCancelled(Event, Queued):
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class QueueEntryPlaced(Event, Queued):
    """Another doctor, another room, or none in particular; carries both as they are now."""

    room_id: RoomId | None = None


class QueueEntryRanked(Event, Queued):
    rank: Rank
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class QueueEntryReassigned(Event, Queued):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    was_patient_id: PatientId


QueueEvent = (
    PatientQueued | QueueEntryStarted | QueueEntryReturned | QueueEntryCompleted | QueueEntryCancelled | QueueEntryPlaced | QueueEntryRanked
    | QueueEntryReassigned
)


class AlreadyQueued(Refused):
    """This patient is in the queue already."""


class QueueStepRefused(Refused):
    """Whoever waits is called or leaves, whoever was called is done or waits again, and whoever left may come back. What is done is done."""


class QueueDayOver(Refused):
    """That was the queue of another day. Nobody is called from it any more."""


class VisitMissing(Refused):
    """This patient has no visit today for which they have not arrived yet. Look at the calendar, or have them wait without an appointment."""


class DoctorSeesNobody(Refused):
    """That member of staff does not see patients."""


class RoomOutOfUse(Refused):
    """That room is not in use."""


class WalkIn(State):
    """Somebody who came without an appointment."""

    kind: ClassVar[str] = "queue"
    status: QueueStatus | None = None
    queued: Queued | None = None
    record: UUID | None = None  # under which they were queued, whoever's it is now
    room: UUID | None = None
    rank: Rank = "normal"

    def evolve(self, event: QueueEvent) -> Self:  # noqa: PLR0911 - one case per event
        match event:
            case PatientQueued(patient_id=patient, on=on, rank=rank, doctor_id=doctor, room_id=room):
                queued = Queued(patient_id=patient, on=on, doctor_id=doctor)
                return replace(self, status="WAITING", queued=queued, record=patient, rank=rank, room=room)
            case QueueEntryStarted():
                return replace(self, status="IN_PROGRESS")
            case QueueEntryReturned():
                return replace(self, status="WAITING")
            case QueueEntryCompleted():
                return replace(self, status="COMPLETED")
            case QueueEntryCancelled():
                return replace(self, status="CANCELLED")
            case QueueEntryPlaced(doctor_id=doctor, room_id=room):
                return replace(self, queued=self.queued and replace(self.queued, doctor_id=doctor), room=room)
            case QueueEntryRanked(rank=rank):
                return replace(self, rank=rank)
            case QueueEntryReassigned(patient_id=patient):
                return replace(self, queued=self.queued and replace(self.queued, patient_id=patient))

    def claims(self) -> frozenset[Claim]:
        """While they are there, their place in the queue of the day: two people at the desk cannot queue one patient twice."""
        if self.queued is None or self.status not in HERE:
            return frozenset()
        return frozenset({UniqueClaim(scope="queue.patient", key=f"{self.queued.on} {self.record}")})

    def keeper(self, who: UUID) -> UUID:
        """The record under which they were queued."""
        return self.record or who

    def come(self, patient: UUID, number: int, today: date, place: Place, rank: Rank, reason: str | None, notes: str | None) -> list[Event]:
        ensure_reason(rank, reason)
        return [PatientQueued(
            patient_id=patient, on=today, number=number, doctor_id=place.doctor_id, room_id=place.room_id, rank=rank, reason=reason, notes=notes)]

    def move(self, status: QueueStatus, reason: str | None, today: date) -> list[Event]:
        who = self._who()
        if self.status is None or status not in NEXT.get(self.status, ()):
            raise QueueStepRefused(**{"from": self.status, "to": status})
        if status in HERE and self._queued.on != today:
            raise QueueDayOver(date=self._queued.on.isoformat())
        match status:
            case "IN_PROGRESS":
                return [QueueEntryStarted(**who)]
            case "WAITING":
                return [QueueEntryReturned(**who)]
            case "COMPLETED":
                return [QueueEntryCompleted(**who)]
            case "CANCELLED":
                return [QueueEntryCancelled(**who, reason=reason)]

    def put(self, place: Place) -> list[Event]:
        """Have them seen by another doctor or in another room; whoever is being seen may be taken to another room as well."""
        if self.status not in HERE:
            self._who()
            raise NobodyWaits
        if place == Place(doctor_id=self._queued.doctor_id, room_id=self.room):
            return []
        return [QueueEntryPlaced(**{**self._who(), "doctor_id": place.doctor_id}, room_id=place.room_id)]

    def rank_turn(self, rank: Rank, reason: str | None) -> list[Event]:
        if self.status != "WAITING":
            self._who()
            raise NobodyWaits
        if self.rank == rank:
            return []
        ensure_reason(rank, reason)
        return [QueueEntryRanked(**self._who(), rank=rank, reason=reason)]

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        if self.queued is None or self.queued.patient_id != was:
            return []
        return [QueueEntryReassigned(**{**self._who(), "patient_id": to}, was_patient_id=was)]

    @property
    def _queued(self) -> Queued:
        if self.queued is None:
            raise NotFound
        return self.queued

    def _who(self) -> dict[str, Any]:
        return only(Queued, self._queued)


def ensure_place(*, treats: bool, usable: bool) -> None:
    """Refuse a doctor who sees no patients, and a room that is out of use."""
    if not treats:
        raise DoctorSeesNobody
    if not usable:
        raise RoomOutOfUse


def series_name(on: date) -> str:
    """Return what the series is called that gives out the numbers of one day."""
    return f"queue/{on}"


class Patience(Frozen):
    """Somebody in the queue, as their wait is worked out."""

    id: UUID
    number: int
    doctor: UUID | None
    rank: Rank
    due: datetime  # when it is their turn, if nothing else is said: when they came, but nobody with an appointment before its time
    agreed: bool  # do they have an appointment?
    minutes: int | None  # that it was agreed to take
    since: datetime | None = None  # in the chair


class Outlook(Frozen):
    """How many come before somebody who waits, and how many minutes that will probably take."""

    before: int
    minutes: int


def in_turn(waiting: Iterable[Patience]) -> list[Patience]:
    """Return those who wait in the order in which it is their turn: by rank, then by when they are due, then by number."""
    return sorted(waiting, key=lambda one: (RANKS[one.rank], one.due, one.number))


def outlooks(waiting: Iterable[Patience], seated: Iterable[Patience], usual: Mapping[UUID, int], now: datetime) -> dict[UUID, Outlook]:
    """Return how long each of those who wait will probably wait still.

    Every doctor sees one after another, in their turn. Somebody in the chair takes as long as that doctor's visits usually do, less what has passed; so does everybody after them. Where
    nothing is known of a doctor it is what was agreed, else twenty minutes. Whoever waits for no doctor in particular goes to the first to be free of those at work today. Nobody who
    has an appointment is called before its time, unless they are ranked above the others.
    """
    waiting, seated = in_turn(waiting), list(seated)
    free: dict[UUID | None, datetime] = {one.doctor: now for one in (*waiting, *seated) if one.doctor is not None}
    free = free or {None: now}
    ahead: dict[UUID | None, int] = dict.fromkeys(free, 0)
    for one in seated:
        at = one.doctor if one.doctor is not None else min(free, key=lambda doctor: free[doctor])
        free[at] = max(free[at], now, (one.since or now) + length(one, at, usual))
    found = {}
    for one in waiting:
        at = one.doctor if one.doctor is not None else min(free, key=lambda doctor: free[doctor])
        starts = max(free[at], one.due) if one.agreed and one.rank == "normal" else free[at]
        found[one.id] = Outlook(before=ahead[at], minutes=-((now - starts) // timedelta(minutes=1)))
        free[at], ahead[at] = starts + length(one, at, usual), ahead[at] + 1
    return found


def length(one: Patience, doctor: UUID | None, usual: Mapping[UUID, int]) -> timedelta:
    """Return how long somebody's visit will probably take."""
    known = usual.get(doctor) if doctor is not None else None
    return timedelta(minutes=known or one.minutes or USUAL)
