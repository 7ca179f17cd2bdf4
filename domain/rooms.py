"""Rooms: where patients are seen; a name is used once in a clinic, until its room is deleted."""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from msgspec.structs import replace

from domain.kit import (
    Claim,
    Event,
    Frozen,
    Invalid,
    NotFound,
    PlaceId,
    Refused,
    RoomId,
    RoomType,
    State,
    Text,
    TimeClaim,
    UniqueClaim,
    only,
)
from domain.kit.places import FOR_EVER, used


class Furnishing(Frozen):
    """What a room is called and used for."""

    name: Text
    type: RoomType = "operatory"
    active: bool = True
    place_id: PlaceId | None = None  # none: the clinic itself


class RoomAdded(Event, Furnishing): ...


class RoomChanged(Event, Furnishing): ...


class RoomDeleted(Event):
    room_id: RoomId | None = None
    since: datetime | None = None


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
    type: RoomType = "operatory"
    place: UUID | None = None
    deleted: bool = False
    gone: RoomDeleted | None = None

    def evolve(self, event: RoomEvent) -> Self:
        match event:
            case RoomAdded(name=name, active=active, type=kind, place_id=place) | RoomChanged(name=name, active=active, type=kind, place_id=place):
                return replace(self, name=name, active=active, type=kind, place=place)
            case RoomDeleted():
                return replace(self, active=False, deleted=True, gone=event)

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written, and the place in which it is; of a deleted room, all the time to come, so that no visit can have been booked in it meanwhile."""
        if self.gone is not None and self.gone.room_id is not None and self.gone.since is not None:
            return frozenset({TimeClaim(kind="room", id=self.gone.room_id, start=self.gone.since, end=FOR_EVER)})
        if self.deleted or not self.name:
            return frozenset()
        return frozenset({UniqueClaim(scope="rooms.name", key=" ".join(self.name.casefold().split())), *used({self.place})})

    def add(self, furnishing: Furnishing) -> list[Event]:
        if not furnishing.name.strip():
            raise RoomNeedsName
        return [RoomAdded(**only(Furnishing, furnishing))]

    def change(self, furnishing: Furnishing, *, booked: bool) -> list[Event]:
        if self.deleted:
            raise NotFound
        if booked and furnishing.place_id != self.place:
            raise RoomBooked
        if not furnishing.name.strip():
            raise RoomNeedsName
        return [RoomChanged(**only(Furnishing, furnishing))]

    def delete(self, room: UUID, now: datetime, *, booked: bool) -> list[Event]:
        if self.deleted:
            raise NotFound
        if booked:
            raise RoomBooked
        return [RoomDeleted(room_id=room, since=now)]
