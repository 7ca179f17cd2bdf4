"""Where the list of appointments goes out of the house: as a sheet, however long, and a day of it on paper.

How it works: the sheet is written while it is sent, some lines at a time, so that a list of years costs no memory; each patient on it counts as looked at before their line goes out.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from babel.dates import format_date
from litestar import Response, Router, get
from litestar.params import FromQuery, QueryParameter

from domain.appointments import Status
from domain.kit import NotFound
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.pdf import Column, Labels, Paper, printed
from gateway.kit.query import Query, no_query
from gateway.kit.routes import own_column
from gateway.kit.sheets import handed, sheet
from projections.appointment_sheets import pages
from projections.kit.reading import Wanted
from schemas.appointment_sheets import AppointmentLine
from schemas.calendar import CalendarEntry

EXPORT = "appointments.export"
PDF = "application/pdf"
FILTERS = Query(CalendarEntry, ["date", "date..", "doctor_id", "patient_id", "room_id", "status"], "starts_at", [])
SPANISH = {
    "Appointments": "Citas", "Clinic": "Clínica", "Day": "Día", "Doctor": "Profesional", "Time": "Hora", "Patient": "Paciente", "Visit": "Visita", "Room": "Sala", "Status": "Estado",
    "page {0} of {1}": "página {0} de {1}", "all": "todos", "booked": "reservada", "confirmed": "confirmada", "arrived": "ha llegado", "in-chair": "en consulta",
    "completed": "realizada", "cancelled": "cancelada", "no-show": "no se presentó",
}

Day = Annotated[dt.date | None, QueryParameter(name="date", description="Only this day.")]
From = Annotated[dt.date | None, QueryParameter(name="dateFrom", description="From this day on.")]
To = Annotated[dt.date | None, QueryParameter(name="dateTo", description="Up to this day, included.")]
Doctors = Annotated[list[UUID] | None, QueryParameter(name="doctorId", description="Only with these doctors.")]
Patients = Annotated[list[UUID] | None, QueryParameter(name="patientId", description="Only of these patients.")]
Rooms = Annotated[list[UUID] | None, QueryParameter(name="roomId", description="Only in these rooms.")]
Statuses = Annotated[list[Status] | None, QueryParameter(name="status", description="Only those that stand so.")]
Bom = Annotated[bool, QueryParameter(name="bom", description="Begin with a byte order mark, by which some spreadsheets know UTF-8.")]
Doctor = Annotated[UUID | None, QueryParameter(name="doctorId", description="Only with this doctor.")]
PaperLanguage = Annotated[Literal["en", "es"] | None, QueryParameter(name="language", description="In which it is printed; the clinic's unless said.")]


@get("/export.csv", operation_id="ExportAppointments", summary="List: appointments as a sheet", opt={"permission": EXPORT, "media": "text/csv", "refusals": [NotFound]})
async def export(
    desk: Desk, day: Day = None, since: From = None, until: To = None, doctors: Doctors = None, patients: Patients = None, rooms: Rooms = None, statuses: Statuses = None, bom: Bom = False,  # noqa: ARG001 - read from the query as the list does
) -> Response[bytes]:
    """The whole list in the order of time, by the filters that the list itself has; each patient on it counts as looked at.

    A cell that a spreadsheet would take for a formula has an apostrophe before it. Whoever only sees their own appointments gets these.
    """
    wanted = await asked(desk, [pair for pair in desk.call.query() if pair[0] != "bom"])
    zone = (await desk.clinic()).zone
    return handed("appointments", written(desk, wanted, zone, bom=bom))


async def asked(desk: kit.Desk, query: list[tuple[str, str]]) -> Wanted:
    """Return which appointments are wanted, of those that the caller may see."""
    desk.require(EXPORT)
    wanted, references = FILTERS.parse(query)
    for kind, id_ in references:
        if not await desk.known(kind, id_):
            raise NotFound(kind=kind, id=id_)
    if (own := own_column(CalendarEntry, desk.who)) is not None:
        wanted = wanted._replace(conditions=(*wanted.conditions, (own, "=", desk.who.subject)))
    return wanted


async def written(desk: kit.Desk, wanted: Wanted, zone: str, *, bom: bool) -> AsyncIterator[bytes]:
    """Yield the sheet, some lines at a time, each once it is on record that its patient was looked at."""
    names = [field.encode_name for field in msgspec.structs.fields(AppointmentLine)]
    if bom:
        yield b"\xef\xbb\xbf"
    first = True
    async for page in pages(desk.reader, wanted, zone):
        await seen(desk, page)
        yield sheet(names, (msgspec.to_builtins(line) for line in page), head=first)
        first = False


async def seen(desk: kit.Desk, lines: list[AppointmentLine]) -> None:
    await asyncio.gather(*(desk.call.saw("export", patient) for patient in {line.patient_id for line in lines}))


@get("/export.pdf", operation_id="PrintAppointments", summary="Print: the appointments of a day", opt={"permission": EXPORT, "media": PDF, "refusals": [NotFound]})
async def paper(desk: Desk, date: FromQuery[dt.date], doctor: Doctor = None, language: PaperLanguage = None) -> Response[bytes]:
    """A day's list in the order of time, with those that were cancelled or missed, to be pinned up or taken along; of one doctor, if wanted."""
    no_query(desk.call.query(), ("date", "doctorId", "language"))
    wanted = await asked(desk, [("date", date.isoformat()), *([("doctorId", str(doctor))] if doctor else [])])
    clinic = await desk.clinic()
    lines = [line async for page in pages(desk.reader, wanted, clinic.zone) for line in page]
    await seen(desk, lines)
    tongue = language or clinic.language or "en"
    printable = paper_of(lines, date, clinic.name, next((line.doctor_name or "" for line in lines), "") if doctor else "", tongue)
    name = f'attachment; filename="appointments-{date.isoformat()}.pdf"'
    return Response(await printed(printable), media_type=PDF, headers={"content-disposition": name, "cache-control": "private, no-store"})


def paper_of(lines: list[AppointmentLine], day: dt.date, clinic: str, doctor: str, language: str) -> Paper:
    """Return a day's list as it is printed."""
    def word(text: str) -> str:
        return SPANISH.get(text, text) if language == "es" else text

    labels: dict[str, Any] = {"sender": word("Clinic"), "receiver": word("Day"), "page": word("page {0} of {1}"), "language": language}
    shares = {"Time": 14, "Patient": 26, "Visit": 22, "Doctor": 20, "Room": 14, "Status": 16}
    rows = [
        [f"{line.start}-{line.end}", line.patient_name or "", line.type, line.doctor_name or "", line.room_name or line.place_name or "", word(line.status)] for line in lines]
    return Paper(
        title=word("Appointments"), sender=clinic, receiver=format_date(day, "full", locale=language), facts=[(word("Doctor"), doctor or word("all"))],
        columns=[Column(word(heading), share) for heading, share in shares.items()], rows=rows, sums=[(word("Appointments"), str(len(lines)))], notes="", dated=day, labels=Labels(**labels))


router = Router("/api/v1/protected/appointments", tags=["Scheduling"], route_handlers=[export, paper])
