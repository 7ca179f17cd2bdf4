"""How a demo request's events become its row."""

from msgspec.structs import replace

from domain.demo_requests import DemoRequested, DemoRequestEvent, DemoRequestHandled, Enquiry
from domain.kit import Fact, only
from projections.kit import projects
from schemas.demo_requests import DemoRequestRow


@projects(DemoRequestRow, of=DemoRequestEvent)
def demo_requests(row: DemoRequestRow | None, fact: Fact) -> DemoRequestRow | None:
    match fact.event:
        case DemoRequested() as event:
            return DemoRequestRow(id=fact.id, status="new", asked_at=fact.recorded_at, **only(Enquiry, event))
        case DemoRequestHandled(status=status, note=note) if row:
            return replace(row, status=status, note=note or row.note, handled_by=fact.actor, handled_at=fact.recorded_at)
    return row
