"""How appointments become the calendar, and how a day, a week or a patient's visits are read from it."""

from typing import Any

from msgspec.structs import replace

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentDetailsChanged,
    AppointmentEvent,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    Status,
)
from domain.kit import Event, Fact
from projections.kit import projects
from schemas.calendar import CalendarRow

LEADS_TO: dict[type[Event], Status] = {
    AppointmentConfirmed: "confirmed", PatientArrived: "arrived", PatientSeated: "in-chair", AppointmentCompleted: "completed",
    AppointmentCancelled: "cancelled", PatientMissed: "no-show",
}


@projects(CalendarRow, of=AppointmentEvent)
def calendar(row: CalendarRow | None, fact: Fact) -> CalendarRow | None:
    match fact.event:
        case AppointmentBooked() as event:
            return CalendarRow(id=fact.id, status="booked", **arranged(event))
        case AppointmentRescheduled() as event if row:
            return replace(row, **arranged(event))
        case AppointmentDetailsChanged() as e if row:
            return replace(row, room_id=e.room_id, type=e.type, overbooked=e.forced)
        case AppointmentRemoved():
            return None
        case event if row and type(event) in LEADS_TO:
            return replace(row, status=LEADS_TO[type(event)])
    return row


def arranged(e: AppointmentBooked | AppointmentRescheduled) -> dict[str, Any]:
    return {
        "patient_id": e.patient_id, "doctor_id": e.doctor_id, "room_id": e.room_id, "day": e.on, "start_local": e.start_local,
        "starts_at": e.starts_at, "ends_at": e.ends_at, "buffer_before": e.buffer_before, "buffer_after": e.buffer_after, "type": e.type,
        "overbooked": e.forced,
    }
