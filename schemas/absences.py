"""What may be seen of absences: what became of the visits that stood in them."""

import datetime as dt
from typing import Annotated, ClassVar

from msgspec import Meta

from domain.absences import AbsentVisit, BlockedTimeId, Outcome, Stand
from domain.kit import AppointmentId, Frozen, GroupSessionId, Id, RoomId, StaffId
from domain.kit.wishes import Mode
from schemas.kit import Row


class AbsenceRow(Row):
    """An absence that was settled: what became of each visit (`visits`), and what came of the latest request (`latest`), which may have brought some of them back."""

    table: ClassVar[str] = "absences"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("date", "doctor_id", "block_id")
    own: ClassVar[dict[str, str]] = {"patient": "id", "doctor": "doctor_id", "receptionist": "doctor_id"}  # a patient owns none
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    block_id: BlockedTimeId | None
    doctor_id: StaffId | None
    room_id: RoomId | None
    date: dt.date
    last_date: dt.date
    mode: Mode
    visits: list[AbsentVisit]
    settled_at: dt.datetime
    settled_by: Id
    latest: list[AbsentVisit]
    groups: list[GroupSessionId]
    undone_at: dt.datetime | None = None


class AbsentVisitAnswer(Frozen):
    """What came of one visit, and the reason in words if it was not had."""

    appointment_id: AppointmentId
    outcome: Outcome
    was: Stand
    now: Stand | None
    code: str | None
    reason: str | None


class AbsenceAnswer(Frozen):
    """What came of each visit in an absence. With `dryRun` nothing was done: it is what would come of it as things stand."""

    id: Id | None
    dry_run: bool
    moved: int
    handed_over: int
    cancelled: int
    left: int
    refused: int
    groups: Annotated[list[GroupSessionId], Meta(description="Group sessions that stand in that time: move or cancel each by itself, with all who take part.")]
    items: list[AbsentVisitAnswer]
