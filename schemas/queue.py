"""What may be seen of the waiting queue."""

import datetime as dt
from typing import Annotated, ClassVar

from domain.kit import AppointmentId, Frozen, Id, PatientId, Personal, RoomId, StaffId
from domain.kit.turns import ArrivalWay, Rank
from domain.queue import QueueNumber, QueueStatus
from schemas.kit import Row


class QueueRow(Row):
    """A walk-in's place in the queue of a day.

    `dueAt` is when it is their turn within their rank: when they came, but nobody with an appointment before its time.
    """

    table: ClassVar[str] = "queue"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("date, number", "patient_id")
    own: ClassVar[dict[str, str]] = {"patient": "patient_id", "doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    date: dt.date
    number: QueueNumber
    status: QueueStatus
    patient_id: PatientId
    appointment_id: AppointmentId | None
    doctor_id: StaffId | None
    room_id: RoomId | None
    rank: Rank
    rank_because: Annotated[str | None, Personal("patient_id")]
    notes: Annotated[str | None, Personal("patient_id")]
    way: ArrivalWay
    minutes: int | None  # that were agreed
    due_at: dt.datetime
    came_at: dt.datetime
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    cancelled_because: Annotated[str | None, Personal("patient_id")] = None


class TurnRow(QueueRow):
    """The place in the queue of a day of somebody with an appointment, which says itself how things stand with them: WAITING is arrived, IN_PROGRESS is in the chair."""

    table: ClassVar[str] = "turns"


class QueueEntry(QueueRow):
    """Anybody's place in the queue of a day, with the names of those concerned."""

    table: ClassVar[str] = "queue_entries"
    patient_name: str | None
    doctor_name: str | None
    room_name: str | None


class QueuePlace(QueueEntry):
    """Somebody's place in the queue of a day, and how it looks for them just now.

    `id` is the appointment's if they have one, which says itself how things stand with them: WAITING is arrived, IN_PROGRESS is in the chair. `dueAt` is when it is their turn within their
    rank: when they came, but nobody with an appointment before its time. Of whoever waits today: `before` is how many come before them, `expectedWait` in how many minutes it will probably be their turn. It is worked out when it is asked for: every doctor sees one after
    another in their turn, each for as long as that doctor's visits usually take (the median of the last fifty within four weeks), else as was agreed, else twenty minutes.
    """

    before: int | None = None
    expected_wait: int | None = None


class QueueDay(Frozen):
    """The queue of a day: who is being seen, then who waits in their turn, then who is done or gone."""

    date: dt.date
    waiting: int
    in_progress: int
    items: list[QueuePlace]


class BoardLine(Frozen):
    """A number, and how things stand with it."""

    number: QueueNumber
    status: QueueStatus
    room_name: str | None
    expected_wait: int | None


class QueueBoard(Frozen):
    """What a screen in the waiting room shows: numbers and where to go, and nothing about anybody."""

    date: dt.date
    items: list[BoardLine]


class ActiveSession(Frozen):
    """Who is being seen by a doctor just now, since when, and whose turn it is next. `minutes` is how long it usually takes with this doctor, as far as that is known."""

    doctor_id: StaffId | None
    doctor_name: str | None
    room_id: RoomId | None
    room_name: str | None
    now: QueuePlace
    since: dt.datetime
    minutes: int | None
    next: QueuePlace | None


class ActiveSessions(Frozen):
    """Everybody who is in a chair just now."""

    items: list[ActiveSession]
