"""The screens of the app: all that one shows, in one answer."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from domain.kit import Frozen, PatientId
from schemas.calendar import CalendarEntry
from schemas.dashboards import DayCount, Task
from schemas.invoices import InvoiceRow
from schemas.patients import PatientRow
from schemas.quotations import QuotationEntry
from schemas.receipts import ReceiptEntry
from schemas.reports import Money, Stats
from schemas.schedules import DoctorSchedule
from schemas.slots import AvailableSlot

View = Literal["day", "week", "month"]
Success = Annotated[Literal[True], Meta(description="Always; what fails has another shape and status.")]


class Fetched(Frozen):
    """When a screen was put together, and until when an app may show it without asking again.

    `cached` is always false: the server makes each answer anew, and it is the app that keeps it. An ETag makes asking again cheap.
    """

    cached: bool
    fetched_at: dt.datetime
    expires_at: dt.datetime


class DashboardData(Frozen):
    """Today's visits in the order of time and how they stand, this week beside the one before (null for whoever may not see it), and what waits for somebody."""

    day: dt.date
    todays_visits: list[CalendarEntry]
    stats: DayCount
    week: Stats | None
    previous_week: Stats | None
    notifications: list[Task]


class DashboardScreen(Frozen):
    """The first screen."""

    success: Success = True
    data: DashboardData
    meta: Fetched


class BookingRules(Frozen):
    """What binds a booking, so that an app need not ask for what would be refused. Minutes, but for the days."""

    zone: str
    shortest: int
    longest: int
    usual: int
    days_ahead: int
    cancel_notice_hours: int


class AppointmentsData(Frozen):
    """The visits of a day, a week or a month, page by page; the first that could be booked from now on; the doctors' hours; and the rules of booking."""

    view: View
    first: dt.date
    last: dt.date
    total: int
    page: int
    pages: int
    visits: list[CalendarEntry]
    available_slots: list[AvailableSlot]
    doctor_schedules: list[DoctorSchedule]
    rules: BookingRules


class AppointmentsScreen(Frozen):
    """The appointments."""

    success: Success = True
    data: AppointmentsData
    meta: Fetched


class PatientDetails(Frozen):
    """What a list of patients says of each: when they came last, when they come next, and what is due, null for whoever may not see it."""

    patient_id: PatientId
    visits: int
    last_visit: dt.date | None
    next_visit: dt.date | None
    due: int | None


class PatientsData(Frozen):
    """The patients by name, page by page, and details of each of them."""

    total: int
    page: int
    pages: int
    patients: list[PatientRow]
    details: list[PatientDetails]


class PatientsScreen(Frozen):
    """The patients."""

    success: Success = True
    data: PatientsData
    meta: Fetched


class FinanceSummary(Frozen):
    """What is billed, paid and due on all invoices of whoever they are shown of; and, for those with `reports.financial`, what the month came to so far."""

    currency: str
    billed: int
    paid: int
    refunded: int
    due: int
    overdue: int
    month: Money | None


class FinanceData(Frozen):
    """Invoices, quotations and receipts, the latest first, and what they come to. A list that the role may not see is null."""

    total: int
    page: int
    pages: int
    invoices: list[InvoiceRow]
    quotes: list[QuotationEntry] | None
    receipts: list[ReceiptEntry] | None
    summary: FinanceSummary


class FinanceScreen(Frozen):
    """The money."""

    success: Success = True
    data: FinanceData
    meta: Fetched
