"""What may be asked of a room."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event
from domain.places import Place
from domain.rooms import Furnishing, Room
from schemas.calendar import CalendarRow


class AddRoom(Creation, Furnishing):
    """Add a room."""

    state = Room
    permission = "settings.rooms.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"place": await place_of(look, self)}

    def decide(self, room: Room, at: At, *, place: Place | None) -> list[Event]:
        ensure_open(place)
        return room.add(self)


class ChangeRoom(Command, Furnishing):
    """Rename a room, use it otherwise, or take it out of use. Only a room in which nothing is booked any more comes to be at another place."""

    state = Room
    permission = "settings.rooms.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        moves = (await look.require(Room, look.at.id)).place != self.place_id
        return {"place": await place_of(look, self), "booked": moves and await booked(look)}

    def decide(self, room: Room, at: At, *, place: Place | None, booked: bool) -> list[Event]:
        ensure_open(place)
        return room.change(self, booked=booked)


class DeleteRoom(Command):
    """Delete a room in which nothing is booked any more; past visits keep its name."""

    state = Room
    permission = "settings.rooms.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"booked": await booked(look)}  # a courtesy, for a clear answer; what it misses, the room's own claim on the time to come refuses

    def decide(self, room: Room, at: At, *, booked: bool) -> list[Event]:
        return room.delete(at.id, at.now, booked=booked)


async def booked(look: Look) -> bool:
    """Say whether there are visits in a room ahead."""
    ahead = [row for status in ("booked", "confirmed") for row in await look.find(CalendarRow, room_id=look.at.id, status=status)]
    return any(row.ends_at > look.at.now for row in ahead)


async def place_of(look: Look, furnishing: Furnishing) -> Place | None:
    return await look.require(Place, furnishing.place_id) if furnishing.place_id else None


def ensure_open(place: Place | None) -> None:
    if place is not None:
        place.ensure_open()
