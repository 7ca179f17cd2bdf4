"""Where patients come in from another program's list, and go out as one.

How it works: a file is read and compared with the clinic's books; a dry run stops there, a run then lays the rows ready and has them taken (`gateway.import_runs`), and waits for it or not.
A new patient's id follows from the clinic and the other program's number, or from the row if it has none: whoever sends a file again, because the answer was lost in the middle, gets nobody twice.

What may go wrong: somebody else changes a patient between the comparison and the command; then the command's own rules decide, and what they refuse is told as a rejected row.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import QueryParameter
from msgspec.structs import replace

from commands.import_runs import Imported, StartImport
from commands.kit.ids import derived
from commands.kit.receipt import Receipt
from commands.kit.staging import Staged
from commands.patients import ChangePatient, RegisterPatient
from domain.imports import (
    LISTS,
    DateOrder,
    DatesAmbiguous,
    Draft,
    Flaw,
    HeadersUnclear,
    Mapping,
    Sheet,
    TooManyRows,
    joined,
    read,
)
from domain.kit import day, only
from domain.kit.delimited import TableUnreadable
from domain.patients import Demographics, MedicalEntry, PatientErased, PatientMerged, PatientNotActive
from gateway.import_runs import ended, seen_to, staged
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.errors import BodyInvalid, BodyTooLarge, BodyUnexpected, QueryInvalid, code, sentence
from gateway.kit.query import no_query
from gateway.kit.sheets import handed, of_structs, sheet
from gateway.kit.uploads import received
from projections.imports import Known, histories, known, pages
from projections.kit.reading import Wanted
from schemas.import_runs import ImportRunRow
from schemas.imports import ImportColumn, ImportProblem, ImportReport, PatientLine
from schemas.patients import MedicalHistoryRow

LIMIT = 16 << 20  # bytes of a file
STEPS = ("created", "changed", "unchanged", "duplicates", "rejected")
FORM = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "contentMediaType": "text/csv"}}}
TAKES: dict[str, Any] = {"multipart/form-data": {"schema": FORM}, "text/csv": {"schema": {"type": "string"}}}
REFUSALS = [TableUnreadable, HeadersUnclear, DatesAmbiguous, TooManyRows, BodyUnexpected, BodyInvalid, BodyTooLarge]
OURS = {"permission": "admin", "takes": TAKES, "refusals": REFUSALS, "csv": True}
PLATFORMS = {**OURS, "permission": "superadmin"}
NEEDED = (RegisterPatient.permission, ChangePatient.permission, MedicalHistoryRow.permission)
EXPORT = "patients.export"

Columns = Annotated[str | None, QueryParameter(name="mapping", description='Which header is what, as JSON, where its name does not say: `{"Klant": "fullName"}`.', max_length=20_000)]
Order = Annotated[DateOrder, QueryParameter(name="dates", description="Whether the day or the month comes first; `auto` to have it seen from the column as a whole.")]
As = Annotated[str, QueryParameter(name="format", description="`csv` for the problems as a sheet.", pattern="^(json|csv)$")]
Clinic = Annotated[UUID | None, QueryParameter(name="clinicId", description="The clinic whose patients they are.")]
Archived = Annotated[bool | None, QueryParameter(name="archived", description="Only those who are archived, or who are not.")]
From = Annotated[date | None, QueryParameter(name="registeredOnFrom", description="From this on.")]
To = Annotated[date | None, QueryParameter(name="registeredOnTo", description="Up to this, included.")]
Bom = Annotated[bool, QueryParameter(name="bom", description="Begin with a byte order mark, by which some spreadsheets know UTF-8.")]
KNOWN = ("mapping", "dates", "format", "clinicId")


class Step(NamedTuple):
    """What is to be done about a row."""

    line: int
    id: UUID
    status: str
    said: Imported | None = None  # what the row says that is new
    returns: bool = False
    problem: ImportProblem | None = None


@post("/validate", operation_id="ValidatePatientImport", summary="Try: what an import of patients would do", status_code=200, request_max_body_size=LIMIT, opt=OURS)
async def validate(desk: Desk, mapping: Columns = None, dates: Order = "auto", form: As = "json") -> Response[ImportReport]:
    """A file of text with one patient a line, at most 16 MB; the counts are those of the run, and nothing is stored.

    Comma, semicolon, tab or | between cells; UTF-8, UTF-16 or Windows-1252. Headers are known in English, Dutch, German, French and Spanish, and by `mapping`; its fields are `externalId`,
    `givenName`, `familyName`, `fullName`, `birthDate`, `sex`, `email`, `phone`, `address`, `postcode`, `city`, `nationalId`, `notes`, `allergies`, `conditions`, `medications`. A year of two digits is the latest
    that is not in the future. The three lists are taken whole, one entry a line of the cell, or parted by |, semicolons, or commas where there is nothing else.
    """
    return await done(desk, mapping, dates, form, dry=True)


@post("/run", operation_id="RunPatientImport", summary="Import: patients from another program's list", status_code=200, request_max_body_size=LIMIT, opt=OURS)
async def run(desk: Desk, mapping: Columns = None, dates: Order = "auto", form: As = "json") -> Response[ImportReport]:
    """As tried before with `validate`. Sent again it changes nothing, and after an interruption it goes on where it ended.

    A patient is known again by `externalId`, or by the row itself. Cells that are empty take nothing away, and entries are added to the medical lists, never taken out.
    Whoever has the same papers as somebody in the books, or the same name and day of birth, telephone or e-mail address, is a duplicate and left as they are.
    """
    return await done(desk, mapping, dates, form, dry=False)


@post("/", operation_id="BeginPatientImport", summary="Import in the background: patients from another program's list", status_code=202, request_max_body_size=LIMIT, opt={**OURS, "csv": False})
async def begin(desk: Desk, mapping: Columns = None, dates: Order = "auto") -> Response[ImportRunRow]:
    """As `run`, answered at once, with the run that it is: there is how far it is, what became of each row, how it is stopped and how it is taken back. The same Idempotency-Key is the same run."""
    no_query(desk.call.query(), ("mapping", "dates"))
    return await begun(desk, mapping, dates)


@post("/validate", operation_id="ValidateImport", summary="Try: what an import into a clinic would do", status_code=200, request_max_body_size=LIMIT, opt=PLATFORMS)
async def validate_for(desk: Desk, mapping: Columns = None, dates: Order = "auto", form: As = "json", clinic: Clinic = None) -> Response[ImportReport]:
    """As a clinic's admin would, for the clinic that `clinicId` names."""
    return await done(await desk.at(clinic), mapping, dates, form, dry=True)


@post("/run", operation_id="RunImport", summary="Import: patients into a clinic", status_code=200, request_max_body_size=LIMIT, opt=PLATFORMS)
async def run_for(desk: Desk, mapping: Columns = None, dates: Order = "auto", form: As = "json", clinic: Clinic = None) -> Response[ImportReport]:
    """As a clinic's admin would, for the clinic that `clinicId` names."""
    return await done(await desk.at(clinic), mapping, dates, form, dry=False)


async def done(desk: kit.Desk, mapping: str | None, dates: DateOrder, form: str, *, dry: bool) -> Response[ImportReport]:
    """Read a file, compare it with the books, and carry it out unless it is a trial."""
    no_query(desk.call.query(), KNOWN)
    table, steps = await compared(desk, mapping, dates)
    report = reported(table, steps)
    if not dry:
        receipt = await staged(desk, [line_of(step) for step in steps])
        report = await ran(desk, receipt, report)
    if form == "json":
        return Response(report)
    return handed("import-problems", of_structs(ImportProblem, report.problems))


async def begun(desk: kit.Desk, mapping: str | None, dates: DateOrder) -> Response[ImportRunRow]:
    """Read a file, compare it with the books, and begin to carry it out."""
    _, steps = await compared(desk, mapping, dates)
    receipt = await staged(desk, [line_of(step) for step in steps])
    services, clinic = desk.call.services, desk.who.clinic
    services.later(seen_to(services, clinic, receipt.id))
    answer = desk.answer(StartImport, receipt, 202)
    answer.headers["location"] = f"/api/v1/protected/import-runs/{receipt.id}"
    return answer


async def compared(desk: kit.Desk, mapping: str | None, dates: DateOrder) -> tuple[Sheet, list[Step]]:
    """Return what a file says, and what is to be done about each of its rows."""
    for permission in NEEDED:
        desk.require(permission)
    _, body = await received(desk.call, "text/", LIMIT)
    clinic, staging = desk.who.clinic, desk.call.services.staging
    today = day(datetime.now(UTC), (await desk.clinic()).zone)
    table = await asyncio.to_thread(read, body, mapped(mapping), dates, today)
    reader = await desk.call.services.reader(clinic, await desk.reader.head())
    books = await known(reader)
    lists = await histories(reader, await asyncio.to_thread(touched, table, books, clinic))
    returning = await staging.returning(clinic, [one.id for one in books.by_id.values() if one.archived])
    return table, await asyncio.to_thread(planned, table, books, clinic, lists, returning)


async def ran(desk: kit.Desk, receipt: Receipt, report: ImportReport) -> ImportReport:
    """Return what a run that has just been begun did, once it is at its end."""
    services, clinic, run = desk.call.services, desk.who.clinic, receipt.id
    desk.call.written = max(desk.call.written, await asyncio.shield(asyncio.ensure_future(ended(services, clinic, run))))
    counts = await services.staging.counts(clinic, run)
    problems = [msgspec.json.decode(text, type=ImportProblem) for text in await services.staging.problems(clinic, run)]
    return replace(report, dry_run=False, run_id=run, problems=problems, **{name: counts.get(name, 0) for name in STEPS})


def line_of(step: Step) -> Staged:
    """Return how a row lies ready until it is taken."""
    if step.said is None:
        return Staged(step.line, step.status, step.id if step.status == "unchanged" else None, problem=step.problem)
    return Staged(step.line, step.status, step.id, msgspec.json.encode(step.said), step.returns)


def mapped(text: str | None) -> Mapping:
    """Return what the client says the columns are."""
    try:
        return msgspec.json.decode(text or "{}", type=Mapping)
    except msgspec.DecodeError as error:
        raise QueryInvalid(field="mapping", problem=str(error)) from None


def id_of(draft: Draft, books: Known, clinic: UUID) -> UUID:
    """Return the id of a row's patient: one of the clinic's own that it names, by ours or the other program's number; else what follows from that number, or from the row."""
    try:
        if (own := UUID(draft.external_id)) in books.by_id:
            return own
    except ValueError:
        pass
    if (there := books.by_external.get(draft.external_id.casefold())) is not None:
        return there
    what = draft.external_id.encode() if draft.external_id else msgspec.json.encode(
        {name: value for name, value in msgspec.to_builtins(draft.person).items() if name != "externalId"})
    return derived(clinic.bytes, b"imported patient", b"number" if draft.external_id else b"row", what)


def touched(table: Sheet, books: Known, clinic: UUID) -> list[UUID]:
    """Return the patients in the books whose medical lists a file knows something of."""
    drafts = (row for row in table.rows if isinstance(row, Draft) and any(row.lists.values()))
    return [id_ for draft in drafts if (id_ := id_of(draft, books, clinic)) in books.by_id]


def planned(table: Sheet, books: Known, clinic: UUID, lists: dict[UUID, dict[str, list[MedicalEntry]]], returning: set[UUID]) -> list[Step]:
    """Return what is to be done about each row, in their order; `returning` are archived for no other reason than that an import was taken back."""
    lines: dict[UUID, int] = {}
    likes: dict[UUID, int] = {}  # lines of those who were new in this file
    steps = []
    for row in table.rows:
        if isinstance(row, Flaw):
            steps.append(rejected(row.line, row.code, row.reason, row.column))
            continue
        id_ = id_of(row, books, clinic)
        if id_ in lines:
            steps.append(duplicate(row.line, f"The same patient as line {lines[id_]}", None))
            continue
        step = step_of(row, id_, books, likes, lists.get(id_, {}), returns=id_ in returning)
        if step.status in {"created", "changed", "unchanged"}:
            lines[id_] = row.line
        if step.status == "created":
            likes[id_] = row.line
            books.learn(id_, row.person)
        steps.append(step)
    return steps


def step_of(row: Draft, id_: UUID, books: Known, likes: dict[UUID, int], lists: dict[str, list[MedicalEntry]], *, returns: bool) -> Step:
    """Return what is to be done about a row that can be read."""
    there = books.by_id.get(id_)
    if there is None:
        if (other := books.like(row.person)) is None:
            return Step(row.line, id_, "created", Imported(person=row.person, **row.lists))
        if other in likes:
            return duplicate(row.line, f"Seems to be the same patient as line {likes[other]}", None)
        return duplicate(row.line, "Seems to be in the books already", other)
    for hindrance, met in ((PatientErased, there.given_name is None), (PatientMerged, there.merged_into is not None), (PatientNotActive, there.archived and not returns)):
        if met:
            return rejected(row.line, code(hindrance), sentence(hindrance), patient=id_)
    said = {name: value for name, value in only(Demographics, row.person).items() if value is not None}
    if row.external_id.casefold() == str(id_):  # our own sheet came back: nobody else's number is in it
        said.pop("external_id", None)
    new = Imported(person=Demographics(**said), **row.lists)
    if there.archived:
        return Step(row.line, id_, "created", new, returns=True)
    now = Demographics(**only(Demographics, there))
    more = any(joined(lists.get(name, []), row.lists[name]) != lists.get(name, []) for name in LISTS)
    return Step(row.line, id_, "changed", new) if replace(now, **said) != now or more else Step(row.line, id_, "unchanged")


def rejected(line: int, why: str, reason: str, column: str = "", patient: UUID | None = None) -> Step:
    return Step(line, UUID(int=0), "rejected", problem=ImportProblem(line=line, column=column, code=why, reason=reason, patient_id=patient))


def duplicate(line: int, reason: str, patient: UUID | None) -> Step:
    return Step(line, UUID(int=0), "duplicates", problem=ImportProblem(line=line, column="", code="DUPLICATE", reason=reason, patient_id=patient))


def reported(table: Sheet, steps: list[Step]) -> ImportReport:
    """Return what would be done."""
    count = Counter(step.status for step in steps)
    columns = [ImportColumn(header=name, field=field) for name, field in table.columns.items()] + [ImportColumn(header=name, field=None) for name in table.ignored]
    return ImportReport(
        dry_run=True, encoding=table.encoding, delimiter=table.delimiter, dates=table.dates, columns=columns, rows=len(steps),
        problems=[step.problem for step in steps if step.problem is not None],
        created=count["created"], changed=count["changed"], unchanged=count["unchanged"], duplicates=count["duplicates"], rejected=count["rejected"])


# --- out


@get("/export.csv", operation_id="ExportPatients", summary="List: patients as a sheet", opt={"permission": EXPORT, "media": "text/csv"})
async def export(desk: Desk, archived: Archived = None, since: From = None, until: To = None, bom: Bom = False) -> Response[bytes]:
    """The whole list, which our own import reads again; medical lists for those who may see them, by their names alone.

    A cell that a spreadsheet would take for a formula has an apostrophe before it, which the import takes away. Each patient's chart counts as looked at.
    """
    no_query(desk.call.query(), ("archived", "registeredOnFrom", "registeredOnTo", "bom"))
    asked = (("archived", "=", archived), ("registered_on", ">=", since), ("registered_on", "<=", until))
    wanted = Wanted((("merged_into", "=", None), *(one for one in asked if one[2] is not None)), "sort_name")
    return handed("patients", written(desk, wanted, bom=bom))


async def written(desk: kit.Desk, wanted: Wanted, *, bom: bool) -> AsyncIterator[bytes]:
    """Yield the sheet, some lines at a time, each of them once it is on record that it was looked at."""
    medical = desk.who.may(MedicalHistoryRow.permission)
    names = [field.encode_name for field in msgspec.structs.fields(PatientLine)][: None if medical else -len(LISTS)]
    if bom:
        yield b"\xef\xbb\xbf"
    first = True
    async for page in pages(desk.reader, wanted, medical=medical):
        await asyncio.gather(*(desk.call.saw("export", line.external_id) for line in page))
        yield sheet(names, (msgspec.to_builtins(line) for line in page), head=first)
        first = False


router = Router("/api/v1/protected", tags=["Patients"], route_handlers=[
    Router("/patients/imports", route_handlers=[begin, validate, run]),
    Router("/patients", route_handlers=[export]),
    Router("/admin/imports", route_handlers=[validate_for, run_for]),
])
