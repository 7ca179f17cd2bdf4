"""When a clinic is closed, as a row; and how those who read ask whether it is."""

from domain.closed_days import ClosedDays, ClosedDaysEvent, ClosedDaysSet, Closing, closed_days_of
from domain.kit import Fact, only
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.closed_days import ClosedDaysRow


@projects(ClosedDaysRow, of=ClosedDaysEvent)
def closed_days(row: ClosedDaysRow | None, fact: Fact) -> ClosedDaysRow | None:
    match fact.event:
        case ClosedDaysSet() as event:
            return ClosedDaysRow(id=fact.id, **only(Closing, event))
    return row


async def closed_on(reader: Reader) -> ClosedDays:
    """Return when the clinic is closed."""
    row = await reader.one(ClosedDaysRow, closed_days_of(reader.clinic))
    return ClosedDays(closing=Closing(**only(Closing, row))) if row else ClosedDays()
