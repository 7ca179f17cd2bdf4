"""How a member of staff's events become their row, and what they may do by it."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.kit import Fact, NotFound, only
from domain.kit.grants import Plan, effective, irrevocable, table
from domain.permission_templates import template_of
from domain.staff import (
    Profile,
    StaffAccountGiven,
    StaffChanged,
    StaffDeactivated,
    StaffEvent,
    StaffHired,
    StaffInvitationCancelled,
    StaffInvitationResent,
    StaffInvited,
    StaffJoined,
    StaffPermissionsOverridden,
    StaffReactivated,
)
from projections.kit import PROJECTIONS, installs, projects
from projections.kit.keys import KeyRing
from projections.kit.past import past, state_at
from projections.kit.reading import Reader
from schemas.permission_templates import PermissionTemplateRow
from schemas.staff import StaffInvitationRow, StaffPermission, StaffPermissions, StaffRow

installs("""
create or replace view clinic_users with (security_invoker = true) as
    select clinic_id, position, id, account_id, name, email, phone, role, status, active from staff;
grant select on clinic_users to anamnesis_gateway;
""")


@projects(StaffRow, of=StaffEvent)
def staff(row: StaffRow | None, fact: Fact) -> StaffRow | None:  # noqa: PLR0911 - one case per event
    match fact.event:
        case StaffHired() as event:
            return StaffRow(id=fact.id, active=True, **only(Profile, event))
        case StaffInvited() as event:
            return StaffRow(id=fact.id, active=False, status="invited", **only(Profile, event))
        case StaffInvitationCancelled():
            return None
        case StaffJoined(account_id=account, name=name) if row:
            return replace(row, active=True, status="active", account_id=account, name=name or row.name)
        case StaffAccountGiven(account_id=account) if row:
            return replace(row, account_id=account)
        case StaffChanged() as event if row:
            return replace(row, **only(Profile, event))
        case StaffDeactivated() if row:
            return replace(row, active=False, status="removed")
        case StaffReactivated() if row:
            return replace(row, active=True, status="active")
        case StaffPermissionsOverridden(permissions=wishes) if row:
            return replace(row, overrides=wishes)
    return row


@projects(StaffInvitationRow, of=StaffInvited | StaffInvitationResent | StaffInvitationCancelled | StaffJoined)
def invitations(row: StaffInvitationRow | None, fact: Fact) -> StaffInvitationRow | None:
    match fact.event:
        case StaffInvited() as event:
            return StaffInvitationRow(
                id=fact.id, clinic=fact.clinic, name=event.name, email=event.email, role=event.role, invited_at=fact.recorded_at, invited_by=fact.actor,
                sent_at=fact.recorded_at, sent=1, expires_at=event.expires_at)
        case StaffInvitationResent(expires_at=until) if row:
            return replace(row, sent_at=fact.recorded_at, sent=row.sent + 1, expires_at=until)
    return None


async def permissions(reader: Reader, id: UUID, plan: Plan, off: frozenset[str]) -> StaffPermissions:  # noqa: A002
    """Explain what a member of staff may do."""
    if (member := await reader.one(StaffRow, id)) is None:
        raise NotFound(kind="staff", id=str(id))
    template = next((row.permissions for row in await reader.find(PermissionTemplateRow, role=member.role)), {})
    return explained(member, template, plan, off)


async def permissions_then(reader: Reader, keys: KeyRing, id: UUID, clinic: type[Any], upto: int) -> StaffPermissions:  # noqa: A002
    """Explain what a member of staff could do at a position; `clinic` is the state that knows of plan and modules."""
    found: Any = await past(reader, keys, PROJECTIONS["staff"], id, upto)
    if found is None:
        raise NotFound(kind="staff", id=str(id))
    template: Any = await past(reader, keys, PROJECTIONS["permission_templates"], template_of(reader.clinic, found.row.role), upto)
    here = await state_at(reader, keys, clinic, reader.clinic, upto)
    return explained(found.row, template.row.permissions if template else {}, here.plan, here.off)


def explained(member: StaffRow, template: dict[str, bool], plan: Plan, off: frozenset[str]) -> StaffPermissions:
    found = effective(member.role, plan, off=off, template=template, override=member.overrides)
    lines = [
        StaffPermission(
            key=key, held=member.active and key in found.keys, layer=layer, plan=table()[key].plan,
            irrevocable=irrevocable(table()[key], member.role))
        for key, layer in found.layers.items()
    ]
    return StaffPermissions(staff_id=member.id, role=member.role, plan=plan, permissions=lines, template=template, overrides=member.overrides)


class Named(Struct):
    id: UUID
    name: str | None


async def named(reader: Reader, staff: Iterable[UUID]) -> dict[UUID, str | None]:
    """Return what these are called, as far as there are such."""
    asked = [*{*staff}]
    found = await reader.select(Named, "select id, name from staff where clinic_id = %s and id = any(%s::uuid[])", reader.clinic, asked) if asked else []
    return {one.id: one.name for one in found}
