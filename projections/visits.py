"""What became of each appointment, from facts alone: the ground on which doctors' performance, growth and retention are counted."""

from datetime import date, timedelta
from typing import Any

from msgspec.structs import replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentReassigned,
    AppointmentRemoved,
    AppointmentRescheduled,
    AppointmentRetimed,
    ArrivalUndone,
    MissUndone,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    SeatingUndone,
)
from domain.kit import Fact, day
from projections.kit import projects
from schemas.visits import VisitRow

VisitEvent = (
    AppointmentBooked | AppointmentRescheduled | AppointmentRetimed | PatientArrived | PatientSeated | AppointmentCompleted | AppointmentCancelled | PatientMissed
    | AppointmentRemoved | AppointmentReassigned | ArrivalUndone | SeatingUndone | MissUndone
)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LATE = 5 * 60  # seconds after the agreed start, from which on a start is late
OVER = {"cancelled", "no-show"}  # what was missed stays missed, even out of sight


# Like the days' figures this sees every visit of a rebuild, so it asks for the class, the frequent ones first, and matches nothing.


@projects(VisitRow, of=VisitEvent)
def visits(row: VisitRow | None, fact: Fact) -> VisitRow | None:  # noqa: C901, PLR0911, PLR0912 - one for each kind of event
    event: Any = fact.event
    kind = type(event)
    if kind is AppointmentBooked:
        booked_on = day(fact.recorded_at, event.zone)
        return VisitRow(
            id=fact.id, patient_id=event.patient_id, doctor_id=event.doctor_id, day=event.on, starts_at=event.starts_at,
            minutes=(event.ends_at - event.starts_at) // MINUTE, status="booked", hour=int(event.start_local[11:13]), booked_on=booked_on, lead_days=ahead(event.on, booked_on))
    if row is None:
        return None
    if kind is PatientArrived:
        return replace(row, status="arrived", arrived_at=fact.recorded_at)
    if kind is PatientSeated:
        return seated(row, fact)
    if kind is AppointmentCompleted:
        return replace(row, status="completed", chair_seconds=(fact.recorded_at - row.seated_at) // SECOND if row.seated_at else None)
    if kind is AppointmentRescheduled:
        minutes = (event.ends_at - event.starts_at) // MINUTE
        return replace(
            row, doctor_id=event.doctor_id, day=event.on, starts_at=event.starts_at, minutes=minutes, moves=row.moves + 1, hour=int(event.start_local[11:13]),
            lead_days=ahead(event.on, row.booked_on or event.on))
    if kind is AppointmentRetimed:
        return replace(row, day=event.on, starts_at=event.starts_at)
    if kind is AppointmentCancelled:
        return replace(row, status="cancelled", late_cancelled=event.late)
    if kind is PatientMissed:
        return replace(row, status="no-show")
    if kind is MissUndone:
        return replace(row, status=event.status)
    if kind is ArrivalUndone:
        return replace(row, status=event.status, arrived_at=None)
    if kind is SeatingUndone:
        return replace(row, status="arrived", seated_at=None, wait_seconds=None, delay_seconds=None, late=False)
    if kind is AppointmentReassigned:
        return replace(row, patient_id=event.patient_id)
    return row if row.status in OVER else None


def ahead(on: date, booked_on: date) -> int:
    """Return how many days ahead a visit was booked; one that is noted afterwards was not booked ahead."""
    return max(0, (on - booked_on).days)


def seated(row: VisitRow, fact: Fact) -> VisitRow:
    at = fact.recorded_at
    delay = (at - row.starts_at) // SECOND
    wait = (at - row.arrived_at) // SECOND if row.arrived_at else None
    return replace(row, status="in-chair", seated_at=at, wait_seconds=wait, delay_seconds=delay, late=delay > LATE)
