"""Group sessions: a course, a group therapy: a doctor sees several patients at one time, as many as there are seats.

How it works: the session holds the doctor's time and the room's. Each participant has an appointment of their own, which names the session, holds the patient's time alone, and is confirmed, cancelled, reminded
of and arrived at as any other. The session keeps who took a seat; whether they still sit is what their appointments say, so a cancellation frees a seat by whichever door it comes. Whoever takes a seat
writes on the session, so two never take the last one.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    AppointmentId,
    AppointmentTypeId,
    Claim,
    Event,
    Frozen,
    Invalid,
    LocalTime,
    NotFound,
    PlaceId,
    Reason,
    Refused,
    RoomId,
    SlotOfferId,
    StaffId,
    State,
    Text,
    TimeClaim,
    only,
)
from domain.kit.retiming import Retimed, instants, retimed

GroupStatus = Literal["planned", "cancelled"]
SeatNumber = Annotated[int, Meta(ge=2, le=200, description="How many patients there is room for.")]
GroupNotes = Annotated[str, Meta(max_length=4000, description="About the session, not about anybody in it.")]


class Planned(Frozen):
    """When and where a session takes place, with whom, and what it is."""

    doctor_id: StaffId
    room_id: RoomId | None = None
    type: Text
    type_id: AppointmentTypeId | None = None
    place_id: PlaceId | None = None
    on: date
    start_local: LocalTime
    zone: str
    fold: int = 0
    starts_at: datetime
    ends_at: datetime
    buffer_before: int = 0  # minutes that the doctor and the room are also taken
    buffer_after: int = 0


class GroupSessionPlanned(Event, Planned):
    capacity: SeatNumber
    notes: GroupNotes | None = None


class GroupSessionMoved(Event, Planned):
    """Another time, doctor or room; all who take part were moved along in the same moment."""

    was_on: date
    was_doctor_id: StaffId


class GroupSessionChanged(Event):
    """As many seats, and what is to be known."""

    doctor_id: StaffId
    on: date
    capacity: SeatNumber
    notes: GroupNotes | None = None


class GroupSessionCancelled(Event):
    """It does not take place; the visits of all who took part were cancelled in the same moment."""

    doctor_id: StaffId
    on: date
    reason: Reason | None = None


class GroupSessionRetimed(Event, Retimed):
    """The same time on the wall is another instant, for the session as for all who take part: the clinic is in another zone, or its clocks follow another rule."""

    doctor_id: StaffId
    on: date
    forced: bool = False  # also where something else is at that instant by now; both stand


class GroupSeatTaken(Event):
    """An appointment has a seat; `vacated` no longer have theirs. With `offerId` the seat was kept for that offer."""

    doctor_id: StaffId
    on: date
    appointment_id: AppointmentId
    vacated: list[AppointmentId]
    offer_id: SlotOfferId | None = None


class GroupSeatKept(Event):
    """A seat is kept for whom it is offered to; `lapsed` offers keep theirs no longer."""

    doctor_id: StaffId
    on: date
    offer_id: SlotOfferId
    lapsed: list[SlotOfferId]


GroupSessionEvent = (
    GroupSessionPlanned | GroupSessionMoved | GroupSessionChanged | GroupSessionCancelled | GroupSeatTaken | GroupSeatKept | GroupSessionRetimed
)


class SeatsUnsaid(Invalid):
    """A group session is for two patients or more. Say for how many, or of which kind it is."""


class GroupFull(Refused):
    """Every seat of this session is taken or on offer. Put the patient on the waiting list, or choose another session."""


class GroupOver(Refused):
    """This session was cancelled or is over."""


class GroupDiffers(Refused):
    """That session is with another doctor or at another time. Name what the session says, or leave it out."""


class SeatsTaken(Refused):
    """More seats are taken or on offer than would be left."""


class GroupBegun(Refused):
    """Somebody has arrived or been seen already: the session stays where it is."""


class ParticipantsBusy(Refused):
    """Some who take part have another visit then: those in `details`. Nobody was moved."""


class GroupSession(State):
    """A session, from when it is planned."""

    kind: ClassVar[str] = "group_sessions"
    status: GroupStatus | None = None
    planned: Planned | None = None
    capacity: int = 0
    notes: str | None = None
    forced: bool = False
    seats: frozenset[UUID] = frozenset()  # appointments that took one, as far as it is known still
    kept: frozenset[UUID] = frozenset()  # offers likewise

    def evolve(self, event: GroupSessionEvent) -> Self:  # noqa: PLR0911 - one for each kind of event
        match event:
            case GroupSessionPlanned(capacity=capacity, notes=notes):
                return replace(self, status="planned", planned=Planned(**only(Planned, event)), capacity=capacity, notes=notes)
            case GroupSessionMoved():
                return replace(self, planned=Planned(**only(Planned, event)), forced=False)
            case GroupSessionRetimed(on=on, forced=forced):
                return replace(self, planned=self.planned and replace(self.planned, **instants(event), on=on), forced=forced)
            case GroupSessionChanged(capacity=capacity, notes=notes):
                return replace(self, capacity=capacity, notes=notes)
            case GroupSessionCancelled():
                return replace(self, status="cancelled")
            case GroupSeatTaken(appointment_id=visit, vacated=vacated, offer_id=offer):
                return replace(self, seats=(self.seats - {*vacated}) | {visit}, kept=self.kept - {offer})
            case GroupSeatKept(offer_id=offer, lapsed=lapsed):
                return replace(self, kept=(self.kept - {*lapsed}) | {offer})

    def claims(self) -> frozenset[Claim]:
        """The doctor's and the room's time with its buffers."""
        if self.planned is None or self.status != "planned":
            return frozenset()
        p = self.planned
        span: dict[str, Any] = {"forced": self.forced, "start": p.starts_at - timedelta(minutes=p.buffer_before), "end": p.ends_at + timedelta(minutes=p.buffer_after)}
        whose = {"doctor": p.doctor_id, "room": p.room_id}
        return frozenset(TimeClaim(kind=kind, id=id_, **span) for kind, id_ in whose.items() if id_ is not None)

    @property
    def what(self) -> Planned:
        """When, where and with whom."""
        if self.planned is None:
            raise NotFound
        return self.planned

    def plan(self, planned: Planned, capacity: int, notes: str | None) -> list[Event]:
        return [GroupSessionPlanned(**only(Planned, planned), capacity=capacity, notes=notes)]

    def move(self, planned: Planned) -> list[Event]:
        now = self.what
        return [] if planned == now else [GroupSessionMoved(**only(Planned, planned), was_on=now.on, was_doctor_id=now.doctor_id)]

    def retime(self, zone_name: str, now: datetime, *, force: bool = False) -> list[Event]:
        """Have it at the same time on the wall by the clocks of a zone, as they go now, if it is still to come."""
        if (p := self.planned) is None or self.status != "planned" or (to := retimed(p, zone_name)) is None or max(p.starts_at, to.starts_at) <= now:
            return []
        return [GroupSessionRetimed(
            doctor_id=p.doctor_id, on=date.fromisoformat(to.start_local[:10]), forced=self.forced or force, **only(Retimed, to))]

    def change(self, capacity: int, notes: str | None, taken: int) -> list[Event]:
        if capacity < taken:
            raise SeatsTaken(taken=taken)
        same = (capacity, notes) == (self.capacity, self.notes)
        return [] if same else [GroupSessionChanged(**self._when(), capacity=capacity, notes=notes)]

    def cancel(self, reason: str | None) -> list[Event]:
        self.ensure_planned()
        return [GroupSessionCancelled(**self._when(), reason=reason)]

    def take(self, appointment: UUID, sitting: Iterable[UUID], keeping: Iterable[UUID], now: datetime, offer: UUID | None = None) -> list[Event]:
        """Give a seat to an appointment, of which `sitting` still have one and `keeping` offers keep one; or the one that was kept for its offer."""
        there, theirs = frozenset(sitting), frozenset(keeping) - {offer}
        self._ensure_free(len(there) + len(theirs), now)
        return [GroupSeatTaken(**self._when(), appointment_id=appointment, vacated=sorted(self.seats - there), offer_id=offer if offer in self.kept else None)]

    def keep(self, offer: UUID, sitting: Iterable[UUID], keeping: Iterable[UUID], now: datetime) -> list[Event]:
        """Keep a seat for whom it is offered to."""
        theirs = frozenset(keeping)
        self._ensure_free(len(frozenset(sitting)) + len(theirs), now)
        return [GroupSeatKept(**self._when(), offer_id=offer, lapsed=sorted(self.kept - theirs))]

    def ensure_planned(self) -> None:
        if self.what and self.status != "planned":
            raise GroupOver

    def ensure_named(self, doctor: UUID, starts_at: datetime) -> None:
        """Refuse whoever names another doctor or time than the session's."""
        if (self.what.doctor_id, self.what.starts_at) != (doctor, starts_at):
            raise GroupDiffers

    def _ensure_free(self, taken: int, now: datetime) -> None:
        self.ensure_planned()
        if self.what.ends_at <= now:
            raise GroupOver
        if taken >= self.capacity:
            raise GroupFull

    def _when(self) -> dict[str, Any]:
        return {"doctor_id": self.what.doctor_id, "on": self.what.on}
