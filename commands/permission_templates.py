"""What may be asked of a permission template."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Look
from domain.clinics import Clinic
from domain.kit import At, Event
from domain.kit.grants import Role, Wishes
from domain.permission_templates import PermissionTemplate, template_of


class SetPermissionTemplate(Creation):
    """Say in what a role differs from the plan's defaults, for everybody who has it; what is not named follows the plan again.

    What the plan lacks cannot be given, and what nobody can work without cannot be taken away. An override of a single person goes before it.
    """

    state = PermissionTemplate
    permission = "admin"
    role: Role
    permissions: Wishes

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, self.role)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.require(Clinic, look.at.clinic)}

    def decide(self, template: PermissionTemplate, at: At, *, clinic: Clinic) -> list[Event]:
        return template.set(self.role, clinic.plan, self.permissions)


class ResetPermissionTemplate(Creation):
    """Let a role have what the plan gives it."""

    state = PermissionTemplate
    permission = "admin"
    role: Role

    def stream(self, at: At) -> UUID:
        return template_of(at.clinic, self.role)

    def decide(self, template: PermissionTemplate, at: At) -> list[Event]:
        return template.reset(self.role)
