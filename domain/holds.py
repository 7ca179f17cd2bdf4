"""Holds: a time is kept free for some minutes, while somebody is still asking or typing."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import AppointmentId, Claim, Event, Frozen, NotFound, Refused, RoomId, StaffId, State, TimeClaim, only
from domain.kit.retiming import Retimed, instants, retimed

HoldStatus = Literal["held", "released", "used"]
HoldMinutes = Annotated[int, Meta(ge=1, le=30, description="Minutes for which the time is held, from now on.")]


class Held(Frozen):
    """Whose time is held, and when: as people say it, and the instants."""

    doctor_id: StaffId
    room_id: RoomId | None = None
    on: date
    start_local: str
    zone: str
    fold: int = 0
    starts_at: datetime
    ends_at: datetime
    buffer_before: int = 0  # minutes that the doctor and the room are also taken
    buffer_after: int = 0


class TimeHeld(Event, Held):
    expires_at: datetime


class HoldExtended(Event):
    doctor_id: StaffId
    expires_at: datetime


class HoldRetimed(Event, Retimed):
    """The same time on the wall is another instant."""

    doctor_id: StaffId
    on: date


class HoldReleased(Event):
    doctor_id: StaffId


class HoldUsed(Event):
    """The time is that appointment's now, which was booked in the same moment."""

    doctor_id: StaffId
    appointment_id: AppointmentId


HoldEvent = TimeHeld | HoldExtended | HoldRetimed | HoldReleased | HoldUsed


class HoldOver(Refused):
    """This hold has run out, was given back or was booked with. Hold the time anew if it is still free."""


class HoldExtendedAlready(Refused):
    """A hold is extended once. Book with it, or give it back."""


class HoldDiffers(Refused):
    """That hold is for another doctor, another room or another time than is to be booked. Book what it holds, or book without it."""


class Hold(State):
    """A time that nobody else gets until the hold runs out, by itself: no job has to see to it."""

    kind: ClassVar[str] = "holds"
    status: HoldStatus | None = None
    held: Held | None = None
    expires_at: datetime | None = None
    extended: bool = False

    def evolve(self, event: HoldEvent) -> Self:
        match event:
            case TimeHeld(expires_at=expires):
                return replace(self, status="held", held=Held(**only(Held, event)), expires_at=expires)
            case HoldExtended(expires_at=expires):
                return replace(self, expires_at=expires, extended=True)
            case HoldRetimed(on=on):
                return replace(self, held=self.held and replace(self.held, **instants(event), on=on))
            case HoldReleased():
                return replace(self, status="released")
            case HoldUsed():
                return replace(self, status="used")

    def claims(self) -> frozenset[Claim]:
        """The doctor's and the room's time with its buffers, which counts until the hold runs out."""
        if self.held is None or self.status != "held":
            return frozenset()
        h = self.held
        span: dict[str, Any] = {
            "start": h.starts_at - timedelta(minutes=h.buffer_before), "end": h.ends_at + timedelta(minutes=h.buffer_after), "expires": self.expires_at}
        whose = {"doctor": h.doctor_id, "room": h.room_id}
        return frozenset(TimeClaim(kind=kind, id=id_, **span) for kind, id_ in whose.items() if id_ is not None)

    def hold(self, wanted: Held, minutes: int, now: datetime) -> list[Event]:
        return self.hold_until(wanted, now + timedelta(minutes=minutes))

    def hold_until(self, wanted: Held, until: datetime) -> list[Event]:
        """Hold it as long as an offer of it stands."""
        return [TimeHeld(**only(Held, wanted), expires_at=until)]

    def extend(self, minutes: int, now: datetime) -> list[Event]:
        """Hold it for so many minutes from now on, once; never for less long than before."""
        held, until = self._ensure_open(now)
        if self.extended:
            raise HoldExtendedAlready
        return [HoldExtended(doctor_id=held.doctor_id, expires_at=max(until, now + timedelta(minutes=minutes)))]

    def release(self, now: datetime) -> list[Event]:
        return [HoldReleased(doctor_id=self._ensure_open(now)[0].doctor_id)]

    def let_go(self) -> list[Event]:
        """Give it back whatever the clock shows, if it was not given back or booked with before: what it was held for is over."""
        return [HoldReleased(doctor_id=self.held.doctor_id)] if self.held and self.status == "held" else []

    def retime(self, zone_name: str, now: datetime, *, force: bool = False) -> list[Event]:
        """Have it at the same time on the wall by the clocks of a zone, as they go now; if something else is there by then (`force`), it is given back."""
        if self.status != "held" or (h := self.held) is None or self.expires_at is None or self.expires_at <= now or (to := retimed(h, zone_name)) is None:
            return []
        if force:
            return self.release(now)
        return [HoldRetimed(doctor_id=h.doctor_id, on=date.fromisoformat(to.start_local[:10]), **only(Retimed, to))]

    def use(self, appointment: UUID, doctor: UUID, room: UUID | None, visit: tuple[datetime, datetime], now: datetime) -> list[Event]:
        """Give the time to an appointment: with that doctor, within that time, and in the room if one was held."""
        held, _ = self._ensure_open(now)
        if doctor != held.doctor_id or held.room_id not in {None, room} or visit[0] < held.starts_at or visit[1] > held.ends_at:
            raise HoldDiffers
        return [HoldUsed(doctor_id=held.doctor_id, appointment_id=appointment)]

    def _ensure_open(self, now: datetime) -> tuple[Held, datetime]:
        if self.held is None or self.expires_at is None:
            raise NotFound
        if self.status != "held" or self.expires_at <= now:
            raise HoldOver
        return self.held, self.expires_at
