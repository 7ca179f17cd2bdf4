"""Absences as rows: what became of the visits that stood in them."""

from msgspec.structs import replace

from domain.absences import AbsenceEvent, AbsenceSettled, AbsenceUndone
from domain.kit import Fact
from projections.kit import projects
from schemas.absences import AbsenceRow


@projects(AbsenceRow, of=AbsenceEvent)
def absences(row: AbsenceRow | None, fact: Fact) -> AbsenceRow | None:
    match fact.event:
        case AbsenceSettled() as e:
            return AbsenceRow(
                id=fact.id, block_id=e.block_id, doctor_id=e.doctor_id, room_id=e.room_id, date=e.on, last_date=e.last_on, mode=e.mode, visits=e.visits,
                settled_at=fact.recorded_at, settled_by=fact.actor, latest=e.visits, groups=e.groups)
        case AbsenceUndone(visits=visits) if row:
            return replace(row, latest=visits, undone_at=fact.recorded_at)
    return row
