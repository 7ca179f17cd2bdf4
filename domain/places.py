"""Places: where a clinic sees patients, if it does so at more than one address; they share its zone, and rooms and hours belong to one."""

from typing import Annotated, ClassVar, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Claim, Event, Frozen, Invalid, NotFound, Phone, PlaceId, Refused, State, Text, UniqueClaim, only
from domain.kit.places import closed

Address = Annotated[str, Meta(max_length=500, description="As on a letter.", examples=["Singel 1, Amsterdam"])]


class Whereabouts(Frozen):
    """What a place is called, and how it is reached."""

    name: Text
    address: Address = ""
    phone: Phone | None = None


class PlaceOpened(Event, Whereabouts): ...


class PlaceChanged(Event, Whereabouts): ...


class PlaceClosed(Event):
    place_id: PlaceId


PlaceEvent = PlaceOpened | PlaceChanged | PlaceClosed


class PlaceNeedsName(Invalid):
    """A place has a name."""


class PlaceInUse(Refused):
    """There are rooms or working hours at that place. Move them, or delete them, before you close it."""


class Place(State):
    """A place; once closed it is only remembered by the visits that took place there."""

    kind: ClassVar[str] = "places"
    name: str = ""
    gone: UUID | None = None

    def evolve(self, event: PlaceEvent) -> Self:
        match event:
            case PlaceOpened(name=name) | PlaceChanged(name=name):
                return replace(self, name=name)
            case PlaceClosed(place_id=place):
                return replace(self, gone=place)

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written; of a closed place, all its time, so that nothing can be there."""
        if self.gone is not None:
            return frozenset({closed(self.gone)})
        return frozenset({UniqueClaim(scope="places.name", key=" ".join(self.name.casefold().split()))}) if self.name else frozenset()

    def open(self, whereabouts: Whereabouts) -> list[Event]:
        ensure_named(whereabouts)
        return [PlaceOpened(**only(Whereabouts, whereabouts))]

    def change(self, whereabouts: Whereabouts) -> list[Event]:
        self.ensure_open()
        ensure_named(whereabouts)
        return [PlaceChanged(**only(Whereabouts, whereabouts))]

    def close(self, place: UUID, *, used: bool) -> list[Event]:
        self.ensure_open()
        if used:
            raise PlaceInUse
        return [PlaceClosed(place_id=place)]

    def ensure_open(self) -> None:
        """Refuse a place that is closed, as one that was never there."""
        if self.gone is not None:
            raise NotFound


def ensure_named(whereabouts: Whereabouts) -> None:
    if not whereabouts.name.strip():
        raise PlaceNeedsName
