"""Where clinics live on the web."""

from litestar import Router, get

from commands.clinics import (
    ChangeClinic,
    ChangeClinicPlan,
    DeactivateClinic,
    DeleteClinic,
    LicenseClinic,
    OpenClinic,
    ReactivateClinic,
    SwitchModule,
    SyncClinicModules,
    ToggleClinicModule,
)
from domain.kit import NotFound
from gateway.kit import Desk, act, create, fetch
from projections.clinics import active_modules, clinic_context
from schemas.clinics import ActiveModules, ClinicContext, ClinicRow


async def mine(desk: Desk) -> ClinicRow:
    """Return the clinic in which somebody works."""
    if (row := await desk.reader.one(ClinicRow, desk.who.clinic)) is None:
        raise NotFound
    return row


@get("/context", operation_id="GetClinicContext", summary="Show: the clinic you are working in")
async def context(desk: Desk) -> ClinicContext:
    """Name, time zone, currency, plan and the optional modules that work there."""
    return clinic_context(await mine(desk))


@get("/active", operation_id="GetActiveModules", summary="Show: the optional modules that work in your clinic")
async def modules_active(desk: Desk) -> ActiveModules:
    """Reached by the plan, and switched off by nobody."""
    return active_modules(await mine(desk))


router = Router("/api/v1/protected", route_handlers=[
    Router("/clinics", tags=["Clinics"], route_handlers=[
        context,
        fetch("/{id:uuid}", ClinicRow),
        create("/", OpenClinic),
        act("/{id:uuid}", ChangeClinic, method="PUT"),
        act("/{id:uuid}/subscription", ChangeClinicPlan, method="PUT"),
        act("/{id:uuid}/modules/{module:str}", SwitchModule, method="PUT"),
        act("/{id:uuid}/deactivate", DeactivateClinic),
        act("/{id:uuid}/reactivate", ReactivateClinic),
        act("/{id:uuid}", DeleteClinic, method="DELETE"),
    ]),
    Router("/clinic/modules", tags=["Modules"], route_handlers=[modules_active]),
    Router("/superadmin/modules/clinics", tags=["Modules"], route_handlers=[
        act("/{id:uuid}/toggle", ToggleClinicModule),
        act("/{id:uuid}/sync-to-plan", SyncClinicModules),
    ]),
    Router("/licenses", tags=["Licences"], route_handlers=[act("/{id:uuid}/upgrade", LicenseClinic)]),
])
