"""The times when somebody broke the glass, as rows."""

from msgspec.structs import replace

from domain.emergencies import EmergencyClosed, EmergencyEvent, EmergencyOpened
from domain.kit import Fact
from projections.kit import projects
from schemas.emergencies import EmergencyRow


@projects(EmergencyRow, of=EmergencyEvent)
def emergencies(row: EmergencyRow | None, fact: Fact) -> EmergencyRow | None:
    match fact.event:
        case EmergencyOpened() as event:
            return EmergencyRow(
                id=fact.id, patient_id=event.patient_id, account_id=event.account_id, reason=event.reason, opened_at=fact.recorded_at, until=event.until,
                times=row.times + 1 if row else 1)
        case EmergencyClosed():
            return row and replace(row, closed_at=fact.recorded_at)
    return row
