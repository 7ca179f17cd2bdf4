"""What may be seen of fee schedules: their fees, what a procedure would cost somebody, and who is likely to bear it."""

import datetime as dt
from typing import ClassVar, Literal

from domain.fee_schedules import EstimatedLine, Fee
from domain.kit import Frozen, Money, PatientId
from domain.kit.bills import ProcedureCode
from domain.kit.insurance import CoverId, FeeScheduleId, PayerId
from schemas.imports import Count, ImportColumn, ImportProblem
from schemas.kit import Row


class FeeRow(Fee, Row):
    """What a procedure costs with a payer, or (`standard`) with the clinic itself, from a day on."""

    table: ClassVar[str] = "fees"
    permission: ClassVar[str] = "billing.insurance.view"
    key: ClassVar[tuple[str, ...]] = ("schedule_id", "procedure_code", "valid_from")
    schedule_id: FeeScheduleId
    payer_id: PayerId | None = None
    standard: bool

    indexes: ClassVar[tuple[str, ...]] = ("procedure_code, schedule_id, valid_from", "payer_id, procedure_code, valid_from")


class SuggestedPrice(Frozen):
    """What a procedure would cost a patient on a day: by the schedule of the payer of their primary cover, or by the clinic's own; neither may have it."""

    patient_id: PatientId
    procedure_code: ProcedureCode
    date: dt.date
    price: Money | None
    currency: str
    schedule: Literal["payer", "standard"] | None
    payer_id: PayerId | None = None
    cover_id: CoverId | None = None


class Estimate(Frozen):
    """What is likely to be borne by whom, as far as the clinic knows: an estimate, for the payers decide. Tax is not in it."""

    patient_id: PatientId
    date: dt.date
    currency: str
    estimate: Literal[True] = True
    covers: list[CoverId]
    lines: list[EstimatedLine]
    price: Money
    payers_bear: Money
    write_off: Money
    patient_share: Money


class FeeImportReport(Frozen):
    """What an import of fees did, or would do (`dryRun`). Every row is counted once: `rows` is the sum of the other counts."""

    dry_run: bool
    encoding: str
    delimiter: str
    columns: list[ImportColumn]
    rows: Count
    created: Count
    changed: Count
    unchanged: Count
    rejected: Count
    problems: list[ImportProblem]
