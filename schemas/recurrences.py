"""What may be seen of a recurring series."""

import datetime as dt
from typing import ClassVar
from uuid import UUID

from domain.appointments import Status
from domain.kit import AppointmentTypeId, Frozen, Id, PatientId, RoomId, StaffId
from domain.recurrences import Month, Occurrence, Outcome, Rule
from schemas.kit import Row


class RecurrenceRow(Row):
    """A series: how its visits are to be, each as it was last arranged with the others (`occurrences`), and what came of the latest request (`latest`)."""

    table: ClassVar[str] = "recurrences"
    permission: ClassVar[str] = "appointments.view"
    indexes: ClassVar[tuple[str, ...]] = ("patient_id", "doctor_id", "starts_on")
    own: ClassVar[dict[str, str]] = {"patient": "patient_id", "doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    patient_id: PatientId
    doctor_id: StaffId
    room_id: RoomId | None
    type: str
    time: str
    minutes: int
    rule: Rule
    starts_on: dt.date
    missing: list[Month]
    occurrences: list[Occurrence]
    latest: list[Occurrence]
    booked_at: dt.datetime
    booked_by: Id
    type_id: AppointmentTypeId | None = None


class OccurrenceAnswer(Frozen):
    """What came of one visit, and the reason in words if it was not had."""

    number: int
    on: dt.date
    time: str
    outcome: Outcome
    appointment_id: UUID | None
    code: str | None
    reason: str | None


class SeriesAnswer(Frozen):
    """What came of each visit of a series. With `dryRun` nothing was done: it is what would come of it as things stand. `missing` are months without that day."""

    id: UUID | None
    dry_run: bool
    done: int
    refused: int
    left: int
    missing: list[str]
    items: list[OccurrenceAnswer]


class SeriesVisit(Frozen):
    """A visit of a series as it stands: `moved` by itself if it is elsewhere than it was arranged with the others; without `status` it was refused, skipped or struck out."""

    number: int
    on: dt.date
    time: str
    appointment_id: UUID | None
    code: str | None
    status: Status | None
    start_local: str | None
    doctor_id: UUID | None
    moved: bool


class SeriesVisits(Frozen):
    """The visits of a series in order."""

    items: list[SeriesVisit]
