"""Dashboards, put together from the read models that others keep."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct, json

from projections.calendar import of_day
from projections.consents import consents_of
from projections.figures import performance
from projections.kit.keys import KeyRing
from projections.kit.reading import Reader, Wanted
from projections.patients import whole_history
from projections.reports import money, outstanding, stats
from schemas.calendar import CalendarEntry, CalendarRow
from schemas.dashboards import (
    AdminDashboard,
    DayCount,
    DoctorDashboard,
    DoctorDay,
    PatientBilling,
    PatientDashboard,
    PatientRecords,
    PatientSummary,
    PatientVisits,
    ReceptionDashboard,
    Task,
    TaskKind,
    VisitsOfType,
    VisitsWithDoctor,
)
from schemas.invoices import InvoiceRow
from schemas.leads import LeadRow
from schemas.patients import MedicalHistoryRow
from schemas.quotations import QuotationRow
from schemas.recalls import RecallRow

SOME = 20  # visits and invoices of a patient where all is shown at once

COUNTED = """select %s::date as day, count(*) as visits, count(*) filter (where status in ('booked', 'confirmed')) as ahead,
    count(*) filter (where status = 'confirmed') as confirmed, count(*) filter (where status = 'arrived') as waiting,
    count(*) filter (where status = 'in-chair') as in_chair, count(*) filter (where status = 'completed') as completed,
    count(*) filter (where status = 'cancelled') as cancelled, count(*) filter (where status = 'no-show') as no_show
from calendar where clinic_id = %s and date = %s and (%s::uuid is null or doctor_id = %s) and (%s::uuid is null or patient_id = %s)"""
DOCTORS = """select c.doctor_id, s.name as doctor_name, count(*) as visits, count(*) filter (where c.status = 'completed') as completed,
    coalesce(sum(extract(epoch from c.ends_at - c.starts_at) / 60), 0)::bigint as minutes
from calendar c left join staff s on s.clinic_id = c.clinic_id and s.id = c.doctor_id
where c.clinic_id = %s and c.date = %s and c.status not in ('cancelled', 'no-show') group by c.doctor_id, s.name order by visits desc, c.doctor_id"""
VISITS = """select count(*) filter (where status in ('booked', 'confirmed') and date >= %s) as upcoming, count(*) filter (where status = 'completed') as completed,
    count(*) filter (where status = 'cancelled') as cancelled, count(*) filter (where status = 'no-show') as no_show
from calendar where clinic_id = %s and patient_id = %s"""
BILLS = """select coalesce(sum(total - credited - written_off), 0)::bigint as billed, coalesce(sum(paid), 0)::bigint as paid, coalesce(sum(refunded), 0)::bigint as refunded,
    coalesce(sum(due), 0)::bigint as due, coalesce(sum(due) filter (where due_on < %s), 0)::bigint as overdue
from invoices where clinic_id = %s and patient_id = %s and status in ('issued', 'partly-paid', 'paid', 'credited')"""
TYPES = """select type, count(*) as visits, max(date) as last from calendar
where clinic_id = %s and patient_id = %s and status = 'completed' group by type order by visits desc, type"""
SEEN_BY = """select c.doctor_id, s.name as doctor_name, count(*) as visits, max(c.date) as last
from calendar c left join staff s on s.clinic_id = c.clinic_id and s.id = c.doctor_id
where c.clinic_id = %s and c.patient_id = %s and c.status = 'completed' group by c.doctor_id, s.name order by visits desc, c.doctor_id"""
BEEN = """select visits, first_visit, last_visit from patient_lifetimes where clinic_id = %s and patient_id = %s"""

# what waits -> whose key lets somebody see it, and how it is counted
ASKED = "with asked as (select %s::uuid as clinic, %s::date as today, %s::uuid as doctor, %s::uuid as patient) select count(*) as count, "
OF_VISITS = ASKED + "null::bigint as amount from asked, calendar where clinic_id = clinic and (doctor is null or doctor_id = doctor) and (patient is null or patient_id = patient)"
OF_BILLS = ASKED + "coalesce(sum(due), 0)::bigint as amount from asked, invoices where clinic_id = clinic and (patient is null or patient_id = patient)"
OF_OFFERS = ASKED + "coalesce(sum(total), 0)::bigint as amount from asked, quotations where clinic_id = clinic and (patient is null or patient_id = patient)"
THEIRS: tuple[TaskKind, ...] = ("unconfirmed-tomorrow", "overdue-invoices", "open-quotations")  # what a patient is told of their own
TASKS: dict[TaskKind, tuple[str, str]] = {
    "unconfirmed-tomorrow": (CalendarRow.permission, OF_VISITS + " and date = today + 1 and status = 'booked'"),
    "waiting": (CalendarRow.permission, OF_VISITS + " and date = today and status = 'arrived'"),
    "draft-invoices": (InvoiceRow.permission, ASKED + "coalesce(sum(total), 0)::bigint as amount from asked, invoices where clinic_id = clinic and status = 'draft'"),
    "overdue-invoices": (InvoiceRow.permission, OF_BILLS + " and status in ('issued', 'partly-paid') and due_on < today"),
    "open-quotations": (QuotationRow.permission, OF_OFFERS + " and status = 'sent' and valid_until >= today"),
    "new-leads": (LeadRow.permission, ASKED + "null::bigint as amount from asked, leads where clinic_id = clinic and status = 'new'"),
    "recalls-due": (
        RecallRow.permission, ASKED + "null::bigint as amount from asked, recalls where clinic_id = clinic and status in ('scheduled', 'contacted') and date <= today"),
}
BILLS_OF_ALL = """select coalesce(sum(billed - voided - credited - written_off), 0)::bigint as billed, coalesce(sum(collected), 0)::bigint as paid,
    coalesce(sum(refunded), 0)::bigint as refunded, coalesce(sum(billed - voided - credited - written_off - collected + refunded + on_account), 0)::bigint as due,
    (select coalesce(sum(due), 0)::bigint from invoices where clinic_id = %s and status in ('issued', 'partly-paid') and due_on < %s) as overdue
from revenue_days where clinic_id = %s"""
May = Callable[[str], bool]
BILLING = InvoiceRow.permission


class Waits(Struct):
    count: int
    amount: int | None


class Been(Struct):
    visits: int
    first_visit: date | None
    last_visit: date | None


class Fates(Struct):
    upcoming: int
    completed: int
    cancelled: int
    no_show: int


class Bills(Struct):
    billed: int
    paid: int
    refunded: int
    due: int
    overdue: int


async def tasks(reader: Reader, today: date, may: May, doctor: UUID | None = None, patient: UUID | None = None) -> list[Task]:
    """Return what waits for somebody, as far as they may know; of visits, with `doctor`, that one's; with `patient`, what waits for them alone."""
    kinds = [kind for kind, (key, _) in TASKS.items() if may(key) and (patient is None or kind in THEIRS)]
    found = await asyncio.gather(*(reader.select(Waits, TASKS[kind][1], reader.clinic, today, doctor, patient) for kind in kinds))
    return [Task(kind=kind, count=one.count, amount=one.amount) for kind, (one,) in zip(kinds, found, strict=True)]


async def day_count(reader: Reader, day: date, doctor: UUID | None = None, patient: UUID | None = None) -> DayCount:
    """Return how things stand with the visits of a day."""
    (found,) = await reader.select(DayCount, COUNTED, day, reader.clinic, day, doctor, doctor, patient, patient)
    return found


async def for_admin(reader: Reader, today: date, currency: str, may: May) -> AdminDashboard:
    first = today.replace(day=1)
    last = first - timedelta(days=1)
    financial = may("reports.financial")
    counted, doctors, month, before, waiting = await asyncio.gather(
        day_count(reader, today), reader.select(DoctorDay, DOCTORS, reader.clinic, today), stats(reader, first, today, revenue=financial),
        stats(reader, last.replace(day=1), last, revenue=financial), tasks(reader, today, may))
    return AdminDashboard(
        day=today, currency=currency, today=counted, doctors=doctors, month=month, last_month=before, money_today=await money(reader, today, today) if financial else None,
        outstanding=await outstanding(reader, today) if financial else None, tasks=waiting)


async def for_doctor(reader: Reader, today: date, currency: str, may: May, doctor: UUID) -> DoctorDashboard:
    visits: list[CalendarEntry]
    counted, visits, month, waiting = await asyncio.gather(
        day_count(reader, today, doctor), of_day(reader, today, {"doctor_id": doctor}),
        performance(reader, today.replace(day=1), today, None, doctor, doctor, money=may("reports.revenue")), tasks(reader, today, may, doctor))
    ahead = [visit for visit in visits if visit.status in {"booked", "confirmed", "arrived"}]
    return DoctorDashboard(
        day=today, currency=currency, doctor_id=doctor, today=counted, visits=visits, next=ahead[0] if ahead else None, month=month[0] if month else None, tasks=waiting)


async def for_reception(reader: Reader, today: date, currency: str, may: May, whose: dict[str, UUID]) -> ReceptionDashboard:
    doctor = whose.get("doctor_id")
    counted, visits, waiting = await asyncio.gather(day_count(reader, today, doctor), of_day(reader, today, whose), tasks(reader, today, may, doctor))
    return ReceptionDashboard(day=today, currency=currency, today=counted, visits=visits, tasks=waiting)


async def summary_of(reader: Reader, patient: UUID, today: date, currency: str, may: May) -> PatientSummary:
    been = await reader.select(Been, BEEN, reader.clinic, patient)
    ahead: Any = None
    upcoming = due = overdue = None
    if may(CalendarRow.permission):
        coming = await fates(reader, patient, today)
        upcoming, ahead = coming.upcoming, await next_visit(reader, patient, today)
    if may(InvoiceRow.permission):
        bills = await owed(reader, patient, today)
        due, overdue = bills.due, bills.overdue
    so_far = been[0] if been else Been(0, None, None)
    return PatientSummary(
        day=today, patient_id=patient, currency=currency, next_visit=ahead, upcoming=upcoming, visits=so_far.visits, first_visit=so_far.first_visit,
        last_visit=so_far.last_visit, due=due, overdue=overdue)


async def fates(reader: Reader, patient: UUID, today: date) -> Fates:
    (found,) = await reader.select(Fates, VISITS, today, reader.clinic, patient)
    return found


async def next_visit(reader: Reader, patient: UUID, today: date) -> CalendarEntry | None:
    """Return a patient's next visit; one of today that is over is none."""
    conditions = (("patient_id", "=", patient), ("date", ">=", today), ("status", "any", ["booked", "confirmed", "arrived", "in-chair"]))
    page = await reader.page(CalendarEntry, Wanted(conditions, sort="starts_at", limit=1))
    found = json.decode(page.items, type=list[CalendarEntry])
    return found[0] if found else None


async def visits_of(reader: Reader, patient: UUID, today: date, limit: int, cursor: str | None) -> PatientVisits:
    page: Any = await reader.page(CalendarEntry, Wanted((("patient_id", "=", patient),), "starts_at", descending=True, limit=limit, cursor=cursor))
    told = await fates(reader, patient, today)
    return PatientVisits(
        upcoming=told.upcoming, completed=told.completed, cancelled=told.cancelled, no_show=told.no_show, items=page.items, next=page.next)


async def billing_of(reader: Reader, patient: UUID, today: date, currency: str, limit: int, cursor: str | None) -> PatientBilling:
    conditions = (("patient_id", "=", patient), ("status", "any", ["issued", "partly-paid", "paid", "credited", "void"]))  # a draft is the clinic's own affair
    page: Any = await reader.page(InvoiceRow, Wanted(conditions, "created_at", descending=True, limit=limit, cursor=cursor))
    bills = await owed(reader, patient, today)
    return PatientBilling(
        currency=currency, billed=bills.billed, paid=bills.paid, refunded=bills.refunded, due=bills.due, overdue=bills.overdue, items=page.items, next=page.next)


async def owed(reader: Reader, patient: UUID | None, today: date) -> Bills:
    """Return what a patient's invoices come to, or everybody's: those are summed by the day, whose sums there are."""
    asked = [today, reader.clinic, patient] if patient else [reader.clinic, today, reader.clinic]
    (found,) = await reader.select(Bills, BILLS if patient else BILLS_OF_ALL, *asked)
    return found


async def records_of(reader: Reader, keys: KeyRing, patient: UUID, today: date) -> PatientRecords:
    types, doctors, found, consents = await asyncio.gather(
        reader.select(VisitsOfType, TYPES, reader.clinic, patient), reader.select(VisitsWithDoctor, SEEN_BY, reader.clinic, patient),
        reader.one(MedicalHistoryRow, patient), consents_of(reader, patient, today))
    history: Any = found and await whole_history(reader, keys, found, None)
    return PatientRecords(
        types=types, doctors=doctors, reported=history.reported if history else None, reported_at=history.reported_at if history else None, consents=consents)


async def for_patient(reader: Reader, keys: KeyRing, patient: UUID, today: date, currency: str, may: May) -> PatientDashboard:
    return PatientDashboard(
        summary=await summary_of(reader, patient, today, currency, may),
        appointments=await visits_of(reader, patient, today, SOME, None) if may(CalendarRow.permission) else None,
        billing=await billing_of(reader, patient, today, currency, SOME, None) if may(InvoiceRow.permission) else None,
        records=await records_of(reader, keys, patient, today))
