"""How a clinic's events become its row."""

from msgspec.structs import replace

from domain.clinics import (
    ClinicChanged,
    ClinicDeactivated,
    ClinicDeleted,
    ClinicEvent,
    ClinicLicensed,
    ClinicModulesReset,
    ClinicModuleSwitched,
    ClinicOpened,
    ClinicPlanChanged,
    ClinicReactivated,
    Details,
)
from domain.kit import Fact, only
from domain.kit.grants import MODULES, reaches
from domain.kit.licences import Licence
from projections.kit import projects
from schemas.clinics import ActiveModules, ClinicContext, ClinicRow


@projects(ClinicRow, of=ClinicEvent)
def clinics(row: ClinicRow | None, fact: Fact) -> ClinicRow | None:  # noqa: PLR0911 - one case per event
    match fact.event:
        case ClinicOpened() as event:
            return ClinicRow(id=fact.id, zone=event.zone, currency=event.currency, plan=event.plan, **only(Details, event))
        case ClinicChanged() as event if row:
            return replace(row, **only(Details, event))
        case ClinicPlanChanged(plan=plan) if row:
            return replace(row, plan=plan)
        case ClinicLicensed() as event if row:
            return replace(row, **only(Licence, event))
        case ClinicModuleSwitched() as event if row:
            return switched(row, event)
        case ClinicModulesReset() if row:
            return replace(row, withheld=[], unwanted=[])
        case ClinicDeactivated() if row:
            return replace(row, active=False)
        case ClinicReactivated() if row:
            return replace(row, active=True)
        case ClinicDeleted() if row:
            return replace(row, active=False, deleted=True)
    return row


def switched(row: ClinicRow, event: ClinicModuleSwitched) -> ClinicRow:
    withheld, unwanted = set(row.withheld), set(row.unwanted)
    if event.on:
        withheld.discard(event.module)
        unwanted.discard(event.module)
    else:
        (withheld if event.by == "platform" else unwanted).add(event.module)
    return replace(row, withheld=sorted(withheld), unwanted=sorted(unwanted))


def active_modules(row: ClinicRow) -> ActiveModules:
    """Return the optional modules that work in a clinic."""
    off = {*row.withheld, *row.unwanted}
    return ActiveModules(modules=[name for name, module in MODULES.items() if name not in off and reaches(row.plan, module.plan)])


def clinic_context(row: ClinicRow) -> ClinicContext:
    """Return a clinic as those who work there see it."""
    told = {name: getattr(row, name) for name in ClinicContext.__struct_fields__ if name != "modules"}
    return ClinicContext(**told, modules=active_modules(row).modules)
