"""Where fee schedules live on the web: to read and change, as a sheet in and out, and what they say of a patient's procedures."""

import asyncio
import datetime as dt
from collections import Counter
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from commands.fee_schedules import RemoveFees, SetFees
from commands.kit.ids import derived
from domain.fee_schedules import (
    TOGETHER,
    FeeFlaw,
    FeeHeadersUnclear,
    FeeSchedule,
    PriceUnknown,
    TooManyFees,
    fee_schedule_of,
    read,
)
from domain.kit import Frozen, NotFound, PatientId, day
from domain.kit.bills import Price, ProcedureCode, Quantity
from domain.kit.delimited import TableUnreadable
from gateway.kit import Desk, act, browse
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.errors import BodyInvalid, BodyTooLarge, BodyUnexpected
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.uploads import received
from projections.fee_schedules import estimate, suggested
from schemas.fee_schedules import Estimate, FeeImportReport, FeeRow, SuggestedPrice
from schemas.imports import ImportColumn, ImportProblem
from schemas.insurance_covers import CoverRow

LIMIT = 8 << 20  # bytes of a file
FORM = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "contentMediaType": "text/csv"}}}
TAKES: dict[str, Any] = {"multipart/form-data": {"schema": FORM}, "text/csv": {"schema": {"type": "string"}}}
OURS = {"permission": SetFees.permission, "takes": TAKES, "refusals": [
    *refusals_of(SetFees), TableUnreadable, FeeHeadersUnclear, TooManyFees, BodyUnexpected, BodyInvalid, BodyTooLarge, NotFound]}

Patient = Annotated[UUID, QueryParameter(name="patientId", description="Id of one of the clinic's patients.")]
Payer = Annotated[UUID | None, QueryParameter(name="payerId", description="Whose schedule it is: the clinic's own unless said.")]
Code = Annotated[str, QueryParameter(name="procedureCode", min_length=1, max_length=40)]
Day = Annotated[date | None, QueryParameter(name="date", description="A day of the clinic's; today if not given.")]


class WantedLine(Frozen, forbid_unknown_fields=True):
    """A procedure that is thought of; without a price it has that of the clinic's own schedule."""

    procedure_code: ProcedureCode
    quantity: Quantity = 1
    unit_price: Price | None = None


class WantedEstimate(Frozen, forbid_unknown_fields=True):
    """For whom, and what."""

    patient_id: PatientId
    date: dt.date | None = None
    lines: Annotated[list[WantedLine], Meta(min_length=1, max_length=100)]


@get("/suggested", operation_id="GetSuggestedPrice", opt={"permission": FeeRow.permission, "refusals": [NotFound]})
async def suggest(desk: Desk, patient: Patient, code: Code, on: Day = None) -> SuggestedPrice:
    """Show: what a procedure would cost a patient on a day.

    By the schedule of the payer of their primary cover, or by the clinic's own where that has no such fee.
    """
    no_query(desk.call.query(), ("patientId", "procedureCode", "date"))
    await ensure_theirs(desk, patient)
    clinic = await desk.clinic()
    return await suggested(desk.reader, patient, code, on or day(datetime.now(UTC), clinic.zone), clinic.currency)


@post("/estimate", operation_id="EstimateShares", status_code=200, opt={"permission": FeeRow.permission, "refusals": [NotFound, PriceUnknown]})
async def estimated(desk: Desk, data: JSONBody[WantedEstimate]) -> Estimate:
    """Show: who is likely to bear what a patient is to have done.

    An estimate by fees and percentages that the clinic has noted; no payer is asked, and none is bound by it. Nothing is stored.
    """
    await ensure_theirs(desk, data.patient_id)
    clinic = await desk.clinic()
    wanted = [(line.procedure_code, line.quantity, line.unit_price) for line in data.lines]
    return await estimate(desk.reader, data.patient_id, wanted, data.date or day(datetime.now(UTC), clinic.zone), clinic.currency)


@post("/import/validate", operation_id="ValidateFeeImport", summary="Try: what an import of fees would do", status_code=200, request_max_body_size=LIMIT, opt=OURS)
async def validate(desk: Desk, payer: Payer = None) -> FeeImportReport:
    """A file of text with one fee a line, at most 8 MB; the counts are those of the run, and nothing is stored.

    Comma, semicolon, tab or | between cells; UTF-8, UTF-16 or Windows-1252. Headers: `procedureCode`, `fee` as people write it or `price` in minor units, and `description`, `procedureClass`, `validFrom`
    (today unless said), `validTo`. The sheet of the list of fees is read as it is.
    """
    return await taken(desk, payer, dry=True)


@post("/import/run", operation_id="RunFeeImport", summary="Import: fees from a sheet", status_code=200, request_max_body_size=LIMIT, opt=OURS)
async def run(desk: Desk, payer: Payer = None) -> FeeImportReport:
    """As tried before with `validate`. Sent again it changes nothing. Fees that the file does not name stay; what cannot be read is told, and the rest is taken."""
    return await taken(desk, payer, dry=False)


async def taken(desk: kit.Desk, payer: UUID | None, *, dry: bool) -> FeeImportReport:
    """Read a file, compare it with the schedule, and carry it out unless it is a trial."""
    no_query(desk.call.query(), ("payerId",))
    desk.require(SetFees.permission)
    if payer is not None and not await desk.known("insurance_payers", payer):
        raise NotFound(kind="insurance_payers", id=str(payer))
    _, body = await received(desk.call, "text/", LIMIT)
    clinic = await desk.clinic()
    table = await asyncio.to_thread(read, body, clinic.currency, day(datetime.now(UTC), clinic.zone))
    stream = fee_schedule_of(payer or desk.who.clinic)
    entry = await desk.call.services.handler.streams.latest(FeeSchedule, stream, desk.who.clinic)
    there: Any = entry.state
    fees = [row[1] for row in table.rows if not isinstance(row, FeeFlaw)]
    known = {(fee.procedure_code, fee.valid_from): fee for some in there.fees.values() for fee in some}
    news = [fee for fee in fees if known.get((fee.procedure_code, fee.valid_from)) != fee]
    there.set(payer, news)  # what the rules refuse is refused before anything is stored
    if not dry:
        for first in range(0, len(news), TOGETHER):
            command = SetFees(payer_id=payer, fees=news[first : first + TOGETHER])
            await desk.each(command, derived(stream.bytes, b"import of fees", desk.call.request_id, b"%d" % first))
    count = Counter("unchanged" if (old := known.get((fee.procedure_code, fee.valid_from))) == fee else "changed" if old else "created" for fee in fees)
    problems = [ImportProblem(line=row.line, column=row.column, code=row.code, reason=row.reason) for row in table.rows if isinstance(row, FeeFlaw)]
    return FeeImportReport(
        dry_run=dry, encoding=table.encoding, delimiter=table.delimiter, columns=[ImportColumn(header=name, field=field) for name, field in table.columns.items()],
        rows=len(table.rows), created=count["created"], changed=count["changed"], unchanged=count["unchanged"], rejected=len(problems), problems=problems)


async def ensure_theirs(desk: kit.Desk, patient: UUID) -> None:
    """Refuse a patient of whom whoever asks may not know how they are insured."""
    desk.require(CoverRow.permission)
    if (own_column(CoverRow, desk.who) and patient != desk.who.subject) or not await desk.known("patients", patient):
        raise NotFound(kind="patients", id=str(patient))


router = Router("/api/v1/protected/fee-schedules", tags=["Insurance"], route_handlers=[
    browse("/", FeeRow, by=["payer_id", "standard", "procedure_code", "procedure_class", "valid_from.."], sort="procedure_code", csv=True),
    suggest,
    estimated,
    validate,
    run,
    act("/", SetFees, "PUT"),
    act("/removals", RemoveFees),
])
