"""What may be seen of patients who are to be called back."""

import datetime as dt
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import field

from domain.kit import AppointmentId, Frozen, Id, Note, PatientId, Personal, Reason, StaffId
from domain.recalls import RecallChannel, RecallKind, RecallOutcome, RecallStatus
from schemas.kit import Row


class RecallTry(Frozen):
    """One attempt to reach a patient: when, by whom, how, and what came of it."""

    at: dt.datetime
    by: Id
    channel: RecallChannel
    outcome: RecallOutcome
    note: Annotated[Note | None, Personal("patient_id")] = None


class RecallRow(Row):
    """A patient who is due on a day (`date`), for what, and how far it has come.

    Open are `scheduled` and `contacted`. `superseded` means that another open one of the kind stands for it since two records of the patient were merged. `closedBecause` is why
    it was declined or cancelled. `batchId` names those that were generated together.
    """

    table: ClassVar[str] = "recalls"
    permission: ClassVar[str] = "clinical.recalls.view"
    indexes: ClassVar[tuple[str, ...]] = ("date, id", "patient_id", "status, date, id", "appointment_id")
    id: Id
    patient_id: PatientId
    kind: RecallKind
    status: RecallStatus
    date: dt.date
    channel: RecallChannel
    doctor_id: StaffId | None
    message: Annotated[str | None, Personal("patient_id")]
    batch_id: UUID | None
    scheduled_at: dt.datetime
    scheduled_by: Id
    opened_at: dt.datetime  # when it was scheduled, or opened again
    attempts: int = 0
    attempted_at: dt.datetime | None = None
    outcome: RecallOutcome | None = None
    tries: list[RecallTry] = field(default_factory=list)
    appointment_id: AppointmentId | None = None
    closed_at: dt.datetime | None = None
    closed_by: Id | None = None
    closed_because: Annotated[Reason | None, Personal("patient_id")] = None


class RecallEntry(RecallRow):
    """A patient who is due, with the names of those concerned; `overdue` says that it is still open and its day is over."""

    table: ClassVar[str] = "recall_entries"
    patient_name: str | None
    doctor_name: str | None
    overdue: bool


class RecallsOfPatient(Frozen):
    """A patient's recalls, the latest day first, and whether they want to be called back at all."""

    patient_id: PatientId
    unwanted: bool
    items: list[RecallEntry]


class RecallWishRow(Row):
    """Whether a patient wants to be called back; noted for one of their records."""

    table: ClassVar[str] = "recall_wishes"
    permission: ClassVar[str] = "clinical.recalls.view"
    indexes: ClassVar[tuple[str, ...]] = ("patient_id",)
    id: Id
    patient_id: PatientId
    unwanted: bool
    reason: Annotated[Reason | None, Personal("patient_id")]
    noted_at: dt.datetime
    noted_by: Id


class RecallCandidate(Frozen):
    """A patient of a cohort: who, when they came last and to whom; and the recall that was made, or the code of what forbade it."""

    patient_id: PatientId
    patient_name: str | None
    last_visit: dt.date
    doctor_id: StaffId
    recall_id: UUID | None = None
    skipped: str | None = None


class RecallBatch(Frozen):
    """A cohort: how many patients belong to it (`found`), and what was done for the first of them, whose last visit lies furthest back.

    With `dryRun` nothing is made: the counts and the list are those that would be. If `found` is more than the list is long, ask again: whoever has a recall by now is not found any more.
    """

    batch_id: UUID | None
    dry_run: bool
    found: int
    created: int
    skipped: int
    items: list[RecallCandidate]
