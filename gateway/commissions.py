"""Where commissions live on the web: what doctors earned, and each line that says why."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import QueryParameter

from domain.kit import NotFound, day
from gateway.kit import Desk, browse
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.sheets import handed, of_structs
from projections.earnings import commissions
from projections.reports import PeriodImpossible, period
from schemas.earnings import Commission, CommissionGroup, CommissionLine, Commissions

From = Annotated[date | None, QueryParameter(name="from", description="The first day; the first of the month if not given.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day, included; today if not given.")]
Doctor = Annotated[UUID | None, QueryParameter(name="doctorId", description="Only this doctor.")]
By = Annotated[CommissionGroup | None, QueryParameter(name="groupBy", description="A line for each month, procedure or rule of each doctor; one a doctor if not given.")]
As = Annotated[Literal["json", "csv"], QueryParameter(name="format", description="`csv` for a sheet.")]


@get("/", operation_id="GetCommissions", opt={"permission": CommissionLine.permission, "csv": True, "refusals": [PeriodImpossible, NotFound]})
async def earned(desk: Desk, since: From = None, until: To = None, doctor: Doctor = None, by: By = None, form: As = "json") -> Response[Commissions]:
    """Show: what doctors earned.

    Whatever was billed, collected or taken back in the period, by the rule in force when its invoice was issued. A doctor sees their own alone. `/commissions/lines` says why.
    """
    no_query(desk.call.query(), ("from", "to", "doctorId", "groupBy", "format"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    if doctor and not await desk.known("staff", doctor):
        raise NotFound(kind="staff", id=str(doctor))
    if own_column(CommissionLine, desk.who) is not None:
        if doctor not in {None, desk.who.subject}:
            raise NotFound(kind="staff", id=str(doctor))
        doctor = desk.who.subject
    made = await commissions(desk.reader, first, last, doctor, by, clinic.currency)
    if form == "json":
        return Response(made)
    return handed("commissions", of_structs(Commission, made.items))


router = Router("/api/v1/protected/commissions", tags=["Payroll"], route_handlers=[
    earned,
    browse(
        "/lines", CommissionLine, by=["doctor_id", "invoice_id", "procedure_code", "rule_id", "what", "basis", "counted", "day.."], sort="-day",
        sorts=["event", "commission"], csv=True),
])
