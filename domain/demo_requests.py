"""Demo requests: somebody who does not know us yet wants to be shown what we do, and one of us sees to it."""

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Email, Event, Frozen, Note, NotFound, Personal, Phone, Refused, State, Text

DemoStatus = Literal["contacted", "scheduled", "closed"]
DemoCountry = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 code.", examples=["NL"])]


class Enquiry(Frozen):
    """Who asks, and about what."""

    name: Annotated[Text | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    message: Annotated[Note | None, Personal()] = None
    clinic_name: Text | None = None
    country: DemoCountry | None = None


class DemoRequested(Event, Enquiry): ...


class DemoRequestHandled(Event):
    status: DemoStatus
    note: Annotated[Note | None, Personal()] = None


DemoRequestEvent = DemoRequested | DemoRequestHandled


class DemoRequestUnchanged(Refused):
    """The request stands so already. Say what has been done since, or choose another status."""


class DemoRequest(State):
    """A wish to be shown the program."""

    kind: ClassVar[str] = "demo_requests"
    status: Literal["none", "new", "contacted", "scheduled", "closed"] = "none"

    def evolve(self, event: DemoRequestEvent) -> Self:
        match event:
            case DemoRequested():
                return replace(self, status="new")
            case DemoRequestHandled(status=status):
                return replace(self, status=status)

    def handle(self, status: DemoStatus, note: str | None) -> list[Event]:
        """Note what was done; a closed one may be taken up again."""
        if self.status == "none":
            raise NotFound
        if self.status == status and not note:
            raise DemoRequestUnchanged
        return [DemoRequestHandled(status=status, note=note)]
