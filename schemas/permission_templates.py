"""What may be seen of a permission template."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Id
from domain.kit.grants import Role
from schemas.kit import Row


class PermissionTemplateRow(Row):
    """In what a role differs from the plan's defaults in this clinic; roles that do not differ have no row."""

    table: ClassVar[str] = "permission_templates"
    permission: ClassVar[str] = "admin"
    id: Id
    role: Role
    permissions: dict[str, bool]
    changed_at: datetime
    changed_by: UUID
