"""What may be seen of a member of staff."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import field

from domain.kit import AccountId, Frozen, Id, Personal, StaffId
from domain.kit.grants import Layer, Plan, Role
from domain.staff import StaffRole, StaffStatus
from schemas.kit import Row


class StaffRow(Row):
    """A member of staff."""

    table: ClassVar[str] = "staff"
    permission: ClassVar[str] = "settings.staff.view"
    id: Id
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    role: StaffRole
    speciality: str | None
    colour: str | None
    active: bool
    status: StaffStatus = "active"
    account_id: AccountId | None = None  # by which they sign in, if it was made or found here
    overrides: dict[str, bool] = field(default_factory=dict)  # in what their permissions differ from their role's


class ClinicUser(Row):
    """Somebody who works in a clinic, did so or is invited to, and the account by which they sign in."""

    table: ClassVar[str] = "clinic_users"
    permission: ClassVar[str] = "admin"
    id: Id
    account_id: AccountId | None
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    role: StaffRole
    status: StaffStatus
    active: bool


class StaffInvitationRow(Row):
    """An invitation that has neither been accepted nor cancelled; after `expires_at` it can only be sent again."""

    table: ClassVar[str] = "staff_invitations"
    permission: ClassVar[str] = "settings.staff.view"
    platform: ClassVar[bool] = True
    id: Id
    clinic: Id
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    role: StaffRole
    invited_at: datetime
    invited_by: UUID
    sent_at: datetime
    sent: int  # how often
    expires_at: datetime


class StaffPermission(Frozen):
    """Whether somebody holds a permission, and the layer that settled it.

    The layers, in their order: `role` (never this role's, or always), `plan` (the plan's default for the role, or not in this plan), `module` (switched
    off), `template` (the clinic's for the role), `override` (this person's own), `floor` (given back: the role cannot work without it).
    """

    key: str
    held: bool
    layer: Layer
    plan: Plan  # the lowest that has it
    irrevocable: bool


class StaffPermissions(Frozen):
    """What a member of staff may do, key by key, and what has been said about it."""

    staff_id: StaffId
    role: Role
    plan: Plan
    permissions: list[StaffPermission]
    template: dict[str, bool]
    overrides: dict[str, bool]
