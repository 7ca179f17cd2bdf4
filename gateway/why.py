"""Where figures say why on the web."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import QueryParameter

from domain.kit import Forbidden, NotFound, day
from gateway.figures import Doctor, From, Only, To, ensure_ours, own
from gateway.kit import Desk
from gateway.kit.forms import told
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from gateway.kit.sheets import MOST, PAGE, SheetTooLong
from gateway.revenue import Paid, Procedure
from projections.reports import EARLIEST, PeriodImpossible, period
from projections.why import BREAKDOWN, FIGURES, STATS, Asked, WhyTooBroad, why
from schemas.tallies import Figure, Why, WhyLine

Which = Annotated[Figure, QueryParameter(name="figure", description="Which figure.")]
Patient = Annotated[UUID | None, QueryParameter(name="patientId", description="Only what is about this patient, from the first day on unless days are given.")]
Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Lines on a page.")]
Cursor = Annotated[str | None, QueryParameter(description="The `next` of the page before.")]
LONG_AGO = date(EARLIEST, 1, 1)
Sheet = Annotated[Literal["json", "csv"], QueryParameter(name="format", description="`csv` for a sheet, of all lines at once.")]
KNOWN = ("figure", "from", "to", "doctorId", "procedureCode", "method", "source", "patientId", "asOf", "limit", "cursor", "format")


@get("/why", operation_id="GetWhy", opt={"permission": STATS, "csv": True, "refusals": [PeriodImpossible, WhyTooBroad, NotFound, Forbidden, SheetTooLong]})
async def asked(
    desk: Desk, figure: Which, since: From = None, until: To = None, doctor: Doctor = None, procedure: Procedure = None, method: Paid = None, source: Only = None,
    patient: Patient = None, as_of: AsOf = None, limit: Limit = 100, cursor: Cursor = None, form: Sheet = "json",
) -> Response[Why]:
    """Show: why a figure is what it is.

    The events behind it, page by page, the latest day first: position, stream, type, amount and document number; the sum of the lines is the figure. Money takes `reports.financial`, and of a
    doctor, procedure, method, source or patient alone `reports.revenue`. What is outstanding goes back to the first day. With `asOf`, what was known at that moment:
    what has been recorded since for those days does not count, though costs and sources are those of today.
    """
    no_query(desk.call.query(), KNOWN)
    clinic = await desk.clinic()
    first, last = period(since or (LONG_AGO if patient and until is None else None), until, day(datetime.now(UTC), clinic.zone))
    await ensure_ours(desk, doctor)
    if patient and not await desk.known("patients", patient):
        raise NotFound(kind="patients", id=str(patient))
    counted = FIGURES[figure]
    wanted = Asked(figure, first, last, doctor, procedure, method, source, patient, own(desk) if counted.permission == STATS else None)
    upto = None if as_of is None else await desk.then(as_of)
    desk.require(counted.permission)
    if counted.permission != STATS and wanted.broken_down:
        desk.require(BREAKDOWN)
    made = await why(desk.reader, wanted._replace(upto=upto), clinic.currency, PAGE if form == "csv" else limit, cursor)
    items = [*made.items]
    while form == "csv" and made.next:
        if len(items) >= MOST:
            raise SheetTooLong
        made = await why(desk.reader, wanted._replace(upto=upto), clinic.currency, PAGE, made.next)
        items += made.items
    answer = told(desk, made, form, "why", WhyLine, items)
    if upto is not None:
        answer.headers["X-Position"] = str(upto)
    return answer


router = Router("/api/v1/protected/analytics", tags=["Reports"], route_handlers=[asked])
