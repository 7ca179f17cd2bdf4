"""How switching parts of the app becomes a row, and what follows from it."""

from domain.kit import Fact
from domain.kit.grants import Plan, Role
from domain.mobile import SCREENS, MobileEvent, MobileModuleSwitched, open_to
from projections.kit import projects
from projections.kit.reading import Reader
from projections.permission_templates import held_by
from schemas.mobile import MobileConfig, MobileModuleShown, MobilePermissionRow


@projects(MobilePermissionRow, of=MobileEvent)
def mobile_permissions(row: MobilePermissionRow | None, fact: Fact) -> MobilePermissionRow | None:
    match fact.event:
        case MobileModuleSwitched(role=role, module=module, enabled=enabled):
            off = set(row.off if row else []) | {module}
            return MobilePermissionRow(id=fact.id, role=role, off=sorted(off - {module} if enabled else off))
    return row


async def config(reader: Reader, role: str, holds: frozenset[str]) -> MobileConfig:
    """Return which parts of the app somebody has who holds these permissions."""
    off = {module for row in await reader.find(MobilePermissionRow, role=role) for module in row.off}
    return MobileConfig(role=role, modules=[
        MobileModuleShown(
            module=module, permission=screen.permission, allowed=(allowed := open_to(module, role, holds)), enabled=module not in off,
            shown=allowed and module not in off)
        for module, screen in SCREENS.items()
    ])


async def config_of(reader: Reader, role: Role, plan: Plan, off: frozenset[str]) -> MobileConfig:
    """Return which parts of the app a role has, overrides of single people aside."""
    return await config(reader, role, await held_by(reader, role, plan, off))
