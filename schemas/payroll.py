"""What may be seen of the payroll."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import field

from domain.kit import Personal
from domain.payroll import (
    Employment,
    PayLine,
    PayrollEmployeeId,
    PayrollPeriodId,
    PayrollRunId,
    PayrollStage,
    Payslip,
    SalaryKind,
    Signed,
    Span,
)
from schemas.kit import Row


class PayrollEmployeeRow(Employment, Row):
    """Somebody who is paid by the clinic; `periods` are those that they were paid for."""

    table: ClassVar[str] = "payroll_employees"
    permission: ClassVar[str] = "billing.payroll.view"
    id: UUID
    periods: list[PayrollPeriodId] = field(default_factory=list)
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("created_at, id", "staff_id", "starts_on, id")


class PayrollPeriodRow(Span, Row):
    """A span of days for which people are paid, and the runs that it has."""

    table: ClassVar[str] = "payroll_periods"
    permission: ClassVar[str] = "billing.payroll.view"
    id: UUID
    name: str | None = None
    pays_on: date | None = None
    runs: list[PayrollRunId] = field(default_factory=list)
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("starts_on, id",)


class PayrollRunRow(Span, Row):
    """What is paid to whom for a period. It has a number from its approval on; from then on nothing of it changes."""

    table: ClassVar[str] = "payroll_runs"
    permission: ClassVar[str] = "billing.payroll.view"
    id: UUID
    number: str | None = None
    status: PayrollStage
    period_id: PayrollPeriodId
    corrects_id: PayrollRunId | None = None
    currency: str
    slips: list[Payslip]
    employees: int
    gross: Signed
    deductions: Signed
    net: Signed
    approved_on: date | None = None
    paid_on: date | None = None
    void_reason: str | None = None
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("created_at, id", "starts_on, id", "period_id", "status, created_at, id", "number")


class PayslipEntry(Row):
    """Somebody's slip of a run, with their name and the account that it goes to."""

    table: ClassVar[str] = "payslips"
    permission: ClassVar[str] = "billing.payroll.view"
    key: ClassVar[tuple[str, ...]] = ("run_id", "employee_id")
    run_id: PayrollRunId
    employee_id: PayrollEmployeeId
    number: str | None
    status: PayrollStage
    period_id: PayrollPeriodId
    starts_on: date
    ends_on: date
    paid_on: date | None
    name: Annotated[str | None, Personal()]
    bank_account: Annotated[str | None, Personal()]
    salary_kind: SalaryKind
    minutes: int | None
    base: Signed
    bonuses: Signed
    commissions: Signed
    gross: Signed
    deductions: Signed
    net: Signed
    currency: str
    lines: list[PayLine]
