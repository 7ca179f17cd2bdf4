"""Staff: the people who work in a clinic, and whether they still do."""

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Email, Event, Forbidden, Frozen, Personal, Phone, Refused, State, Text, only
from domain.kit.grants import Plan, Wishes, agreed, effective, expanded

StaffRole = Literal["admin", "doctor", "receptionist"]
Colour = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{6}$", description="In the calendar.", examples=["#3366cc"])]


class Profile(Frozen):
    """Who works here, and as what."""

    name: Annotated[Text | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    role: StaffRole
    speciality: Text | None = None
    colour: Colour | None = None


class StaffHired(Event, Profile): ...


class StaffChanged(Event, Profile): ...


class StaffDeactivated(Event): ...


class StaffReactivated(Event): ...


class StaffPermissionsOverridden(Event):
    permissions: Wishes
    before: Wishes


StaffEvent = StaffHired | StaffChanged | StaffDeactivated | StaffReactivated | StaffPermissionsOverridden


class StaffNotActive(Refused):
    """That member of staff no longer works here."""


class StaffStillActive(Refused):
    """That member of staff works here already."""


class CannotRemoveYourself(Refused):
    """Somebody else has to do that: you cannot remove yourself, nor give up your own role as admin."""


class CannotEmpowerYourself(Refused):
    """Somebody else has to do that: nobody changes their own permissions."""


class GrantBeyondYourOwn(Forbidden):
    """You can only give what you hold yourself, and only to somebody who does not rank above you."""


class Staff(State):
    """A member of staff."""

    kind: ClassVar[str] = "staff"
    active: bool = False
    role: StaffRole = "receptionist"
    overrides: Wishes = field(default_factory=dict)

    def evolve(self, event: StaffEvent) -> Self:
        match event:
            case StaffHired(role=role):
                return replace(self, active=True, role=role)
            case StaffChanged(role=role):
                return replace(self, role=role)
            case StaffDeactivated():
                return replace(self, active=False)
            case StaffReactivated():
                return replace(self, active=True)
            case StaffPermissionsOverridden(permissions=permissions):
                return replace(self, overrides=permissions)

    @property
    def treats(self) -> bool:
        """Whether patients can be booked with them; an admin may well be a dentist."""
        return self.active and self.role != "receptionist"

    def hire(self, profile: Profile) -> list[Event]:
        return [StaffHired(**only(Profile, profile))]

    def change(self, profile: Profile, *, own: bool) -> list[Event]:
        if own and self.role == "admin" and profile.role != "admin":
            raise CannotRemoveYourself
        return [StaffChanged(**only(Profile, profile))]

    def deactivate(self, *, own: bool) -> list[Event]:
        if not self.active:
            raise StaffNotActive
        if own:
            raise CannotRemoveYourself
        return [StaffDeactivated()]

    def reactivate(self) -> list[Event]:
        if self.active:
            raise StaffStillActive
        return [StaffReactivated()]

    def override(self, wishes: Wishes, plan: Plan, holds: frozenset[str], *, own: bool) -> list[Event]:
        """Replace the person's own exceptions; `holds` is what whoever asks may do himself."""
        if not self.active:
            raise StaffNotActive
        if own:
            raise CannotEmpowerYourself
        agreed(self.role, plan, wishes)
        given = {key for key, wish in expanded(wishes).items() if wish} & effective(self.role, plan, override=wishes).keys
        if beyond := given - holds - {key for key, wish in expanded(self.overrides).items() if wish}:
            raise GrantBeyondYourOwn(permissions=sorted(beyond))
        return [StaffPermissionsOverridden(permissions=wishes, before=self.overrides)]
