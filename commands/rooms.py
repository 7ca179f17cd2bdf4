"""What may be asked of a room."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event
from domain.rooms import Furnishing, Room
from schemas.calendar import CalendarRow


class AddRoom(Creation, Furnishing):
    """Add a room."""

    state = Room
    permission = "settings.rooms.manage"

    def decide(self, room: Room, at: At) -> list[Event]:
        return room.add(self)


class ChangeRoom(Command, Furnishing):
    """Rename a room, use it otherwise, or take it out of use."""

    state = Room
    permission = "settings.rooms.manage"

    def decide(self, room: Room, at: At) -> list[Event]:
        return room.change(self)


class DeleteRoom(Command):
    """Delete a room in which nothing is booked any more; past visits keep its name."""

    state = Room
    permission = "settings.rooms.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        # a courtesy, for a clear answer; what it misses, the room's own claim on the time to come refuses
        ahead = [row for status in ("booked", "confirmed") for row in await look.find(CalendarRow, room_id=look.at.id, status=status)]
        return {"booked": any(row.ends_at > look.at.now for row in ahead)}

    def decide(self, room: Room, at: At, *, booked: bool) -> list[Event]:
        return room.delete(at.id, at.now, booked=booked)
