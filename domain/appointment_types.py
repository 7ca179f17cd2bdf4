"""Appointment types: the kinds of visits that a clinic offers, how long they take, and what they need."""

from typing import Annotated, ClassVar, Self

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Buffer,
    Claim,
    Colour,
    Event,
    Frozen,
    Grid,
    Invalid,
    Minutes,
    Money,
    NotFound,
    RoomType,
    State,
    Text,
    UniqueClaim,
    only,
)
from domain.kit.paces import Pace

SeatCount = Annotated[int, Meta(ge=1, le=200, description="How many patients a visit of the kind is for at once; above 1 it takes place in group sessions.")]


class Offer(Frozen):
    """What a kind of visit is called, how long it takes and what it needs.

    Where it names no grid or no buffer, those of the doctor's hours count. One that needs a kind of room is booked in such a room only.
    """

    name: Text
    minutes: Minutes = 30
    colour: Colour | None = None
    room_type: RoomType | None = None
    grid: Grid | None = None
    buffer_before: Buffer | None = None
    buffer_after: Buffer | None = None
    capacity: SeatCount = 1
    active: bool = True
    deposit: Annotated[Money, Meta(description="What the patient is asked to pay beforehand; nothing if zero. It counts for what is booked from now on.")] = 0


class AppointmentTypeAdded(Event, Offer): ...


class AppointmentTypeChanged(Event, Offer): ...


class AppointmentTypeDeleted(Event): ...


AppointmentTypeEvent = AppointmentTypeAdded | AppointmentTypeChanged | AppointmentTypeDeleted


class AppointmentTypeNeedsName(Invalid):
    """A kind of visit has a name."""


class AppointmentType(State):
    """A kind of visit; once deleted nothing more is booked of it, and the visits that were keep its name."""

    kind: ClassVar[str] = "appointment_types"
    offer: Offer | None = None

    def evolve(self, event: AppointmentTypeEvent) -> Self:
        match event:
            case AppointmentTypeAdded() | AppointmentTypeChanged():
                return replace(self, offer=Offer(**only(Offer, event)))
            case AppointmentTypeDeleted():
                return replace(self, offer=None)

    def pace(self, pace: Pace) -> Pace:
        """Return how visits of this kind follow each other, with a doctor whose visits of that length follow each other so."""
        own = {"before": self.offer.buffer_before, "after": self.offer.buffer_after, "grid": self.offer.grid} if self.offer else {}
        return pace._replace(**{name: value for name, value in own.items() if value is not None})

    def fits(self, room: RoomType | None) -> bool:
        """Say whether it can take place in a room of that kind, or in none."""
        return self.offer is None or self.offer.room_type in {None, room}

    @property
    def seats(self) -> int:
        """How many patients a visit of the kind is for at once."""
        return self.offer.capacity if self.offer else 1

    @property
    def offered(self) -> Offer | None:
        """What is booked of it now; None if nothing is."""
        return self.offer if self.offer and self.offer.active else None

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written."""
        return frozenset({UniqueClaim(scope="appointment_types.name", key=" ".join(self.offer.name.casefold().split()))}) if self.offer else frozenset()

    def add(self, offer: Offer) -> list[Event]:
        ensure_named(offer)
        return [AppointmentTypeAdded(**only(Offer, offer))]

    def change(self, offer: Offer) -> list[Event]:
        self._ensure_kept()
        ensure_named(offer)
        return [AppointmentTypeChanged(**only(Offer, offer))]

    def delete(self) -> list[Event]:
        self._ensure_kept()
        return [AppointmentTypeDeleted()]

    def _ensure_kept(self) -> None:
        if self.offer is None:
            raise NotFound


def ensure_named(offer: Offer) -> None:
    if not offer.name.strip():
        raise AppointmentTypeNeedsName
