"""How a permission template's events become its row."""

from domain.kit import Fact
from domain.permission_templates import PermissionTemplateEvent, PermissionTemplateReset, PermissionTemplateSet
from projections.kit import projects
from schemas.permission_templates import PermissionTemplateRow


@projects(PermissionTemplateRow, of=PermissionTemplateEvent)
def permission_templates(row: PermissionTemplateRow | None, fact: Fact) -> PermissionTemplateRow | None:
    match fact.event:
        case PermissionTemplateSet(role=role, permissions=permissions):
            return PermissionTemplateRow(id=fact.id, role=role, permissions=permissions, changed_at=fact.recorded_at, changed_by=fact.actor)
        case PermissionTemplateReset():
            return None
    return row
