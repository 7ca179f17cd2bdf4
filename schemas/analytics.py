"""What a clinic's days come to: money and visits, per day and doctor; and the reports made of them."""

from datetime import date
from typing import ClassVar

from domain.kit import StaffId
from schemas.kit import Row


class RevenueDayRow(Row):
    """One doctor's money of one day: billed and tax by the day of issue, collected and refunded by the day of the money, voided, credited and written off by the day of that.

    What was sold without a doctor stands under the id 0, and so does what patients have as credit: when it pays for a doctor's work it is collected there and no more here, and
    `onAccount` is by how much credit has grown. So the sum over doctors is always the clinic's figure. Amounts include tax. What was reversed counts as not collected, on the day of the reversal.
    """

    table: ClassVar[str] = "revenue_days"
    permission: ClassVar[str] = "reports.revenue"
    key: ClassVar[tuple[str, ...]] = ("day", "doctor_id")
    formula: ClassVar[int] = 2
    day: date
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


class AppointmentDayRow(Row):
    """One doctor's appointments of one day. `booked` counts all that stand or stood on that day, whatever became of them; `rescheduled` those moved
    within it or away from it; `late_cancelled` is a part of `cancelled`.
    """

    table: ClassVar[str] = "appointment_days"
    permission: ClassVar[str] = "reports.stats"
    key: ClassVar[tuple[str, ...]] = ("day", "doctor_id")
    day: date
    doctor_id: StaffId
    booked: int = 0
    completed: int = 0
    cancelled: int = 0
    late_cancelled: int = 0
    no_show: int = 0
    rescheduled: int = 0
