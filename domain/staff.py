"""Staff: the people who work in a clinic, and whether they still do."""

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Personal, Refused, State, Text, only

StaffRole = Literal["admin", "doctor", "receptionist"]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", examples=["sam@example.org"])]
Phone = Annotated[str, Meta(max_length=40, pattern=r"^\+?[0-9][0-9 ()./-]{3,}$", examples=["+31 6 1234 5678"])]
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


StaffEvent = StaffHired | StaffChanged | StaffDeactivated | StaffReactivated


class StaffNotActive(Refused):
    """That member of staff no longer works here."""


class StaffStillActive(Refused):
    """That member of staff works here already."""


class CannotRemoveYourself(Refused):
    """Somebody else has to do that: you cannot remove yourself, nor give up your own role as admin."""


class Staff(State):
    """A member of staff."""

    kind: ClassVar[str] = "staff"
    active: bool = False
    role: StaffRole = "receptionist"

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
