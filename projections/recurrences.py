"""Recurring series as rows, and their visits as they stand."""

from typing import Any

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.recurrences import (
    AppointmentSeriesBooked,
    AppointmentSeriesCancelled,
    AppointmentSeriesChanged,
    AppointmentSeriesExtended,
    AppointmentSeriesReassigned,
    Manner,
    Occurrence,
    RecurrenceEvent,
)
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.appointments import AppointmentRow
from schemas.recurrences import RecurrenceRow, SeriesVisit


@projects(RecurrenceRow, of=RecurrenceEvent)
def recurrences(row: RecurrenceRow | None, fact: Fact) -> RecurrenceRow | None:
    match fact.event:
        case AppointmentSeriesBooked() as e:
            return RecurrenceRow(
                id=fact.id, patient_id=e.patient_id, **only(Manner, e), rule=e.rule, starts_on=e.starts_on, missing=e.missing, occurrences=e.occurrences,
                latest=e.occurrences, booked_at=fact.recorded_at, booked_by=fact.actor)
        case AppointmentSeriesExtended() as e if row:
            return replace(row, rule=e.rule, missing=[*row.missing, *e.missing], occurrences=[*row.occurrences, *e.occurrences], latest=e.occurrences)
        case AppointmentSeriesChanged() as e if row:
            moved = {one.number: one for one in e.occurrences if one.outcome == "changed"}
            return replace(row, **only(Manner, e), occurrences=[moved.get(one.number, one) for one in row.occurrences], latest=e.occurrences)
        case AppointmentSeriesCancelled(occurrences=occurrences) if row:
            return replace(row, latest=occurrences)
        case AppointmentSeriesReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row


async def visits_of(reader: Reader, series: RecurrenceRow) -> list[SeriesVisit]:
    """Return a series' visits as they stand."""
    ids = [one.appointment_id for one in series.occurrences if one.appointment_id]
    rows = {row.id: row for row in await reader.find(AppointmentRow, id=ids)} if ids else {}
    return [_visit(one, rows.get(one.appointment_id) if one.appointment_id else None) for one in series.occurrences]


def _visit(one: Occurrence, row: AppointmentRow | None) -> SeriesVisit:
    told: dict[str, Any] = {"number": one.number, "on": one.on, "time": one.time, "appointment_id": one.appointment_id, "code": one.code}
    if row is None:
        return SeriesVisit(**told, status=None, start_local=None, doctor_id=None, moved=False)
    moved = row.start_local[:16] != f"{one.on}T{one.time}"
    return SeriesVisit(**told, status=row.status, start_local=row.start_local, doctor_id=row.doctor_id, moved=moved)
