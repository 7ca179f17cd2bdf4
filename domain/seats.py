"""Seats: who takes one of the seats that a clinic's licence has; never more than it says, however many are hired at once."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import At, Elsewhere, Event, Forbidden, Frozen, StaffId, State
from domain.kit.licences import Licence

SeatRole = Literal["admin", "doctor", "receptionist"]


class Seat(Frozen):
    """What a seat is taken as; one that is only kept for somebody is free again after `until`."""

    role: SeatRole
    until: Annotated[datetime, Meta(tz=True)] | None = None


class SeatTaken(Event, Seat):
    holder: StaffId


class SeatFreed(Event):
    holder: StaffId


SeatEvent = SeatTaken | SeatFreed


class UserLimitReached(Forbidden):
    """Every seat of the clinic's licence is taken. Remove somebody, or ask for a larger licence."""


class DoctorLimitReached(Forbidden):
    """Every doctor's seat of the clinic's licence is taken. Remove a doctor, or ask for a larger licence."""


class Seats(State):
    """A clinic's seats. Whatever gives or takes one is saved together with them, so that two hires cannot take the last one both."""

    kind: ClassVar[str] = "seats"
    snapshots: ClassVar[bool] = True  # a large clinic hires for years
    held: dict[UUID, Seat] = field(default_factory=dict)
    used_ever: bool = False

    def evolve(self, event: SeatEvent) -> Self:
        match event:
            case SeatTaken(holder=holder, role=role, until=until):
                return replace(self, used_ever=True, held={**self.held, holder: Seat(role=role, until=until)})
            case SeatFreed(holder=gone):
                return replace(self, held={holder: seat for holder, seat in self.held.items() if holder != gone})

    def used(self, now: datetime, *roles: SeatRole) -> int:
        """Return how many seats are taken, by these roles or by all."""
        taken = [seat for seat in self.held.values() if seat.until is None or seat.until > now]
        return sum(1 for seat in taken if not roles or seat.role in roles)

    def ensure_free(self, role: SeatRole, licence: Licence, now: datetime, holder: UUID | None = None) -> None:
        """Refuse if a seat of that role were one too many; what its holder has already is not counted again."""
        has = self._seat(holder, now)
        if has is None and licence.users is not None and self.used(now) >= licence.users:
            raise UserLimitReached(limit=licence.users)
        if role != "doctor" or licence.doctors is None or (has is not None and has.role == "doctor"):
            return
        if self.used(now, "doctor") >= licence.doctors:
            raise DoctorLimitReached(limit=licence.doctors)

    def take(self, at: At, holder: UUID, role: SeatRole, licence: Licence, until: datetime | None = None) -> list[Elsewhere]:
        """Give somebody a seat, or the one he has another role or time; to be saved together with what it is for."""
        wanted = Seat(role=role, until=until)
        if self.held.get(holder) == wanted:
            return []
        self.ensure_free(role, licence, at.now, holder)
        return self._saved(at, SeatTaken(holder=holder, role=role, until=until))

    def free(self, at: At, holder: UUID) -> list[Elsewhere]:
        """Take back a seat."""
        return self._saved(at, SeatFreed(holder=holder)) if holder in self.held else []

    def _seat(self, holder: UUID | None, now: datetime) -> Seat | None:
        seat = self.held.get(holder) if holder is not None else None
        return seat if seat is not None and (seat.until is None or seat.until > now) else None

    def _saved(self, at: At, event: Event) -> list[Elsewhere]:
        return [Elsewhere(state=Seats, id=seats_of(at.clinic), events=[event])]


def seats_of(clinic: UUID) -> UUID:
    """Return the id of a clinic's seats."""
    return uuid5(clinic, "seats")
