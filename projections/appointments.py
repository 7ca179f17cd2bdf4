"""How an appointment's events become its row."""

from typing import Any

from msgspec.structs import replace

from domain.appointments import (
    UNSEEN,
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentDetailsChanged,
    AppointmentEvent,
    AppointmentLinkRevoked,
    AppointmentLinkShared,
    AppointmentReassigned,
    AppointmentRemoved,
    AppointmentRescheduled,
    AppointmentRetimed,
    AppointmentSummaryAsked,
    ArrivalUndone,
    MissUndone,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    SeatingUndone,
)
from domain.kit import Fact
from domain.kit.retiming import instants
from projections.kit import projects
from schemas.appointments import AppointmentRow


@projects(AppointmentRow, of=AppointmentEvent)
def appointments(row: AppointmentRow | None, fact: Fact) -> AppointmentRow | None:
    after = turned(row, fact)
    if row is None or after is None or isinstance(fact.event, UNSEEN):
        return after
    return replace(after, sequence=row.sequence + 1)


def turned(row: AppointmentRow | None, fact: Fact) -> AppointmentRow | None:  # noqa: C901, PLR0911, PLR0912 - one case per event
    match fact.event:
        case AppointmentBooked() as event:
            return AppointmentRow(id=fact.id, status="booked", booked_at=fact.recorded_at, series_id=event.series_id, occurrence=event.occurrence, deposit=event.deposit, **arranged(event))
        case AppointmentRescheduled() as event if row:
            return replace(row, moved_at=row.moved_at if event.starts_at == row.starts_at else fact.recorded_at, **arranged(event))
        case AppointmentRetimed() as e if row:
            return replace(row, date=e.on, overbooked=e.forced, **instants(e))
        case AppointmentDetailsChanged() as e if row:
            because = e.reason or row.overbooked_because
            return replace(row, room_id=e.room_id, type=e.type, type_id=e.type_id, overbooked=e.forced, notes=e.notes, overbooked_because=because)
        case AppointmentConfirmed(by=by) if row:
            return replace(row, status="confirmed", confirmed_by=by)
        case PatientArrived(turn=turn) if row:
            return replace(row, status="arrived", arrived_at=fact.recorded_at, queue_number=turn.number if turn else None)
        case MissUndone(status=status) if row:
            return replace(row, status=status)
        case ArrivalUndone(status=status) if row:
            return replace(row, status=status, arrived_at=None, queue_number=None)
        case SeatingUndone() if row:
            return replace(row, status="arrived", seated_at=None)
        case PatientSeated() if row:
            return replace(row, status="in-chair", seated_at=fact.recorded_at)
        case AppointmentCompleted() if row:
            return replace(row, status="completed", completed_at=fact.recorded_at)
        case AppointmentCancelled() as e if row:
            return replace(row, status="cancelled", cancelled_by=e.by, cancelled_late=e.late, cancelled_because=e.reason)
        case PatientMissed() if row:
            return replace(row, status="no-show")
        case AppointmentReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient, linked_until=None)
        case AppointmentLinkShared(until=until) if row:
            return replace(row, linked_until=until)
        case AppointmentLinkRevoked() if row:
            return replace(row, linked_until=None)
        case AppointmentSummaryAsked() if row:
            return replace(row, summary_asked_at=fact.recorded_at)
        case AppointmentRemoved():
            return None
    return row


def arranged(e: AppointmentBooked | AppointmentRescheduled) -> dict[str, Any]:
    return {
        "patient_id": e.patient_id, "doctor_id": e.doctor_id, "room_id": e.room_id, "type": e.type, "date": e.on, "start_local": e.start_local,
        "zone": e.zone, "fold": e.fold, "starts_at": e.starts_at, "ends_at": e.ends_at, "buffer_before": e.buffer_before,
        "buffer_after": e.buffer_after, "overbooked": e.forced, "overbooked_because": e.reason, "notes": e.notes,
        "type_id": e.type_id, "place_id": e.place_id, "group_id": e.group_id,
    }
