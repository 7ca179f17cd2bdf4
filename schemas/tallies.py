"""Tallies: what single events add to the figures, line by line; and the figures of days and procedures that are summed from the same events."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from domain.expenses import ExpenseCategory
from domain.invoices import PaidBy
from domain.kit import Frozen, Id, PatientId, StaffId
from schemas.kit import Row

Tally = Literal[
    "billed", "voided", "credited", "written-off", "collected", "refunded", "on-account", "spent", "booked", "completed", "cancelled", "late-cancelled", "no-show", "rescheduled", "registered"]
Figure = Literal[
    "billed", "voided", "credited", "written-off", "revenue", "tax", "net-revenue", "collected", "refunded", "received", "outstanding", "invoices", "payments", "units",
    "procedure-cost", "procedure-profit", "spent", "spent-tax", "net-spent", "result", "cash-result",
    "booked", "upcoming", "completed", "cancelled", "late-cancelled", "no-show", "rescheduled", "new-patients"]


class TallyRow(Row):
    """What one event adds to one count on a day, of one doctor and procedure: an amount with the tax in it, or a number of visits or patients. Negative where it takes back.

    `counted` is how many documents it makes more, `units` how many of a procedure. What moves to or from a patient's credit leaves nobody's (the id 0) money for a doctor's, or comes back.
    """

    table: ClassVar[str] = "tallies"
    permission: ClassVar[str] = "reports.revenue"
    key: ClassVar[tuple[str, ...]] = ("seq", "no")
    seq: int
    no: int
    day: date
    tally: Tally
    amount: int
    tax: int = 0
    units: int = 0
    counted: int = 0
    kind: str
    id: Id
    event: str
    number: str | None = None  # of the document that the event made; others have that of what they happened to
    recorded_at: datetime
    patient_id: PatientId | None = None
    doctor_id: StaffId | None = None
    procedure_code: str | None = None
    method: PaidBy | None = None
    category: ExpenseCategory | None = None

    indexes: ClassVar[tuple[str, ...]] = ("day, seq, no", "patient_id, day, seq")


class ProcedureDayRow(Row):
    """One procedure's money of one day and doctor, as in the analytics of revenue; the code is empty where a line names none, and the doctor 0. `units` is how many were billed."""

    table: ClassVar[str] = "procedure_days"
    permission: ClassVar[str] = "reports.revenue"
    key: ClassVar[tuple[str, ...]] = ("day", "procedure_code", "doctor_id")
    day: date
    procedure_code: str
    doctor_id: StaffId
    billed: int = 0
    tax: int = 0
    collected: int = 0
    refunded: int = 0
    voided: int = 0
    voided_tax: int = 0
    credited: int = 0
    credited_tax: int = 0
    written_off: int = 0
    on_account: int = 0
    invoices: int = 0
    payments: int = 0
    units: int = 0
    voided_units: int = 0


class WhyLine(Frozen):
    """One event behind a figure, and how much of the figure it is. `position` is the event's in the clinic's history, by which the audit log and webhooks name it too."""

    position: int
    no: Annotated[int, Meta(description="Which part of the event, where it has several: one for each doctor and procedure.")]
    event: str
    kind: Annotated[str, Meta(description="What it happened to: invoices, appointments, expenses, patients.")]
    id: Id
    number: Annotated[str | None, Meta(description="The document's number, if it has one.")]
    day: date
    amount: int
    recorded_at: datetime
    patient_id: PatientId | None
    doctor_id: StaffId | None
    procedure_code: str | None
    method: PaidBy | None


class Why(Frozen):
    """Why a figure is what it is: the sum of all lines, on all pages, is the figure. Minor units of the currency, or a number where it counts."""

    figure: Figure
    since: date | None = field(name="from")
    until: date = field(name="to")
    currency: str
    amount: Annotated[int, Meta(description="The figure.")]
    lines: Annotated[int | None, Meta(description="How many lines there are on all pages; null where the figure is known without reading them.")]
    items: list[WhyLine]
    next: str | None
