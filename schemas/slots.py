"""Available slots: the visits that could be booked."""

from datetime import datetime

from domain.kit import Frozen, GroupSessionId, PlaceId, RoomId, StaffId


class FreeRoom(Frozen):
    """A room that is free."""

    id: RoomId
    name: str


class AvailableSlot(Frozen):
    """A visit that could be booked: its time as people say it, the instants, with whom and where, and the rooms there that are free all the while.

    With `groupId` it is a seat in that group session, of which there are `seatsLeft`.
    """

    start_local: str
    fold: int
    starts_at: datetime
    ends_at: datetime
    rooms: list[FreeRoom]
    doctor_id: StaffId
    place_id: PlaceId | None = None  # none: the clinic itself
    group_id: GroupSessionId | None = None
    seats_left: int | None = None


class AvailableSlots(Frozen):
    """The visits that could be booked, in the order of time."""

    items: list[AvailableSlot]
