"""What may be seen of what doctors earn: each part of an invoice or of a payment that is a doctor's, and what it comes to as a commission."""

from datetime import date, datetime
from typing import ClassVar, Literal

from domain.kit import InvoiceId, StaffId
from domain.payroll import PayrollEmployeeId, PayrollPeriodId, Signed
from schemas.kit import Row

EarningKind = Literal["billed", "voided", "collected", "refunded"]


class EarningRow(Row):
    """A doctor's part of what was billed or collected, on the day it was; below zero what was voided or given back."""

    table: ClassVar[str] = "earnings"
    permission: ClassVar[str] = "billing.payroll.view"
    key: ClassVar[tuple[str, ...]] = ("event", "part")
    event: int  # its position
    part: int
    day: date
    doctor_id: StaffId
    procedure_code: str | None = None
    what: EarningKind
    invoice_id: InvoiceId
    net: Signed
    tax: Signed
    recorded_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("doctor_id, day", "invoice_id")


class PeriodEarnings(Row):
    """What an employee's commissions come to in a period, and what was collected for their work, without tax."""

    table: ClassVar[str] = "period_earnings"
    permission: ClassVar[str] = "billing.payroll.view"
    key: ClassVar[tuple[str, ...]] = ("period_id", "employee_id")
    period_id: PayrollPeriodId
    employee_id: PayrollEmployeeId
    commission: Signed
    collected: Signed


