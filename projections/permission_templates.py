"""How a permission template's events become its row, and what a role may do by it."""

from domain.kit import Fact
from domain.kit.grants import Plan, Role, effective
from domain.permission_templates import PermissionTemplateEvent, PermissionTemplateReset, PermissionTemplateSet
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.permission_templates import PermissionTemplateRow


@projects(PermissionTemplateRow, of=PermissionTemplateEvent)
def permission_templates(row: PermissionTemplateRow | None, fact: Fact) -> PermissionTemplateRow | None:
    match fact.event:
        case PermissionTemplateSet(role=role, permissions=permissions):
            return PermissionTemplateRow(id=fact.id, role=role, permissions=permissions, changed_at=fact.recorded_at, changed_by=fact.actor)
        case PermissionTemplateReset():
            return None
    return row


async def held_by(reader: Reader, role: Role, plan: Plan, off: frozenset[str]) -> frozenset[str]:
    """Return what everybody of a role may do in the reader's clinic."""
    template = next((row.permissions for row in await reader.find(PermissionTemplateRow, role=role)), None)
    return effective(role, plan, off=off, template=template).keys
