"""Mobile: which parts of the app each role has on a telephone."""

from typing import ClassVar, Literal, NamedTuple, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, Forbidden, State

MOBILE = UUID("7d3e5c1a-92b4-5f6d-8e0c-3a1b5d7f9e24")

MobileRole = Literal["admin", "doctor", "receptionist", "patient"]
MobileModule = Literal["dashboard", "appointments", "patients", "finance", "chat", "lab-work", "inventory"]
PROGRAMS = {"superadmin", "key"}  # whoever holds the key may look
STAFF: tuple[MobileRole, ...] = ("admin", "doctor", "receptionist")


class Screen(NamedTuple):
    """What a part of the app takes: a permission, and one of these roles."""

    permission: str
    roles: tuple[MobileRole, ...] = (*STAFF, "patient")


SCREENS: dict[MobileModule, Screen] = {
    "dashboard": Screen("appointments.view"),
    "appointments": Screen("appointments.view"),
    "patients": Screen("patients.view"),
    "finance": Screen("billing.invoices.view", ("admin", "doctor", "patient")),
    "chat": Screen("comms.messages.view"),
    "lab-work": Screen("lab.cases.view", STAFF),
    "inventory": Screen("inventory.view", STAFF),
}


class MobileModuleOff(Forbidden):
    """Your clinic has switched this part of the app off for your role. An admin can switch it on."""


class MobileModuleSwitched(Event):
    role: MobileRole
    module: MobileModule
    enabled: bool


MobileEvent = MobileModuleSwitched


def mobile_of(clinic: UUID, role: str) -> UUID:
    """Return the id under which a clinic says what a role has on a telephone."""
    return uuid5(MOBILE, f"{clinic}/{role}")


class MobilePermissions(State):
    """What a clinic has switched off on a role's telephones; the rest is on."""

    kind: ClassVar[str] = "mobile_permissions"
    off: frozenset[MobileModule] = frozenset()

    def evolve(self, event: MobileEvent) -> Self:
        match event:
            case MobileModuleSwitched(module=module, enabled=True):
                return replace(self, off=self.off - {module})
            case MobileModuleSwitched(module=module):
                return replace(self, off=self.off | {module})

    def switch(self, role: MobileRole, module: MobileModule, *, enabled: bool) -> list[Event]:
        return [MobileModuleSwitched(role=role, module=module, enabled=enabled)] if enabled is (module in self.off) else []


def open_to(module: MobileModule, role: str, holds: frozenset[str]) -> bool:
    """Say whether somebody could use a part of the app, unless the clinic has switched it off."""
    screen = SCREENS[module]
    return screen.permission in holds and (role in PROGRAMS or role in screen.roles)
