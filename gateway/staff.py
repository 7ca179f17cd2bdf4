"""Where staff live on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter

from commands.staff import ChangeStaff, DeactivateStaff, HireStaff, OverrideStaffPermissions, ReactivateStaff
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from projections.staff import permissions
from schemas.staff import StaffPermissions, StaffRow

StaffMember = Annotated[UUID, PathParameter(description="Id of one of the clinic's staff.")]


@get("/{id:uuid}/permissions", operation_id="GetStaffPermissions", summary="Show: what a member of staff may do", opt={"permission": StaffRow.permission})
async def explained(desk: Desk, id: StaffMember) -> StaffPermissions:  # noqa: A002
    """Every permission, whether they hold it, and which layer gave it or took it: plan, module, the role's template, their own override, or the floor."""
    no_query(desk.call.query())
    clinic = await desk.clinic()
    return await permissions(desk.reader, id, clinic.plan, getattr(clinic, "off", frozenset()))


router = Router("/api/v1/protected/staff", tags=["Staff"], route_handlers=[
    browse("/", StaffRow, by=["role", "active"], sort="name"),
    fetch("/{id:uuid}", StaffRow),
    create("/create", HireStaff),
    act("/{id:uuid}", ChangeStaff, method="PUT"),
    act("/{id:uuid}", DeactivateStaff, method="DELETE"),
    act("/{id:uuid}/reactivate", ReactivateStaff),
    explained,
    act("/{id:uuid}/permissions", OverrideStaffPermissions, method="PUT"),
])
