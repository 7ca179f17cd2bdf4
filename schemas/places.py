"""What may be seen of a place."""

from typing import ClassVar

from domain.kit import Id
from schemas.kit import Row


class PlaceRow(Row):
    """A place at which the clinic sees patients."""

    table: ClassVar[str] = "places"
    permission: ClassVar[str] = "appointments.create"
    id: Id
    name: str
    address: str
    phone: str | None
    closed: bool = False  # kept, because past visits name it


class CurrentPlace(PlaceRow):
    """A place that has not been closed."""

    table: ClassVar[str] = "current_places"
