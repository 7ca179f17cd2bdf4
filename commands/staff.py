"""What may be asked of a member of staff."""

from typing import Any

from commands.kit import Command, Creation, Decision, Look
from domain.clinics import Clinic
from domain.kit import AccountId, At, Email, Event, Text
from domain.kit.grants import Wishes
from domain.kit.letters import LetterLanguage
from domain.seats import Seats, seats_of
from domain.staff import INVITED_FOR, Profile, Staff
from schemas.staff import StaffRow


class HireStaff(Creation, Profile):
    """Take on a member of staff."""

    state = Staff
    permission = "settings.staff.create"
    name: Text
    email: Email

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        return [*staff.hire(self, at.role), *seats.take(at, at.id, self.role, clinic.licence)]


class InviteStaff(Creation, Profile):
    """Invite somebody to work here: a letter asks them to join, within seven days.

    Until the invitation is accepted, cancelled or over it keeps a seat of the licence.
    """

    state = Staff
    permission = "settings.staff.create"
    email: Email
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        # a courtesy: two who invite the same person at once send two letters, of which one can be accepted
        known = any(row.status != "removed" for row in await look.find(StaffRow, email=self.email))
        return {**await seating(look), "known": known}

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic, known: bool) -> Decision:
        invited = staff.invite(self, at.now, at.role, self.language, known=known)
        return [*invited, *seats.take(at, at.id, self.role, clinic.licence, at.now + INVITED_FOR)]


class ResendStaffInvitation(Command):
    """Send an invitation again, good for another seven days; the link of the letter before opens nothing any more."""

    state = Staff
    permission = "settings.staff.resend_invitation"
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        resent = staff.resend(at.now, at.role, self.language)
        return [*resent, *seats.take(at, at.id, staff.role, clinic.licence, at.now + INVITED_FOR)]


class CancelStaffInvitation(Command):
    """Take an invitation back; its seat is free again."""

    state = Staff
    permission = "settings.staff.create"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"seats": await look.load(Seats, seats_of(look.at.clinic))}

    def decide(self, staff: Staff, at: At, *, seats: Seats) -> Decision:
        return [*staff.cancel(), *seats.free(at, at.id)]


class JoinStaff(Command):
    """Note that an invitation was accepted, by whoever has that account."""

    state = Staff
    permission = "house"
    account_id: AccountId
    name: Text | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        return [*staff.join(self.account_id, self.name, at.now), *seats.take(at, at.id, staff.role, clinic.licence)]


class AdmitFounder(Command):
    """Note by which account the first admin of a clinic that signed up can sign in."""

    state = Staff
    permission = "house"
    account_id: AccountId

    def decide(self, staff: Staff, at: At) -> list[Event]:
        return staff.admit(self.account_id)


class GiveStaffAccount(Command):
    """Note by which account somebody who was taken on directly can sign in."""

    state = Staff
    permission = "house"
    account_id: AccountId

    def decide(self, staff: Staff, at: At) -> list[Event]:
        return staff.give_account(self.account_id)


class ChangeStaff(Command, Profile):
    """Change a member of staff's profile or role; what is left out is cleared."""

    state = Staff
    permission = "settings.staff.edit"
    name: Text
    email: Email

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        changed = staff.change(self, at.role, own=at.subject == at.id)
        return [*changed, *(seats.take(at, at.id, self.role, clinic.licence) if staff.active else [])]


class DeactivateStaff(Command):
    """Remove a member of staff from the clinic; what they did stays, and appointments ahead are moved one by one."""

    state = Staff
    permission = "settings.staff.remove"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"seats": await look.load(Seats, seats_of(look.at.clinic))}

    def decide(self, staff: Staff, at: At, *, seats: Seats) -> Decision:
        return [*staff.deactivate(at.role, own=at.subject == at.id), *seats.free(at, at.id)]


class ReactivateStaff(Command):
    """Let a member of staff work here again."""

    state = Staff
    permission = "settings.staff.create"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await seating(look)

    def decide(self, staff: Staff, at: At, *, seats: Seats, clinic: Clinic) -> Decision:
        return [*staff.reactivate(at.role), *seats.take(at, at.id, staff.role, clinic.licence)]


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
        return staff.override(self.permissions, clinic.plan, at.grants, at.role, own=at.subject == at.id)


async def seating(look: Look) -> dict[str, Any]:
    """Return the clinic's seats and its licence, which says how many there are."""
    return {"seats": await look.load(Seats, seats_of(look.at.clinic)), "clinic": await look.load(Clinic, look.at.clinic)}
