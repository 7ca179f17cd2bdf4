"""What may be asked of a member of staff."""

from typing import Any

from commands.kit import Command, Creation, Decision, Look
from domain.clinics import Clinic
from domain.kit import At, Email, Event, Text
from domain.kit.grants import Wishes
from domain.seats import Seats, seats_of
from domain.staff import Profile, Staff


class HireStaff(Creation, Profile):
    """Take on a member of staff."""

    state = Staff
    permission = "settings.staff.create"
    name: Text
    email: Email

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        return [*staff.hire(self), *seats.take(at, at.id, self.role, clinic.licence)]


class ChangeStaff(Command, Profile):
    """Change a member of staff's profile or role; what is left out is cleared."""

    state = Staff
    permission = "settings.staff.edit"
    name: Text
    email: Email

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        changed = staff.change(self, own=at.subject == at.id)
        return [*changed, *(seats.take(at, at.id, self.role, clinic.licence) if staff.active else [])]


class DeactivateStaff(Command):
    """Remove a member of staff from the clinic; what they did stays, and appointments ahead are moved one by one."""

    state = Staff
    permission = "settings.staff.remove"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"seats": await look.load(Seats, seats_of(look.at.clinic))}

    def decide(self, staff: Staff, at: At, *, seats: Seats) -> Decision:
        return [*staff.deactivate(own=at.subject == at.id), *seats.free(at, at.id)]


class ReactivateStaff(Command):
    """Let a member of staff work here again."""

    state = Staff
    permission = "settings.staff.create"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        return [*staff.reactivate(), *seats.take(at, at.id, staff.role, clinic.licence)]


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


async def seating(look: Look) -> dict[str, Any]:
    """Return the clinic's seats and its licence, which says how many there are."""
    return {"seats": await look.load(Seats, seats_of(look.at.clinic)), "clinic": await look.load(Clinic, look.at.clinic)}
