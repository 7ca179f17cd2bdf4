"""Where recurring series live on the web: booked, looked at, changed and cancelled together."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter

from commands.kit import Command
from commands.kit.ids import new_id
from commands.recurrences import BookAppointmentSeries, CancelAppointmentSeries, ChangeAppointmentSeries, ExtendAppointmentSeries
from domain.kit import NotFound, Refused, code_of
from domain.recurrences import (
    NothingAsked,
    NothingToCome,
    Occurrence,
    OccurrencesRefused,
    OccurrenceUnnamed,
    RuleContradictory,
    SeriesEmpty,
    SeriesEndless,
    SeriesTooFar,
    SeriesTooLong,
)
from gateway.kit import Desk, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.errors import sentence
from gateway.kit.languages import translated
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.recurrences import visits_of
from schemas.recurrences import OccurrenceAnswer, RecurrenceRow, SeriesAnswer, SeriesVisits

DryRun = Annotated[bool, QueryParameter(name="dryRun", description="Say what would come of it, and do nothing.")]
SeriesId = Annotated[UUID, PathParameter(description="Id of the series.")]
RULES: list[type[Refused]] = [SeriesEndless, SeriesTooLong, SeriesTooFar, SeriesEmpty, RuleContradictory, OccurrencesRefused]


@post("/", operation_id="BookAppointmentSeries", status_code=200, opt={
    "permission": BookAppointmentSeries.permission, "refusals": [*refusals_of(BookAppointmentSeries), *RULES]})
async def book(desk: Desk, data: JSONBody[BookAppointmentSeries], dry_run: DryRun = False) -> Response[SeriesAnswer]:
    """Book a patient with a doctor again and again, by a rule.

    Every visit is checked, against hours, rooms, blocked time, everybody's appointments and the series' own. It keeps its wall-clock time when the clocks change. Days that lie
    behind and months without that day are skipped and said so; neither counts as refused. With mode `each` the answer says of every visit whether it was booked or why not.
    """
    return await asked(desk, data, None, dry_run=dry_run)


@post("/{id:uuid}/extend", operation_id="ExtendAppointmentSeries", status_code=200, opt={
    "permission": ExtendAppointmentSeries.permission, "refusals": [*refusals_of(ExtendAppointmentSeries), *RULES]})
async def extend(desk: Desk, id: SeriesId, data: JSONBody[ExtendAppointmentSeries], dry_run: DryRun = False) -> Response[SeriesAnswer]:  # noqa: A002
    """Let a series go on by its rule, for so many visits more or until a day.

    The visits are as those to come are arranged by now, and moved by as many days. No series is longer than 104 visits or two years: book another one then.
    """
    return await asked(desk, data, id, dry_run=dry_run)


@put("/{id:uuid}", operation_id="ChangeAppointmentSeries", opt={
    "permission": ChangeAppointmentSeries.permission,
    "refusals": [*refusals_of(ChangeAppointmentSeries), OccurrencesRefused, OccurrenceUnnamed, NothingAsked, NothingToCome]})
async def change(desk: Desk, id: SeriesId, data: JSONBody[ChangeAppointmentSeries], dry_run: DryRun = False) -> Response[SeriesAnswer]:  # noqa: A002
    """Change one visit of a series, it and those that follow, or all; of those that are still to come.

    Each appointment stays the one it is, with its history. What is left out stays as it is. Visits that were moved to another day or time by themselves are left, and
    said so, unless they are to be taken along.
    """
    return await asked(desk, data, id, dry_run=dry_run)


@post("/{id:uuid}/cancel", operation_id="CancelAppointmentSeries", status_code=200, opt={
    "permission": CancelAppointmentSeries.permission, "refusals": [*refusals_of(CancelAppointmentSeries), OccurrenceUnnamed, NothingToCome]})
async def cancel(desk: Desk, id: SeriesId, data: JSONBody[CancelAppointmentSeries], dry_run: DryRun = False) -> Response[SeriesAnswer]:  # noqa: A002
    """Cancel one visit of a series, it and those that follow, or all; of those that are still to come."""
    return await asked(desk, data, id, dry_run=dry_run)


@get("/{id:uuid}/visits", operation_id="ListSeriesVisits", summary="List: a series' visits as they stand", opt={
    "permission": RecurrenceRow.permission, "refusals": [NotFound]})
async def visits(desk: Desk, id: SeriesId) -> SeriesVisits:  # noqa: A002
    """Each with the state of its appointment, and whether it was moved by itself."""
    no_query(desk.call.query())
    own = own_column(RecurrenceRow, desk.who)
    found = await desk.reader.find(RecurrenceRow, id=id, **({own: desk.who.subject} if own else {}))
    if not found:
        raise NotFound(kind="recurrences", id=str(id))
    return SeriesVisits(items=await visits_of(desk.reader, found[0]))


async def asked(desk: kit.Desk, command: Command, series: UUID | None, *, dry_run: bool) -> Response[SeriesAnswer]:
    """Have something done to a series, or say what would come of it."""
    no_query(desk.call.query(), ("dryRun",))
    if dry_run:
        event: Any = next(iter(await desk.rehearse(command, series or new_id())), None)
        told = getattr(event, "occurrences", [])
        if series is None:  # which appointments there would be nobody knows yet
            told = [Occurrence(number=one.number, on=one.on, time=one.time, outcome=one.outcome, code=one.code) for one in told]
        return Response(answer(desk, series, told, getattr(event, "missing", []), dry_run=True))
    receipt = await desk.insist(command, series)
    row: Any = receipt.row
    headers = {"etag": f'"{receipt.version}"', "x-position": str(receipt.position)}
    if receipt.replayed:
        headers["idempotency-replayed"] = "true"
    return Response(answer(desk, receipt.id, row.latest, row.missing, dry_run=False), headers=headers)


def answer(desk: kit.Desk, series: UUID | None, told: list[Occurrence], missing: list[str], *, dry_run: bool) -> SeriesAnswer:
    count = [one.outcome for one in told]
    return SeriesAnswer(
        id=series, dry_run=dry_run, done=sum(one in {"booked", "changed", "cancelled"} for one in count), refused=count.count("refused"),
        left=count.count("left") + count.count("skipped"), missing=missing,
        items=[OccurrenceAnswer(
            number=one.number, on=one.on, time=one.time, outcome=one.outcome, appointment_id=one.appointment_id, code=one.code,
            reason=reason(one.code, desk.call.language) if one.code else None) for one in told])


def reason(code: str, language: str) -> str:
    """Return in words why a visit was not had."""
    said = next((sentence(one) for one in refusals(Refused) if code_of(one) == code), code)
    return translated(said, language)


def refusals(cls: type[Refused]) -> list[type[Refused]]:
    return [one for below in cls.__subclasses__() for one in (below, *refusals(below))]


router = Router("/api/v1/protected/appointment-series", tags=["Scheduling"], route_handlers=[
    browse("/", RecurrenceRow, by=["patient_id", "doctor_id", "starts_on.."], sort="-starts_on"),
    fetch("/{id:uuid}", RecurrenceRow),
    visits,
    book,
    extend,
    change,
    cancel,
])
