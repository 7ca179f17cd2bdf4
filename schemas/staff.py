"""What may be seen of a member of staff."""

from typing import Annotated, ClassVar, Literal

from msgspec import field

from domain.kit import Frozen, Id, Personal, StaffId
from domain.kit.grants import Layer, Plan, Role
from schemas.kit import Row


class StaffRow(Row):
    """A member of staff."""

    table: ClassVar[str] = "staff"
    permission: ClassVar[str] = "settings.staff.view"
    id: Id
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    role: Literal["admin", "doctor", "receptionist"]
    speciality: str | None
    colour: str | None
    active: bool
    overrides: dict[str, bool] = field(default_factory=dict)  # in what their permissions differ from their role's


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
