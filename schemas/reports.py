"""Reports: what a stretch of days comes to."""

from datetime import date
from typing import Literal

from msgspec import field

from domain.kit import Frozen, StaffId

Grouping = Literal["day", "month", "doctor"]


class Money(Frozen):
    """Amounts with their tax. `revenue` is what was billed less what was voided, credited and written off; `received` what was collected less what was given back.

    `collected` has what patients paid without an invoice, which is nobody's (the id 0) until it pays for a doctor's work. `tax` is less that of what was voided and credited, not of what was written off.
    """

    billed: int
    voided: int
    credited: int
    written_off: int
    revenue: int
    tax: int
    collected: int
    refunded: int
    received: int
    invoices: int
    payments: int


class MoneyGroup(Money):
    """The amounts of one day, one month (its first day) or one doctor (the id 0: sold without a doctor)."""

    day: date | None = None
    month: date | None = None
    doctor_id: StaffId | None = None


class FinancialSummary(Money):
    """What was billed and received from the first day to the last, both included, and what was still to be paid at the end of the last."""

    since: date = field(name="from")
    until: date = field(name="to")
    currency: str
    outstanding: int
    groups: list[MoneyGroup]


class Visits(Frozen):
    """Appointments of those days by what became of them; `upcoming` are all that have not come to an end. Rates are shares of `booked`."""

    booked: int
    upcoming: int
    completed: int
    cancelled: int
    late_cancelled: int
    no_show: int
    rescheduled: int
    completion_rate: float
    cancellation_rate: float
    no_show_rate: float
    rescheduled_rate: float


class Stats(Frozen):
    """How the clinic did on those days; `revenue` only for those who may see it."""

    since: date = field(name="from")
    until: date = field(name="to")
    appointments: Visits
    new_patients: int
    patients: int
    revenue: Money | None
