"""Permission templates: in what a clinic's roles differ from what its plan gives them."""

from typing import ClassVar, Self
from uuid import UUID, uuid5

from msgspec import field
from msgspec.structs import replace

from domain.kit import Event, State
from domain.kit.grants import Plan, Role, Wishes, agreed

TEMPLATES = UUID("4a1f3d0e-8c52-5b7e-9d61-2f4c1b9e7a30")


class PermissionTemplateSet(Event):
    role: Role
    permissions: Wishes
    before: Wishes


class PermissionTemplateReset(Event):
    role: Role
    before: Wishes


PermissionTemplateEvent = PermissionTemplateSet | PermissionTemplateReset


def template_of(clinic: UUID, role: str) -> UUID:
    """Return the id of a role's template: every clinic has one for each role, set or not."""
    return uuid5(TEMPLATES, f"{clinic}/{role}")


class PermissionTemplate(State):
    """What a clinic gives to a role, or takes from it."""

    kind: ClassVar[str] = "permission_templates"
    permissions: Wishes = field(default_factory=dict)

    def evolve(self, event: PermissionTemplateEvent) -> Self:
        match event:
            case PermissionTemplateSet(permissions=permissions):
                return replace(self, permissions=permissions)
            case PermissionTemplateReset():
                return replace(self, permissions={})

    def set(self, role: Role, plan: Plan, wishes: Wishes) -> list[Event]:
        return [PermissionTemplateSet(role=role, permissions=agreed(role, plan, wishes), before=self.permissions)]

    def reset(self, role: Role) -> list[Event]:
        return [PermissionTemplateReset(role=role, before=self.permissions)] if self.permissions else []
