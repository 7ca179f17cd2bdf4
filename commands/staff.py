"""What may be asked of a member of staff."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.clinics import Clinic
from domain.kit import At, Event, Text
from domain.kit.grants import Wishes
from domain.staff import Email, Profile, Staff


class HireStaff(Creation, Profile):
    """Take on a member of staff."""

    state = Staff
    permission = "settings.staff.create"
    name: Text
    email: Email

    def decide(self, staff: Staff, at: At) -> list[Event]:
        return staff.hire(self)


class ChangeStaff(Command, Profile):
    """Change a member of staff's profile or role; what is left out is cleared."""

    state = Staff
    permission = "settings.staff.edit"
    name: Text
    email: Email

    def decide(self, staff: Staff, at: At) -> list[Event]:
        return staff.change(self, own=at.subject == at.id)


class DeactivateStaff(Command):
    """Remove a member of staff from the clinic; what they did stays, and appointments ahead are moved one by one."""

    state = Staff
    permission = "settings.staff.remove"

    def decide(self, staff: Staff, at: At) -> list[Event]:
        return staff.deactivate(own=at.subject == at.id)


class ReactivateStaff(Command):
    """Let a member of staff work here again."""

    state = Staff
    permission = "settings.staff.create"

    def decide(self, staff: Staff, at: At) -> list[Event]:
        return staff.reactivate()


class OverrideStaffPermissions(Command):
    """Say in what a member of staff's permissions differ from their role's in this clinic; what is not named follows the role again.

    It takes effect at once. Nobody gives what they do not hold, and admins hold all of the plan already.
    """

    state = Staff
    permission = "settings.staff.manage_permissions"
    permissions: Wishes

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.require(Clinic, look.at.clinic)}

    def decide(self, staff: Staff, at: At, *, clinic: Clinic) -> list[Event]:
        return staff.override(self.permissions, clinic.plan, at.grants, own=at.subject == at.id)
