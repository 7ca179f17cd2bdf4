"""What may be seen of an import: what it did or would do, row by row where something is to be said."""

from datetime import date
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from domain.imports import DateOrder
from domain.kit import Frozen
from domain.patients import ExternalId, PatientNumber

Line = Annotated[int, Meta(description="Line of the file on which the row begins; the first is 1.")]
Count = Annotated[int, Meta(ge=0)]


class ImportProblem(Frozen):
    """Why a row was not taken; of a duplicate, of which patient, or of which line of the file."""

    line: Line
    column: Annotated[str, Meta(description="Header of the column, or nothing if it is about the whole row.")]
    code: str
    reason: str
    patient_id: UUID | None = None


class ImportColumn(Frozen):
    """A header of the file, and as what it is read; null if it is not read."""

    header: str
    field: str | None


class ImportReport(Frozen):
    """What an import did, or would do (`dryRun`). Every row is counted once: `rows` is the sum of the other counts.

    `created` are new patients, `changed` those of whom the file knew something else or more, `unchanged` those of whom it knew nothing new, `duplicates` and `rejected` those
    that were not taken, each with its line and the reason in `problems`. `runId` names the run, by which it can be taken back.
    """

    dry_run: bool
    encoding: str
    delimiter: str
    dates: DateOrder
    columns: list[ImportColumn]
    rows: Count
    created: Count
    changed: Count
    unchanged: Count
    duplicates: Count
    rejected: Count
    problems: list[ImportProblem]
    run_id: UUID | None = None


class PatientLine(Frozen):
    """A patient as a line of the exported sheet. Our own import reads these headers; of the medical lists it has the names, one a line of the cell.

    `externalId` is the patient's id here, by which an import into this clinic knows them again and which is another program's in any other one.
    """

    external_id: UUID
    given_name: str | None
    family_name: str | None
    birth_date: date | None
    sex: str | None
    email: str | None
    phone: str | None
    address: str | None
    national_id: str | None
    notes: str | None
    our_number: PatientNumber | None
    other_id: ExternalId | None
    allergies: str = ""
    conditions: str = ""
    medications: str = ""
