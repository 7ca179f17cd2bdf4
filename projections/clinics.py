"""How a clinic's events become its row."""

from msgspec.structs import replace

from domain.clinics import ClinicChanged, ClinicEvent, ClinicOpened, ClinicPlanChanged, Details
from domain.kit import Fact, only
from projections.kit import projects
from schemas.clinics import ClinicRow


@projects(ClinicRow, of=ClinicEvent)
def clinics(row: ClinicRow | None, fact: Fact) -> ClinicRow | None:
    match fact.event:
        case ClinicOpened() as event:
            return ClinicRow(id=fact.id, zone=event.zone, currency=event.currency, plan=event.plan, **only(Details, event))
        case ClinicChanged() as event if row:
            return replace(row, **only(Details, event))
        case ClinicPlanChanged(plan=plan) if row:
            return replace(row, plan=plan)
    return row
