"""What may be seen of lists of patients that were taken in, or are being so."""

import datetime as dt
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta

from domain.import_runs import ImportRunId, ImportStatus
from domain.kit import Frozen, Id
from schemas.kit import Row

Step = Literal["created", "changed", "unchanged", "duplicates", "rejected"]
Back = Literal["archived", "setBack", "kept"]
Count = Annotated[int, Meta(ge=0)]


class ImportRunRow(Row):
    """A list that was taken in, or is being so: how many rows it has, and what became of them once it has ended.

    `left` are rows to which it did not come, because it was cancelled. `archived`, `setBack` and `kept` say what became of its patients when it was taken back.
    """

    table: ClassVar[str] = "import_runs"
    permission: ClassVar[str] = "admin"
    indexes: ClassVar[tuple[str, ...]] = ("started_at",)
    id: Id
    status: ImportStatus
    rows: int
    started_at: dt.datetime
    started_by: Id
    cancelled_at: dt.datetime | None = None
    cancelled_by: Id | None = None
    ended_at: dt.datetime | None = None
    created: int | None = None
    changed: int | None = None
    unchanged: int | None = None
    duplicates: int | None = None
    rejected: int | None = None
    left: int | None = None
    undo_started_at: dt.datetime | None = None
    undo_started_by: Id | None = None
    undone_at: dt.datetime | None = None
    archived: int | None = None
    set_back: int | None = None
    kept: int | None = None


class ImportRunEntry(ImportRunRow):
    """A list that was taken in, and how far it is by now: `done` rows are seen to, `remaining` are still to come, in taking in or in taking back."""

    table: ClassVar[str] = "import_run_entries"
    done: int
    remaining: int


class ImportLineRow(Row):
    """A row of a list: what was to be done about it, and what became of it.

    Of a row that was not taken `problem` says why, in `column`; `undone` is what became of its patient when the import was taken back, and `keptBecause` why nothing did.
    """

    table: ClassVar[str] = "import_line_entries"
    permission: ClassVar[str] = "admin"
    key: ClassVar[tuple[str, ...]] = ("run_id", "line")
    run_id: ImportRunId
    line: Annotated[int, Meta(description="Line of the file on which the row begins; the first is 1.")]
    step: Step
    done: bool
    patient_id: UUID | None
    column: str | None
    code: str | None
    reason: str | None
    undone: Back | None
    kept_because: str | None


class ImportUndoPreview(Frozen):
    """What taking an import back would do, as things stand."""

    run_id: UUID
    archived: Count
    set_back: Count
    kept: Count
