"""Where the screens of the app live on the web: one request for all that a screen shows."""

from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, get
from litestar.params import QueryParameter

from commands.kit.receipt import own_column
from domain.kit import Forbidden, day
from gateway.appointments import allowed
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from projections.screens import CALENDAR, INVOICES, LIFE, SLOT_DAYS, appointments, dashboard, ensure_shown, finance, patients
from projections.slots import Sought
from schemas.screens import AppointmentsScreen, DashboardScreen, Fetched, FinanceScreen, PatientsScreen, View

Source = Annotated[Literal["mobile"] | None, QueryParameter(description="`mobile`, from the app.")]
Shown = Annotated[View, QueryParameter(description="Today, this week from Monday on, or this month.")]
PageNo = Annotated[int, QueryParameter(ge=1, le=100_000, description="Which page, from 1.")]
Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many on a page.")]
REFUSED = [Forbidden]


async def opened(desk: kit.Desk, module: Any, *known: str) -> tuple[datetime, date, str]:
    """Let in whoever has the screen, and return the moment, the clinic's day and its currency."""
    no_query(desk.call.query(), ("source", *known))
    await ensure_shown(desk.reader, module, desk.who.role, desk.who.grants)
    clinic, now = await desk.clinic(), datetime.now(UTC)
    return now, day(now, clinic.zone), clinic.currency


def shown(desk: kit.Desk, module: Any, screen: Any, data: Any, now: datetime) -> Response[Any]:
    """Return a screen with how long it may be kept; to an app that has it already, only that it still holds."""
    tag = f'"{blake2b(msgspec.json.encode(data), digest_size=16).hexdigest()}"'
    headers = {"etag": tag, "cache-control": f"private, max-age={int(LIFE[module].total_seconds())}, must-revalidate", "vary": "Authorization, Cookie, X-API-Key"}
    if tag in desk.call.headers.get(b"if-none-match", b"").decode("latin-1"):
        return Response(None, status_code=304, headers=headers)
    return Response(screen(data=data, meta=Fetched(cached=False, fetched_at=now, expires_at=now + LIFE[module])), headers=headers)


def whose(desk: kit.Desk) -> dict[str, UUID]:
    """Return whose visits somebody sees, if not everybody's."""
    own = own_column(CALENDAR, desk.who)
    return {own: desk.who.subject} if own and desk.who.subject else {}


@get("/dashboard", operation_id="GetDashboardScreen", opt={"permission": CALENDAR.permission, "refusals": REFUSED})
async def first(desk: Desk, source: Source = None) -> Response[DashboardScreen]:  # noqa: ARG001 - what an app says of itself changes nothing
    """Show: today's visits, how they stand, this week beside the one before, and what waits.

    Patients are shown their own. May be kept for 5 minutes.
    """
    now, today, _ = await opened(desk, "dashboard")
    return shown(desk, "dashboard", DashboardScreen, await dashboard(desk.reader, today, desk.who.may, whose(desk)), now)


@get("/appointments", operation_id="GetAppointmentsScreen", opt={"permission": CALENDAR.permission, "refusals": REFUSED})
async def diary(desk: Desk, view: Shown = "month", page: PageNo = 1, limit: Limit = 100, source: Source = None) -> Response[AppointmentsScreen]:  # noqa: ARG001 - what an app says of itself changes nothing
    """Show: the visits of a day, week or month, the first that could be booked, the doctors' hours and the rules of booking.

    Patients, and doctors who see only their own list, are shown their own visits. May be kept for 15 minutes.
    """
    now, today, _ = await opened(desk, "appointments", "view", "page", "limit")
    own = whose(desk)
    sought = await allowed(desk, Sought(first=today, days=SLOT_DAYS, patient=own.get("patient_id")))
    hours = {column: id_ for column, id_ in own.items() if column == "doctor_id"}
    return shown(desk, "appointments", AppointmentsScreen, await appointments(desk.reader, now, today, view, own, sought, hours, page, limit), now)


@get("/patients", operation_id="GetPatientsScreen", opt={"permission": "patients.view", "refusals": REFUSED})
async def people(desk: Desk, page: PageNo = 1, limit: Limit = 50, source: Source = None) -> Response[PatientsScreen]:  # noqa: ARG001 - what an app says of itself changes nothing
    """Show: the patients by name, and of each when they came, when they come and what is due.

    May be kept for an hour.
    """
    now, today, _ = await opened(desk, "patients", "page", "limit")
    return shown(desk, "patients", PatientsScreen, await patients(desk.reader, today, desk.who.may, page, limit), now)


@get("/finance", operation_id="GetFinanceScreen", opt={"permission": INVOICES.permission, "refusals": REFUSED})
async def accounts(desk: Desk, page: PageNo = 1, limit: Limit = 50, source: Source = None) -> Response[FinanceScreen]:  # noqa: ARG001 - what an app says of itself changes nothing
    """Show: invoices, quotations and receipts, and what they come to.

    For admins and doctors; patients are shown their own. May be kept for 30 minutes.
    """
    now, today, currency = await opened(desk, "finance", "page", "limit")
    own = desk.who.subject if own_column(INVOICES, desk.who) else None
    return shown(desk, "finance", FinanceScreen, await finance(desk.reader, today, currency, desk.who.may, own, page, limit), now)


router = Router("/api/v1/protected/mobile/screen", tags=["Mobile"], route_handlers=[first, diary, people, accounts])
