"""How a clinic's events become its row."""

from typing import Literal

from msgspec.structs import replace

from domain.clinics import (
    Asset,
    ClinicBrandingRemoved,
    ClinicBrandingSet,
    ClinicChanged,
    ClinicClocksSet,
    ClinicClosing,
    ClinicDeactivated,
    ClinicDeleted,
    ClinicEvent,
    ClinicExported,
    ClinicKept,
    ClinicLicensed,
    ClinicModulesReset,
    ClinicModuleSwitched,
    ClinicOpened,
    ClinicPlanChanged,
    ClinicReactivated,
    ClinicZoneChanged,
    Details,
)
from domain.kit import Fact, only
from domain.kit.grants import MODULES, reaches
from domain.kit.licences import Licence
from projections.kit import installs, projects
from schemas.clinics import (
    ActiveModules,
    AvailableModules,
    BrandingAsset,
    BrandingInfo,
    ClinicContext,
    ClinicModules,
    ClinicRow,
    DeletedClinicRow,
    ModuleStanding,
    OptionalModuleInfo,
)

installs("""
create or replace view current_clinics with (security_invoker = true) as select * from clinics where not deleted;
grant select on current_clinics to anamnesis_gateway;
""")


@projects(ClinicRow, of=ClinicEvent)
def clinics(row: ClinicRow | None, fact: Fact) -> ClinicRow | None:  # noqa: C901, PLR0911, PLR0912 - one case per event
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
        case ClinicBrandingSet(type=which) as event if row:
            return replace(row, **{which: BrandingAsset(**only(Asset, event))})
        case ClinicBrandingRemoved(type=which) if row:
            return replace(row, **{which: None})
        case ClinicZoneChanged(zone=zone) if row:
            return replace(row, zone=zone, zone_changed_at=fact.recorded_at, clocks_set=False)
        case ClinicClocksSet() if row:
            return replace(row, clocks_set=True)
        case ClinicDeactivated() if row:
            return replace(row, active=False)
        case ClinicReactivated() if row:
            return replace(row, active=True)
        case ClinicClosing(until=until) if row:
            return replace(row, closing_until=until, taken=False)
        case ClinicExported() if row and row.closing_until:
            return replace(row, taken=True)
        case ClinicKept() if row:
            return replace(row, closing_until=None, taken=False)
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


@projects(DeletedClinicRow, of=ClinicDeleted)
def deleted_clinics(row: DeletedClinicRow | None, fact: Fact) -> DeletedClinicRow | None:
    match fact.event:
        case ClinicDeleted(name=name, reason=reason):
            return DeletedClinicRow(id=fact.id, name=name, reason=reason, deleted_at=fact.recorded_at, deleted_by=fact.actor)
    return row


def active_modules(row: ClinicRow) -> ActiveModules:
    """Return the optional modules that work in a clinic."""
    return ActiveModules(modules=[standing.module for standing in clinic_modules(row).modules if standing.active])


def clinic_modules(row: ClinicRow) -> ClinicModules:
    """Return every optional module and whether it works in a clinic."""
    return ClinicModules(clinic=row.id, plan=row.plan, modules=[
        ModuleStanding(module=name, about=module.about, plan=module.plan, active=not (why := obstacle(row, name, module.plan)), because=why)
        for name, module in MODULES.items()
    ])


def obstacle(row: ClinicRow, module: str, plan: str) -> Literal["plan", "platform", "clinic"] | None:
    """Return what keeps a module from working in a clinic."""
    if not reaches(row.plan, plan):
        return "plan"
    if module in row.withheld:
        return "platform"
    return "clinic" if module in row.unwanted else None


def available_modules() -> AvailableModules:
    """Return the optional modules that there are."""
    return AvailableModules(items=[OptionalModuleInfo(module=name, about=m.about, plan=m.plan, keys=m.prefix) for name, m in MODULES.items()])


def clinic_context(row: ClinicRow) -> ClinicContext:
    """Return a clinic as those who work there see it."""
    told = {name: getattr(row, name) for name in ClinicContext.__struct_fields__ if name != "modules"}
    return ClinicContext(**told, modules=active_modules(row).modules)


def branding_info(row: ClinicRow) -> BrandingInfo:
    """Return what a clinic looks like; a picture's address changes with the picture, so that it may be kept for ever."""

    def address(which: str, asset: BrandingAsset | None) -> str | None:
        return f"/api/v1/branding/{row.id}/{which}?v={asset.digest[:16]}" if asset else None

    return BrandingInfo(
        clinic=row.id, name=row.name, theme=row.theme, logo_url=address("logo", row.logo), favicon_url=address("favicon", row.favicon))
