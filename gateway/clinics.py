"""Where clinics live on the web."""

from uuid import UUID

from litestar import Router, get
from litestar.params import FromPath

from commands.clinics import (
    ChangeClinic,
    ChangeClinicPlan,
    CreateProTrial,
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
from gateway.kit import Desk, act, browse, create, fetch
from projections.clinics import active_modules, available_modules, clinic_context, clinic_modules
from schemas.clinics import (
    ActiveModules,
    AvailableModules,
    ClinicContext,
    ClinicModules,
    ClinicRow,
    CurrentClinic,
    DeletedClinicRow,
)


async def mine(desk: Desk) -> ClinicRow:
    """Return the clinic in which somebody works."""
    row = await desk.reader.one(ClinicRow, desk.who.clinic)
    if row is None or row.deleted:
        raise NotFound
    return row


@get("/context", operation_id="GetClinicContext", opt={"permission": "self"}, summary="Show: the clinic you are working in")
async def context(desk: Desk) -> ClinicContext:
    """Name, time zone, currency, plan and the optional modules that work there."""
    return clinic_context(await mine(desk))


@get("/active", operation_id="GetActiveModules", opt={"permission": "self"}, summary="Show: the optional modules that work in your clinic")
async def modules_active(desk: Desk) -> ActiveModules:
    """Reached by the plan, and switched off by nobody."""
    return active_modules(await mine(desk))


@get("/available", operation_id="ListAvailableModules", opt={"permission": "superadmin"})
async def available() -> AvailableModules:
    """List: the optional modules that there are."""
    return available_modules()


@get("/clinics/{clinicId:uuid}", operation_id="GetClinicModules", opt={"permission": "superadmin"})
async def modules_of(desk: Desk, clinicId: FromPath[UUID]) -> ClinicModules:  # noqa: N803
    """Show: which optional modules work in a clinic.

    And of those that do not, whether the plan, the platform or the clinic itself stands in the way.
    """
    return clinic_modules(await mine(await desk.within(clinicId)))


router = Router("/api/v1/protected", route_handlers=[
    Router("/clinics", tags=["Clinics"], route_handlers=[
        context,
        browse("/", CurrentClinic, by=["plan", "trial", "active", "until.."], sort="name", sorts=["until"]),
        browse("/deletions/history", DeletedClinicRow, sort="-deleted_at", sorts=["name"]),
        fetch("/{id:uuid}", ClinicRow),
        create("/", OpenClinic),
        act("/{id:uuid}", ChangeClinic, method="PUT"),
        act("/{id:uuid}/subscription", ChangeClinicPlan, method="PUT"),
        act("/{id:uuid}/modules/{module:str}", SwitchModule, method="PUT"),
        act("/{id:uuid}/deactivate", DeactivateClinic),
        act("/{id:uuid}/reactivate", ReactivateClinic),
        act("/{id:uuid}", DeleteClinic, method="DELETE"),
    ]),
    Router("/subscription-plans", tags=["Plans"], route_handlers=[act("/create-pro-trial", CreateProTrial)]),
    Router("/clinic/modules", tags=["Modules"], route_handlers=[modules_active]),
    Router("/superadmin/modules", tags=["Modules"], route_handlers=[
        available,
        modules_of,
        act("/clinics/{id:uuid}/toggle", ToggleClinicModule),
        act("/clinics/{id:uuid}/sync-to-plan", SyncClinicModules),
    ]),
    Router("/licenses", tags=["Licences"], route_handlers=[act("/{id:uuid}/upgrade", LicenseClinic)]),
])
