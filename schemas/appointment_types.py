"""What may be seen of a kind of visit."""

from typing import ClassVar

from domain.kit import Id, Money, RoomType
from schemas.kit import Row


class AppointmentTypeRow(Row):
    """A kind of visit that the clinic offers: how long it takes, and what it needs."""

    table: ClassVar[str] = "appointment_types"
    permission: ClassVar[str] = "appointments.create"
    id: Id
    name: str
    minutes: int
    colour: str | None
    room_type: RoomType | None
    grid: int | None
    buffer_before: int | None
    buffer_after: int | None
    active: bool
    deposit: Money = 0  # that the patient is asked to pay beforehand
    capacity: int = 1  # patients at once
    deleted: bool = False  # kept, because past visits name it


class CurrentAppointmentType(AppointmentTypeRow):
    """A kind of visit that has not been deleted."""

    table: ClassVar[str] = "current_appointment_types"
