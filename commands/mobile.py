"""What may be asked about telephones."""

from uuid import UUID

from commands.kit import Creation
from domain.kit import At, Event
from domain.mobile import MobileModule, MobilePermissions, MobileRole, mobile_of


class SwitchMobileModule(Creation):
    """Switch a part of the app on or off for a role; it never gives more than the role's permissions do."""

    state = MobilePermissions
    permission = "admin"
    role: MobileRole
    module: MobileModule
    enabled: bool

    def stream(self, at: At) -> UUID:
        return mobile_of(at.clinic, self.role)

    def decide(self, mobile: MobilePermissions, at: At) -> list[Event]:
        return mobile.switch(self.role, self.module, enabled=self.enabled)
