"""How a member of staff's events become their row, and what they may do by it."""

from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact, NotFound, only
from domain.kit.grants import Plan, effective, irrevocable, table
from domain.staff import (
    Profile,
    StaffChanged,
    StaffDeactivated,
    StaffEvent,
    StaffHired,
    StaffPermissionsOverridden,
    StaffReactivated,
)
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.permission_templates import PermissionTemplateRow
from schemas.staff import StaffPermission, StaffPermissions, StaffRow


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
        case StaffPermissionsOverridden(permissions=permissions) if row:
            return replace(row, overrides=permissions)
    return row


async def permissions(reader: Reader, id: UUID, plan: Plan, off: frozenset[str]) -> StaffPermissions:  # noqa: A002
    """Explain what a member of staff may do."""
    if (member := await reader.one(StaffRow, id)) is None:
        raise NotFound(kind="staff", id=str(id))
    template = next((row.permissions for row in await reader.find(PermissionTemplateRow, role=member.role)), {})
    found = effective(member.role, plan, off=off, template=template, override=member.overrides)
    lines = [
        StaffPermission(
            key=key, held=member.active and key in found.keys, layer=layer, plan=table()[key].plan,
            irrevocable=irrevocable(table()[key], member.role))
        for key, layer in found.layers.items()
    ]
    return StaffPermissions(staff_id=id, role=member.role, plan=plan, permissions=lines, template=template, overrides=member.overrides)
