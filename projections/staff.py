"""How a member of staff's events become their row."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.staff import Profile, StaffChanged, StaffDeactivated, StaffEvent, StaffHired, StaffReactivated
from projections.kit import projects
from schemas.staff import StaffRow


@projects(StaffRow, of=StaffEvent)
def staff(row: StaffRow | None, fact: Fact) -> StaffRow | None:
    match fact.event:
        case StaffHired() as event:
            return StaffRow(id=fact.id, active=True, **only(Profile, event))
        case StaffChanged() as event if row:
            return replace(row, **only(Profile, event))
        case StaffDeactivated() if row:
            return replace(row, active=False)
        case StaffReactivated() if row:
            return replace(row, active=True)
    return row
