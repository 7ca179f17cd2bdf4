"""Where a patient's account is seen on the web."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import PathParameter, QueryParameter

from domain.kit import NotFound, day
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.past import AsOf, moment
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.sheets import handed, of_structs
from projections.balances import balance_of, balance_then, statement_of
from projections.reports import PeriodImpossible, period
from schemas.balances import PatientBalance, Statement, StatementLine
from schemas.invoices import InvoiceRow

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
From = Annotated[date | None, QueryParameter(name="from", description="The first day; from the beginning if not given.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day, included; to the end if not given.")]
As = Annotated[Literal["json", "csv"], QueryParameter(name="format", description="`csv` for a sheet of the lines.")]


@get("/{patientId:uuid}/balance", operation_id="GetPatientBalance", summary="Show: what a patient owes and has", opt={
    "permission": InvoiceRow.permission, "refusals": [NotFound]})
async def owing(desk: Desk, patientId: PatientId, as_of: AsOf = None) -> Response[PatientBalance]:  # noqa: N803
    """What is due on all invoices of theirs, less their credit: one number, under all records of theirs. A record that was merged answers as the one that stands for it."""
    no_query(desk.call.query(), ("asOf",))
    clinic = await desk.clinic()
    today, headers = day(datetime.now(UTC), clinic.zone), {}
    ensure_own(desk, patientId)
    if as_of is None:
        found = await balance_of(desk.reader, patientId, clinic.currency, today)
    else:
        asked = moment(as_of)
        position = await desk.then(as_of)
        on = day(asked, clinic.zone) if isinstance(asked, datetime) else today
        found = await balance_then(desk.reader, desk.call.services.handler.keys, patientId, clinic.currency, position, on)
        headers = {"X-Position": str(position)}
    return Response(theirs(patientId, found), headers=headers)


@get("/{patientId:uuid}/statement", operation_id="GetPatientStatement", summary="Show: a patient's account, line by line", opt={
    "permission": InvoiceRow.permission, "csv": True, "refusals": [NotFound, PeriodImpossible]})
async def account(
    desk: Desk, patientId: PatientId, since: From = None, until: To = None, form: As = "json", as_of: AsOf = None,  # noqa: N803
) -> Response[Statement]:
    """Invoices, credit notes, payments, refunds, deposits and whatever else changed it, with the balance after each; its last line is the balance."""
    no_query(desk.call.query(), ("from", "to", "format", "asOf"))
    clinic = await desk.clinic()
    ensure_own(desk, patientId)
    if since is not None and until is not None:
        period(since, until, until)
    position = await desk.then(as_of if as_of is not None else str(await desk.reader.head()))
    found = await statement_of(desk.reader, desk.call.services.handler.keys, patientId, clinic.currency, since, until, position)
    made: Statement = theirs(patientId, found)
    headers = {"X-Position": str(position)}
    return Response(made, headers=headers) if form == "json" else handed("statement", of_structs(StatementLine, made.lines), **headers)


def ensure_own(desk: kit.Desk, patient: UUID) -> None:
    """Refuse whoever sees only their own account another one's."""
    if own_column(InvoiceRow, desk.who) is not None and desk.who.subject != patient:
        raise NotFound(kind="patients", id=str(patient))


def theirs(patient: UUID, found: Any) -> Any:
    """Return an account that there is."""
    if found is None:
        raise NotFound(kind="patients", id=str(patient))
    return found


router = Router("/api/v1/protected/patients", tags=["Billing"], route_handlers=[owing, account])
