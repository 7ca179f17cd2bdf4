"""Where dashboards live on the web: what somebody sees first, by what they are in the clinic."""

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import QueryParameter

from commands.kit.receipt import own_column
from domain.kit import PLATFORM, Forbidden, NotFound, day
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from projections.dashboards import (
    BILLING,
    billing_of,
    for_admin,
    for_doctor,
    for_patient,
    for_reception,
    records_of,
    summary_of,
    visits_of,
)
from schemas.calendar import CalendarRow
from schemas.dashboards import (
    AdminDashboard,
    DoctorDashboard,
    PatientBilling,
    PatientDashboard,
    PatientRecords,
    PatientSummary,
    PatientVisits,
    ReceptionDashboard,
)

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many on a page.")]
Cursor = Annotated[str | None, QueryParameter(description="The `next` of the page before.")]
OURS = {"permission": "self", "refusals": [NotFound]}
PAGED = {"permission": "self", "refusals": [NotFound, Forbidden]}


async def here(desk: kit.Desk) -> tuple[date, str]:
    """Return the clinic's day and currency."""
    clinic = await desk.clinic()
    return day(datetime.now(UTC), clinic.zone), clinic.currency


def oneself(desk: kit.Desk, role: str) -> UUID:
    """Return the record of whoever asks, if they are that; for anybody else there is no such dashboard."""
    ensure_role(desk, role)
    if desk.who.subject is None:
        raise NotFound(kind="dashboards")
    return desk.who.subject


def ensure_role(desk: kit.Desk, role: str) -> None:
    if desk.who.role != role:
        raise NotFound(kind="dashboards")


@get("/admin", operation_id="GetAdminDashboard", opt={"permission": "admin"})
async def admin(desk: Desk) -> AdminDashboard:
    """Show: how the clinic does.

    Today's visits and doctors, this month so far beside all of the month before, and what waits for somebody; money for those with `reports.financial`.
    """
    no_query(desk.call.query())
    return await for_admin(desk.reader, *await here(desk), desk.who.may)


@get("/doctor", operation_id="GetDoctorDashboard", opt=OURS)
async def doctor(desk: Desk) -> DoctorDashboard:
    """Show: your day and month, as a doctor."""
    no_query(desk.call.query())
    me = oneself(desk, "doctor")
    return await for_doctor(desk.reader, *await here(desk), desk.who.may, me)


@get("/receptionist", operation_id="GetReceptionDashboard", opt=OURS)
async def receptionist(desk: Desk) -> ReceptionDashboard:
    """Show: the desk's day, as a receptionist: today's visits and what waits for somebody."""
    no_query(desk.call.query())
    ensure_role(desk, "receptionist")
    own = own_column(CalendarRow, desk.who)
    return await for_reception(desk.reader, *await here(desk), desk.who.may, {own: desk.who.subject or PLATFORM} if own else {})


@get("/patient", operation_id="GetPatientDashboard", opt=OURS)
async def patient(desk: Desk) -> PatientDashboard:
    """Show: all that your portal shows of you, as a patient."""
    no_query(desk.call.query())
    me = oneself(desk, "patient")
    return await for_patient(desk.reader, desk.call.services.handler.keys, me, *await here(desk), desk.who.may)


@get("/patient/summary", operation_id="GetPatientSummary", opt=OURS)
async def summary(desk: Desk) -> PatientSummary:
    """Show: your next visit, how often you came, and what is due, as a patient."""
    no_query(desk.call.query())
    me = oneself(desk, "patient")
    return await summary_of(desk.reader, me, *await here(desk), desk.who.may)


@get("/patient/appointments", operation_id="ListOwnVisits", opt=PAGED)
async def visits(desk: Desk, limit: Limit = 50, cursor: Cursor = None) -> PatientVisits:
    """List: your visits, those to come and those that were, as a patient."""
    no_query(desk.call.query(), ("limit", "cursor"))
    me = oneself(desk, "patient")
    desk.require(CalendarRow.permission)
    return await visits_of(desk.reader, me, (await here(desk))[0], limit, cursor)


@get("/patient/billing", operation_id="ListOwnInvoices", opt=PAGED)
async def billing(desk: Desk, limit: Limit = 50, cursor: Cursor = None) -> PatientBilling:
    """List: your invoices, and what they come to, as a patient."""
    no_query(desk.call.query(), ("limit", "cursor"))
    me = oneself(desk, "patient")
    desk.require(BILLING)
    return await billing_of(desk.reader, me, *await here(desk), limit, cursor)


@get("/patient/records", operation_id="GetOwnRecords", opt=OURS)
async def records(desk: Desk) -> PatientRecords:
    """Show: what there is of your record, as a patient."""
    no_query(desk.call.query())
    me = oneself(desk, "patient")
    return await records_of(desk.reader, desk.call.services.handler.keys, me, (await here(desk))[0])


router = Router("/api/v1/protected/stats", tags=["Reports"], route_handlers=[admin, doctor, receptionist, patient, summary, visits, billing, records])
