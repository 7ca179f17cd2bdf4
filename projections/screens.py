"""The screens of the app, put together from the read models that others keep."""

import asyncio
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict

from domain.appointments import LONGEST, REACH, SHORTEST, USUAL
from domain.kit import Forbidden
from domain.mobile import SCREENS, MobileModule, MobileModuleOff, open_to
from projections.calendar import of_day
from projections.dashboards import May, day_count, owed, tasks
from projections.kit.reading import Reader, wire_of
from projections.reports import money, stats
from projections.slots import Sought, first_free
from schemas.calendar import CalendarEntry, CalendarRow
from schemas.clinics import ClinicRow
from schemas.invoices import InvoiceRow
from schemas.kit import Row
from schemas.mobile import MobilePermissionRow
from schemas.patients import PatientRow
from schemas.quotations import QuotationEntry
from schemas.receipts import ReceiptEntry
from schemas.schedules import DoctorSchedule
from schemas.screens import (
    AppointmentsData,
    BookingRules,
    DashboardData,
    FinanceData,
    FinanceSummary,
    PatientDetails,
    PatientsData,
    View,
)

LIFE: dict[MobileModule, timedelta] = {
    "dashboard": timedelta(minutes=5), "appointments": timedelta(minutes=15), "patients": timedelta(hours=1), "finance": timedelta(minutes=30),
}
CALENDAR, INVOICES = CalendarRow, InvoiceRow
SLOTS, SLOT_DAYS = 20, 31  # the first that are free, and how far they are sought
LATEST = 20  # quotations and receipts
STANDING = "t.status <> 'draft'"  # a draft is the clinic's own affair
# those that were issued are counted by the day already
INVOICED = """with here as (select %s::uuid as clinic)
select ((select coalesce(sum(invoices), 0) from revenue_days, here where clinic_id = clinic) + (select count(*) from invoices, here where clinic_id = clinic and status = 'draft'))::bigint as total"""
PEOPLE = """t.merged_into is null and not t.archived"""
DETAILS = """
select p.id as patient_id, coalesce(l.visits, 0) as visits, l.last_visit,
    (select min(c.date) from calendar c where c.clinic_id = p.clinic_id and c.patient_id = p.id and c.date >= %s and c.status in ('booked', 'confirmed')) as next_visit,
    (select coalesce(sum(i.due), 0)::bigint from invoices i where i.clinic_id = p.clinic_id and i.patient_id = p.id and i.status in ('issued', 'partly-paid')) as due
from unnest(%s::uuid[]) with ordinality as wanted(id, place) join patients p on p.clinic_id = %s and p.id = wanted.id
left join patient_lifetimes l on l.clinic_id = p.clinic_id and l.patient_id = p.id
order by place"""


class Total(Struct):
    total: int


class Paged(Struct):
    """Rows of a page, how many there are in all, and on how many pages."""

    items: list[Any]
    total: int
    pages: int


async def ensure_shown(reader: Reader, module: MobileModule, role: str, holds: frozenset[str]) -> None:
    """Refuse a screen that a role does not have, or that the clinic has switched off for it."""
    if not open_to(module, role, holds):
        raise Forbidden(permission=SCREENS[module].permission)
    if any(module in row.off for row in await reader.find(MobilePermissionRow, role=role)):
        raise MobileModuleOff(module=module)


async def paged(reader: Reader, row: type[Row], where: str, params: list[Any], order: str, page: int, limit: int, count: str = "") -> Paged:
    """Return a page of rows by its number, as apps ask for it; `count` is another way to count them than one by one."""
    counting = count or f"select count(*) as total from {row.table} t where t.clinic_id = %s and {where}"  # noqa: S608 - conditions of ours
    items, counted = await asyncio.gather(some(reader, row, where, params, order, limit, page), reader.select(Total, counting, reader.clinic, *params))
    total = sum(one.total for one in counted)
    return Paged(items, total, -(-total // limit))


async def some(reader: Reader, row: type[Row], where: str, params: list[Any], order: str, limit: int, page: int = 1) -> list[Any]:
    """Return rows in an order."""
    sql = f"select {wire_of(row).columns} from {row.table} t where t.clinic_id = %s and {where} order by {order} limit %s offset %s"  # noqa: S608 - likewise
    return wire_of(row).items((await reader.ask(sql, [reader.clinic, *params, limit, (page - 1) * limit])).rows)


def equal(whose: dict[str, UUID]) -> tuple[str, list[Any]]:
    """Return the condition that columns have these values."""
    return " and ".join(["true", *(f"t.{column} = %s" for column in whose)]), [*whose.values()]


async def dashboard(reader: Reader, today: date, may: May, whose: dict[str, UUID]) -> DashboardData:
    monday = today - timedelta(days=today.weekday())
    doctor, patient = whose.get("doctor_id"), whose.get("patient_id")
    shown, revenue = may("reports.stats") and patient is None, may("reports.revenue")
    visits, counted, waiting = await asyncio.gather(
        of_day(reader, today, whose), day_count(reader, today, doctor, patient), tasks(reader, today, may, doctor, patient))
    return DashboardData(
        day=today, todays_visits=visits, stats=counted, notifications=waiting, week=await stats(reader, monday, today, revenue=revenue) if shown else None,
        previous_week=await stats(reader, monday - timedelta(days=7), monday - timedelta(days=1), revenue=revenue) if shown else None)


def days_of(view: View, today: date) -> tuple[date, date]:
    """Return the first and the last day of what is looked at."""
    if view == "day":
        return today, today
    if view == "week":
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=6)
    first = today.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


async def appointments(
    reader: Reader, now: datetime, today: date, view: View, whose: dict[str, UUID], sought: Sought, hours: dict[str, UUID], page: int, limit: int,
) -> AppointmentsData:
    first, last = days_of(view, today)
    where, params = equal(whose)
    found, slots, schedules, clinic = await asyncio.gather(
        paged(reader, CalendarEntry, f"{where} and t.date between %s and %s", [*params, first, last], "t.date, t.starts_at, t.id", page, limit),
        first_free(reader, sought, now, SLOTS), reader.find(DoctorSchedule, **hours), reader.one(ClinicRow, reader.clinic))
    return AppointmentsData(
        view=view, first=first, last=last, total=found.total, page=page, pages=found.pages, visits=found.items, available_slots=slots,
        doctor_schedules=sorted(schedules, key=lambda one: (one.doctor_name or "", one.id)),
        rules=BookingRules(
            zone=clinic.zone if clinic else "UTC", shortest=SHORTEST, longest=LONGEST, usual=USUAL, days_ahead=REACH.days,
            cancel_notice_hours=clinic.cancel_notice if clinic else 0))


async def patients(reader: Reader, today: date, may: May, page: int, limit: int) -> PatientsData:
    found = await paged(reader, PatientRow, PEOPLE, [], "t.sort_name, t.id", page, limit)
    details = await reader.select(PatientDetails, DETAILS, today, [one.id for one in found.items], reader.clinic)
    if not may(InvoiceRow.permission):
        details = [replace_due(one) for one in details]
    return PatientsData(total=found.total, page=page, pages=found.pages, patients=found.items, details=details)


def replace_due(one: PatientDetails) -> PatientDetails:
    """Return the same without what is due."""
    return PatientDetails(**{**asdict(one), "due": None})


async def finance(reader: Reader, today: date, currency: str, may: May, patient: UUID | None, page: int, limit: int) -> FinanceData:
    where, params = equal({"patient_id": patient} if patient else {})
    theirs = f"{where} and {STANDING}" if patient else where
    found = await paged(reader, InvoiceRow, theirs, params, "t.created_at desc, t.id desc", page, limit, "" if patient else INVOICED)
    bills = await owed(reader, patient, today)

    async def latest(row: type[Row], order: str) -> Any:
        return await some(reader, row, theirs if row is QuotationEntry else where, params, order, LATEST) if may(row.permission) else None

    month = await money(reader, today.replace(day=1), today) if patient is None and may("reports.financial") else None
    return FinanceData(
        total=found.total, page=page, pages=found.pages, invoices=found.items, quotes=await latest(QuotationEntry, "t.created_at desc, t.id desc"),
        receipts=await latest(ReceiptEntry, "t.issued_at desc, t.id desc"),
        summary=FinanceSummary(currency=currency, billed=bills.billed, paid=bills.paid, refunded=bills.refunded, due=bills.due, overdue=bills.overdue, month=month))
