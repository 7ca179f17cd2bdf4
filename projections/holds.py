"""How a hold's events become its row."""

from msgspec.structs import replace

from domain.holds import HoldEvent, HoldExtended, HoldReleased, HoldRetimed, HoldUsed, TimeHeld
from domain.kit import Fact
from domain.kit.retiming import instants
from projections.kit import projects
from schemas.holds import HoldRow


@projects(HoldRow, of=HoldEvent)
def holds(row: HoldRow | None, fact: Fact) -> HoldRow | None:
    match fact.event:
        case TimeHeld() as e:
            return HoldRow(
                id=fact.id, doctor_id=e.doctor_id, room_id=e.room_id, date=e.on, start_local=e.start_local, zone=e.zone, fold=e.fold, starts_at=e.starts_at,
                ends_at=e.ends_at, buffer_before=e.buffer_before, buffer_after=e.buffer_after, expires_at=e.expires_at, extended=False,
                held_at=fact.recorded_at, held_by=fact.actor)
        case HoldExtended(expires_at=expires) if row:
            return replace(row, expires_at=expires, extended=True)
        case HoldRetimed() as e if row:
            return replace(row, date=e.on, **instants(e))
        case HoldReleased() | HoldUsed():
            return None
    return row
