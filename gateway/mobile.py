"""Where an app learns what it may show."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter

from commands.mobile import SwitchMobileModule
from domain.mobile import MobileRole
from gateway.kit import Desk, act
from gateway.kit.query import no_query
from projections.mobile import config, config_of
from schemas.mobile import MobileConfig, MobilePermissionRow

Clinic = Annotated[UUID, PathParameter(name="clinicId", description="Id of the clinic.")]
Role = Annotated[MobileRole, PathParameter(description="Whose telephones.")]


@get("/", operation_id="GetMobilePermissions", summary="Show: which parts of the app you have")
async def mine(desk: Desk) -> MobileConfig:
    """By your permissions as they stand, and by what your clinic has on for your role."""
    no_query(desk.call.query())
    return await config(desk.reader, desk.who.role, desk.who.grants)


@get("/clinic/{clinicId:uuid}/{role:str}", operation_id="GetMobilePermissionsOfRole", summary="Show: which parts of the app a role has", opt={
    "permission": MobilePermissionRow.permission})
async def of_role(desk: Desk, clinicId: Clinic, role: Role) -> MobileConfig:  # noqa: N803
    """By what the role holds in the clinic, overrides of single people aside, and by what is on for it."""
    no_query(desk.call.query())
    await desk.within(clinicId)
    clinic = await desk.clinic()
    return await config_of(desk.reader, role, clinic.plan, clinic.off)


router = Router("/api/v1/protected/mobile/permissions", tags=["Mobile"], route_handlers=[
    mine,
    of_role,
    act("/clinic/{clinicId:uuid}/{role:str}/{module:str}", SwitchMobileModule, method="PATCH"),
])
