"""What may be seen of a room."""

from typing import ClassVar

from domain.kit import Id, PlaceId, RoomType
from schemas.kit import Row


class RoomRow(Row):
    """A room where patients are seen."""

    table: ClassVar[str] = "rooms"
    permission: ClassVar[str] = "settings.rooms.view"
    id: Id
    name: str
    type: RoomType
    active: bool
    deleted: bool  # kept, because past visits name it
    place_id: PlaceId | None = None  # none: the clinic itself


class CurrentRoom(RoomRow):
    """A room that has not been deleted."""

    table: ClassVar[str] = "current_rooms"
