"""Absences: visits stand in time that was blocked, or on a day that is not worked any more; each is moved, handed over, cancelled or left, all of them at once."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    AppointmentId,
    Event,
    Frozen,
    GroupSessionId,
    Id,
    Invalid,
    LocalTime,
    NotFound,
    Ref,
    Refused,
    RoomId,
    StaffId,
    State,
    only,
)
from domain.kit.wishes import Code, Mode

MOST = 300  # visits at once

Action = Annotated[Literal["move", "hand-over", "cancel", "leave"], Meta(
    description="`move`: to another time, with the same doctor. `hand-over`: to another doctor (another room, if it is the room that is away). `leave`: where it is.")]
DONE = frozenset({"moved", "handed-over", "cancelled"})
Outcome = Literal["moved", "handed-over", "cancelled", "left", "refused"]
BlockedTimeId = Annotated[Id, Ref("blocks")]


class Stand(Frozen, omit_defaults=True):
    """Where a visit stands: with whom, where and when."""

    doctor_id: StaffId
    room_id: RoomId | None = None
    start_local: LocalTime
    fold: int = 0


class AbsentVisit(Frozen, omit_defaults=True):
    """A visit that stood in an absence, and what came of it; `code` says why it was refused or left."""

    appointment_id: AppointmentId
    outcome: Outcome
    was: Stand
    now: Stand | None = None
    code: Code | None = None


class Away(Frozen):
    """Who or what is away, and when; neither a doctor nor a room: nobody works."""

    block_id: BlockedTimeId | None = None
    doctor_id: StaffId | None = None
    room_id: RoomId | None = None
    on: date
    last_on: date
    groups: Annotated[list[GroupSessionId], Meta(description="Group sessions that stand in that time: they are moved or cancelled as a whole, by themselves.")] = field(default_factory=list)


class AbsenceSettled(Event, Away):
    mode: Mode
    visits: list[AbsentVisit]


class AbsenceUndone(Event, Away):
    """Whoever was away is there after all: what was moved or handed over is back where it was, as far as that time is still free."""

    mode: Mode
    visits: list[AbsentVisit]


AbsenceEvent = AbsenceSettled | AbsenceUndone


class AbsenceUnnamed(Invalid):
    """Say what is meant: a time that was blocked (`blockId`), or a day (`on`); one of the two."""


class WaysUnnamed(Invalid):
    """Say what is to become of the visits: by a rule for all, or for each by itself."""


class WayContradictory(Invalid):
    """A time belongs to visits that are moved or handed over, a doctor to those that are handed over, and either a time is named or the first free one is taken."""


class VisitNotInAbsence(Refused):
    """That visit does not stand in that time, or not any more. Look again at what does."""


class AbsenceSettledAlready(Refused):
    """No visit that is still to come stands in that time; group sessions, which `details` name, are moved or cancelled by themselves."""


class TooManyVisits(Refused):
    """That is more than can be settled at once. Say for up to 300 visits what is to become of them, and then for the others."""


class VisitsRefused(Refused):
    """Not all visits can be had as asked, so nothing was changed. `details` say which and why; ask with mode `each` to have the others."""


class NothingFree(Refused):
    """There is no free time within those days."""


class NothingToUndo(Refused):
    """None of those visits can be brought back: they were not moved, or have been moved again since, or are not to come any more."""


class Absence(State):
    """What became of the visits in an absence."""

    kind: ClassVar[str] = "absences"
    away: Away | None = None
    visits: dict[Id, AbsentVisit] = field(default_factory=dict)  # those that are elsewhere because of it

    def evolve(self, event: AbsenceEvent) -> Self:
        elsewhere = {one.appointment_id: one for one in event.visits if one.outcome in {"moved", "handed-over"}}
        match event:
            case AbsenceSettled():
                return replace(self, away=Away(**only(Away, event)), visits=elsewhere)
            case AbsenceUndone():
                return replace(self, visits={id_: one for id_, one in self.visits.items() if id_ not in elsewhere})

    def settle(self, settled: AbsenceSettled) -> list[Event]:
        if not settled.visits:
            raise AbsenceSettledAlready(groups=[str(one) for one in settled.groups])
        ensure_had(settled.mode, settled.visits)
        return [settled]

    def undo(self, undone: AbsenceUndone) -> list[Event]:
        if all(one.outcome == "left" for one in undone.visits):
            raise NothingToUndo
        ensure_had(undone.mode, undone.visits)
        return [undone]

    @property
    def now(self) -> Away:
        """Who or what is away, and when."""
        if self.away is None:
            raise NotFound
        return self.away


def ensure_had(mode: Mode, visits: list[AbsentVisit]) -> None:
    """Refuse the whole if not all can be had and all or nothing is wanted, or if none can."""
    refused = [one for one in visits if one.outcome == "refused"]
    if refused and (mode == "all-or-nothing" or not any(one.outcome in DONE for one in visits)):
        raise VisitsRefused(visits=[{"appointmentId": str(one.appointment_id), "start": one.was.start_local, "code": one.code} for one in refused])
