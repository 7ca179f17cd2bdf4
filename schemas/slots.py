"""Available slots: the visits that could be booked."""

from datetime import datetime

from domain.kit import Frozen, RoomId


class FreeRoom(Frozen):
    """A room that is free."""

    id: RoomId
    name: str


class AvailableSlot(Frozen):
    """A visit that could be booked: its time as people say it, the instants, and the rooms free all the while."""

    start_local: str
    fold: int
    starts_at: datetime
    ends_at: datetime
    rooms: list[FreeRoom]


class AvailableSlots(Frozen):
    """The visits that could be booked, in the order of time."""

    items: list[AvailableSlot]
