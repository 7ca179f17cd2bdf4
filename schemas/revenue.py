"""Revenue as figures: over time and by what earned it, the month beside the one before, and what is overdue, by age."""

from datetime import date
from typing import Annotated, ClassVar, Literal, TypeAlias
from uuid import UUID

from msgspec import Meta, field

from domain.invoices import PaidBy
from domain.kit import Frozen, PatientId, StaffId
from domain.kit import Money as Amount
from domain.kit.sources import Source
from schemas.kit import Row
from schemas.reports import Money

Means: TypeAlias = PaidBy
RevenueBy = Literal["day", "week", "month", "quarter", "year", "doctor", "procedure", "method", "source"]
Age = Literal["not-due", "0-30", "31-60", "61-90", "90+"]
AGES: tuple[Age, ...] = ("not-due", "0-30", "31-60", "61-90", "90+")


class RevenueGroup(Money):
    """One part of the time, or what one doctor (the id 0: none), procedure (empty: none), method or source (null: not said) came to.

    `outstanding` is what was still to be paid at the end of that part of the time, of doctors and procedures at the end of all of it; null where it cannot be told apart so.
    Only what is received has a method: of methods, nothing is billed. `credit` is what moved to a doctor from what a patient had with the clinic, or back.
    """

    since: Annotated[date | None, Meta(description="The first day of the part.")] = field(name="from", default=None)
    until: Annotated[date | None, Meta(description="The last day of the part.")] = field(name="to", default=None)
    doctor_id: StaffId | None = None
    doctor_name: str | None = None
    procedure_code: str | None = None
    method: PaidBy | None = None
    source: Source | None = None
    outstanding: int | None = None


class RevenueOverTime(Money):
    """What was billed, collected and still to be paid, in all and in parts, as they were asked for."""

    since: date = field(name="from")
    until: date = field(name="to")
    currency: str
    group_by: RevenueBy
    outstanding: int | None
    items: list[RevenueGroup]


class RevenueSummary(Frozen):
    """What some days came to, beside as many right before (of whole months, as many months); what is still to be paid, and how much of it is late."""

    since: date = field(name="from")
    until: date = field(name="to")
    currency: str
    current: Money
    previous: Money
    growth: Annotated[float | None, Meta(description="By which share revenue is more than before; null if there was none.")]
    collection_rate: Annotated[float | None, Meta(description="Received as a share of revenue.")]
    average_invoice: int
    outstanding: int
    overdue: int
    overdue_invoices: int


class OverdueInvoice(Row):
    """An invoice that was to be paid before today, and how late it is: `age` is the span of days since the day it fell due."""

    table: ClassVar[str] = "overdue_invoices"
    permission: ClassVar[str] = "billing.invoices.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    number: str | None
    patient_id: PatientId
    patient_name: str | None
    currency: str
    issued_on: date | None
    due_on: date | None
    total: Amount
    paid: Amount
    refunded: Amount
    credited: Amount
    written_off: Amount
    due: Amount
    days_overdue: int
    age: Age


class AgeSum(Frozen):
    """What is due of one age: not yet, or since so many days."""

    age: Age
    invoices: int
    due: int


class PatientAges(Frozen):
    """What one patient owes, by age."""

    patient_id: PatientId
    patient_name: str | None
    not_due: int
    days_0_30: Annotated[int, Meta(description="Due for up to 30 days.")] = field(name="days0to30")
    days_31_60: Annotated[int, Meta(description="Due for 31 to 60 days.")] = field(name="days31to60")
    days_61_90: Annotated[int, Meta(description="Due for 61 to 90 days.")] = field(name="days61to90")
    days_over_90: Annotated[int, Meta(description="Due for more than 90 days.")] = field(name="daysOver90")
    due: int


class Ageing(Frozen):
    """What was still to be paid at the end of a day, by how long it has been due; and by patient, whoever owes most first, if asked so."""

    day: date
    currency: str
    due: int
    overdue: int
    invoices: int
    ages: list[AgeSum]
    patients: list[PatientAges]
