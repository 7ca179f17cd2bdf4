"""Dashboards: what somebody sees first, by what they are in the clinic."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from domain.kit import Frozen, PatientId, StaffId
from schemas.calendar import CalendarEntry
from schemas.consents import ConsentOfPatient
from schemas.figures import Performance
from schemas.invoices import InvoiceRow
from schemas.patients import Reported
from schemas.reports import Money, Stats

TaskKind = Literal["unconfirmed-tomorrow", "waiting", "draft-invoices", "overdue-invoices", "open-quotations", "new-leads", "recalls-due"]


class DayCount(Frozen):
    """The visits of a day by how things stand with them just now; `ahead` are those to come, confirmed or not."""

    day: dt.date
    visits: int
    ahead: int
    confirmed: int
    waiting: int
    in_chair: int
    completed: int
    cancelled: int
    no_show: int


class Task(Frozen):
    """Something that waits for somebody: how many there are and, of money, how much. What a role may not see is not listed; what there is none of is listed with 0."""

    kind: TaskKind
    count: int
    amount: int | None = None


class DoctorDay(Frozen):
    """A doctor's day: the visits that stand, and the minutes set aside for them."""

    doctor_id: StaffId
    doctor_name: str | None
    visits: int
    completed: int
    minutes: int


class AdminDashboard(Frozen):
    """How the clinic does: today, this month so far and all of the month before, and what waits. Money is null for whoever may not see it."""

    day: dt.date
    currency: str
    today: DayCount
    doctors: list[DoctorDay]
    month: Stats
    last_month: Stats
    money_today: Money | None
    outstanding: int | None
    tasks: list[Task]


class DoctorDashboard(Frozen):
    """A doctor's own day and month: today's visits in the order of time, who is next, and what the month came to so far."""

    day: dt.date
    currency: str
    doctor_id: StaffId
    today: DayCount
    visits: list[CalendarEntry]
    next: Annotated[CalendarEntry | None, Meta(description="The first of today's that is still to come, or waits.")]
    month: Performance | None
    tasks: list[Task]


class ReceptionDashboard(Frozen):
    """The desk's day: today's visits in the order of time, and what waits for somebody."""

    day: dt.date
    currency: str
    today: DayCount
    visits: list[CalendarEntry]
    tasks: list[Task]


class PatientSummary(Frozen):
    """What a patient's portal shows first. What the role may not see is null."""

    day: dt.date
    patient_id: PatientId
    currency: str
    next_visit: CalendarEntry | None
    upcoming: int | None
    visits: int
    first_visit: dt.date | None
    last_visit: dt.date | None
    due: int | None
    overdue: int | None


class PatientVisits(Frozen):
    """A patient's own visits, those to come and those that were, the latest first."""

    upcoming: int
    completed: int
    cancelled: int
    no_show: int
    items: list[CalendarEntry]
    next: str | None


class PatientBilling(Frozen):
    """A patient's own invoices, the latest first, and what they come to; what was voided counts nowhere."""

    currency: str
    billed: int
    paid: int
    refunded: int
    due: int
    overdue: int
    items: list[InvoiceRow]
    next: str | None


class VisitsOfType(Frozen):
    """How often a patient was seen for something."""

    type: str
    visits: int
    last: dt.date


class VisitsWithDoctor(Frozen):
    """How often a patient was seen by somebody."""

    doctor_id: StaffId
    doctor_name: str | None
    visits: int
    last: dt.date


class PatientRecords(Frozen):
    """What there is of a patient's own record: what they were seen for and by whom, what they have said of their health, and what they have agreed to."""

    types: list[VisitsOfType]
    doctors: list[VisitsWithDoctor]
    reported: Reported | None
    reported_at: dt.datetime | None
    consents: list[ConsentOfPatient]


class PatientDashboard(Frozen):
    """All that a patient's portal shows of them; a part that the role may not see is null."""

    summary: PatientSummary
    appointments: PatientVisits | None
    billing: PatientBilling | None
    records: PatientRecords
