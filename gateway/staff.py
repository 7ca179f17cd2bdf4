"""Where staff live on the web."""

from litestar import Router

from commands.staff import ChangeStaff, DeactivateStaff, HireStaff, ReactivateStaff
from gateway.kit import act, browse, create, fetch
from schemas.staff import StaffRow

router = Router("/api/v1/protected/staff", tags=["Staff"], route_handlers=[
    browse("/", StaffRow, by=["role", "active"], sort="name"),
    fetch("/{id:uuid}", StaffRow),
    create("/create", HireStaff),
    act("/{id:uuid}", ChangeStaff, method="PUT"),
    act("/{id:uuid}", DeactivateStaff, method="DELETE"),
    act("/{id:uuid}/reactivate", ReactivateStaff),
])
