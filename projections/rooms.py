"""How a room's events become its row."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.rooms import Furnishing, RoomAdded, RoomChanged, RoomDeleted, RoomEvent
from projections.kit import installs, projects
from schemas.rooms import RoomRow

installs("""
create or replace view current_rooms with (security_invoker = true) as select * from rooms where not deleted;
grant select on current_rooms to anamnesis_gateway;
""")


@projects(RoomRow, of=RoomEvent)
def rooms(row: RoomRow | None, fact: Fact) -> RoomRow | None:
    match fact.event:
        case RoomAdded() as event:
            return RoomRow(id=fact.id, deleted=False, **only(Furnishing, event))
        case RoomChanged() as event if row:
            return replace(row, **only(Furnishing, event))
        case RoomDeleted() if row:
            return replace(row, active=False, deleted=True)
    return row
