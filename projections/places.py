"""How a place's events become its row."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.places import PlaceChanged, PlaceClosed, PlaceEvent, PlaceOpened, Whereabouts
from projections.kit import installs, projects
from schemas.places import PlaceRow

installs("""
create or replace view current_places with (security_invoker = true) as select * from places where not closed;
grant select on current_places to anamnesis_gateway;
""")


@projects(PlaceRow, of=PlaceEvent)
def places(row: PlaceRow | None, fact: Fact) -> PlaceRow | None:
    match fact.event:
        case PlaceOpened() as event:
            return PlaceRow(id=fact.id, **only(Whereabouts, event))
        case PlaceChanged() as event if row:
            return replace(row, **only(Whereabouts, event))
        case PlaceClosed() if row:
            return replace(row, closed=True)
    return row
