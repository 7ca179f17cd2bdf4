"""Rooms: where patients are seen; a name is used once in a clinic, until its room is deleted."""

from typing import ClassVar, Literal, Self

from msgspec.structs import replace

from domain.kit import Claim, Event, Frozen, Invalid, NotFound, Refused, State, Text, UniqueClaim, only

RoomType = Literal["operatory", "consultation", "surgery", "imaging", "other"]


class Furnishing(Frozen):
    """What a room is called and used for."""

    name: Text
    type: RoomType = "operatory"
    active: bool = True


class RoomAdded(Event, Furnishing): ...


class RoomChanged(Event, Furnishing): ...


class RoomDeleted(Event): ...


RoomEvent = RoomAdded | RoomChanged | RoomDeleted


class RoomNeedsName(Invalid):
    """A room has a name."""


class RoomBooked(Refused):
    """There are appointments in that room ahead; move them first."""


class Room(State):
    """A room; once deleted it is only remembered by the visits that took place in it."""

    kind: ClassVar[str] = "rooms"
    name: str = ""
    active: bool = False
    deleted: bool = False

    def evolve(self, event: RoomEvent) -> Self:
        match event:
            case RoomAdded(name=name, active=active) | RoomChanged(name=name, active=active):
                return replace(self, name=name, active=active)
            case RoomDeleted():
                return replace(self, active=False, deleted=True)

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written."""
        if self.deleted or not self.name:
            return frozenset()
        return frozenset({UniqueClaim(scope="rooms.name", key=" ".join(self.name.casefold().split()))})

    def add(self, furnishing: Furnishing) -> list[Event]:
        if not furnishing.name.strip():
            raise RoomNeedsName
        return [RoomAdded(**only(Furnishing, furnishing))]

    def change(self, furnishing: Furnishing) -> list[Event]:
        if self.deleted:
            raise NotFound
        if not furnishing.name.strip():
            raise RoomNeedsName
        return [RoomChanged(**only(Furnishing, furnishing))]

    def delete(self, *, booked: bool) -> list[Event]:
        if self.deleted:
            raise NotFound
        if booked:
            raise RoomBooked
        return [RoomDeleted()]
