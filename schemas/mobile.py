"""What may be seen of an app's permissions."""

from typing import ClassVar

from domain.kit import Frozen, Id
from domain.mobile import MobileModule, MobileRole
from schemas.kit import Row


class MobilePermissionRow(Row):
    """What a clinic has switched off on a role's telephones."""

    table: ClassVar[str] = "mobile_permissions"
    permission: ClassVar[str] = "admin"
    id: Id
    role: MobileRole
    off: list[MobileModule]


class MobileModuleShown(Frozen):
    """A part of the app: `allowed` if permissions let the role have it, `enabled` if the clinic has it on, `shown` if both."""

    module: MobileModule
    permission: str
    allowed: bool
    enabled: bool
    shown: bool


class MobileConfig(Frozen):
    """Which parts of the app somebody of that role has."""

    role: str
    modules: list[MobileModuleShown]
